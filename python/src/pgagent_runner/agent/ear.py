"""Hearing at once that jobs have changed, at a cost that nobody can drive up.

Every role of the database may NOTIFY, as often as it likes and whatever it likes.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog import CatalogError, Listener
from pgagent_runner.events import Event, RunStarted
from pgagent_runner.logs import Repeated
from pgagent_runner.model import Heard

log_repeated = Repeated(logging.getLogger(__name__))

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
    """Tells when jobs may have changed: `work` is a task, which may be cancelled.

    `on_change` is called, and before that `on_cancel` if a run may have to be
    cancelled. It has to hear, by `note`, of runs that start.
    """

    def __init__(
        self,
        listen: Callable[[], Awaitable[Listener]],
        *,
        on_change: Callable[[], object],
        on_cancel: Callable[[], object],
    ) -> None:
        """Prepare to hear through what `listen` returns, time and again."""
        self._listen = listen
        self._on_change = on_change
        self._on_cancel = on_cancel
        self._now = time.monotonic()
        self._started = 0  # runs, since the last look
        self._looks = float(_AT_ONCE)
        self._readable = float(_FLOOD)
        self._heard = _NOTHING

    def note(self, event: Event) -> None:
        """Hear of a run that starts: what was notified before was worth a look."""
        self._started += isinstance(event, RunStarted)

    async def work(self) -> None:
        """Listen until cancelled, whatever becomes of the session."""
        backoff = Backoff(_DEAF, _LONGEST_DELAY, spread=0)
        while True:
            try:
                with closing(await self._listen()) as listener:
                    backoff.reset()
                    await self._hear(listener)
            except (CatalogError, OSError) as e:
                text = "could not listen for changes of jobs: %s"
                log_repeated(logging.WARNING, text, e)
            await asyncio.sleep(backoff.next())

    async def _hear(self, listener: Listener) -> None:
        """Tell of changes until there are too many."""
        self._readable = float(_FLOOD)
        while self._readable >= 0:
            # The server would keep all that is not read at once, for everybody.
            await listener.wait(self._seconds_until_look())
            self._pass_time()
            heard = listener.take(_FLOOD)
            self._heard = self._heard.plus(heard.times, cancel=heard.cancel)
            self._readable -= heard.times
            if self._heard.times and self._looks >= 1:
                self._tell()

    def _seconds_until_look(self) -> float:
        return (1 - self._looks) * _PACE if self._heard.times else math.inf

    def _pass_time(self) -> None:
        now = time.monotonic()
        passed, started = now - self._now, self._started
        self._now, self._started = now, 0
        self._looks = min(self._looks + passed / _PACE + started, _AT_ONCE)
        self._readable = min(self._readable + passed * _FLOOD + started, _FLOOD)

    def _tell(self) -> None:
        heard, self._heard = self._heard, _NOTHING
        self._looks -= 1
        if heard.cancel:
            self._on_cancel()
        self._on_change()
