"""The record of what becomes of runs: many threads hand it in, a few write it down."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from pgagent_runner.catalog.errors import (
    BY_SQLSTATE,
    CatalogError,
    CatalogLostError,
)
from pgagent_runner.catalog.session import (
    Connection,
    Row,
    break_off,
    connect,
    translated_errors,
)
from pgagent_runner.model import EndedStep, RunStatus

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
    SELECT step_log_id, refusal, reason FROM pgagent.pga_run_record(
        %s::bigint[], %s::bigint[], %s::text[], %s::integer[], %s::text[],
        %s::integer[], %s::integer[], %s::text[],
        pg_catalog.array_replace(%s::text[], '', NULL)
    ) ORDER BY place
"""


@dataclass(slots=True)
class _Entry:
    """What is to be recorded of one run, and who waits for it."""

    run_id: int
    ended: EndedStep | None
    step_id: int | None = None  # of the step that starts
    attempt: int = 1
    status: RunStatus | None = None  # if the run ends
    message: str | None = None
    recorded: "Future[int | None]" = field(default_factory=Future)
    not_before: float = 0.0
    delay: float = 0.01  # doubled up to _LONGEST_DELAY while its job is locked


class Seal:
    """How a step commits together with its own row in the log: see `Ledger.seal`."""

    def __init__(self, step_log_id: int, is_recorded: Callable[[], bool]) -> None:
        """Take the step's row, and how to look whether it is closed."""
        self._step_log_id = step_log_id
        self.is_recorded = is_recorded

    def statement(self, result: int, output: str) -> tuple[str, Sequence[str]]:
        """Return a statement for the step's own transaction, and its parameters.

        It closes the step's row as succeeded; if the run has been closed meanwhile,
        it fails with PGA02, and takes the step's effect back.
        """
        statement = "SELECT pgagent.pga_step_finish($1, $2, $3)"
        return statement, (str(self._step_log_id), str(result), _storable(output))


