"""What is remembered of records: which are quick, and which keep others waiting."""

from enum import Enum

from pgagent_runner.catalog.entries import Entry

_MOST_KINDS = 20_000


class Way(Enum):
    """How an entry is recorded."""

    TOGETHER = "with all others, in one transaction"
    ALONE = "by itself: it was slow, or refused, with others or once"
    ASIDE = "by itself, after others like it: it was so more than once"


class Habits:
    """Learns from what became of entries how those of the same kind are recorded."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._quick: set[tuple[object, ...]] = set()
        self._troubles: dict[tuple[object, ...], int] = {}

    def way_of(self, entry: Entry) -> Way:
        """Tell how to record an entry."""
        if entry.abort is not None or entry.refusals:
            return Way.ALONE
        if not self._troubles:
            return Way.TOGETHER
        troubles = self._troubles.get(entry.kind, 0)
        return (Way.TOGETHER, Way.ALONE, Way.ASIDE)[min(troubles, 2)]

    def is_quick(self, entry: Entry) -> bool:
        """Tell whether the last one of its kind was recorded without trouble."""
        return entry.kind in self._quick

    def note_quick(self, entry: Entry) -> None:
        """Note that it was recorded at once."""
        kind = entry.kind
        if len(self._quick) >= _MOST_KINDS:
            self._quick.clear()
        self._quick.add(kind)
        if self._troubles:
            self._troubles.pop(kind, None)

    def note_trouble(self, entry: Entry) -> None:
        """Note that it was refused, or slow."""
        kind = entry.kind
        if len(self._troubles) >= _MOST_KINDS:
            self._troubles.clear()
        self._quick.discard(kind)
        self._troubles[kind] = self._troubles.get(kind, 0) + 1
