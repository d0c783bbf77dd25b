"""The record of what becomes of runs: many hand it in, one task writes it down."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import LiteralString

import psycopg

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import Row
from pgagent_runner.catalog.entries import Entry, storable
from pgagent_runner.catalog.errors import (
    CatalogError,
    CatalogLostError,
    LockedError,
)
from pgagent_runner.catalog.lanes import Lanes
from pgagent_runner.catalog.reopening import GIVEN_UP, Reopening, is_set_within
from pgagent_runner.catalog.step_texts import read_step
from pgagent_runner.logs import Repeated
from pgagent_runner.model import EndedStep, Run, RunStatus, ServerSession, Step

log = logging.getLogger(__name__)
log_repeated = Repeated(log)

_FIRST_DELAY = 0.05  # seconds between attempts
_LONGEST_DELAY = 2.0
_MOST_REFUSALS = 20  # by a database that can be reached, before it is given up

_NOTE_SESSION: LiteralString = """
    SELECT pgagent.pga_agent_session(
        %s::integer, %s::integer, %s::timestamptz, %s::boolean
    )
"""

_HAS_SUCCEEDED: LiteralString = (
    "SELECT jslstatus::text = 's'::text FROM pgagent.pga_jobsteplog"
    " WHERE jslid = %s::bigint"
)

_EXPLAIN: LiteralString = """
    SELECT pgagent.pga_run_why(%s::text, %s::text, NULL::text, s.said)
    FROM (VALUES (%s::text)) AS s (said)
    WHERE pgagent.pga_run_culprit(s.said) IS NOT NULL
"""
_NO_COMMIT = "it could not be committed together with its row in the log"

# In a session that belongs to the step, whose search_path may hide types of pg_catalog.
_FINISH = """
    SELECT pgagent.pga_step_finish($1::bigint, $2::integer, $3::pg_catalog.text)
"""


class Seal:
    """How a step commits together with its own row in the log: see `Ledger.seal`."""

    def __init__(self, ledger: "Ledger", step_log_id: int) -> None:
        """Take the step's row."""
        self._ledger = ledger
        self._step_log_id = step_log_id

    async def is_recorded(self) -> bool:
        """Find out whether the row is closed; raises `CatalogError` if that fails."""
        return await self._ledger.has_succeeded(self._step_log_id)

    async def explain(self, sqlstate: str, said: str) -> str:
        """Say which function was in the way of the commit, and what helps, or ''."""
        try:
            return await self._ledger.explain(sqlstate, said)
        except CatalogError:
            return ""

    def statement(self, result: int, output: str) -> tuple[str, Sequence[str]]:
        """Return a statement for the step's own transaction, and its parameters.

        It closes the step's row as succeeded; if the run has been closed meanwhile,
        it fails with PGA02, and takes the step's effect back.
        """
        return _FINISH, (str(self._step_log_id), str(result), storable(output))


