"""The task that clears up after dead agents, and what people have left behind."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import closing

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog import CatalogError, Deed, open_sweeps

log = logging.getLogger(__name__)

# Seconds until another look at a dead agent whose sessions end.
_FIRST_RETRY = 0.2
_LONGEST_RETRY = 4.0


class Sweeper:
    """Sweeps when a heartbeat has said that there is something to be swept.

    In a session of its own: triggers and locks of others may keep it waiting, and the
    lease must not wait for it. `work` is a task, which may be cancelled.
    """

    def __init__(
        self,
        conninfo: str,
        agent_id: int,
        under_way: Callable[[], Mapping[int, int]],
        on_swept: Callable[[], None],
    ) -> None:
        """Prepare to sweep for an agent.

        `under_way` returns its runs and their jobs; `on_swept` is called when jobs may
        have become free.
        """
        self._conninfo = conninfo
        self._agent_id = agent_id
        self._under_way = under_way
        self._on_swept = on_swept
        self._judges = False
        self._is_asked = asyncio.Event()
        self._said: frozenset[Deed] = frozenset()

    def look(self, *, judges: bool) -> None:
        """Sweep; leases can be relied on if it `judges`."""
        self._judges = judges
        self._is_asked.set()

    async def work(self) -> None:
        """Sweep whenever asked to, until cancelled."""
        while True:
            await self._is_asked.wait()
            self._is_asked.clear()
            try:
                await self._sweep()
            except CatalogError as e:
                log.warning("could not clear up after agents that are gone: %s", e)

    async def _sweep(self) -> None:
        """Sweep until all is done that can be done now."""
        backoff = Backoff(_FIRST_RETRY, _LONGEST_RETRY, spread=0)
        with closing(await open_sweeps(self._conninfo, self._agent_id)) as sweeps:
            while True:
                swept = await sweeps.sweep(self._under_way(), judges=self._judges)
                # What can't be done is tried again and again, and told once.
                for deed in swept.deeds:
                    if deed not in self._said:
                        log.warning("%s", deed, extra=deed.about())
                self._said = frozenset(swept.deeds)
                if swept.deeds:
                    self._on_swept()
                if not swept.is_unfinished:
                    return
                await asyncio.sleep(backoff.next())
