"""Stopping an agent's steps in time when the agent itself can't."""

import threading
import time
from collections.abc import Callable


class Fence:
    """Calls `stop`, and later `give_up`, unless it is extended again and again.

    It has a thread of its own, because the agent's may be waiting for a server that has
    vanished, while others are about to declare the agent dead.
    """

    def __init__(self, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Do nothing before the first extension."""
        self._stop = stop
        self._give_up = give_up
        self._changed = threading.Condition()
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="fence", daemon=True)
        self._thread.start()

    def extend(self, seconds: float, last: float) -> None:
        """Let everything go on for `seconds` from now, and give up after `last`."""
        now = time.monotonic()
        with self._changed:
            sleeps_longer = bool(self._due)
            self._due = [(now + seconds, self._stop), (now + last, self._give_up)]
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
                if not self._due:
                    self._changed.wait()
                elif (left := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._due.pop(0)[1]()
