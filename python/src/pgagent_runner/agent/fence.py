"""What stops an agent's steps in time when the agent itself can't."""

import threading
import time
from collections.abc import Callable


class Fence:
    """Calls `stop` once unless it is extended again and again.

    It has a thread of its own: the agent's may be waiting for a server that has gone
    without a word while others are about to take its runs for dead.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        """Do nothing before the first extension."""
        self._stop = stop
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="fence", daemon=True)
        self._thread.start()

    def extend(self, seconds: float) -> None:
        """Let everything go on for so many seconds from now."""
        with self._changed:
            sleeps_longer = self._deadline is not None
            self._deadline = time.monotonic() + seconds
            if not sleeps_longer:
                self._changed.notify()

    def close(self) -> None:
        """End the watch."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                if self._deadline is None:
                    self._changed.wait()
                elif (left := self._deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._stop("the agent could not show a sign of life in time")
                    self._deadline = None
