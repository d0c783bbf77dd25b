"""Reading texts of steps that are too long for the answer to a claim."""

import asyncio
from typing import LiteralString

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import open_unless_closed
from pgagent_runner.catalog.errors import CatalogLostError
from pgagent_runner.model import Step

_READ: LiteralString = """
    SELECT s.jstcode, s.jstconnstr FROM pgagent.pga_jobstep AS s WHERE s.jstid = %s::integer
"""


async def read_step(conninfo: str, closed: asyncio.Event, step: Step) -> Step | None:
    """Return the step with its texts; None if it has been deleted.

    A session of its own reads them: nobody else waits for that. Raises `CatalogError`,
    but goes on when a session is lost, until `closed` is set.
    """
    backoff = Backoff(0.05, 2.0)
    while True:
        try:
            session = await open_unless_closed(conninfo, closed)
            try:
                row = await (await session.ask(_READ, [step.id])).fetchone()
            finally:
                session.finish()
        except CatalogLostError:
            if closed.is_set():
                raise
            await asyncio.sleep(backoff.next())
        else:
            if row is None:
                return None
            return step._replace(code=row[0], conninfo=row[1], is_complete=True)
