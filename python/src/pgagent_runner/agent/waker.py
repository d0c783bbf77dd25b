"""Waiting that a signal, another thread or a notification ends."""

import contextlib
import select
import socket
from typing import Protocol

from pgagent_runner.tasks import wait_ready


class HasFileno(Protocol):
    """Something that can be waited for, by becoming readable."""

    def fileno(self) -> int:
        """Return the file descriptor."""


class Waker:
    """Ends the waiting of one thread, from any other or from a signal handler."""

    def __init__(self) -> None:
        """Open the socket pair."""
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    @property
    def signal_fileno(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`: a signal ends the waiting too."""
        return self._writer.fileno()

    def wake(self) -> None:
        """End the waiting under way, or else the next one."""
        with contextlib.suppress(BlockingIOError):  # full of wake-ups already
            self._writer.send(b"\0")

    def wait(self, seconds: float, other: HasFileno | None = None) -> None:
        """Wait to be woken, for `other` to be readable, or for `seconds`."""
        readers = (self._reader, other) if other is not None else (self._reader,)
        wait_ready({r.fileno(): select.POLLIN for r in readers}, max(seconds, 0))
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
