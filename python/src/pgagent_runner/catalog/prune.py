"""Deleting from the log what need not be kept."""

import asyncio
import time
from typing import LiteralString

from pgagent_runner.catalog.connection import open_in_loop

_JOBS_AT_ONCE = 500
_RUNS_AT_ONCE = 500

_PRUNE: LiteralString = """
    SELECT last_job_id, deleted
    FROM pgagent.pga_log_prune(%s::integer, %s::integer, %s::integer)
"""


async def prune_log(conninfo: str) -> int:
    """Delete, job by job, the runs that are older or more than is to be kept.

    A session of its own does so, in transactions of some milliseconds, and rests as
    long after each. Returns how many runs were deleted. Raises `CatalogError`.
    """
    total = 0
    last_job_id: int | None = 0
    session = await open_in_loop(conninfo)
    try:
        while last_job_id is not None:
            began = time.monotonic()
            parameters = (last_job_id, _JOBS_AT_ONCE, _RUNS_AT_ONCE)
            row = await (await session.ask(_PRUNE, parameters)).fetchone()
            last_job_id, deleted = row or (None, 0)
            total += deleted
            await asyncio.sleep(time.monotonic() - began)
    finally:
        session.finish()
    return total
