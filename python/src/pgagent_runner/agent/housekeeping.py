"""The task that deletes old log rows."""

import asyncio
import logging
import random

from pgagent_runner.catalog import CatalogError, prune_log
from pgagent_runner.logs import Repeated

log = logging.getLogger(__name__)
log_repeated = Repeated(log)

_PAUSE = 600.0  # seconds between two rounds


class Housekeeping:
    """Deletes old log rows now and then: `work` is a task, which may be cancelled."""

    def __init__(self, conninfo: str) -> None:
        """Prepare; each round has a session of its own."""
        self._conninfo = conninfo

    async def work(self) -> None:
        """Delete until cancelled; what is under way then is a transaction."""
        # Runners that are started together do not begin together.
        await asyncio.sleep(random.uniform(0.05, 0.1) * _PAUSE)  # noqa: S311
        while True:
            try:
                if deleted := await prune_log(self._conninfo):
                    log.info("deleted %s runs that need not be kept", deleted)
            except CatalogError as e:
                log_repeated(logging.WARNING, "could not delete old runs: %s", e)
            await asyncio.sleep(_PAUSE)
