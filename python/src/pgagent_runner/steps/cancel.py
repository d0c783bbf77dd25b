"""Waiting for file descriptors in a way that a cancellation interrupts."""

import contextlib
import math
import os
import select
import threading
import time
from collections.abc import Iterator, Mapping

from pgagent_runner.model import Ending
from pgagent_runner.steps.errors import StepAbortedError

_LONGEST_POLL = 86400.0  # seconds; poll takes milliseconds in 31 bits

# What weighs more replaces what weighs less.
_WEIGHT = {Ending.FAILED: 1, Ending.EXPIRED: 2, Ending.ABORTED: 3}


class Cancellation:
    """A request to stop, made from any thread.

    Its file descriptor becomes readable when the request is made, and stays so.
    """

    def __init__(self) -> None:
        """Open the file descriptor; raise OSError if there is none left."""
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._ending = Ending.ABORTED
        # What is written is so little that nothing ever waits for room.
        self._reader, self._writer = os.pipe()
        self._closed = False

    @property
    def reason(self) -> str | None:
        """Why to stop; None as long as nobody has asked."""
        return self._reason

    @property
    def ending(self) -> Ending:
        """How a step that stops for it ends: as aborted, or as one out of time."""
        return self._ending

    def fileno(self) -> int:
        """Give the file descriptor to wait on for POLLIN."""
        return self._reader

    def cancel(self, reason: str, ending: Ending = Ending.ABORTED) -> None:
        """Ask to stop; the first reason counts, or the one that weighs more."""
        with self._lock:
            if self._reason is None or _WEIGHT[ending] > _WEIGHT[self._ending]:
                self._reason = reason
                self._ending = ending
                if not self._closed:
                    os.write(self._writer, b"\0")

    def forget_time_limit(self) -> None:
        """Let the next step start although the time of the last one was over."""
        with self._lock:
            if self._reason is not None and self._ending is Ending.FAILED:
                self._reason = None
                os.read(self._reader, 16)

    @contextlib.contextmanager
    def limited(
        self, seconds: float | None, reason: str, ending: Ending
    ) -> Iterator[None]:
        """Ask to stop if the block takes longer than so many seconds."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(
            min(seconds, threading.TIMEOUT_MAX), self.cancel, [reason, ending]
        )
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it must not ask for anything any more

    def check(self) -> None:
        """Raise StepAbortedError if stopping was asked for."""
        if self._reason is not None:
            raise StepAbortedError(self._reason)

    def sleep(self, seconds: float) -> None:
        """Sleep; raise StepAbortedError as soon as stopping is asked for."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            wait_ready({self.fileno(): select.POLLIN}, left)
            self.check()

    def close(self) -> None:
        """Close the file descriptor; a later request changes nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)


def wait_ready(events: Mapping[int, int], timeout: float = math.inf) -> set[int]:
    """Wait for the poll events of each file descriptor, `timeout` seconds at most.

    Return the descriptors that are ready, have ended or are broken; none of them
    when the time, or a day, is over. (`select` could not take descriptors above 1023.)
    """
    poll = select.poll()
    for descriptor, mask in events.items():
        poll.register(descriptor, mask)
    milliseconds = None
    if timeout != math.inf:
        milliseconds = max(0, math.ceil(min(timeout, _LONGEST_POLL) * 1000))
    return {descriptor for descriptor, _ in poll.poll(milliseconds)}
