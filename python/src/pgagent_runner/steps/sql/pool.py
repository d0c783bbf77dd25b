"""The sessions of all runs: which run gets one, and what becomes of it afterwards."""

import asyncio
import contextlib
import math
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.sql.roles import Logins
from pgagent_runner.steps.sql.session import Session
from pgagent_runner.steps.sql.vetting import Target, Vetting
from pgagent_runner.waiting import Waiter, wake

_IDLE_TIME = 5.0  # seconds that a session is kept for the next run
_LEFT_TIME = 1.0  # the same, after a run that goes on elsewhere
_LIFE_TIME = 600.0  # after which it is not, so that new settings of a role take effect
_SHORT_TIME = 10.0  # after a server was short of connections: none is kept

# Opening a session takes longer than most steps. As long as other runs give sessions
# back, a run rather waits for one of those.
_AT_ONCE = 4  # sessions that are opened at the same time for runs that did not wait
_PATIENCE = 0.005  # seconds that a run waits before one is opened all the same
_PACE = 0.002  # seconds between two that are opened for runs that have waited


@dataclass(slots=True, eq=False)
class _WaitingRun:
    """A run that waits for a session."""

    since: float
    pause: Waiter | None = None  # its wait under way, which a call ends
    session: Session | None = None  # when it has been given one
    is_called: bool = False

    def is_patient(self, now: float) -> bool:
        return now - self.since < _PATIENCE

    def call(self) -> None:
        """Have it look again."""
        self.is_called = True
        wake(self.pause)


@dataclass(slots=True)
class _Sessions:
    """The sessions of a target, and the runs that wait for one, the longest first."""

    count: int = 0
    being_opened: int = 0
    last_opening: float = -math.inf
    last_return: float = -math.inf
    idle: list[tuple[float, Session]] = field(default_factory=list)
    waiting: deque[_WaitingRun] = field(default_factory=deque)

    def hand_on(self, session: Session) -> None:
        """Give a session to the run that has waited longest, or keep it."""
        now = time.monotonic()
        if self.waiting:
            run = self.waiting.popleft()
            run.session = session
            run.call()
            if self.waiting and not self.waiting[0].is_patient(now):
                self.call_first()
        else:
            self.idle.append((now, session))

    def open(self, run: _WaitingRun, now: float) -> bool:
        """Let a run open one more session, if that is better than waiting."""
        if run.is_patient(now):
            returning = now - self.last_return < _PATIENCE
            may = not returning and self.being_opened < _AT_ONCE
        else:
            may = now - self.last_opening >= _PACE
        if may:
            self.leave(run)
            self.count += 1
            self.being_opened += 1
            self.last_opening = now
        return may

    def leave(self, run: _WaitingRun) -> None:
        self.waiting.remove(run)
        self.call_first()

    def call_first(self) -> None:
        if self.waiting:
            self.waiting[0].call()


