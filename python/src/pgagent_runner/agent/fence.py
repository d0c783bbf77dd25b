"""Stopping an agent's steps in time when nothing else can."""

import threading
import time
from collections.abc import Callable, Sequence


class Fence:
    """Calls functions, each at its time, unless it is extended again and again.

    It has a thread of its own, because all others may be waiting for a server that has
    vanished, while other runners are about to declare the agent dead.
    """

    def __init__(self, *functions: Callable[[], None]) -> None:
        """Do nothing before the first extension."""
        self._functions = functions
        self._changed = threading.Condition()
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="fence", daemon=True)
        self._thread.start()

    def extend(self, moments: Sequence[float]) -> None:
        """Call each function at its moment, by the monotonic clock, and not before."""
        with self._changed:
            wakes_in_time = self._due and self._due[0][0] <= moments[0]
            self._due = list(zip(moments, self._functions, strict=True))
            if not wakes_in_time:
                self._changed.notify()

    def close(self) -> None:
        """End the watch."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                if not self._due:
                    self._changed.wait()
                elif (left := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._due.pop(0)[1]()
