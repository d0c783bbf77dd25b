"""The sessions through which an agent claims runs."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import pq

from pgagent_runner.catalog.connection import Connection, Row, open_unless_closed
from pgagent_runner.catalog.errors import CatalogError, CatalogLostError
from pgagent_runner.catalog.refusals import has_taken_id
from pgagent_runner.model import Run, Step

_CLAIM: LiteralString = """
    SELECT * FROM pgagent.pga_run_claim(
        %s::integer, %s::integer, %s::double precision, %s::integer, %s::integer[]
    )
"""
_DUE: LiteralString = """
    SELECT job_id, job_name, due_in
    FROM pgagent.pga_run_due(%s::integer, %s::integer, %s::integer[], %s::integer[])
"""
_SET_ASIDE: LiteralString = "SELECT pgagent.pga_job_set_aside(%s::integer, %s::text)"
_FORWARD: LiteralString = "SELECT pgagent.pga_sequences_forward()"
_PATIENCE: LiteralString = (
    "SELECT pg_catalog.set_config('statement_timeout'::text, %s::text, false)"
)
_IS_REGISTERED: LiteralString = """
    SELECT FROM pgagent.pga_jobagent AS a JOIN pg_catalog.pg_stat_activity AS s
    ON s.pid = a.jagpid AND s.datname = pg_catalog.current_database()
       AND COALESCE(s.backend_start = a.jagbackendstart, true)
    WHERE a.jagpid = %s::integer
"""


class Claimed(NamedTuple):
    """What a claim has found."""

    runs: list[Run]
    look_at: float  # when there may be more, on the monotonic clock
    is_more_due: bool  # when it was asked, and could not be had


class DueJob(NamedTuple):
    """A job that may be claimed."""

    id: int
    name: str
    due_at: float  # on the monotonic clock

    def about(self) -> dict[str, int | str]:
        """Return what a message of the log is about: `extra`, as `logging` takes it."""
        return {"job_id": self.id, "job": self.name}


class Claims:
    """Claims runs for an agent that is registered.

    Every method raises `CatalogLostError` when the session is lost while it is asked
    something, or has been broken off, `NotRegisteredError` when the agent has been
    declared dead, and `CatalogError` for any other refusal. For one task, which nobody
    may cancel: what it has claimed would be nobody's.
    """

    def __init__(
        self,
        conninfo: str,
        agent_id: int,
        lock_timeout: float = 0,
        *,
        patience: float = 0,
        on_claim: Callable[[float, int], object] | None = None,
    ) -> None:
        """Prepare to claim for the agent `agent_id`; `open` comes first.

        A claim waits for a lock on all of a table for `lock_timeout` seconds at most,
        and takes no longer than `patience`: then it is refused. 0 is for ever.
        `on_claim` is called with the seconds that each took, and how many runs came.
        """
        self._conninfo = conninfo
        self._agent_id = agent_id
        self._lock_timeout = lock_timeout
        self._patience = patience
        self._on_claim = on_claim
        self._session: Connection | None = None
        self._broken_off = asyncio.Event()

    async def open(self) -> None:
        """Connect; raises `CatalogLostError`."""
        self._session = await open_unless_closed(
            self._conninfo, self._broken_off, self._lock_timeout
        )
        self._has_ended = False
        self._session.add_notice_handler(self._hear)
        if self._patience:
            await self._session.keep(_PATIENCE, [f"{self._patience * 1000:.0f}ms"])

    async def claim(
        self,
        limit: int,
        longest: float,
        *,
        only: int | None = None,
        without: Iterable[int] = (),
    ) -> Claimed:
        """Claim at most `limit` due runs, the longest due first.

        Of the job `only`, if one is named; of none of the jobs `without`. Also say when
        to look again: at once if more are due, in `longest` seconds if none will be
        before. The server counts from the question, which came a little
        after it was sent; so the next one comes at its time, or a little before.
        """
        session = await self._usable_session()
        parameters = (self._agent_id, limit, longest, only, list(without) or None)
        asked = time.monotonic()
        try:
            cursor = await session.ask(_CLAIM, parameters)
        except CatalogError as e:
            if not has_taken_id(e):
                raise
            await session.ask(_FORWARD)
            asked = time.monotonic()
            cursor = await session.ask(_CLAIM, parameters)
        rows = await cursor.fetchall()
        columns = [column.name for column in cursor.description or ()]
        look_again: float = rows.pop()[columns.index("look_again")]
        session.note_rows(len(rows))
        runs = list(_runs(rows, columns, asked))
        if self._on_claim is not None:
            self._on_claim(time.monotonic() - asked, len(runs))
        return Claimed(runs, asked + look_again, look_again == 0)

    async def due(
        self,
        limit: int,
        *,
        only: Iterable[int] | None = None,
        without: Iterable[int] = (),
    ) -> list[DueJob]:
        """Return what may be claimed now, the longest due first.

        Of the jobs `only`, if some are named, also what may be claimed later.
        """
        session = await self._usable_session()
        named = None if only is None else list(only)
        asked = time.monotonic()
        parameters = (self._agent_id, limit, named, list(without) or None)
        cursor = await session.ask(_DUE, parameters)
        return [
            DueJob(job_id, name, asked + due_in)
            for job_id, name, due_in in await cursor.fetchall()
        ]

    async def set_aside(self, job_id: int, reason: str) -> float | None:
        """Have all agents leave a job alone; return for how long.

        None if the job is gone, or has been claimed by somebody else.
        """
        session = await self._usable_session()
        row = await (await session.ask(_SET_ASIDE, (job_id, reason))).fetchone()
        return row[0] if row else None

    async def renew_plans(self) -> None:
        """Have claims planned anew if it is time: before one is in a hurry.

        Not within a claim: should this be refused, what was claimed has to start.
        """
        session = self._session
        if session is not None and await session.renew_plans():
            await session.ask(_CLAIM, (self._agent_id, 0, 0, None, None))

    def is_silent(self, seconds: float) -> bool:
        """Tell whether it has waited for an answer for so long."""
        return self._session is not None and self._session.is_silent(seconds)

    def break_off_silent(self, seconds: float) -> None:
        """Break off what has waited for an answer for so long."""
        if self._session is not None and self._session.break_off_silent(seconds):
            self._broken_off.set()

    def break_off(self) -> None:
        """Have whatever is asked, now or later, fail."""
        self._broken_off.set()
        if self._session is not None:
            self._session.break_off()

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.finish()

    async def _usable_session(self) -> Connection:
        """Return a session that answers.

        One that ended while nothing was asked is no loss. But nobody knows of a claim
        whose answer is lost until this agent is gone.
        """
        if self._has_been_ended() and not self._broken_off.is_set():
            self.close()
            await self.open()
            await self._check_agent()
        if self._broken_off.is_set() or self._session is None:
            raise CatalogLostError("the session for claims was broken off")
        return self._session

    async def _check_agent(self) -> None:
        """Raise CatalogLostError if the agent's own session has ended too."""
        if self._session is None:
            return
        cursor = await self._session.ask(_IS_REGISTERED, [self._agent_id])
        if await cursor.fetchone() is None:
            raise CatalogLostError("the session of the agent has ended")

    def _hear(self, said: psycopg.errors.Diagnostic) -> None:
        """Note the last words of a server that ends a session which asked nothing."""
        self._has_ended |= said.severity_nonlocalized == "FATAL"

    def _has_been_ended(self) -> bool:
        if self._session is None:
            return True
        pgconn = self._session.pgconn
        try:
            # Twice: the last words, and the end.
            for _ in range(2):
                pgconn.consume_input()
                pgconn.is_busy()  # which takes in what has come
        except psycopg.Error:
            return True
        return self._has_ended or pgconn.status != pq.ConnStatus.OK


