"""How long to pause before another attempt: longer each time, and not all at once."""

import random


class Backoff:
    """Growing pauses, each a little random, so that many do not come back together."""

    def __init__(
        self, first: float, longest: float, *, factor: float = 2.0, spread: float = 0.5
    ) -> None:
        """Begin with about `first` seconds; each pause is shorter by `spread` at most.

        Each is `factor` times as long as the one before, and none more than `longest`.
        """
        self._first = first
        self._longest = longest
        self._factor = factor
        self._spread = spread
        self.reset()

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._pause = min(self._first, self._longest)

    @property
    def pause(self) -> float:
        """The next pause, in seconds, before chance has shortened it."""
        return self._pause

    def next(self) -> float:
        """Return how many seconds to pause now."""
        pause = self._pause
        self._pause = min(pause * self._factor, self._longest)
        return pause * random.uniform(1 - self._spread, 1)  # noqa: S311
