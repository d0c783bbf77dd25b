"""The record of what becomes of runs: many hand it in, one task writes it down."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import (
    Connection,
    Row,
    open_in_loop,
    open_unless_closed,
)
from pgagent_runner.catalog.errors import (
    BY_SQLSTATE,
    CatalogError,
    CatalogLostError,
    LockedError,
)
from pgagent_runner.logs import Repeated
from pgagent_runner.model import EndedStep, RunStatus, ServerSession

log = logging.getLogger(__name__)
log_repeated = Repeated(log)

_FIRST_DELAY = 0.05  # seconds between attempts
_LONGEST_DELAY = 2.0
_FIRST_LOCKED = 0.01  # seconds until another look at a job that somebody has locked
_MOST_REFUSALS = 20  # by a database that can be reached, before it is given up
_MOST_AT_ONCE = 200  # entries in a transaction
_MOST_CHARACTERS = 8 << 20  # of output in a transaction of several entries
_LOCKED = "55P03"
_LAST_WORDS = 1.0  # seconds that the server has to answer when the ledger is closed
_GIVEN_UP = "the agent has given up its registration"

_RECORD: LiteralString = """
    SELECT place, step_log_id, refusal, reason, look_again
    FROM pgagent.pga_run_record(%s::integer, %s::json) ORDER BY place NULLS LAST
"""

# Whoever locks the job must not keep the session from all others.
_ABORT: LiteralString = """
    SELECT pg_catalog.set_config('lock_timeout'::text, '100ms'::text, true),
           pgagent.pga_run_abort(%s::bigint, %s::text)
"""

_NOTE_SESSION: LiteralString = """
    SELECT pgagent.pga_agent_session(
        %s::integer, %s::integer, %s::timestamptz, %s::boolean
    )
"""

_HAS_SUCCEEDED: LiteralString = (
    "SELECT jslstatus::text = 's'::text FROM pgagent.pga_jobsteplog"
    " WHERE jslid = %s::bigint"
)

# In a session that belongs to the step, whose search_path may hide types of pg_catalog.
_FINISH = """
    SELECT pgagent.pga_step_finish($1::bigint, $2::integer, $3::pg_catalog.text)
"""

# One of two transactions had to give way.
_GAVE_WAY = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


@dataclass(slots=True, eq=False)
class _Entry:
    """An entry to be recorded of one run, and whoever is told of that."""

    run_id: int
    ended: EndedStep | None
    on_end: Callable[[int | None, Exception | None], None]
    next_step_id: int | None = None
    attempt: int = 1
    status: RunStatus | None = None  # if the run ends
    message: str | None = None
    locked: Backoff = field(
        default_factory=lambda: Backoff(_FIRST_LOCKED, _LONGEST_DELAY)
    )
    is_told: bool = False

    @property
    def size(self) -> int:
        """How many characters of output it has."""
        return len(self.ended.outcome.output) if self.ended else 0

    def end(self, step_log_id: int | None, error: Exception | None = None) -> None:
        """Tell, once, what has become of it."""
        if self.is_told:
            return
        self.is_told = True
        try:
            self.on_end(step_log_id, error)
        except Exception:  # which says nothing of what was recorded
            text = "run %s: an error in the runner itself"
            log.exception(text, self.run_id, extra={"run_id": self.run_id})

    def as_record(self) -> dict[str, Any]:
        """Return what `pga_run_record` takes."""
        record: dict[str, Any] = {"run_id": self.run_id}
        if self.ended is not None:
            outcome = self.ended.outcome
            record |= {
                "step_log_id": self.ended.log_id,
                "step_status": self.ended.status.value,
                "result": outcome.result,
                "output": _storable(outcome.output),
            }
            if outcome.cpu is not None:
                record |= {"cpu": outcome.cpu, "memory": outcome.memory}
        if self.next_step_id is not None:
            record |= {"next_step_id": self.next_step_id, "attempt": self.attempt}
        if self.status is not None:
            record["run_status"] = self.status.value
        if self.message:
            record["message"] = _storable(self.message)
        return record


class Seal:
    """How a step commits together with its own row in the log: see `Ledger.seal`."""

    def __init__(self, ledger: "Ledger", step_log_id: int) -> None:
        """Take the step's row."""
        self._ledger = ledger
        self._step_log_id = step_log_id

    async def is_recorded(self) -> bool:
        """Find out whether the row is closed; raises `CatalogError` if that fails."""
        return await self._ledger.has_succeeded(self._step_log_id)

    def statement(self, result: int, output: str) -> tuple[str, Sequence[str]]:
        """Return a statement for the step's own transaction, and its parameters.

        It closes the step's row as succeeded; if the run has been closed meanwhile,
        it fails with PGA02, and takes the step's effect back.
        """
        return _FINISH, (str(self._step_log_id), str(result), _storable(output))


