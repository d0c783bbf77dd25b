"""The record of what becomes of runs: many tasks hand it in, one writes it down."""

import functools
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from pgagent_runner.catalog.connection import (
    Connection,
    Row,
    break_off,
    connect,
    translated_errors,
)
from pgagent_runner.catalog.errors import (
    BY_SQLSTATE,
    CatalogError,
    CatalogLostError,
    LockedError,
)
from pgagent_runner.model import EndedStep, RunStatus
from pgagent_runner.tasks import Flag, TaskLoop, Turn, wait_for

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.05  # seconds between attempts, doubled up to
_LONGEST_DELAY = 2.0
_MOST_REFUSALS = 20  # by a database that can be reached, before it is given up
_MOST_AT_ONCE = 200  # entries in a transaction
_MOST_CHARACTERS = 8 << 20  # of output in a transaction of several entries
_SLOWEST = 50_000  # characters a second that every network carries
_LOCKED = "55P03"
_LAST_WORDS = 1.0  # seconds that the server has to answer when the ledger is closed
_GIVEN_UP = "the agent has given up its registration"

_RECORD: LiteralString = """
    SELECT step_log_id, refusal, reason
    FROM pgagent.pga_run_record(NULL::integer, %s::json)
    WHERE place IS NOT NULL ORDER BY place
"""


# Whoever locks the job must not keep the session from all others.
_ABORT: LiteralString = """
    SELECT pg_catalog.set_config('lock_timeout'::text, '100ms'::text, true),
           pgagent.pga_run_abort(%s::bigint, %s::text)
"""

# In a session that belongs to the step, whose search_path may hide types of pg_catalog.
_FINISH = """
    SELECT pgagent.pga_step_finish($1::bigint, $2::integer, $3::pg_catalog.text)
"""


@dataclass(slots=True)
class _Entry:
    """An entry to be recorded of one run, and whoever waits for that."""

    run_id: int
    ended: EndedStep | None
    step_id: int | None = None  # of the step that starts
    attempt: int = 1
    status: RunStatus | None = None  # if the run ends
    message: str | None = None
    on_end: Callable[[int | None, Exception | None], None] | None = None
    delay: float = 0.01  # doubled up to _LONGEST_DELAY while its job is locked

    def end(self, step_log_id: int | None, error: Exception | None = None) -> None:
        """Tell whoever waits for it, once, what has become of it."""
        on_end, self.on_end = self.on_end, None
        if on_end is None:
            return
        try:
            on_end(step_log_id, error)
        except Exception:  # which says nothing of what was recorded
            log.exception("an error in the runner itself")


class Seal:
    """How a step commits together with its own row in the log: see `Ledger.seal`."""

    def __init__(self, step_log_id: int, is_recorded: Callable[[], bool]) -> None:
        """Take the step's row, and the way to find out whether it is closed."""
        self._step_log_id = step_log_id
        self.is_recorded = is_recorded

    def statement(self, result: int, output: str) -> tuple[str, Sequence[str]]:
        """Return a statement for the step's own transaction, and its parameters.

        It closes the step's row as succeeded; if the run has been closed meanwhile,
        it fails with PGA02, and takes the step's effect back.
        """
        return _FINISH, (str(self._step_log_id), str(result), _storable(output))


