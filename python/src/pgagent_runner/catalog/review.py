"""Looking after jobs that no schedule starts although one says so."""

from collections.abc import Iterable
from typing import LiteralString, NamedTuple

from pgagent_runner.catalog.connection import Connection

_REVIEW: LiteralString = """
    SELECT schedule_id, schedule_name, schedule_zone, job_id, job_name, is_unknown
    FROM pgagent.pga_job_review(%s::integer[])
"""


class Reviewed(NamedTuple):
    """A schedule whose time zone the server does not know, or knows again."""

    id: int
    name: str
    zone: str
    job_id: int
    job_name: str
    is_unknown: bool

    def about(self) -> dict[str, int | str]:
        """Return what a message of the log is about: `extra`, as `logging` takes it."""
        return {"job_id": self.job_id, "job": self.job_name}


async def review_jobs(session: Connection, unknown: Iterable[int]) -> list[Reviewed]:
    """Set next runs that are missing; return the schedules with unknown time zones.

    And those of the schedules `unknown`, whose zones were not known the last time. By a
    new session, for others remember what they know of zones. Raises `CatalogError`.
    """
    rows = await (await session.ask(_REVIEW, [list(unknown)])).fetchall()
    return [Reviewed(*row) for row in rows]
