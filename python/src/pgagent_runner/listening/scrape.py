"""The database's own metrics, asked for once for all who scrape."""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from pgagent_runner.catalog import CatalogError
from pgagent_runner.catalog.connection import Row
from pgagent_runner.catalog.metrics import MetricsView
from pgagent_runner.exposition import of_view, text
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
        self._body: Sequence[bytes] | None = None

    async def body(self, conninfo: str | None) -> Sequence[bytes] | None:
        """Return the view's metrics, in parts; None if they can't be had just now."""
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
        """Forget what is not told any more; close a session that is of no use."""
        if self._reading is not None:
            return
        age = time.monotonic() - self._answered
        if conninfo is None or age > FRESH:
            self._body = None
            self._answered = min(self._answered, time.monotonic() - FRESH)
        if conninfo is None or age > _IDLE_TIME:
            self._view.close()

    async def close(self) -> None:
        """Close the session; whoever waits gets nothing."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._view.close()

    async def _read(self, conninfo: str) -> None:
        parts: dict[str, list[bytes]] = {}
        self._body = None
        try:
            async with asyncio.timeout(LONGEST):
                await self._view.read(conninfo, partial(_take, parts, {}))
            self._body = [part for of_name in parts.values() for part in of_name]
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


def _take(
    parts: dict[str, list[bytes]], known: dict[str, str], rows: list[Row]
) -> None:
    """Turn some rows into parts of the text; all of it at once takes more memory."""
    for family in of_view(rows, known):
        more = parts.get(family.name)
        if more is None:
            parts[family.name] = [text([family]).encode()]
        else:
            more.append("".join(family.lines).encode())
