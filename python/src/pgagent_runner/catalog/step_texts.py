"""Reading texts of steps that are too long for the answer to a claim."""

import asyncio
from typing import LiteralString

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import Row, connect, translated_errors
from pgagent_runner.catalog.errors import CatalogLostError
from pgagent_runner.model import Step
from pgagent_runner.waiting import in_thread

# As whom it runs belongs to the text: by now both may be somebody else's.
_READ: LiteralString = """
    SELECT s.jstcode, s.jstconnstr, s.jstkind::text, s.jstmode, s.jstdbname::text,
           CASE WHEN s.jstconnstr = '' THEN COALESCE(s.jstrunas, j.jobowner)::text END,
           pgagent.pga_step_refusal(j, s), j.jobowner::text
    FROM pgagent.pga_jobstep AS s JOIN pgagent.pga_job AS j ON j.jobid = s.jstjobid
    WHERE s.jstid = %s::integer
"""
_READS = ("code", "conninfo", "kind", "mode", "database", "role", "refusal", "owner")


async def read_step(conninfo: str, closed: asyncio.Event, step: Step) -> Step | None:
    """Return the step with its texts, and as whom it runs; None if it is deleted.

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
            return step._replace(
                is_complete=True, **dict(zip(_READS, row, strict=True))
            )


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
