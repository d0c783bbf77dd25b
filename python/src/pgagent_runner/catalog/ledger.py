"""The record of what becomes of runs, kept by many threads over a few sessions."""

import contextlib
import logging
import queue
import random
import threading
from collections.abc import Iterator
from typing import LiteralString

import psycopg

from pgagent_runner.catalog.errors import (
    CatalogError,
    CatalogLostError,
    NotRunningError,
    StepGoneError,
)
from pgagent_runner.catalog.session import (
    Connection,
    Row,
    connect,
    translated_errors,
)
from pgagent_runner.model import Outcome, RunStatus, StepStatus

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.05  # seconds between attempts, doubled up to
_LONGEST_DELAY = 2.0
_MOST_REFUSALS = 20  # by a database that can be reached, before it is given up


class Ledger:
    """Records steps and runs as they start and end.

    A session that breaks is opened anew, and what was being recorded is looked up
    before it is recorded again: the commit whose answer was lost may have happened.
    That goes on until it succeeds, the ledger is closed (`CatalogLostError`), or a
    database that can be reached has refused too often (`CatalogError`).
    """

    def __init__(self, conninfo: str, size: int) -> None:
        """Open `size` sessions. Raises `CatalogLostError` if they can't be had."""
        self._conninfo = conninfo
        self._closed = threading.Event()
        self._sessions: queue.LifoQueue[Connection] = queue.LifoQueue()
        try:
            for _ in range(size):
                self._sessions.put(connect(conninfo))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the sessions; calls under way raise `CatalogLostError`."""
        self._closed.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._sessions.get_nowait().close()

    def start_step(self, run_id: int, step_id: int) -> int:
        """Record that a step of a run starts; return the id of its row.

        Raises `NotRunningError` if the run has been closed, `StepGoneError` if the
        step has been deleted.
        """
        (step_log_id,) = self._record(
            "SELECT pgagent.pga_step_start(%s, %s)",
            (run_id, step_id),
            "SELECT jslid FROM pgagent.pga_jobsteplog"
            " WHERE jsljlgid = %s AND jsljstid = %s AND jslstatus = 'r'",
            (run_id, step_id),
        )
        return int(step_log_id)

    def finish_step(
        self, step_log_id: int, status: StepStatus, outcome: Outcome
    ) -> None:
        """Record how a step ended; raises `StepGoneError` if its row is gone."""
        self._record(
            "SELECT pgagent.pga_step_finish(%s, %s, %s, %s)",
            (step_log_id, status.value, outcome.result, outcome.output),
            "SELECT 1 FROM pgagent.pga_jobsteplog WHERE jslid = %s AND jslstatus = %s",
            (step_log_id, status.value),
        )

    def finish_run(self, run_id: int, status: RunStatus, message: str | None) -> None:
        """Record how a run ended; raises `NotRunningError` if it has been closed."""
        self._record(
            "SELECT pgagent.pga_run_finish(%s, %s, %s)",
            (run_id, status.value, message),
            "SELECT 1 FROM pgagent.pga_joblog WHERE jlgid = %s AND jlgstatus = %s",
            (run_id, status.value),
        )

    def _record(
        self,
        query: LiteralString,
        parameters: Row,
        lookup: LiteralString,
        known: Row,
    ) -> Row:
        """Call a function that records; `lookup` finds a row if it has done so."""
        parameters = tuple(_storable(p) for p in parameters)
        doubtful = False
        refusals = 0
        delay = _FIRST_DELAY
        while True:
            try:
                with self._session() as session:
                    if doubtful and (row := _fetch(session, lookup, known)) is not None:
                        return row
                    doubtful = True
                    return _fetch(session, query, parameters) or ()
            except (NotRunningError, StepGoneError):
                raise
            except CatalogError as e:
                # Whatever it is (a cancelled statement, a full disk, a restart), it may
                # pass, and a run must not count as running for ever.
                log.warning("could not record, trying again: %s", e)
                refusals += not isinstance(e, CatalogLostError)
                pause = random.uniform(delay / 2, delay)  # noqa: S311
                if refusals == _MOST_REFUSALS or self._closed.wait(pause):
                    raise
                delay = min(2 * delay, _LONGEST_DELAY)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Connection]:
        """Borrow a session, opened anew if it has broken."""
        session = self._take()
        try:
            if session.closed:
                session = connect(self._conninfo)
            yield session
        finally:
            self._sessions.put(session)
            if self._closed.is_set():
                self.close()

    def _take(self) -> Connection:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Empty):
                return self._sessions.get(timeout=_LONGEST_DELAY)
        raise CatalogLostError("the agent has given up its registration")


def _fetch(session: Connection, query: LiteralString, parameters: Row) -> Row | None:
    with translated_errors(session):
        while True:
            try:
                return session.execute(query, parameters).fetchone()
            except (
                psycopg.errors.DeadlockDetected,
                psycopg.errors.SerializationFailure,
            ):
                continue  # one of the two had to give way
            except psycopg.errors.UntranslatableCharacter:
                parameters = tuple(_escaped(p) for p in parameters)


def _storable(parameter: object) -> object:
    """Text as PostgreSQL can take it: no NUL, no byte that is not UTF-8."""
    if type(parameter) is str:
        clean = parameter.replace("\0", r"\x00")
        return clean.encode("utf-8", "backslashreplace").decode()
    return parameter


def _escaped(parameter: object) -> object:
    """Text for a database in whose encoding not all of it can be written."""
    if type(parameter) is str:
        return parameter.encode("ascii", "backslashreplace").decode()
    return parameter
