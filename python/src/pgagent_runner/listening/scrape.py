"""The database's own metrics, asked for once for all who scrape."""

import asyncio
import logging
import time
from functools import partial

from pgagent_runner.catalog import CatalogError
from pgagent_runner.catalog.connection import Row
from pgagent_runner.catalog.metrics import MetricsView
from pgagent_runner.exposition import Family, of_view, text
from pgagent_runner.logs import Repeated

log_repeated = Repeated(logging.getLogger(__name__))

# Seconds.
LONGEST = 5.0  # that a scrape waits for the database
FRESH = 5.0  # that an answer, or a failure, is told to others as well
_IDLE_TIME = 120.0  # that the session is kept for the next scrape


class Scrape:
    """Reads the view of metrics, for any number of scrapers at the same time."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._view = MetricsView(LONGEST)
        self._reading: asyncio.Task[None] | None = None
        self._answered = -float("inf")
        self._body: bytes | None = None

    async def body(self, conninfo: str | None) -> bytes | None:
        """Return the view's metrics as text; None if they can't be had just now."""
        if conninfo is None:
            return None
        if self._reading is None:
            if time.monotonic() - self._answered < FRESH:
                return self._body
            self._reading = asyncio.create_task(self._read(conninfo))
        # Whoever has asked may go away; others wait for the same.
        await asyncio.wait([self._reading])
        return self._body

    def let_go(self, conninfo: str | None) -> None:
        """Close the session if there is no use for it."""
        is_idle = time.monotonic() - self._answered > _IDLE_TIME
        if self._reading is None and (conninfo is None or is_idle):
            self._body = None
            self._answered = -float("inf")
            self._view.close()

    async def close(self) -> None:
        """Close the session; whoever waits gets nothing."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._view.close()

    async def _read(self, conninfo: str) -> None:
        parts: list[Family] = []
        self._body = None
        try:
            async with asyncio.timeout(LONGEST):
                await self._view.read(conninfo, partial(_take, parts, {}))
            self._body = text(parts).encode()
        except TimeoutError:
            self._note(f"it has not answered within {LONGEST:g} s")
        except (CatalogError, OSError) as e:
            self._note(e)
        except Exception:
            logging.getLogger(__name__).exception("an error in the runner itself")
        finally:
            self._answered = time.monotonic()
            self._reading = None

    def _note(self, reason: object) -> None:
        what = "could not read the metrics of the database: %s"
        log_repeated(logging.WARNING, what, reason)


def _take(parts: list[Family], known: dict[str, str], rows: list[Row]) -> None:
    """Turn some rows into text, which takes less memory than its lines do."""
    for family in of_view(rows, known):
        family.lines = ["".join(family.lines)]
        parts.append(family)