def _runs(rows: Iterable[Row], columns: Sequence[str], asked: float) -> Iterator[Run]:
    """Gather the rows of `pga_run_claim`, one for each step, into runs."""
    run_of = _reader(Run, "run_", columns, without=("steps", "due_at", "input"))
    step_of = _reader(Step, "step_", columns, without=("is_complete",))
    step_id = columns.index("step_id")
    waited, given = columns.index("run_waited"), columns.index("run_input")
    for fields, rows_of_run in groupby(rows, run_of):
        run_id, job_id, name, step_log_id, timeout = fields
        of_run = list(rows_of_run)
        steps = tuple(
            _sound(Step(*step_of(row))) for row in of_run if row[step_id] is not None
        )
        since = of_run[0][waited]
        yield Run(
            *(run_id, job_id, name, steps, step_log_id, _limit(timeout)),
            due_at=None if since is None else asked - since,
            input=of_run[0][given],
        )


def _reader(
    kind: type[tuple[object, ...]],
    prefix: str,
    columns: Sequence[str],
    without: Sequence[str] = (),
) -> Callable[[Row], Row]:
    """Return what takes the fields of a named tuple out of a row, by their names."""
    names = [name for name in kind._fields if name not in without]  # type: ignore[attr-defined]
    return itemgetter(*(columns.index(prefix + name) for name in names))


def _sound(step: Step) -> Step:
    """Make sense of what a column can hold although it makes none.

    An array may have several dimensions, and NULLs in them. A span of a year less 361
    days is more than nothing to PostgreSQL, which counts 360 for the year, but less in
    seconds.
    """
    if step.code is None:
        step = step._replace(code="", conninfo="", is_complete=False)
    return step._replace(
        timeout=_limit(step.timeout),
        retry_delay=max(step.retry_delay, 0.0),
        retry_on=None if step.retry_on is None else tuple(_flat(step.retry_on)),
    )


def _limit(seconds: float | None) -> float | None:
    if seconds is None or seconds == math.inf:  # no limit
        return None
    return max(seconds, 0.0)


def _flat(array: Iterable[object]) -> Iterator[str]:
    for item in array:
        if isinstance(item, list):
            yield from _flat(item)
        elif item is not None:
            yield str(item)
