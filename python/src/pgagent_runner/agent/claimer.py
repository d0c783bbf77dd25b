"""The task that claims due jobs as workers become free."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable

from pgagent_runner.agent.crew import Crew
from pgagent_runner.agent.suspects import Suspects
from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    Claimed,
    Claims,
    NotRegisteredError,
)
from pgagent_runner.logs import Repeated
from pgagent_runner.waiting import Waiter, wait, wake

log = logging.getLogger(__name__)
log_repeated = Repeated(log)

# Seconds until another look at a due job
_LOCKED_RETRY = 0.1  # that somebody has locked
_REFUSED_RETRY = 1.0  # if the database refused this one
_FULL_RETRY = 1.0  # if no worker is free; one that has stalled counts as free then
_CROWDED_RETRY = 0.003  # if more is due than there were workers
_ONE_BY_ONE_RETRY = 0.05  # if jobs have been claimed one by one

_MOST_ONE_BY_ONE = 1000  # some of which others may have locked


class Claimer:
    """Claims what is due, starts it, and waits for the next due time.

    A claim says when to look again, and so does a record; whoever learns of something
    else calls `look`. If a claim is refused, or takes long, the jobs are claimed one by
    one. Nobody cancels the task: a claim in flight is awaited, or broken
    off with its session.
    """

    def __init__(
        self,
        claims: Claims,
        crew: Crew,
        poll: float,
        new_lane: Callable[[], Claims],
    ) -> None:
        """Wait for due times for `poll` seconds at most.

        `new_lane` makes a further session, for claims that may take their time.
        """
        self._claims = claims
        self._suspects = Suspects(new_lane, crew.start, self.look)
        self._crew = crew
        self._poll = poll
        self._stopped = False
        self._look_at = 0.0
        self._pause: Waiter | None = None
        self._passed_over = False
        self._has_claimed = False

    async def work(self) -> None:
        """Claim until stopped; raises CatalogError if session or agent are lost."""
        try:
            while not self._stopped:
                self._look_at = math.inf
                self.look_at(await self._look())
                await self._rest()
        finally:
            await self._suspects.end()

    async def _rest(self) -> None:
        """Wait for the moment of the next look."""
        while not self._stopped and (left := self._look_at - time.monotonic()) > 0:
            self._pause = asyncio.get_running_loop().create_future()
            await wait(self._pause, left)

    def look(self) -> None:
        """Look at once: something may be due, or a worker is free."""
        self.look_at(-math.inf)

    def look_at(self, moment: float) -> None:
        """Look at a moment of the monotonic clock, if not before."""
        if moment < self._look_at:
            self._look_at = moment
            wake(self._pause)

    def note_due(self, moment: float) -> None:
        """Learn from a record when something is due.

        Whoever lacks workers looks when there are some.
        """
        if self._crew.wanted_free == math.inf:
            self.look_at(moment)

    def is_well(self, seconds: float) -> bool:
        """Tell whether the last claim was answered, and none has waited for so long."""
        claims = self._has_claimed and not self._stopped
        return claims and not self._claims.is_silent(seconds)

    def break_off_silent(self, seconds: float) -> None:
        """Give up a claim that has been waiting for an answer for so long."""
        self._claims.break_off_silent(seconds)

    def break_off(self) -> None:
        """Claim no more, and fail what waits for an answer."""
        self.stop()
        self._claims.break_off()
        self._suspects.break_off()

    def stop(self) -> None:
        """Claim no more; what is being claimed is."""
        self._stopped = True
        wake(self._pause)

    async def _look(self) -> float:
        """Start due jobs if workers are free; return the moment of the next look."""
        self._crew.wanted_free = math.inf
        if (free := self._crew.free - self._suspects.under_way) <= 0:
            self._crew.wanted_free = 1
            return self._in(_FULL_RETRY)
        try:
            look_at = await self._start_what_is_due(free)
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError as e:
            self._has_claimed = False
            log_repeated(logging.ERROR, "could not look for due jobs: %s", e)
            return self._in(_REFUSED_RETRY)
        self._has_claimed = True
        return look_at

    async def _start_what_is_due(self, free: int) -> float:
        """Claim as many runs as workers are free; return when to look again."""
        without = self._suspects.ids
        try:
            claimed = await self._claims.claim(free, self._poll, without=without)
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError as e:
            return await self._claim_one_by_one(without, e)
        self._crew.start(claimed.runs)
        await self._claims.renew_plans()
        look_at = self._after(claimed, free)
        if without:
            left = free - len(claimed.runs)
            look_at = min(look_at, await self._suspects.look(self._claims, left))
        return look_at

    async def _claim_one_by_one(
        self, without: Iterable[int], error: CatalogError
    ) -> float:
        """Claim what is due job by job, for somebody's claim has been refused."""
        jobs = await self._claims.due(_MOST_ONE_BY_ONE, without=without)
        if not jobs:  # it was nobody's
            raise error
        log.debug("claiming %s jobs one by one: %s", len(jobs), error)
        await self._suspects.claim_each(jobs, self._claims, self._has_room)
        return self._in(_ONE_BY_ONE_RETRY)

    def _has_room(self) -> bool:
        return self._crew.free > self._suspects.under_way

    def _after(self, claimed: Claimed, free: int) -> float:
        """Return when to look again after a claim for so many free workers."""
        if len(claimed.runs) == free:
            # More may be due. Single places are filled several at a time.
            self._crew.wanted_free = max(1, self._crew.size // 2)
            return self._in(_CROWDED_RETRY if self._crew.free else _FULL_RETRY)
        # A job that was not claimed may have become due since. If it is passed over
        # again, somebody has locked it.
        nothing = claimed.is_more_due and not claimed.runs
        is_locked = nothing and self._passed_over
        self._passed_over = nothing
        return self._in(_LOCKED_RETRY) if is_locked else claimed.look_at

    def _in(self, seconds: float) -> float:
        """Return the moment in so many seconds, or after the longest pause."""
        return time.monotonic() + min(seconds, self._poll)