class Ledger:
    """Records steps and runs as they start and end.

    What tasks hand in while a transaction is being written goes into the next one, all
    together. A session that breaks is opened anew, and what was being recorded is
    handed in again: what had been recorded already is not refused. That goes on until
    it succeeds, the ledger is closed (`CatalogLostError`), or a database that can be
    reached has refused too often (`CatalogError`).
    """

    def __init__(self, conninfo: str, tasks: TaskLoop) -> None:
        """Open two sessions. Raises `CatalogLostError` if they can't be had."""
        self._conninfo = conninfo
        self._tasks = tasks
        self._closed = Flag()
        self._work = threading.Condition(threading.Lock())
        self._entries: list[_Entry] = []
        self._is_writing = False
        self._busy = 0  # tasks of its own under way
        self._asked: dict[Connection, float] = {}
        self._looking_up = Turn()
        self._session = connect(conninfo)
        try:
            self._lookup = connect(conninfo)
        except BaseException:
            self._session.close()
            raise

    def close(self) -> None:
        """Close the sessions if open; calls meanwhile raise `CatalogLostError`."""
        with self._work:
            self._closed.set()
            entries, self._entries = self._entries, []
            if not self._work.wait_for(self._is_idle, _LAST_WORDS):
                break_off(self._session)
            break_off(self._lookup)
            self._work.wait_for(self._is_idle)
        for entry in entries:
            entry.end(None, CatalogLostError(_GIVEN_UP))
        self._session.close()
        with self._looking_up:
            self._lookup.close()
        self._closed.close()

    def advance(
        self, run_id: int, ended: EndedStep | None, step_id: int, attempt: int
    ) -> int | None:
        """Record how a step ended, and that the next one starts its nth attempt.

        Return the id of its row, None if it has been deleted. Raises `NotRunningError`
        if the run has been closed by somebody else.
        """
        return self._record(_Entry(run_id, ended, step_id=step_id, attempt=attempt))

    def end_step(self, run_id: int, ended: EndedStep) -> None:
        """Record how a step ended; raises `NotRunningError` if the run was closed."""
        self._record(_Entry(run_id, ended))

    def close_run(
        self,
        run_id: int,
        ended: EndedStep | None,
        status: RunStatus,
        message: str | None,
        on_recorded: Callable[[Exception | None], None],
    ) -> None:
        """Have recorded how a run ended, and its last step; return at once.

        `on_recorded` is called when that is done, or with the error if it has failed:
        `NotRunningError` if the run has been closed by somebody else.
        """
        entry = _Entry(run_id, ended, status=status)
        entry.message = message and _storable(message)
        entry.on_end = lambda _, error: on_recorded(error)
        self._hand_in(entry)

    def abort_run(self, run_id: int, reason: str) -> None:
        """Close a run, and whichever step of it runs, as aborted, and free its job.

        A run that is closed already is left as it is. As long as somebody has locked
        the job, this waits; others do not. Raises `CatalogError`.
        """
        self._ask(_ABORT, (run_id, _escaped(reason)))

    def seal(self, step_log_id: int) -> Seal:
        """Return how a step commits together with its row in the log."""
        return Seal(step_log_id, lambda: self._has_succeeded(step_log_id))

    def note_session(self, agent_id: int, pid: int) -> None:
        """Note, before it is used, a session that executes steps for an agent."""
        query: LiteralString = (
            "SELECT pgagent.pga_agent_session(%s::integer, %s::integer)"
        )
        self._ask(query, (agent_id, pid))

    def break_off_silent(self, seconds: float) -> None:
        """Break off sessions that have been waiting for an answer for so long.

        What they were recording is recorded again, in new ones.
        """
        latest = time.monotonic() - seconds
        for session, since in list(self._asked.items()):
            if since < latest:
                log.warning("a session has not answered for %.0f s", seconds)
                break_off(session)

    @contextmanager
    def _asking(self, session: Connection, characters: int = 0) -> Iterator[None]:
        """Know since when it waits, not counting the time to send the characters."""
        self._asked[session] = time.monotonic() + characters / _SLOWEST
        try:
            with translated_errors(session):
                yield
        finally:
            del self._asked[session]

    def _has_succeeded(self, step_log_id: int) -> bool:
        query: LiteralString = (
            "SELECT jslstatus::text = 's'::text FROM pgagent.pga_jobsteplog"
            " WHERE jslid = %s::bigint"
        )
        return self._ask(query, (step_log_id,)) == (True,)

    def _ask(self, query: LiteralString, parameters: Row) -> Row | None:
        """Ask, or record what may be recorded twice, until there is an answer."""
        refusals = 0
        delay = _FIRST_DELAY
        while True:
            try:
                with self._looking_up:
                    if self._closed.is_set:
                        raise CatalogLostError(_GIVEN_UP)
                    if self._lookup.closed:
                        self._lookup = self._connect_anew()
                    with self._asking(self._lookup):
                        return self._lookup.execute(query, parameters).fetchone()
            except CatalogError as e:
                refusals += not isinstance(e, CatalogLostError | LockedError)
                if refusals == _MOST_REFUSALS or self._closed.wait(delay):
                    raise
                delay = min(2 * delay, _LONGEST_DELAY)

    def _record(self, entry: _Entry) -> int | None:
        """Have something recorded, and wait for that."""
        recorded: Future[int | None] = Future()

        def note(step_log_id: int | None, error: Exception | None) -> None:
            if error is None:
                recorded.set_result(step_log_id)
            else:
                recorded.set_exception(error)

        entry.on_end = note
        self._hand_in(entry)
        return wait_for(recorded)

    def _hand_in(self, entry: _Entry) -> None:
        with self._work:
            if self._closed.is_set:
                raise CatalogLostError(_GIVEN_UP)
            self._entries.append(entry)
            if not self._is_writing:
                self._is_writing = True
                self._start(self._write_on)

    def _start(self, function: Callable[[], None]) -> None:
        """Have a task do this, which `close` waits for; the lock is held."""

        def work() -> None:
            try:
                function()
            finally:
                with self._work:
                    self._busy -= 1
                    self._work.notify_all()

        self._busy += 1
        self._tasks.start(work)

    def _write_on(self) -> None:
        """Write what has been handed in, until that is all."""
        while entries := self._take():
            try:
                self._write(entries)
            except Exception as e:  # noqa: BLE001 (told to whoever waits for them)
                for entry in entries:
                    entry.end(None, e)

    def _take(self) -> list[_Entry]:
        """Return what is to be written next; nothing ends the writing."""
        with self._work:
            entries = _fitting(self._entries[:_MOST_AT_ONCE])
            del self._entries[: len(entries)]
            self._is_writing = bool(entries)
        return entries

    def _write(self, entries: list[_Entry]) -> None:
        """Write entries in one transaction."""
        refusals = 0
        delay = _FIRST_DELAY
        while True:
            try:
                if self._session.closed:
                    self._session = self._connect_anew()
                with self._asking(self._session, sum(map(_size, entries))):
                    if self._session.plans_are_old:
                        self._session.forget_old_plans()
                    answers = _record(self._session, entries)
                    self._session.note_rows(len(entries))
                self._settle(entries, answers)
            except CatalogError as e:
                lost = isinstance(e, CatalogLostError)
                if not lost and len(entries) > 1:
                    for entry in entries:  # which of them is it?
                        self._write_alone(entry)
                    return
                # Whatever it is (a cancelled statement, a full disk, a restart), it may
                # pass, and a run must not count as running for ever.
                log.warning("could not record, trying again: %s", e)
                refusals += not lost
                pause = random.uniform(delay / 2, delay)  # noqa: S311
                if refusals == _MOST_REFUSALS or self._closed.wait(pause):
                    raise
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                return

    def _write_alone(self, entry: _Entry) -> None:
        try:
            self._write([entry])
        except CatalogError as e:
            entry.end(None, e)

    def _connect_anew(self) -> Connection:
        if not self._closed.is_set:
            session = connect(self._conninfo)
            if not self._closed.is_set:
                return session
            session.close()
        raise CatalogLostError(_GIVEN_UP)

    def _settle(self, entries: list[_Entry], answers: list[Row]) -> None:
        for entry, (step_log_id, refusal, reason) in zip(entries, answers, strict=True):
            if refusal is None:
                entry.end(step_log_id)
            elif refusal == _LOCKED:
                with self._work:
                    self._start(functools.partial(self._hand_in_later, entry))
            else:
                entry.end(None, BY_SQLSTATE[refusal](reason))

    def _hand_in_later(self, entry: _Entry) -> None:
        """Hand an entry in once more: somebody has locked the job."""
        self._closed.wait(entry.delay)
        entry.delay = min(2 * entry.delay, _LONGEST_DELAY)
        try:
            self._hand_in(entry)
        except CatalogLostError as e:
            entry.end(None, e)

    def _is_idle(self) -> bool:
        return not self._busy


