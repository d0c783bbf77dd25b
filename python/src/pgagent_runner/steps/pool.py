"""The sessions of all runs that are idle, and how many sessions a target has."""

import contextlib
import threading
import time
from collections import defaultdict

from pgagent_runner.steps.cancel import Cancellation
from pgagent_runner.steps.session import Session

Target = frozenset[tuple[str, str | int | None]]

_IDLE_TIME = 5.0  # seconds that a session is kept for the next run
_LIFE_TIME = 600.0  # after which it is not, so that new settings of a role take effect
_SHORT_TIME = 10.0  # after a server was short of connections: none is kept
_FULL_DELAY = 0.02  # until another look whether a target has room


class SessionPool:
    """Sessions that wait for the next run on the same target, with the same login.

    They have been reset by the server (DISCARD ALL), and live for some seconds only.
    """

    def __init__(self, limit: int | None = None) -> None:
        """Allow `limit` sessions for each target at the same time; None: any number."""
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: dict[Target, list[tuple[float, Session]]] = defaultdict(list)
        self._count: dict[Target, int] = defaultdict(int)
        self._short_until = 0.0

    def take(self, target: Target) -> Session | None:
        """Return an idle session for this target, if there is one."""
        with self._lock:
            return self._idle[target].pop()[1] if self._idle[target] else None

    def make_room(
        self, target: Target, cancellation: Cancellation, *, waits: bool
    ) -> Session | None:
        """Wait until the target may have one more session, and count it.

        Who has a session of another target already must not wait: somebody who has one
        of this target may be waiting for that one. Return a session that has become
        idle meanwhile instead, if one has. Raise StepAbortedError when cancelled.
        """
        while True:
            with self._lock:
                if self._idle[target]:
                    return self._idle[target].pop()[1]
                full = self._limit is not None and self._count[target] >= self._limit
                if not (full and waits):
                    self._count[target] += 1
                    return None
            cancellation.sleep(_FULL_DELAY)

    def give_back(self, target: Target, session: Session) -> None:
        """Keep a session for the next run, or close it if it is not fit for that."""
        now = time.monotonic()
        if (
            now < self._short_until
            or now - session.opened > _LIFE_TIME
            or not session.start_reset()
        ):
            self.close_one(target, session)
            return
        with self._lock:
            self._idle[target].append((now, session))

    def close_one(self, target: Target, session: Session | None = None) -> None:
        """Close a session, or count one that could not be opened."""
        if session is not None:
            session.close()
        with self._lock:
            self._count[target] -= 1

    def note_shortage(self) -> None:
        """Close what is idle: a server has no connection left for others."""
        self._short_until = time.monotonic() + _SHORT_TIME
        self.close_idle(0)

    def close_idle(self, idle_time: float = _IDLE_TIME) -> None:
        """Close the sessions that have been idle for so many seconds."""
        latest = time.monotonic() - idle_time
        closing = []
        with self._lock:
            for target, sessions in list(self._idle.items()):
                kept = [s for s in sessions if s[0] > latest]
                closing += [s[1] for s in sessions if s[0] <= latest]
                self._count[target] -= len(sessions) - len(kept)
                self._idle[target] = kept
                if not self._count[target]:
                    del self._idle[target], self._count[target]
        for session in closing:
            with contextlib.suppress(Exception):
                session.close()
