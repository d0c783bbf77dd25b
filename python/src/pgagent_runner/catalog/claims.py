"""The session through which an agent claims runs."""

import itertools
import math
import select
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg

from pgagent_runner.catalog.connection import (
    Connection,
    Row,
    break_off,
    connect,
    translated_errors,
)
from pgagent_runner.catalog.errors import CatalogLostError
from pgagent_runner.model import Run, Step
from pgagent_runner.tasks import wait_ready


class Claims:
    """Claims runs for an agent that is registered.

    Every method raises `CatalogLostError` when the session is lost while it is asked
    something, or has been broken off, `NotRegisteredError` when the agent has been
    declared dead, and `CatalogError` for any other refusal. For one task or thread.
    """

    def __init__(
        self, conninfo: str, agent_id: int, station: str, lock_timeout: float = 0
    ) -> None:
        """Connect, for the agent `agent_id` on host `station`.

        A claim waits for a lock on all of a table for `lock_timeout` seconds at most; 0
        is for ever. Raises `CatalogLostError`.
        """
        self._agent_id = agent_id
        self._station = station
        self._conninfo = conninfo
        self._lock_timeout = lock_timeout
        self._session = self._connect()
        self._asked: float | None = None
        self._broken_off = False

    def claim(self, limit: int) -> list[Run]:
        """Claim at most `limit` due runs, the longest due first."""
        query: LiteralString = (
            "SELECT * FROM pgagent.pga_run_claim("
            "%s::integer, %s::integer, 60::double precision)"
        )
        with self._asking():
            cursor = self._session.execute(query, (self._agent_id, limit))
            names = [column.name for column in cursor.description or ()]
            *rows, _ = [dict(zip(names, row, strict=True)) for row in cursor]
        self._session.note_rows(len(rows))
        return list(_runs(rows))

    def seconds_until_due(self) -> float | None:
        """Return the time until a run is due, 0 if one is, None if none will be."""
        query: LiteralString = "SELECT pgagent.pga_look_again(%s::text)"
        try:
            rows = self._ask(query, self._station)
        except CatalogLostError:  # this is no claim, and can be asked again
            rows = self._ask(query, self._station)
        due: float | None = rows[0][0]
        return due

    def renew_plans(self) -> None:
        """Have claims planned anew if the log has doubled, before one is in a hurry."""
        if self._session.plans_are_old:
            with self._asking():
                self._session.forget_old_plans()
            self.claim(0)

    def break_off_silent(self, seconds: float) -> None:
        """Break off what has waited for an answer for so long, from any thread."""
        asked = self._asked
        if asked is not None and asked < time.monotonic() - seconds:
            self.break_off()

    def break_off(self) -> None:
        """Have whatever is asked, now or later, fail: for another thread."""
        self._broken_off = True
        break_off(self._session)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def _ask(self, query: LiteralString, *parameters: object) -> list[Row]:
        with self._asking():
            return self._session.execute(query, parameters).fetchall()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Have a session that answers, and know since when it has been asked."""
        self._asked = time.monotonic()
        try:
            # A session that ended while nothing was asked is no loss. But nobody knows
            # of a claim whose answer is lost until this agent is gone.
            if self._has_been_ended() and not self._broken_off:
                self._session.close()
                self._session = self._connect()
                self._check_agent()
            if self._broken_off:
                raise CatalogLostError("the session for claims was broken off")
            with translated_errors(self._session):
                yield
        finally:
            self._asked = None

    def _check_agent(self) -> None:
        """Raise CatalogLostError if the agent's own session has ended too."""
        query: LiteralString = """
            SELECT FROM pgagent.pga_jobagent AS a JOIN pg_catalog.pg_stat_activity AS s
            ON s.pid = a.jagpid AND COALESCE(s.backend_start = a.jagbackendstart, true)
            WHERE a.jagpid = %s::integer
        """
        with translated_errors(self._session):
            if self._session.execute(query, [self._agent_id]).fetchone() is None:
                raise CatalogLostError("the session of the agent has ended")

    def _connect(self) -> Connection:
        self._has_ended = False
        session = connect(self._conninfo, self._lock_timeout)
        session.add_notice_handler(self._hear)
        return session

    def _hear(self, said: psycopg.errors.Diagnostic) -> None:
        """Note the last words of a server that ends a session which asked nothing."""
        self._has_ended |= said.severity_nonlocalized == "FATAL"

    def _has_been_ended(self) -> bool:
        try:
            while wait_ready({self._session.fileno(): select.POLLIN}, 0):
                self._session.pgconn.consume_input()
                self._session.pgconn.is_busy()  # which takes in what has come
        except psycopg.OperationalError:
            return True
        return self._has_ended


def _runs(rows: Iterable[dict[str, Any]]) -> Iterator[Run]:
    """Gather the rows of `pga_run_claim`, one for each step, into runs."""
    for _, group in itertools.groupby(rows, lambda row: row["run_id"]):
        steps = list(group)
        known = tuple(
            _sound(Step(**_fields(row, "step_")))
            for row in steps
            if row["step_id"] is not None
        )
        run = Run(**_fields(steps[0], "run_"), steps=known)
        yield run._replace(timeout=_limit(run.timeout))


def _fields(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return what stands in the columns of this prefix, by the names of the fields."""
    return {
        name.removeprefix(prefix): value
        for name, value in row.items()
        if name.startswith(prefix)
    }


def _sound(step: Step) -> Step:
    """Make sense of what a column can hold although it makes none.

    An array may have several dimensions, and NULLs in them. A span of a year less 361
    days is more than nothing to PostgreSQL, which counts 360 for the year, but less in
    seconds.
    """
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
