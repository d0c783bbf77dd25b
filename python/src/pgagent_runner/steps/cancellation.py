"""A request to stop, which ends whatever wait of a run is under way."""

import asyncio
import contextlib
import math
import time

from pgagent_runner.model import Ending
from pgagent_runner.steps.failures import StepAbortedError
from pgagent_runner.waiting import Waiter, wait, wake

# A reason that weighs more replaces one that weighs less.
_WEIGHT = {Ending.FAILED: 1, Ending.EXPIRED: 2, Ending.ABORTED: 3}


class Cancellation:
    """A request to stop one run, whose steps wait by means of it.

    All of it belongs to the loop's thread. A run does one thing after the other, so
    there is one wait at most that the request has to end.
    """

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self._reason: str | None = None
        self._ending = Ending.ABORTED
        self._waiter: Waiter | None = None

    @property
    def reason(self) -> str | None:
        """Why to stop; None as long as nobody has asked."""
        return self._reason

    @property
    def ending(self) -> Ending:
        """How a step that stops for it ends: as aborted, or as one out of time."""
        return self._ending

    def cancel(self, reason: str, ending: Ending = Ending.ABORTED) -> None:
        """Ask to stop; the first reason counts, unless a later one weighs more."""
        if self._reason is None or _WEIGHT[ending] > _WEIGHT[self._ending]:
            self._reason = reason
            self._ending = ending
            wake(self._waiter)

    def forget_time_limit(self) -> None:
        """Let the next step start although the last one ran out of time."""
        if self._reason is not None and self._ending is Ending.FAILED:
            self._reason = None

    def limited(
        self, seconds: float | None, what: str, ending: Ending
    ) -> contextlib.AbstractContextManager[None]:
        """Ask to stop if the block takes longer than so many seconds; None: never.

        `what` takes too long then, and that is the reason.
        """
        if seconds is None:
            return contextlib.nullcontext()
        return _Limit(self, seconds, what, ending)

    def check(self) -> None:
        """Raise StepAbortedError if stopping was asked for."""
        if self._reason is not None:
            raise StepAbortedError(self._reason)

    async def wait(self, waiter: Waiter, seconds: float = math.inf) -> None:
        """Wait to be woken, by a request to stop too, or for so many seconds."""
        if self._reason is not None:
            return
        self._waiter = waiter
        try:
            if seconds == math.inf:
                await waiter
            else:
                await wait(waiter, seconds)
        finally:
            self._waiter = None

    async def sleep(self, seconds: float) -> None:
        """Sleep; raise StepAbortedError as soon as stopping is asked for."""
        end = time.monotonic() + seconds
        loop = asyncio.get_running_loop()
        self.check()
        while (left := end - time.monotonic()) > 0:
            await self.wait(loop.create_future(), left)
            self.check()


class _Limit:
    """Asks to stop if the block takes too long."""

    def __init__(
        self, cancellation: Cancellation, seconds: float, what: str, ending: Ending
    ) -> None:
        self._cancellation = cancellation
        self._seconds = seconds
        self._what = what
        self._ending = ending

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._expire)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        reason = f"{self._what} took longer than {self._seconds:g} s"
        self._cancellation.cancel(reason, self._ending)
