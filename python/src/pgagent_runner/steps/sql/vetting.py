"""Whether targets behind a pooler are fit for steps, asked once for all runs."""

import asyncio
import time

import psycopg

from pgagent_runner.model import CONNECTION
from pgagent_runner.poolers import why_unfit
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.waiting import in_thread, wake

_FIT_TIME = 60.0  # seconds that a target counts as fit: a pooler can be reconfigured

Target = frozenset[tuple[str, str | int | None]]


class Vetting:
    """Refuses targets whose pooler takes sessions away between transactions."""

    def __init__(self) -> None:
        """Know no target yet."""
        self._fit_until: dict[Target, float] = {}
        self._looking: dict[Target, asyncio.Task[str | None]] = {}

    async def check(
        self, target: Target, conninfo: str, cancellation: Cancellation
    ) -> None:
        """Raise StepError if sessions at the target can't be relied upon.

        Others that ask at the same time wait for the same answer. Raises
        StepAbortedError when cancelled.
        """
        if time.monotonic() < self._fit_until.get(target, 0):
            return
        looking = self._looking.get(target)
        if looking is None:
            looking = asyncio.create_task(in_thread(why_unfit, conninfo))
            looking.add_done_callback(lambda done: self._note(target, done))
            self._looking[target] = looking
        waiter = asyncio.get_running_loop().create_future()
        looking.add_done_callback(lambda _: wake(waiter))
        await cancellation.wait(waiter)
        cancellation.check()
        try:
            reason = looking.result()
        except (psycopg.Error, OSError) as e:
            raise StepError(f"could not connect: {e}", cause=CONNECTION) from None
        if reason is not None:
            raise StepError(reason)

    def _note(self, target: Target, looking: "asyncio.Task[str | None]") -> None:
        del self._looking[target]
        if looking.cancelled():
            return
        if looking.exception() is None and looking.result() is None:
            now = time.monotonic()
            self._fit_until = {t: m for t, m in self._fit_until.items() if m > now}
            self._fit_until[target] = now + _FIT_TIME
