"""Waiting in a thread that other threads can end."""

import contextlib
import select
import socket
from typing import Protocol


class HasFileno(Protocol):
    """Something that can be waited for, by becoming readable."""

    def fileno(self) -> int:
        """Return the file descriptor."""


class Waker:
    """Ends the waiting of one thread, from any other."""

    def __init__(self) -> None:
        """Open the socket pair; raises OSError if there is no descriptor left."""
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)

    def wake(self) -> None:
        """End the waiting under way, or else the next one."""
        with contextlib.suppress(OSError):  # full of wake-ups already, or closed
            self._writer.send(b"\0")

    def wait(self, seconds: float, other: HasFileno) -> None:
        """Wait to be woken, for `other` to be readable, or for `seconds`."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        poll.register(other, select.POLLIN)
        poll.poll(max(seconds, 0) * 1000 + 1)
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def close(self) -> None:
        """Close the socket pair."""
        self._reader.close()
        self._writer.close()
