"""Hearing at once that jobs have changed, at a cost that nobody can drive up.

Every role of the database may NOTIFY, as often as it likes and whatever it likes.
"""

import logging
import math
import select
import time
from collections.abc import Callable
from contextlib import closing

from pgagent_runner.catalog import CatalogError, Listener
from pgagent_runner.model import Heard
from pgagent_runner.tasks import Flag, wait_ready

log = logging.getLogger(__name__)

# Looks that may follow each other at once, and seconds until there may be one more.
_AT_ONCE = 10
_PACE = 0.5

# So many notifications at once, or a second, are read. If there are more, nothing is
# heard for some seconds, and then there is a look. A run that has been started pays for
# one more of each: they were worth it.
_FLOOD = 100
_DEAF = 1.0
_LONGEST_DELAY = 10.0  # if a session can't be had, again and again

_NOTHING = Heard(0, cancel=False)


class Ear:
    """Tells when jobs may have changed: `work` is a task, which `close` ends.

    `on_change` is called, and before that `on_cancel` if a run may have to be
    cancelled. `count_runs` tells how many runs have been started so far.
    """

    def __init__(
        self,
        listen: Callable[[], Listener],
        *,
        count_runs: Callable[[], int],
        on_change: Callable[[], object],
        on_cancel: Callable[[], object],
    ) -> None:
        """Prepare to hear through what `listen` returns, time and again."""
        self._listen = listen
        self._count_runs = count_runs
        self._on_change = on_change
        self._on_cancel = on_cancel
        self._closed = Flag()
        self._now = time.monotonic()
        self._runs = 0
        self._looks = float(_AT_ONCE)
        self._readable = float(_FLOOD)
        self._heard = _NOTHING

    def work(self) -> None:
        """Listen until closed, whatever becomes of the session: as a task."""
        delay = _DEAF
        while not self._closed.is_set:
            try:
                with closing(self._listen()) as listener:
                    delay = _DEAF
                    self._hear(listener)
            except (CatalogError, OSError) as e:
                log.warning("could not listen for changes of jobs: %s", e)
            self._closed.wait(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def close(self) -> None:
        """End the task, which may take its time: for another thread."""
        self._closed.set()

    def _hear(self, listener: Listener) -> None:
        """Tell of changes until closed, or until there are too many."""
        self._readable = float(_FLOOD)
        while not self._closed.is_set and self._readable >= 0:
            self._wait(listener)
            self._pass_time()
            heard = listener.take(_FLOOD)
            self._heard = self._heard.plus(heard.times, cancel=heard.cancel)
            self._readable -= heard.times
            if self._heard.times and self._looks >= 1:
                self._tell()

    def _wait(self, listener: Listener) -> None:
        """Wait for something to hear, or until there may be a look.

        What is not read at once would be kept by the server, for everybody.
        """
        seconds = (1 - self._looks) * _PACE if self._heard.times else math.inf
        wait_ready({listener.fileno(): select.POLLIN}, seconds, self._closed)

    def _pass_time(self) -> None:
        now, runs = time.monotonic(), self._count_runs()
        passed, started = now - self._now, runs - self._runs
        self._now, self._runs = now, runs
        self._looks = min(self._looks + passed / _PACE + started, _AT_ONCE)
        self._readable = min(self._readable + passed * _FLOOD + started, _FLOOD)

    def _tell(self) -> None:
        heard, self._heard = self._heard, _NOTHING
        self._looks -= 1
        if heard.cancel:
            self._on_cancel()
        self._on_change()