class SessionPool:
    """The sessions of each target: of the same server, database, login and role.

    Those that wait for the next run have been reset by the server (DISCARD ALL), and
    live for some seconds only.
    """

    def __init__(self, limit: int | None = None) -> None:
        """Allow `limit` sessions for each target at the same time; None: any number."""
        self._limit = math.inf if limit is None else limit
        self.vetting = Vetting()
        self.logins = Logins()
        self._targets: dict[Target, _Sessions] = defaultdict(_Sessions)
        self._short_until = 0.0
        self._renewed = 0.0

    async def acquire(
        self, target: Target, cancellation: Cancellation, *, waits: bool
    ) -> Session | None:
        """Return a session; or None, then the caller has to open one: see `opening`.

        If the target has as many as it may have, wait until that changes, unless the
        caller already has a session of another target: a run that has one of this
        target may be waiting for that one. Raise StepAbortedError when cancelled.
        """
        sessions = self._targets[target]
        if sessions.idle:
            return sessions.idle.pop()[1]
        run = _WaitingRun(time.monotonic())
        sessions.waiting.append(run)
        try:
            while pause := self._pause(sessions, run, waits=waits):
                await self._wait(run, pause, cancellation)
                if run.session is not None:
                    break
        except BaseException:
            if run.session is None:
                sessions.leave(run)
            else:
                sessions.hand_on(run.session)
            raise
        return run.session

    async def _wait(
        self, run: _WaitingRun, seconds: float, cancellation: Cancellation
    ) -> None:
        """Wait until the run is called, for so many seconds at most."""
        if not run.is_called:
            run.pause = asyncio.get_running_loop().create_future()
            await cancellation.wait(run.pause, seconds)
        run.is_called = False
        cancellation.check()

    def _pause(self, sessions: _Sessions, run: _WaitingRun, *, waits: bool) -> float:
        """Return the seconds until a run should look again; 0: it need not wait."""
        now = time.monotonic()
        is_full = sessions.count >= self._limit
        has_turn = (run is sessions.waiting[0] and not is_full) or not waits
        if has_turn and sessions.open(run, now):
            return 0.0
        if run.is_patient(now):
            return run.since + _PATIENCE - now
        return _PACE if has_turn else math.inf  # until it is called

    def replace(self, target: Target, session: Session) -> None:
        """Close a session that has died; the caller opens another in its place."""
        with contextlib.suppress(Exception):
            session.close()
        self._targets[target].being_opened += 1

    @contextmanager
    def opening(self, target: Target) -> Iterator[None]:
        """Open a session in the block; if that raises anything, there is none."""
        sessions = self._targets[target]
        try:
            yield
        except BaseException:
            self.close_one(target)
            raise
        finally:
            sessions.being_opened -= 1

    def give_back(self, target: Target, session: Session) -> None:
        """Give a session to the next run, or close it if it is not fit for that."""
        now = time.monotonic()
        fit = False
        try:
            fit = (
                now >= self._short_until
                and session.opened >= max(self._renewed, now - _LIFE_TIME)
                and session.start_reset()
            )
        finally:
            if not fit:
                self.close_one(target, session)
        if not fit:
            return
        sessions = self._targets[target]
        sessions.last_return = now
        sessions.hand_on(session)

    def let_go(self, target: Target, session: Session) -> None:
        """Give back a session of a run whose later steps name another database.

        Unless others need it, it is closed soon: such a step may drop that database,
        for which the server waits five seconds.
        """
        self.give_back(target, session)
        close = partial(self.close_idle, _LEFT_TIME, target)
        # A little later: what is not yet idle for so long would stay.
        asyncio.get_running_loop().call_later(_LEFT_TIME * 1.01, close)

    def close_one(self, target: Target, session: Session | None = None) -> None:
        """Close a session, or count one that could not be opened."""
        try:
            if session is not None:
                session.close()
        finally:
            sessions = self._targets[target]
            sessions.count -= 1
            sessions.call_first()

    def counts(self) -> tuple[int, int, int]:
        """Return how many sessions there are, how many are idle, and their targets."""
        known = self._targets.values()
        idle = sum(len(sessions.idle) for sessions in known)
        return sum(sessions.count for sessions in known), idle, len(known)

    def note_shortage(self) -> None:
        """Close what is idle: a server has no connection left for others."""
        self._short_until = time.monotonic() + _SHORT_TIME
        self.close_idle(0)

    def renew(self) -> None:
        """Hand on none of the sessions that exist now."""
        self._renewed = time.monotonic()
        self.close_idle(0)

    def close_idle(
        self, idle_time: float = _IDLE_TIME, only: Target | None = None
    ) -> None:
        """Close the sessions, or only those of one target, idle for so many seconds."""
        latest = time.monotonic() - idle_time
        closing = []
        for target, sessions in list(self._targets.items()):
            if only is not None and target != only:
                continue
            kept = [s for s in sessions.idle if s[0] > latest]
            closing += [s[1] for s in sessions.idle if s[0] <= latest]
            sessions.count -= len(sessions.idle) - len(kept)
            sessions.idle = kept
            if not sessions.count and not sessions.waiting:
                del self._targets[target]
        for session in closing:
            with contextlib.suppress(Exception):
                session.close()
