"""Reading texts of steps that are too long for the answer to a claim."""

import asyncio
from typing import LiteralString

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import Row, connect, translated_errors
from pgagent_runner.catalog.errors import CatalogLostError
from pgagent_runner.model import Step
from pgagent_runner.waiting import in_thread

_READ: LiteralString = """
    SELECT s.jstcode, s.jstconnstr FROM pgagent.pga_jobstep AS s
    WHERE s.jstid = %s::integer
"""


async def read_step(conninfo: str, closed: asyncio.Event, step: Step) -> Step | None:
    """Return the step with its texts; None if it has been deleted.

    A session of its own reads them, in a thread: they may take seconds, for which the
    loop does not wait. Raises `CatalogError`, but goes on when a session is lost, until
    `closed` is set.
    """
    backoff = Backoff(0.05, 2.0)
    while True:
        try:
            row = await _unless_closed(conninfo, closed, step)
        except (CatalogLostError, OSError):
            if closed.is_set():
                raise
            await asyncio.sleep(backoff.next())
        else:
            if row is None:
                return None
            return step._replace(code=row[0], conninfo=row[1], is_complete=True)


async def _unless_closed(
    conninfo: str, closed: asyncio.Event, step: Step
) -> Row | None:
    reading = asyncio.create_task(in_thread(_read, conninfo, step.id))
    closing = asyncio.create_task(closed.wait())
    try:
        await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        closing.cancel()
    if not reading.done():
        reading.cancel()
        raise CatalogLostError("nobody needs the text of the step any more")
    return reading.result()


def _read(conninfo: str, step_id: int) -> Row | None:
    with connect(conninfo) as session, translated_errors(session):
        return session.execute(_READ, [step_id]).fetchone()
