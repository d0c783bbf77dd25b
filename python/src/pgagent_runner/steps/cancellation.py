"""A request to stop, which interrupts whatever is watching for it."""

import contextlib
import errno
import threading
import time
from collections.abc import Iterator

from pgagent_runner.model import Ending
from pgagent_runner.steps.failures import StepAbortedError
from pgagent_runner.tasks import Flag

# A reason that weighs more replaces one that weighs less.
_WEIGHT = {Ending.FAILED: 1, Ending.EXPIRED: 2, Ending.ABORTED: 3}


class Cancellation:
    """A request to stop, made from any thread.

    Its flag is set when the request is made, and stays so.
    """

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._ending = Ending.ABORTED
        self.flag = Flag()

    @property
    def reason(self) -> str | None:
        """Why to stop; None as long as nobody has asked."""
        return self._reason

    @property
    def ending(self) -> Ending:
        """How a step that stops for it ends: as aborted, or as one out of time."""
        return self._ending

    def fileno(self) -> int:
        """Give a descriptor to wait on for POLLIN; raise OSError if none is left."""
        return self.flag.fileno()

    def cancel(self, reason: str, ending: Ending = Ending.ABORTED) -> None:
        """Ask to stop; the first reason counts, unless a later one weighs more."""
        with self._lock:
            if self._reason is None or _WEIGHT[ending] > _WEIGHT[self._ending]:
                self._reason = reason
                self._ending = ending
                self.flag.set()

    def forget_time_limit(self) -> None:
        """Let the next step start although the last one ran out of time."""
        with self._lock:
            if self._reason is not None and self._ending is Ending.FAILED:
                self._reason = None
                self.flag.clear()

    def limited(
        self, seconds: float | None, reason: str, ending: Ending
    ) -> contextlib.AbstractContextManager[None]:
        """Ask to stop if the block takes longer than so many seconds; None: never."""
        if seconds is None:
            return contextlib.nullcontext()
        return self._limited(seconds, reason, ending)

    @contextlib.contextmanager
    def _limited(self, seconds: float, reason: str, ending: Ending) -> Iterator[None]:
        timer = threading.Timer(
            min(seconds, threading.TIMEOUT_MAX), self.cancel, [reason, ending]
        )
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as e:
            raise OSError(errno.EAGAIN, str(e)) from e
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
            self.flag.wait(left)
            self.check()

    def close(self) -> None:
        """Close the file descriptor; a later request changes nothing."""
        self.flag.close()
