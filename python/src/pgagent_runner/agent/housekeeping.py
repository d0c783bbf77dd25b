"""The thread that deletes old log rows."""

import logging
import random
import threading

from pgagent_runner.catalog import CatalogError, prune_log

log = logging.getLogger(__name__)

_PAUSE = 600.0  # seconds between two rounds


class Housekeeping:
    """Deletes old log rows now and then, in a thread of its own."""

    def __init__(self, conninfo: str) -> None:
        """Start the thread."""
        self._conninfo = conninfo
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._work, name="housekeeping", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Break off, and do not wait: what is under way is a transaction."""
        self._stopped.set()

    def _work(self) -> None:
        # Runners that are started together do not begin together.
        pause = random.uniform(0.05, 0.1) * _PAUSE  # noqa: S311
        while not self._stopped.wait(pause):
            try:
                if deleted := prune_log(self._conninfo, self._stopped.wait):
                    log.info("deleted %s runs that need not be kept", deleted)
            except CatalogError as e:
                log.warning("could not delete old runs: %s", e)
            pause = _PAUSE
