"""The jobs whose claim was slow or refused: each is claimed alone, beside others."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence

from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    Claims,
    DueJob,
    NotRegisteredError,
    explain_refusal,
    is_passing,
    was_cancelled,
)
from pgagent_runner.model import Run

log = logging.getLogger(__name__)

PATIENCE = 0.4  # seconds that a claim may take while others wait for it
_MOST_LANES = 4  # sessions in which slow claims take their time
_ALONE = 0.1  # seconds until the next one is tried, while one job is claimed
_PASSING_PAUSE = 1.0  # seconds after a refusal that is not the job's fault
_LONG_PAUSE = 60.0  # if not even that can be written down
_MOST = 1000  # that are remembered
_LAST_CLAIMS = 1.0  # seconds that claims have to end when no more are wanted


class Suspects:
    """Claims jobs one by one, in sessions of its own.

    What users have hung on our tables takes part in a claim. A job whose claim took
    long, or was refused, is claimed like this until that goes smoothly again; all
    other claims leave it out (`ids`). One that is refused is set aside for a while.
    """

    def __init__(
        self,
        new_lane: Callable[[], Claims],
        start: Callable[[Iterable[Run]], None],
        on_change: Callable[[], None],
    ) -> None:
        """Make sessions when needed, and start what is claimed.

        `on_change` is called when there may be more to claim than before.
        """
        self._new_lane = new_lane
        self._start = start
        self._on_change = on_change
        self._not_before: dict[int, float] = {}  # the suspects
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._lanes: set[Claims] = set()
        self._idle: list[Claims] = []
        self._stopped = False

    @property
    def ids(self) -> set[int]:
        """The jobs that others must leave out."""
        return self._not_before.keys() | self._under_way.keys()

    @property
    def under_way(self) -> int:
        """How many claims have not been answered: each may need a worker."""
        return len(self._under_way)

    async def claim_each(
        self, jobs: Sequence[DueJob], claims: Claims, has_room: Callable[[], bool]
    ) -> None:
        """Claim these jobs, one after another, but wait for none that takes long.

        With `claims`, which loses its patience, if all own sessions are taken. Ends
        when there is no room left for another run.
        """
        for job in jobs:
            if self._stopped or not has_room():
                return
            if self._has_lane():
                await asyncio.wait([self._begin(job)], timeout=_ALONE)
            else:
                await self._claim(claims, job)

    async def look(self, claims: Claims, free: int) -> float:
        """Begin to claim the suspects that are due, with so many free workers at most.

        Return when there is more to do, on the monotonic clock.
        """
        wanted = self._not_before.keys() - self._under_way.keys()
        if not wanted:
            self._close_idle()
            return math.inf
        look_at = math.inf
        for job in await claims.due(len(wanted), only=wanted):
            may_at = max(job.due_at, self._not_before[job.id])
            if may_at > time.monotonic():
                look_at = min(look_at, may_at)
            elif self._has_lane() and free > 0 and not self._stopped:
                free -= 1
                self._begin(job)
        return look_at

    def break_off(self) -> None:
        """Claim no more, and fail what waits for an answer."""
        self._stopped = True
        for lane in list(self._lanes):
            lane.break_off()

    async def end(self) -> None:
        """Claim no more; give what is under way a moment, then break it off."""
        self._stopped = True
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=_LAST_CLAIMS)
        self.break_off()
        await asyncio.gather(*self._under_way.values())
        self._close_idle()

    def _has_lane(self) -> bool:
        return len(self._under_way) < _MOST_LANES

    def _begin(self, job: DueJob) -> asyncio.Task[None]:
        task = asyncio.create_task(self._claim_in_lane(job))
        self._under_way[job.id] = task
        return task

    async def _claim_in_lane(self, job: DueJob) -> None:
        """Claim a job, however long that takes; whatever happens, raise nothing."""
        lane = None
        try:
            lane = await self._lane()
            await self._claim(lane, job)
        except CatalogError as e:
            # Perhaps it has claimed, and nobody executes that. The agent's next signs
            # of life clear it up.
            text = "the session that claimed job %s (%s) is lost: %s"
            log.warning(text, job.id, job.name, e, extra=job.about())
            self._suspect(job, _PASSING_PAUSE)
            self._close(lane)
        except Exception:
            log.exception("an error in the runner itself", extra=job.about())
            self._suspect(job, _LONG_PAUSE)
            self._close(lane)
        else:
            self._idle.append(lane)
        finally:
            del self._under_way[job.id]
            self._on_change()

    async def _lane(self) -> Claims:
        if self._idle:
            return self._idle.pop()
        lane = self._new_lane()
        self._lanes.add(lane)
        try:
            await lane.open()
        except BaseException:
            self._close(lane)
            raise
        return lane

    async def _claim(self, claims: Claims, job: DueJob) -> None:
        """Claim one job, and note what came of it; raises if a session is lost."""
        began = time.monotonic()
        try:
            claimed = await claims.claim(1, 0, only=job.id)
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError as e:
            await self._note_refusal(claims, job, e)
            return
        self._start(claimed.runs)
        if time.monotonic() - began < PATIENCE:
            self._not_before.pop(job.id, None)
        else:
            self._suspect(job)

    async def _note_refusal(
        self, claims: Claims, job: DueJob, error: CatalogError
    ) -> None:
        if was_cancelled(error):  # by us, most likely: then in a session of its own
            self._suspect(job)
            return
        reason = explain_refusal(error)
        if is_passing(error):
            pause: float | None = _PASSING_PAUSE
        else:
            try:
                pause = await claims.set_aside(job.id, reason)
            except (CatalogLostError, NotRegisteredError):
                raise
            except CatalogError as e:
                pause = _LONG_PAUSE
                reason = f"{reason}; that can't be written down either: {e}"
        if pause is None:  # gone, or claimed by somebody else
            self._not_before.pop(job.id, None)
            return
        self._suspect(job, pause)
        log.warning(
            "job %s (%s) can't be started, next attempt in %.0f s: %s",
            *(job.id, job.name, pause, reason),
            extra=job.about(),
        )

    def _suspect(self, job: DueJob, pause: float = 0.0) -> None:
        """Claim a job alone from now on, and not before a pause is over."""
        self._not_before[job.id] = time.monotonic() + pause
        while len(self._not_before) > _MOST:
            del self._not_before[next(iter(self._not_before))]

    def _close_idle(self) -> None:
        while self._idle:
            self._close(self._idle.pop())

    def _close(self, lane: Claims | None) -> None:
        if lane is not None:
            self._lanes.discard(lane)
            lane.close()