class Ledger:
    """Records steps and runs as they start and end.

    What several threads hand in while a transaction is being written goes into the
    next one, all together. A session that breaks is opened anew, and what was being
    recorded is handed in again: what had been recorded already is not refused. That
    goes on until it succeeds, the ledger is closed (`CatalogLostError`), or a database
    that can be reached has refused too often (`CatalogError`).
    """

    def __init__(self, conninfo: str, size: int) -> None:
        """Open `size` sessions. Raises `CatalogLostError` if they can't be had."""
        self._conninfo = conninfo
        self._closed = threading.Event()
        self._work = threading.Condition()
        self._entries: list[_Entry] = []
        self._sessions: list[Connection] = []
        self._looking_up = threading.Lock()
        self._asked: dict[Connection, float] = {}
        try:
            for _ in range(size):
                self._sessions.append(connect(conninfo))
        except BaseException:
            self._close_sessions()
            raise
        self._lookup = self._sessions.pop() if size > 1 else connect(conninfo)
        self._writers = [
            threading.Thread(target=self._write_on, args=[session], name="ledger")
            for session in self._sessions
        ]
        for writer in self._writers:
            writer.start()

    def close(self) -> None:
        """Close the sessions; calls under way raise `CatalogLostError`."""
        with self._work:
            self._closed.set()
            self._work.notify_all()
        deadline = time.monotonic() + _LAST_WORDS
        for writer in self._writers:
            writer.join(max(deadline - time.monotonic(), 0))
        if any(writer.is_alive() for writer in self._writers):
            for session in self._sessions:
                break_off(session)
        break_off(self._lookup)
        for writer in self._writers:
            writer.join()
        with self._work:
            entries, self._entries = self._entries, []
        for entry in entries:
            entry.recorded.set_exception(CatalogLostError(_GIVEN_UP))
        self._close_sessions()

    def advance(
        self, run_id: int, ended: EndedStep | None, step_id: int, attempt: int
    ) -> int | None:
        """Record how a step ended and that the next one starts, the how manieth time.

        Return the id of its row, None if it has been deleted. Raises `NotRunningError`
        if the run has been closed by somebody else.
        """
        entry = _Entry(run_id, ended, step_id=step_id, attempt=attempt)
        return self._hand_in(entry).result()

    def end_step(self, run_id: int, ended: EndedStep) -> None:
        """Record how a step ended; raises `NotRunningError` if the run was closed."""
        self._hand_in(_Entry(run_id, ended)).result()

    def close_run(
        self,
        run_id: int,
        ended: EndedStep | None,
        status: RunStatus,
        message: str | None,
    ) -> "Future[int | None]":
        """Have recorded how a run ended, and its last step; return at once.

        The future raises `NotRunningError` if the run has been closed by somebody else.
        """
        message = message and _storable(message)
        return self._hand_in(_Entry(run_id, ended, status=status, message=message))

    def seal(self, step_log_id: int) -> Seal:
        """Return how a step commits together with its row in the log."""
        return Seal(step_log_id, lambda: self._has_succeeded(step_log_id))

    def note_session(self, agent_id: int, pid: int) -> None:
        """Note, before it is used, a session that executes steps for an agent."""
        self._ask("SELECT pgagent.pga_agent_session(%s, %s)", (agent_id, pid))

    def break_off_silent(self, seconds: float) -> None:
        """Break sessions off that have been waiting so long for an answer.

        What they were recording is recorded again, in new ones.
        """
        latest = time.monotonic() - seconds
        for session, since in list(self._asked.items()):
            if since < latest:
                log.warning("a session has not answered for %.0f s", seconds)
                break_off(session)

    @contextmanager
    def _asking(self, session: Connection, characters: int = 0) -> Iterator[None]:
        """Know since when it waits, apart from the way of so many characters."""
        self._asked[session] = time.monotonic() + characters / _SLOWEST
        try:
            with translated_errors(session):
                yield
        finally:
            del self._asked[session]

    def _has_succeeded(self, step_log_id: int) -> bool:
        query: LiteralString = (
            "SELECT jslstatus = 's' FROM pgagent.pga_jobsteplog WHERE jslid = %s"
        )
        return self._ask(query, (step_log_id,)) == (True,)

    def _ask(self, query: LiteralString, parameters: Row) -> Row | None:
        """Ask, or record what may be recorded twice, until there is an answer."""
        refusals = 0
        delay = _FIRST_DELAY
        while True:
            try:
                with self._looking_up:
                    if self._lookup.closed:
                        self._lookup = connect(self._conninfo)
                    with self._asking(self._lookup):
                        return self._lookup.execute(query, parameters).fetchone()
            except CatalogError as e:
                refusals += not isinstance(e, CatalogLostError)
                if refusals == _MOST_REFUSALS or self._closed.wait(delay):
                    raise
                delay = min(2 * delay, _LONGEST_DELAY)

    def _hand_in(self, entry: _Entry) -> "Future[int | None]":
        with self._work:
            if self._closed.is_set():
                raise CatalogLostError(_GIVEN_UP)
            self._entries.append(entry)
            self._work.notify()
        return entry.recorded

    def _write_on(self, session: Connection) -> None:
        """Write, in one session, whatever is handed in, until the ledger is closed."""
        while entries := self._take():
            try:
                session = self._write(session, entries)
            except CatalogError as e:
                for entry in entries:
                    if not entry.recorded.done():
                        entry.recorded.set_exception(e)
        session.close()

    def _take(self) -> list[_Entry]:
        """Wait for entries; return what is to be written next, nothing at the end."""
        with self._work:
            while not self._closed.is_set():
                now = time.monotonic()
                ready = [e for e in self._entries if e.not_before <= now]
                if ready:
                    ready = _fitting(ready[:_MOST_AT_ONCE])
                    taken = set(map(id, ready))
                    self._entries = [e for e in self._entries if id(e) not in taken]
                    return ready
                soonest = min((e.not_before for e in self._entries), default=None)
                self._work.wait(None if soonest is None else soonest - now)
        return []

    def _write(self, session: Connection, entries: list[_Entry]) -> Connection:
        """Write entries in one transaction; return the session for the next ones."""
        refusals = 0
        delay = _FIRST_DELAY
        while True:
            try:
                if session.closed:
                    session = self._renew(session)
                with self._asking(session, sum(map(_size, entries))):
                    session.forget_old_plans()
                    answers = _record(session, entries)
                    session.note_rows(len(entries))
                self._settle(entries, answers)
            except CatalogError as e:
                lost = isinstance(e, CatalogLostError)
                if not lost and len(entries) > 1:
                    for entry in entries:  # which of them is it?
                        session = self._write_alone(session, entry)
                    return session
                # Whatever it is (a cancelled statement, a full disk, a restart), it may
                # pass, and a run must not count as running for ever.
                log.warning("could not record, trying again: %s", e)
                refusals += not lost
                pause = random.uniform(delay / 2, delay)  # noqa: S311
                if refusals == _MOST_REFUSALS or self._closed.wait(pause):
                    raise
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                return session

    def _renew(self, broken: Connection) -> Connection:
        """Open a session in the place of a broken one."""
        session = connect(self._conninfo)
        with self._work:
            if self._closed.is_set():
                session.close()
                raise CatalogLostError(_GIVEN_UP)
            self._sessions = [s for s in self._sessions if s is not broken]
            self._sessions.append(session)
        return session

    def _write_alone(self, session: Connection, entry: _Entry) -> Connection:
        try:
            return self._write(session, [entry])
        except CatalogError as e:
            entry.recorded.set_exception(e)
            return session

    def _settle(self, entries: list[_Entry], answers: list[Row]) -> None:
        for entry, (step_log_id, refusal, reason) in zip(entries, answers, strict=True):
            if refusal is None:
                entry.recorded.set_result(step_log_id)
            elif refusal == _LOCKED:
                self._put_off(entry)
            else:
                entry.recorded.set_exception(BY_SQLSTATE[refusal](reason))

    def _put_off(self, entry: _Entry) -> None:
        """Hand an entry in again a little later: somebody has locked the job."""
        entry.not_before = time.monotonic() + entry.delay
        entry.delay = min(2 * entry.delay, _LONGEST_DELAY)
        with self._work:
            self._entries.append(entry)
            self._work.notify()

    def _close_sessions(self) -> None:
        for session in self._sessions:
            session.close()
        if hasattr(self, "_lookup"):
            self._lookup.close()


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
        # The arrays of numbers as text: their type must not depend on the numbers, for
        # a statement is prepared for its types.
        parameters = (
            _array(e.run_id for e in entries),
            _array(e and e.log_id for e in ended),
            _array(e and e.status.value for e in ended),
            _array(e and e.outcome.result for e in ended),
            outputs,
            _array(e.step_id for e in entries),
            _array(e.attempt for e in entries),
            _array(e.status and e.status.value for e in entries),
            messages,
        )
        try:
            return session.execute(_RECORD, parameters).fetchall()
        except (
            psycopg.errors.DeadlockDetected,
            psycopg.errors.SerializationFailure,
        ):
            continue  # one of the two had to give way
        except psycopg.errors.UntranslatableCharacter:
            outputs = [_escaped(text) for text in outputs]
            messages = [_escaped(text) for text in messages]


def _array(items: Iterable[object]) -> str:
    """Write numbers and letters as PostgreSQL's array literal."""
    return "{" + ",".join("NULL" if i is None else str(i) for i in items) + "}"


def _storable(text: str) -> str:
    """Text as PostgreSQL can take it: no NUL, no byte that is not UTF-8."""
    if text.isascii() and "\0" not in text:
        return text
    clean = text.replace("\0", r"\x00")
    return clean.encode("utf-8", "backslashreplace").decode()


def _escaped(text: str) -> str:
    """Text for a database in whose encoding not all of it can be written."""
    return text.encode("ascii", "backslashreplace").decode()