class Ledger:
    """Records steps and runs as they start and end.

    All that is handed in while a transaction is being written goes into the next one,
    together; see `Lanes` for what is slow or refused. A session that breaks is opened
    anew, and what was being recorded is handed in again: what had been recorded already
    is not refused. That goes on until it succeeds, or the ledger is closed
    (`CatalogLostError`).

    Tasks of its own write, which nobody cancels: whoever waits here for a record may be
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
        self._closed = asyncio.Event()
        self._asks = asyncio.Lock()
        self._lookup = Reopening(conninfo, self._closed)
        self._lanes = Lanes(conninfo, agent_id, self._closed, self._ask, on_due)
        self._warned_of_sessions = False

    async def open(self) -> None:
        """Open two sessions. Raises `CatalogLostError` if they can't be had."""
        await self._lanes.open()
        await self._lookup.get()

    def stop(self) -> None:
        """Take nothing more; what is not being written yet is refused."""
        self._closed.set()
        self._lanes.stop()

    async def close(self) -> None:
        """Stop, wait for what is being written, and close the sessions."""
        self.stop()
        await self._lanes.let_end()
        self._lookup.break_off()
        await self._lanes.close()
        async with self._asks:
            self._lookup.finish()

    async def advance(
        self, run: Run, ended: EndedStep | None, step_id: int, attempt: int
    ) -> int | None:
        """Record how a step ended, and that the next one starts its nth attempt.

        Return the id of its row, None if it has been deleted. Raises `NotRunningError`
        if the run has been closed by somebody else, and `CutError` if it has been
        aborted, because that it starts is refused.
        """
        return await self._record(run, ended, step_id, attempt)

    async def end_step(self, run: Run, ended: EndedStep) -> None:
        """Record how a step ended; raises `NotRunningError` if the run was closed."""
        await self._record(run, ended)

    def close_run(
        self,
        run: Run,
        ended: EndedStep | None,
        status: RunStatus,
        message: str | None,
        on_recorded: Callable[[Exception | None], None],
    ) -> None:
        """Have recorded how a run ended, and its last step; return at once.

        `on_recorded` is called when that is done, or with the error if it has failed:
        `NotRunningError` if the run has been closed by somebody else, `CutError` if
        part of it could not be recorded.
        """
        entry = Entry(run, ended, lambda _, error: on_recorded(error))
        entry.status = status
        if cut := self._lanes.pop_cut(run.id):
            message = f"{message}; {cut}" if message else cut
        entry.message = message
        self._hand_in(entry)

    async def abort_run(self, run: Run, reason: str) -> None:
        """Close a run, and whichever step of it runs, as aborted, and free its job.

        A run that is closed already is left as it is. As long as somebody has locked
        the job, this waits; others do not. Raises `CatalogError`.
        """
        recorded: asyncio.Future[int | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._hand_in(Entry(run, None, _teller(recorded), abort=reason))
        await recorded

    def seal(self, step_log_id: int) -> Seal:
        """Return how a step commits together with its row in the log."""
        return Seal(self, step_log_id)

    async def has_succeeded(self, step_log_id: int) -> bool:
        """Tell whether this row of a step is closed as succeeded."""
        return await self._ask(_HAS_SUCCEEDED, (step_log_id,)) == (True,)

    async def read_step(self, step: Step) -> Step | None:
        """Return a step with its long texts, in a session of its own; None if gone.

        Raises `CatalogError`.
        """
        return await read_step(self._conninfo, self._closed, step)

    async def explain(self, sqlstate: str, said: str) -> str:
        """Say which function was in the way, if one was, and what helps."""
        row = await self._ask(_EXPLAIN, (sqlstate, _NO_COMMIT, said))
        return str(row[0]) if row is not None else ""

    async def note_session(self, session: ServerSession) -> None:
        """Note, before it is used, a session that executes steps for the agent.

        If somebody's trigger or rule refuses that, the step goes on all the same; only
        if this runner stands still would nobody end its session.
        """
        try:
            known = (self._agent_id, *session)
            await self._ask(_NOTE_SESSION, known, most_refusals=1)
        except CatalogError as e:
            is_gone = isinstance(e.__cause__, psycopg.errors.ForeignKeyViolation)
            if isinstance(e, CatalogLostError) or is_gone:
                raise
            if not self._warned_of_sessions:
                self._warned_of_sessions = True
                log.warning("sessions of steps can't be noted: %s", e)

    def is_stuck(self, seconds: float) -> bool:
        """Tell whether all that is being recorded has waited for so long."""
        return self._lanes.are_stuck(seconds)

    def break_off_silent(self, seconds: float) -> None:
        """Break off sessions whose answer, for which they have waited so long, is lost.

        Whatever they were recording is recorded again, in new ones.
        """
        self._lanes.break_off_silent(seconds)
        if self._lookup.is_silent(seconds):
            text = "a session has not answered for %.0f s"
            log_repeated(logging.WARNING, text, seconds)
            self._lookup.break_off()

    async def _ask(
        self,
        query: LiteralString,
        parameters: Row,
        *,
        most_refusals: int = _MOST_REFUSALS,
    ) -> Row | None:
        """Ask, or record what may be recorded twice, until there is an answer."""
        refusals = 0
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                async with self._asks:
                    session = await self._lookup.get()
                    return await (await session.ask(query, parameters)).fetchone()
            except CatalogError as e:
                refusals += not isinstance(e, CatalogLostError | LockedError)
                if refusals == most_refusals or await is_set_within(
                    self._closed, backoff
                ):
                    raise

    async def _record(
        self,
        run: Run,
        ended: EndedStep | None,
        next_step_id: int | None = None,
        attempt: int = 1,
    ) -> int | None:
        """Have something recorded, and wait for that."""
        recorded: asyncio.Future[int | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._hand_in(Entry(run, ended, _teller(recorded), next_step_id, attempt))
        try:
            return await asyncio.shield(recorded)
        except asyncio.CancelledError:
            # It is recorded all the same. Whatever is said of the run next, such as
            # that it has been aborted, must come after that.
            await asyncio.wait([recorded])
            raise

    def _hand_in(self, entry: Entry) -> None:
        if self._closed.is_set():
            raise CatalogLostError(GIVEN_UP)
        self._lanes.hand_in(entry)


def _teller(
    recorded: asyncio.Future[int | None],
) -> Callable[[int | None, Exception | None], None]:
    """Return what ends this future when an entry has been recorded, or has not."""

    def tell(step_log_id: int | None, error: Exception | None) -> None:
        if recorded.done():  # nobody waits for it any more
            return
        if error is None:
            recorded.set_result(step_log_id)
        else:
            recorded.set_exception(error)

    return tell
