"""How often what is heard is worth a look: at first always, then less and less."""

import math
from collections.abc import Iterable

from pgagent_runner.backoff import Backoff

# Looks that may follow each other at once, and seconds until there may be one more:
# whoever it is for.
_AT_ONCE = 10
_PACE = 0.5

# A sender that goes on without a pause is attended to after growing pauses.
_LONGEST_PAUSE = 10.0
_QUIET = 1.0  # seconds without a word, each of which is worth a look later on
_WORTH = 0.2  # seconds after a look in which a run that starts was worth it
_MOST_SENDERS = 1000


class _Sender:
    """A session that notifies, and how many looks it is worth."""

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.free_at = -math.inf
        self._looks = float(_AT_ONCE)
        self._pauses = Backoff(_PACE, _LONGEST_PAUSE, spread=0)

    def hear(self, now: float) -> None:
        if (quiet := now - self.heard_at) > _QUIET:
            self.give(quiet)
        self.heard_at = now

    def give(self, looks: float) -> None:
        self._looks = min(self._looks + looks, _AT_ONCE)
        self._pauses.reset()
        self.free_at = -math.inf

    def take(self, now: float) -> None:
        self._looks = max(self._looks - 1, 0)
        if self._looks < 1:
            self.free_at = now + self._pauses.next()


class Attention:
    """Says when to look, so that nobody can drive up what that costs.

    Every session has a few looks at once. One that goes on and on, although no run
    starts, gets the next ones after longer and longer pauses, whereas the others are
    still attended to at once.
    """

    def __init__(self, now: float) -> None:
        """Begin at a moment of the monotonic clock."""
        self._now = now
        self._looked_at = -math.inf
        self._looks = float(_AT_ONCE)
        self._senders: dict[int, _Sender] = {}
        self._waiting: set[int] = set()  # senders that have not been attended to
        self._attended: set[int] = set()  # by the last look

    def hear(self, senders: Iterable[int], now: float) -> None:
        """Hear something of these sessions."""
        for pid in senders:
            if pid not in self._senders and len(self._senders) >= _MOST_SENDERS:
                self._forget(now)
            self._senders.setdefault(pid, _Sender(now)).hear(now)
            self._waiting.add(pid)

    def look_at(self, now: float) -> float:
        """Return when to look; infinity if there is nothing to look for."""
        if not self._waiting:
            return math.inf
        self._looks = min(self._looks + (now - self._now) / _PACE, _AT_ONCE)
        self._now = now
        free_at = min(self._senders[pid].free_at for pid in self._waiting)
        return max(free_at, now + (1 - self._looks) * _PACE)

    def note_look(self, now: float) -> None:
        """Note a look, which all that wait share."""
        self._looks -= 1
        self._looked_at = now
        for pid in self._waiting:
            self._senders[pid].take(now)
        self._attended, self._waiting = self._waiting, set()

    def note_start(self, now: float) -> None:
        """Note that a run starts: a look just before was worth it."""
        if now - self._looked_at > _WORTH:
            return
        self._looks = min(self._looks + 1, _AT_ONCE)
        for pid in self._attended & self._senders.keys():
            self._senders[pid].give(1)

    def _forget(self, now: float) -> None:
        """Forget who has been silent for long; all, if nobody has."""
        latest = now - _LONGEST_PAUSE
        self._senders = {
            pid: sender
            for pid, sender in self._senders.items()
            if pid in self._waiting or sender.heard_at > latest
        }
        if len(self._senders) >= _MOST_SENDERS:
            self._senders = {pid: self._senders[pid] for pid in self._waiting}
