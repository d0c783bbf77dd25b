"""Waiting for file descriptors in a way that a cancellation interrupts."""

import math
import select
import socket
import threading
from collections.abc import Mapping

from pgagent_runner.steps.errors import StepAbortedError


class Cancellation:
    """A request to stop, made at most once, from any thread.

    Its file descriptor becomes readable when the request is made, and stays so.
    """

    def __init__(self) -> None:
        """Open the file descriptor; raise OSError if there is none left."""
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._reader, self._writer = socket.socketpair()

    @property
    def reason(self) -> str | None:
        """Why to stop; None as long as nobody has asked."""
        return self._reason

    def fileno(self) -> int:
        """Give the file descriptor to wait on for POLLIN."""
        return self._reader.fileno()

    def cancel(self, reason: str) -> None:
        """Ask to stop; the first reason counts."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
        self._writer.close()

    def check(self) -> None:
        """Raise StepAbortedError if stopping was asked for."""
        if self._reason is not None:
            raise StepAbortedError(self._reason)

    def sleep(self, seconds: float) -> None:
        """Sleep; raise StepAbortedError as soon as stopping is asked for."""
        wait_ready({self.fileno(): select.POLLIN}, seconds)
        self.check()

    def close(self) -> None:
        """Close the file descriptor; a later request changes nothing."""
        self._writer.close()
        self._reader.close()


def wait_ready(events: Mapping[int, int], timeout: float = math.inf) -> set[int]:
    """Wait for the poll events of each file descriptor, `timeout` seconds at most.

    Return the descriptors that are ready, have ended or are broken; none of them
    when the time is over. (`select` could not take descriptors above 1023.)
    """
    poll = select.poll()
    for descriptor, mask in events.items():
        poll.register(descriptor, mask)
    milliseconds = None if timeout == math.inf else max(0, math.ceil(timeout * 1000))
    return {descriptor for descriptor, _ in poll.poll(milliseconds)}
