"""The session that clears up what dead agents, and people, have left behind."""

import json
from collections.abc import Mapping, Sequence
from typing import LiteralString, NamedTuple

from pgagent_runner.catalog.connection import Connection, open_in_loop

_LOCK_TIMEOUT = 1.0  # seconds: whatever is locked is left for the next time

_SWEEP: LiteralString = """
    SELECT swept, dying, told::text FROM pgagent.pga_agent_sweep(
        %s::integer, %s::bigint[], %s::integer[], %s::boolean
    )
"""


class Deed(NamedTuple):
    """What a sweep has done, or could not do, to a run or a job."""

    job_id: int | None
    job: str | None
    run_id: int | None
    text: str

    def about(self) -> dict[str, int | str]:
        """Return what a message of the log is about: `extra`, as `logging` takes it."""
        keys = {"job_id": self.job_id, "job": self.job, "run_id": self.run_id}
        return {name: value for name, value in keys.items() if value is not None}

    def __str__(self) -> str:
        """Return it as a line of the log."""
        run = "" if self.run_id is None else f"run {self.run_id} of "
        job = "" if self.job_id is None else f"job {self.job_id} ({self.job}): "
        return f"{run}{job}{self.text}"


class Swept(NamedTuple):
    """What came of a sweep."""

    runs: int  # that were aborted
    is_unfinished: bool  # sweep again soon
    deeds: Sequence[Deed]


class Sweeps:
    """Sweeps for an agent. Every method raises `CatalogError` and its kinds."""

    def __init__(self, session: Connection, agent_id: int) -> None:
        """Take a session of its own: somebody's trigger may keep it waiting."""
        self._session = session
        self._agent_id = agent_id

    async def sweep(self, under_way: Mapping[int, int], *, judges: bool) -> Swept:
        """Bury dead agents, and close and free what nobody executes.

        `under_way` are the runs that the agent executes, and their jobs; `judges` tells
        whether it may judge by leases.
        """
        parameters = (
            *(self._agent_id, list(under_way), list(under_way.values())),
            judges,
        )
        row = await (await self._session.ask(_SWEEP, parameters)).fetchone()
        runs, dying, told = row or (0, 0, "[]")
        deeds = [
            Deed(it["job_id"], it["job"], it["run_id"], it["text"])
            for it in json.loads(told)
        ]
        return Swept(runs, dying > 0, deeds)

    def close(self) -> None:
        """Close the session."""
        self._session.finish()


async def open_sweeps(conninfo: str, agent_id: int) -> Sweeps:
    """Connect; raises `CatalogLostError`."""
    return Sweeps(await open_in_loop(conninfo, _LOCK_TIMEOUT), agent_id)
