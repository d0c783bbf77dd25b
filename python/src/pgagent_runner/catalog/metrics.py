"""Reading the view of metrics: a part at a time, and the loop goes on in between."""

from collections.abc import Callable
from typing import LiteralString

from pgagent_runner.catalog.connection import Connection, Row, open_in_loop
from pgagent_runner.catalog.errors import CatalogLostError
from pgagent_runner.exposition import VIEW

# What a session of ours is told to find by indexes alone is not what the view asks for.
_SETTINGS: LiteralString = """
    SELECT pg_catalog.set_config(s.name, s.value, false)
    FROM (VALUES
        ('enable_seqscan', 'on'),
        ('enable_bitmapscan', 'on'),
        ('enable_sort', 'on'),
        ('enable_hashjoin', 'on'),
        ('enable_mergejoin', 'on'),
        ('plan_cache_mode', 'auto'),
        ('cursor_tuple_fraction', '1'),
        ('statement_timeout', %s)
    ) AS s (name, value)
"""
_BEGIN: LiteralString = "BEGIN TRANSACTION READ ONLY"
_DECLARE: LiteralString = f"DECLARE metrics NO SCROLL CURSOR FOR {VIEW}"
_FETCH: LiteralString = "FETCH 200 FROM metrics"
_COMMIT: LiteralString = "COMMIT"


class MetricsView:
    """The view, read in a session that is kept from one time to the next.

    For one task, which may be cancelled: then the session is closed.
    """

    def __init__(self, longest: float) -> None:
        """Open nothing yet; no statement may take longer than so many seconds."""
        self._longest = longest
        self._conninfo = ""
        self._session: Connection | None = None

    async def read(self, conninfo: str, take: Callable[[list[Row]], None]) -> None:
        """Have `take` called with all rows, some at a time; raises `CatalogError`."""
        try:
            session = await self._begin(conninfo)
            await session.ask(_DECLARE)
            while rows := await (await session.ask(_FETCH)).fetchall():
                take(rows)
            await session.ask(_COMMIT)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the session; it is opened anew when the view is read again."""
        if self._session is not None:
            self._session.finish()
            self._session = None

    async def _begin(self, conninfo: str) -> Connection:
        if conninfo != self._conninfo:
            self.close()
            self._conninfo = conninfo
        if self._session is not None:
            try:
                await self._session.ask(_BEGIN)
            except CatalogLostError:  # while nothing was asked: that is no loss
                self.close()
            else:
                return self._session
        session = self._session = await open_in_loop(conninfo, self._longest)
        await session.keep(_SETTINGS, [f"{self._longest * 1000:.0f}ms"])
        await session.ask(_BEGIN)
        return session
