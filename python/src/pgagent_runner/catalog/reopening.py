"""A session with the catalogue that is opened anew whenever it has ended."""

import asyncio
import contextlib
from typing import LiteralString

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import Connection, open_unless_closed
from pgagent_runner.catalog.errors import CatalogLostError

GIVEN_UP = "the agent has given up its registration"

_PID: LiteralString = "SELECT pg_catalog.pg_backend_pid()"


class Reopening:
    """Has a session until that is closed for all of its kind."""

    def __init__(self, conninfo: str, closed: asyncio.Event) -> None:
        """Prepare to open it; nothing is opened any more once `closed` is set."""
        self._conninfo = conninfo
        self._closed = closed
        self.now: Connection | None = None
        self.pid = 0  # as the server says: a pooler would say another one

    async def get(self) -> Connection:
        """Return the session, or a new one if it has ended.

        Raises `CatalogLostError` if none can be had.
        """
        if self._closed.is_set():
            raise CatalogLostError(GIVEN_UP)
        if self.now is not None and not self.now.closed:
            return self.now
        session = await open_unless_closed(self._conninfo, self._closed)
        try:
            row = await (await session.ask(_PID)).fetchone()
        except BaseException:
            session.finish()
            raise
        if self._closed.is_set() or row is None:
            session.finish()
            raise CatalogLostError(GIVEN_UP)
        self.pid = row[0]
        self.now = session
        return session

    def is_silent(self, seconds: float) -> bool:
        """Tell whether it has been waiting for an answer for so long."""
        return self.now is not None and self.now.is_silent(seconds)

    def break_off(self) -> None:
        """Have whatever waits for an answer fail."""
        if self.now is not None:
            self.now.break_off()

    def finish(self) -> None:
        """Close it."""
        if self.now is not None:
            self.now.finish()


async def is_set_within(closed: asyncio.Event, backoff: Backoff) -> bool:
    """Pause, unless the event is set; tell whether it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(backoff.next()):
            await closed.wait()
    return closed.is_set()