def _size(entry: _Entry) -> int:
    return len(entry.ended.outcome.output) if entry.ended else 0


def _fitting(entries: list[_Entry]) -> list[_Entry]:
    """Return as many of the entries as have room in a transaction, at least one."""
    characters = 0
    for number, entry in enumerate(entries):
        characters += _size(entry)
        if characters > _MOST_CHARACTERS and number:
            return entries[:number]
    return entries


def _record(session: Connection, entries: list[_Entry]) -> list[Row]:
    ended = [e.ended for e in entries]
    outputs = [_storable(e.outcome.output) if e else "" for e in ended]
    messages = [e.message or "" for e in entries]
    while True:
        parameters = [
            {
                "run_id": e.run_id,
                "step_log_id": e.ended and e.ended.log_id,
                "step_status": e.ended and e.ended.status.value,
                "result": e.ended and e.ended.outcome.result,
                "output": output,
                "next_step_id": e.step_id,
                "attempt": e.attempt,
                "run_status": e.status and e.status.value,
                "message": message or None,
            }
            for e, output, message in zip(entries, outputs, messages, strict=True)
        ]
        try:
            sent = json.dumps(parameters, ensure_ascii=False)
            return session.execute(_RECORD, [sent]).fetchall()
        except (
            psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure,
        ):
            continue  # one of the two had to give way
        except psycopg.errors.UntranslatableCharacter:
            outputs = [_escaped(text) for text in outputs]
            messages = [_escaped(text) for text in messages]


def _storable(text: str) -> str:
    """Text as PostgreSQL can take it: no NUL, no byte that is not UTF-8."""
    if text.isascii() and "\0" not in text:
        return text
    clean = text.replace("\0", r"\x00")
    return clean.encode("utf-8", "backslashreplace").decode()


def _escaped(text: str) -> str:
    """Text for a database in whose encoding not all of it can be written."""
    return text.encode("ascii", "backslashreplace").decode()
