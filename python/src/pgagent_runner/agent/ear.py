"""Hearing at once that jobs have changed, at a cost that nobody can drive up.

Every role of the database may NOTIFY, as often as it likes and whatever it likes.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import closing

from pgagent_runner.agent.attention import Attention
from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog import CatalogError, Listener
from pgagent_runner.events import Event, RunStarted
from pgagent_runner.logs import Repeated

log_repeated = Repeated(logging.getLogger(__name__))

# So many notifications at once, or a second, are read, and one more for each run that
# starts. If there are more, nothing is heard for some seconds, longer each time, and
# then there is a look.
_FLOOD = 100
_DEAF = 1.0
_LONGEST_DELAY = 5.0  # also if a session can't be had, again and again

_UNKNOWN = 0  # who may have notified before it listened


class Ear:
    """Tells when jobs may have changed: `work` is a task, which may be cancelled.

    `on_change` is called, and before that `on_cancel` if a run may have to be
    cancelled; `on_alert` alone if something is to be told that is no change. It has to
    hear, by `note`, of runs that start.
    """

    def __init__(
        self,
        listen: Callable[[], Awaitable[Listener]],
        *,
        on_change: Callable[[], object],
        on_cancel: Callable[[], object],
        on_alert: Callable[[], object],
    ) -> None:
        """Prepare to hear through what `listen` returns, time and again."""
        self._listen = listen
        self._on_change = on_change
        self._on_cancel = on_cancel
        self._on_alert = on_alert
        self._now = time.monotonic()
        self._attention = Attention(self._now)
        self._readable = float(_FLOOD)
        self._cancel = False

    def note(self, event: Event) -> None:
        """Hear of a run that starts: what was notified before was worth a look."""
        if isinstance(event, RunStarted):
            self._readable = min(self._readable + 1, _FLOOD)
            self._attention.note_start(time.monotonic())

    async def work(self) -> None:
        """Listen until cancelled, whatever becomes of the session."""
        backoff = Backoff(_DEAF, _LONGEST_DELAY, spread=0)
        while True:
            began = time.monotonic()
            try:
                with closing(await self._listen()) as listener:
                    await self._hear(listener)
            except (CatalogError, OSError) as e:
                text = "could not listen for changes of jobs: %s"
                log_repeated(logging.WARNING, text, e)
            if time.monotonic() - began > _LONGEST_DELAY:
                backoff.reset()
            await asyncio.sleep(backoff.next())

    async def _hear(self, listener: Listener) -> None:
        """Tell of changes until there are too many."""
        self._readable = float(_FLOOD)
        while self._readable >= 0:
            # The server would keep all that is not read at once, for everybody.
            look_at = self._attention.look_at(time.monotonic())
            await listener.wait(look_at - time.monotonic())
            self._take(listener)
            now = time.monotonic()
            if self._attention.look_at(now) <= now:
                self._tell(now)

    def _take(self, listener: Listener) -> None:
        heard = listener.take(_FLOOD)
        now = time.monotonic()
        self._readable = min(self._readable + (now - self._now) * _FLOOD, _FLOOD)
        self._now = now
        self._readable -= heard.times
        self._cancel |= heard.cancel
        if heard.alerts:
            self._on_alert()
        if heard.times > heard.alerts:
            self._attention.hear(heard.senders or (_UNKNOWN,), now)

    def _tell(self, now: float) -> None:
        self._attention.note_look(now)
        cancel, self._cancel = self._cancel, False
        if cancel:
            self._on_cancel()
        self._on_change()