class Ledger:
    """Records steps and runs as they start and end.

    All that is handed in while a transaction is being written goes into the next one,
    together. A session that breaks is opened anew, and what was being recorded is
    handed in again: what had been recorded already is not refused. That goes on until
    it succeeds, the ledger is closed (`CatalogLostError`), or a database that can be
    reached has refused too often (`CatalogError`).

    One task writes, which nobody cancels: whoever waits here for a record may be
    cancelled, but goes on only when what was handed in is recorded all the same.
    """

    def __init__(
        self, conninfo: str, agent_id: int, on_due: Callable[[float], None]
    ) -> None:
        """Prepare to record for an agent; `open` comes first.

        `on_due` is called with the moment, on the monotonic clock, at which something
        is due, whenever that may have changed by what was recorded.
        """
        self._conninfo = conninfo
        self._agent_id = agent_id
        self._on_due = on_due
        self._entries: list[_Entry] = []
        self._closed = asyncio.Event()
        self._has_entries = asyncio.Event()
        self._asks = asyncio.Lock()
        self._writer: Connection | None = None
        self._lookup: Connection | None = None
        self._writing: asyncio.Task[None] | None = None
        self._locked: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open two sessions. Raises `CatalogLostError` if they can't be had."""
        self._writer = await open_in_loop(self._conninfo)
        try:
            self._lookup = await open_in_loop(self._conninfo)
        except BaseException:
            self._writer.finish()
            raise
        self._writing = asyncio.create_task(self._write_on())

    def stop(self) -> None:
        """Take nothing more; what is not being written yet is refused."""
        self._closed.set()
        self._has_entries.set()
        entries, self._entries = self._entries, []
        for entry in entries:
            entry.end(None, CatalogLostError(_GIVEN_UP))

    async def close(self) -> None:
        """Stop, wait for what is being written, and close the sessions."""
        self.stop()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=_LAST_WORDS)
            if not self._writing.done() and self._writer is not None:
                self._writer.break_off()
            await asyncio.wait([self._writing])
        if self._locked:
            await asyncio.wait(self._locked)
        for session in (self._writer, self._lookup):
            if session is not None:
                session.break_off()
        async with self._asks:
            for session in (self._writer, self._lookup):
                if session is not None:
                    session.finish()

    async def advance(
        self, run_id: int, ended: EndedStep | None, step_id: int, attempt: int
    ) -> int | None:
        """Record how a step ended, and that the next one starts its nth attempt.

        Return the id of its row, None if it has been deleted. Raises `NotRunningError`
        if the run has been closed by somebody else.
        """
        return await self._record(run_id, ended, step_id, attempt)

    async def end_step(self, run_id: int, ended: EndedStep) -> None:
        """Record how a step ended; raises `NotRunningError` if the run was closed."""
        await self._record(run_id, ended)

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
        entry = _Entry(run_id, ended, lambda _, error: on_recorded(error))
        entry.status = status
        entry.message = message
        self._hand_in(entry)

    async def abort_run(self, run_id: int, reason: str) -> None:
        """Close a run, and whichever step of it runs, as aborted, and free its job.

        A run that is closed already is left as it is. As long as somebody has locked
        the job, this waits; others do not. Raises `CatalogError`.
        """
        await self._ask(_ABORT, (run_id, _escaped(reason)))

    def seal(self, step_log_id: int) -> Seal:
        """Return how a step commits together with its row in the log."""
        return Seal(self, step_log_id)

    async def has_succeeded(self, step_log_id: int) -> bool:
        """Tell whether this row of a step is closed as succeeded."""
        return await self._ask(_HAS_SUCCEEDED, (step_log_id,)) == (True,)

    async def note_session(self, session: ServerSession) -> None:
        """Note, before it is used, a session that executes steps for the agent."""
        await self._ask(_NOTE_SESSION, (self._agent_id, *session))

    def break_off_silent(self, seconds: float) -> None:
        """Break off sessions that have been waiting for an answer for so long.

        Whatever they were recording is recorded again, in new ones.
        """
        for session in (self._writer, self._lookup):
            if session is not None and session.break_off_silent(seconds):
                text = "a session has not answered for %.0f s"
                log_repeated(logging.WARNING, text, seconds)

    async def _ask(self, query: LiteralString, parameters: Row) -> Row | None:
        """Ask, or record what may be recorded twice, until there is an answer."""
        refusals = 0
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                async with self._asks:
                    self._lookup = await self._connected(self._lookup)
                    return await (await self._lookup.ask(query, parameters)).fetchone()
            except CatalogError as e:
                refusals += not isinstance(e, CatalogLostError | LockedError)
                if refusals == _MOST_REFUSALS or await self._is_closed_within(backoff):
                    raise

    async def _record(
        self,
        run_id: int,
        ended: EndedStep | None,
        next_step_id: int | None = None,
        attempt: int = 1,
    ) -> int | None:
        """Have something recorded, and wait for that."""
        recorded: asyncio.Future[int | None] = (
            asyncio.get_running_loop().create_future()
        )

        def note(step_log_id: int | None, error: Exception | None) -> None:
            if recorded.done():  # nobody waits for it any more
                return
            if error is None:
                recorded.set_result(step_log_id)
            else:
                recorded.set_exception(error)

        self._hand_in(_Entry(run_id, ended, note, next_step_id, attempt))
        try:
            return await asyncio.shield(recorded)
        except asyncio.CancelledError:
            # It is recorded all the same. Whatever is said of the run next, such as
            # that it has been aborted, must come after that.
            await asyncio.wait([recorded])
            raise

    def _hand_in(self, entry: _Entry) -> None:
        if self._closed.is_set():
            raise CatalogLostError(_GIVEN_UP)
        self._entries.append(entry)
        self._has_entries.set()

    async def _write_on(self) -> None:
        """Write what is handed in, all of it together, until closed."""
        while not self._closed.is_set():
            await self._has_entries.wait()
            self._has_entries.clear()
            while entries := self._take():
                try:
                    await self._write(entries)
                except Exception as e:  # noqa: BLE001 (told to whoever waits for them)
                    for entry in entries:
                        entry.end(None, e)

    def _take(self) -> list[_Entry]:
        """Return what is to be written next: what has room in a transaction, or one."""
        characters = 0
        count = 0
        for entry in self._entries[:_MOST_AT_ONCE]:
            characters += entry.size
            if characters > _MOST_CHARACTERS and count:
                break
            count += 1
        entries = self._entries[:count]
        del self._entries[:count]
        return entries

    async def _write(self, entries: list[_Entry]) -> None:
        """Write entries in one transaction."""
        refusals = 0
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                self._writer = await self._connected(self._writer)
                asked = time.monotonic()
                answers = await self._record_all(self._writer, entries)
            except CatalogError as e:
                is_lost = isinstance(e, CatalogLostError)
                if not is_lost and len(entries) > 1:
                    for entry in entries:  # which of them is it?
                        await self._write_alone(entry)
                    return
                # Whatever it is (a cancelled statement, a full disk, a restart), it may
                # pass, and a run must not count as running for ever.
                log_repeated(logging.WARNING, "could not record, trying again: %s", e)
                refusals += not is_lost
                if refusals == _MOST_REFUSALS or await self._is_closed_within(backoff):
                    raise
            else:
                self._settle(entries, answers, asked)
                return

    async def _write_alone(self, entry: _Entry) -> None:
        try:
            await self._write([entry])
        except CatalogError as e:
            entry.end(None, e)

    async def _record_all(
        self, session: Connection, entries: Sequence[_Entry]
    ) -> list[Row]:
        """Record entries, and return the answer to each, and when to look again."""
        await session.renew_plans()
        records = json.dumps([e.as_record() for e in entries], ensure_ascii=False)
        characters = sum(e.size for e in entries)
        while True:
            try:
                cursor = await session.ask(
                    _RECORD, (self._agent_id, records), characters=characters
                )
            except CatalogError as e:
                if isinstance(e.__cause__, _GAVE_WAY):
                    continue
                if not isinstance(e.__cause__, psycopg.errors.UntranslatableCharacter):
                    raise
                records = json.dumps([_all_escaped(e.as_record()) for e in entries])
            else:
                session.note_rows(len(entries))
                return await cursor.fetchall()

    async def _connected(self, session: Connection | None) -> Connection:
        """Return the session, or a new one if it has ended."""
        if self._closed.is_set():
            raise CatalogLostError(_GIVEN_UP)
        if session is not None and not session.closed:
            return session
        session = await open_unless_closed(self._conninfo, self._closed)
        if self._closed.is_set():
            session.finish()
            raise CatalogLostError(_GIVEN_UP)
        return session

    def _settle(self, entries: list[_Entry], answers: list[Row], asked: float) -> None:
        *answers, (_, _, _, _, look_again) = answers
        if look_again is not None:
            self._on_due(asked + look_again)
        for entry, answer in zip(entries, answers, strict=True):
            _, step_log_id, refusal, reason, _ = answer
            if refusal is None:
                entry.end(step_log_id)
            elif refusal == _LOCKED:
                later = asyncio.create_task(self._hand_in_later(entry))
                self._locked.add(later)
                later.add_done_callback(self._locked.discard)
            else:
                entry.end(None, BY_SQLSTATE[refusal](reason))

    async def _hand_in_later(self, entry: _Entry) -> None:
        """Hand an entry in once more: somebody has locked the job."""
        await self._is_closed_within(entry.locked)
        try:
            self._hand_in(entry)
        except CatalogLostError as e:
            entry.end(None, e)

    async def _is_closed_within(self, backoff: Backoff) -> bool:
        """Pause, unless the ledger is closed; tell whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(backoff.next()):
                await self._closed.wait()
        return self._closed.is_set()


def _storable(text: str) -> str:
    """Text as PostgreSQL can take it: no NUL, no byte that is not UTF-8."""
    if text.isascii() and "\0" not in text:
        return text
    clean = text.replace("\0", r"\x00")
    return clean.encode("utf-8", "backslashreplace").decode()


def _escaped(text: str) -> str:
    """Text for a database in whose encoding not all of it can be written."""
    return text.encode("ascii", "backslashreplace").decode()


def _all_escaped(record: dict[str, Any]) -> dict[str, Any]:
    return {k: _escaped(v) if isinstance(v, str) else v for k, v in record.items()}
