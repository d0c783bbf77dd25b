"""The task that claims due jobs as workers become free."""

import logging
from collections.abc import Callable
from concurrent.futures import Future

from pgagent_runner.agent.crew import Crew
from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    Claims,
    NotRegisteredError,
)
from pgagent_runner.tasks import Flag

log = logging.getLogger(__name__)

# Seconds until another look at a due job
LOCKED_RETRY = 0.1  # that somebody has locked
REFUSED_RETRY = 1.0  # if the database refused this one
FULL_RETRY = 1.0  # if no worker is free; one that has stalled counts as free then
CROWDED_RETRY = 0.003  # if more is due than there were workers


class Claimer:
    """Claims what is due, starts it, and waits for the next due time.

    It is also woken by `cause`, a flag that is set whenever something may be due, a
    worker has become free, or `is_stopping` has become true, which ends it. `on_end` is
    called when it has ended, for whatever reason.
    """

    def __init__(  # noqa: PLR0913
        self,
        claims: Claims,
        crew: Crew,
        cause: Flag,
        poll: float,
        *,
        is_stopping: Callable[[], bool],
        on_end: Callable[[], None],
    ) -> None:
        """Wait for due times for `poll` seconds at most."""
        self._claims = claims
        self._crew = crew
        self._cause = cause
        self._poll = poll
        self._is_stopping = is_stopping
        self._closed = False
        self._ended: Future[None] = Future()
        self._ended.add_done_callback(lambda _: on_end())
        self._passed_over = False
        self._expectant = True  # whether something may be due at the next look

    def work(self) -> None:
        """Claim until stopped, or until the session is lost: as a task."""
        try:
            while not (self._closed or self._is_stopping()):
                self._cause.clear()
                delay = self._look()
                self._expectant |= self._cause.wait(delay)
        except Exception as e:  # noqa: BLE001 (`check` raises it)
            self._ended.set_exception(e)
        else:
            self._ended.set_result(None)

    def break_off(self) -> None:
        """Claim no more, and fail what waits for an answer: for another thread."""
        self._closed = True
        self._cause.set()
        self._claims.break_off()

    def break_off_silent(self, seconds: float) -> None:
        """Give up a claim that has been waiting for an answer for so long."""
        self._claims.break_off_silent(seconds)

    def close(self) -> None:
        """Break off, and wait for the end."""
        self.break_off()
        self._ended.exception()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended.done()

    def check(self) -> None:
        """Raise what it has failed with, if it has."""
        if self._ended.done():
            self._ended.result()

    def _look(self) -> float:
        """Start due jobs if workers are free; return the seconds to the next look."""
        self._crew.wakes_at = 1
        if not (free := self._crew.free):
            return min(FULL_RETRY, self._poll)
        try:
            return min(self._start_what_is_due(free), self._poll)
        except (CatalogLostError, NotRegisteredError):
            raise
        except CatalogError as e:
            log.error("could not look for due jobs: %s", e)  # noqa: TRY400
            return min(REFUSED_RETRY, self._poll)

    def _start_what_is_due(self, free: int) -> float:
        """Claim as many runs as workers are free; return when to look again."""
        # When nothing is expected to be due, a question is cheaper than an attempt.
        if not self._expectant and (left := self._until_due()) > 0:
            return left
        runs = self._claims.claim(free)
        self._crew.start(runs)
        self._claims.renew_plans()
        if len(runs) == free:
            # More may be due. Single places are filled several at a time.
            self._crew.wakes_at = max(1, self._crew.size // 2)
            return CROWDED_RETRY if self._crew.free else FULL_RETRY
        left = self._until_due()
        # A job that was not claimed may have become due since. If it is passed over
        # again, somebody has locked it.
        nothing = left == 0 and not runs
        self._passed_over = nothing and not self._passed_over
        return LOCKED_RETRY if nothing and not self._passed_over else left

    def _until_due(self) -> float:
        """Return the seconds until something is due, the poll interval at most."""
        due = self._claims.seconds_until_due()
        self._expectant = due is not None and due <= self._poll
        return self._poll if due is None else min(due, self._poll)
