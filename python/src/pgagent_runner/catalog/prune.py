"""Deleting from the log what need not be kept."""

import time
from collections.abc import Callable
from typing import LiteralString

from pgagent_runner.catalog.connection import connect, translated_errors

_JOBS_AT_ONCE = 500
_RUNS_AT_ONCE = 500

_PRUNE: LiteralString = """
    SELECT last_job_id, deleted
    FROM pgagent.pga_log_prune(%s::integer, %s::integer, %s::integer)
"""


def prune_log(conninfo: str, pause: Callable[[float], bool]) -> int:
    """Delete, job by job, the runs that are older or more than is to be kept.

    A session of its own does so, in transactions of some milliseconds, and rests as
    long after each; `pause` waits for so many seconds and returns true to break off.
    Returns how many runs were deleted. Raises `CatalogError`.
    """
    total = 0
    last_job_id: int | None = 0
    with connect(conninfo) as session, translated_errors(session):
        while last_job_id is not None:
            began = time.monotonic()
            parameters = (last_job_id, _JOBS_AT_ONCE, _RUNS_AT_ONCE)
            row = session.execute(_PRUNE, parameters).fetchone()
            last_job_id, deleted = row or (None, 0)
            total += deleted
            if pause(time.monotonic() - began):
                break
    return total
