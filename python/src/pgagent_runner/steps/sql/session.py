"""A session of a run: one query at a time, read without keeping its rows."""

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from json import dumps
from typing import NoReturn

import psycopg
from psycopg import capabilities, pq
from psycopg.conninfo import make_conninfo

from pgagent_runner.libpq import Wire
from pgagent_runner.model import CONNECTION, ServerSession
from pgagent_runner.poolers import is_pooled
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.sql.connecting import describe_target
from pgagent_runner.steps.sql.roles import Persona
from pgagent_runner.waiting import in_thread, wait

_ROWS_AT_A_TIME = 20

_CANCEL_TIME = 0.5  # seconds from cancelling a statement to terminating its session
_TERMINATE_TIME = 1.0  # seconds until that has ended
_MAY_GO_ON = "its connection was closed, and it may still be running"

# A runner that dies takes its statements along within a second.
_CHECK = b"SET client_connection_check_interval = '1s'"
_ANY_BYTES = b"SET client_encoding = 'SQL_ASCII'"
_TERMINATE = "SELECT pg_catalog.pg_terminate_backend(%s::pg_catalog.int4)"
_TERMINATE_THAT = """
    SELECT pg_catalog.pg_terminate_backend(a.pid)
    FROM pg_catalog.pg_stat_get_activity(%s::pg_catalog.int4) AS a
    WHERE a.backend_start OPERATOR(pg_catalog.=) %s::pg_catalog.timestamptz
"""
_KNOWS_CHECK_INTERVAL = 140000

# No operator that the search_path of a role or a database puts before PostgreSQL's.
_SAME_ROLE = b"session_user OPERATOR(pg_catalog.=) current_user"
_IDENTITY = (
    b"""
    SELECT %s, pg_catalog.pg_backend_pid(), pg_catalog.inet_client_port(),
           (pg_catalog.date_part('epoch', a.backend_start)
            OPERATOR(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.int8
    FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a
"""
    % _SAME_ROLE
)
_NO_IDENTITY = b"SELECT %s" % _SAME_ROLE  # for a server that is not quite PostgreSQL
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The lock does not last when a pooler gives the session to somebody else: whoever finds
# this runner dead must not end that one's (see pga_agent_end_sessions). The encoding is
# what the pooler said when it gave us the session, up to our first DISCARD ALL.
_OF_POOLED = (
    b"SET client_encoding = 'UTF8'",
    b"SELECT pg_catalog.pg_try_advisory_lock_shared(742199025, 1)",
)

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")

_FRESH = 0.5  # seconds after an answer in which a session counts as alive

# Certainly one statement, which means the same in the extended protocol: no COPY,
# nothing that looks like a parameter, no semicolon that another one could follow.
_ONE_STATEMENT = re.compile(
    rb"\s*+(?:select|insert|update|delete|merge|with|call)\b[^;$]*+;?+\s*+",
    re.IGNORECASE,
).fullmatch

_LONGEST_TO_LOOK_THROUGH = 100_000  # bytes

_LONGEST_MESSAGE = 256 * 1024  # bytes that are kept of an error

_COPY_REFUSED = b"COPY FROM STDIN is not possible in a job step"
_COPIES = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT)

_FATAL = pq.ExecStatus.FATAL_ERROR
_SYNC = pq.ExecStatus.PIPELINE_SYNC

_OPEN = (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

Take = Callable[[pq.abc.PGresult], object]


class Session:
    """A connection whose every wait ends soon after the run is cancelled."""

    def __init__(
        self,
        pgconn: pq.abc.PGconn,
        cancellation: Cancellation,
        conninfo: str,
        persona: Persona | None = None,
    ) -> None:
        """Take over the connection, which must be non-blocking.

        `conninfo` is for a second one that ends the first, should that be needed. Each
        run, and each step, finds the session as that persona, if it is to have one.
        """
        self.opened = time.monotonic()
        self._wire = Wire(pgconn)
        self._output = BoundedOutput(0)
        self._connection = psycopg.Connection(pgconn)
        self._pgconn = pgconn
        self._cancellation = cancellation
        self._conninfo = conninfo
        self._stop_by = math.inf
        self._is_broken = False
        self._reads_chunks = capabilities.has_stream_chunked()
        self._settings = _settings_of_all_runs(pgconn)
        self._persona = persona
        self._become = [] if persona is None else persona.statements(pgconn)
        self._refusal = ""
        self._identity = ServerSession(pgconn.backend_pid, None, is_pooled=False)
        self._is_known = False
        self._is_reusable = False
        self._is_resetting = False  # in a pipeline, which goes on
        self._reset_since = -math.inf
        self._untold: list[bytes] = []  # settings that go with the first statement

    @property
    def lost(self) -> bool:
        """Whether the connection has been found broken."""
        return self._is_broken or self._is_cut

    @property
    def _is_cut(self) -> bool:
        return self._wire.is_broken or self._pgconn.status != pq.ConnStatus.OK

    @property
    def error_text(self) -> str:
        """All that libpq says about the last query."""
        return bounded(self._pgconn.error_message)

    @property
    def target(self) -> str:
        """The line that tells where this session is."""
        names = {"host": "host", "port": "port", "dbname": "db", "user": "user"}
        return describe_target(
            {
                name: getattr(self._pgconn, attribute).decode(errors="backslashreplace")
                for name, attribute in names.items()
            }
        )

    @property
    def persona(self) -> Persona | None:
        """The role that it has, if that is not its login."""
        return self._persona

    @property
    def identity(self) -> ServerSession:
        """What the server says of the session, once it has begun."""
        return self._identity

    @property
    def has_other_pid(self) -> bool:
        """Whether not the server, but a pooler, has told libpq whom it speaks to."""
        return self._identity.pid != self._pgconn.backend_pid

    @property
    def conninfo_of_same(self) -> str:
        """How to reach this very server: the string may name several."""
        pgconn = self._pgconn
        where = {"host": pgconn.host, "hostaddr": pgconn.hostaddr, "port": pgconn.port}
        same = {name: value.decode() for name, value in where.items()}
        return make_conninfo(self._conninfo, **same, connect_timeout=1)

    async def begin(
        self, cancellation: Cancellation, name: str | None, given: str | None = None
    ) -> None:
        """Get ready for a run: its cancellation, the name that others see, its input.

        If the server does not answer, has not forgotten the run before, or does not let
        the session be its persona (see `check_refusal`), the session is `lost`.
        """
        self._cancellation = cancellation
        if self._is_resetting:
            await self._finish_reset()
        settings = self._settings.copy()
        if name is not None:
            settings.append(b"SET application_name = '%s'" % name.encode())
        if given is not None:
            settings.append(_setting_of(given, self._pgconn))
        if time.monotonic() - self._reset_since < _FRESH:
            self._untold = settings
        elif not self.lost:
            await self._tell_at_once(settings)

    def check_refusal(self) -> None:
        """Raise StepError if the session is lost because it may not be its persona."""
        if self._refusal:
            self._cancellation.check()
            raise StepError(self._refusal, cause=CONNECTION if self._is_cut else "")

    def start_reset(self) -> bool:
        """Have the server forget the run; tell whether that makes sense.

        It may be about that already: see `query`.
        """
        if self.lost or not self._is_reusable or self._stop_by < math.inf:
            return False
        self._untold = []
        self._reset_since = time.monotonic()
        self._pgconn.notice_handler = self._hear_last_words
        if self._is_resetting:
            # Finishing it fails if not all results of the statement have been read.
            return True
        if self._pgconn.transaction_status != pq.TransactionStatus.IDLE:
            return False
        try:
            self._pgconn.enter_pipeline_mode()
            self._send_reset()
            return self._pgconn.flush() == 0
        except psycopg.Error:
            return False

    def write_to(self, output: BoundedOutput) -> None:
        """Let the server's notices and the data of COPY appear in this output."""
        self._output = output
        self._pgconn.notice_handler = lambda notice: output.line(notice.error_message)

    async def is_usable(self) -> bool:
        """Ask the server: the session may have been ended while it was idle.

        One whose statement had to be cancelled is not used again, and a step that has
        made itself somebody else leaves nothing of that to the next one.
        """
        if self._stop_by < math.inf:
            return False
        results = await self._results_of(b"; ".join(self._become))
        return not self.lost and self._has_become(results)

    async def query(
        self,
        text: bytes,
        take: Take,
        parameters: Sequence[str] | None = None,
        *,
        ends_run: bool = False,
    ) -> None:
        """Send one query, and have its results taken, errors too, as they come.

        With parameters it must be a single statement; without, it is a simple query.
        A query that ends a run must be followed by nothing but a reset, which may be
        sent along with it.

        If the connection breaks, they end early and the session is `lost`. The data of
        COPY TO STDOUT are written to the output; COPY FROM STDIN is refused.
        Raise StepAbortedError if the server does not stop in time when cancelled.
        """
        # What others have to do comes first: to send wakes up another process, which
        # may take the processor away at once.
        await asyncio.sleep(0)
        settings, self._untold = self._untold, []
        try:
            if not settings:
                await self._ask(text, take, parameters)
            elif (
                parameters is None
                and len(text) < _LONGEST_TO_LOOK_THROUGH
                and _ONE_STATEMENT(text)
            ):
                await self._tell_and_ask(settings, text, take, resets=ends_run)
            else:
                await self._ask(b"; ".join(settings), _ignore)
                await self._ask(text, take, parameters)
            while self._pgconn.notifies():
                pass  # of a LISTEN: nobody is there to hear it
        except psycopg.Error:
            self._is_broken = True

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, and not yet failed."""
        return self._pgconn.transaction_status == pq.TransactionStatus.INTRANS

    async def transaction_after(self, command: bytes) -> bytes | None:
        """Execute a command; return the id of the transaction that is open then.

        None if that could not be learned.
        """
        query = command + b"; SELECT pg_catalog.pg_current_xact_id()"
        rows = [result for result in await self._results_of(query) if result.ntuples]
        return rows[-1].get_value(0, 0) if rows else None

    async def roll_back_what_is_open(self) -> bool:
        """End a transaction that was left open; tell whether there was one."""
        if self._pgconn.transaction_status not in _OPEN:
            return False
        await self.query(b"ROLLBACK", _ignore)
        return True

    def break_off(self) -> None:
        """Have whatever waits for the server fail: for any thread, as a last resort."""
        self._wire.break_off()

    def close(self) -> None:
        """End the session; the server rolls back what is not committed."""
        self._wire.close()
        self._connection.close()

    def _send_reset(self) -> None:
        """Have the server forget the run, and be ready for the next one.

        Its first statement may be sent without another question: who the session is
        has been read by then.
        """
        self._is_resetting = True
        for statement in (b"DISCARD ALL", *self._become):
            self._pgconn.send_query_params(statement, None)
        self._pgconn.pipeline_sync()

    async def _finish_reset(self) -> None:
        """Wait until the server has forgotten the run before."""
        self._is_resetting = False
        try:
            results: list[pq.abc.PGresult] = []
            self._is_broken |= not await self._finish_transaction(results.append)
            self._is_broken |= not self._has_become(results)
            self._pgconn.exit_pipeline_mode()
            self._pgconn.consume_input()
            self._pgconn.is_busy()  # which takes in what has come
        except psycopg.Error:
            self._is_broken = True

    async def _tell_at_once(self, settings: list[bytes]) -> None:
        if self._is_known:
            results = await self._results_of(b"; ".join([*settings, *self._become]))
        else:
            results = await self._introduce(settings)
        self._is_broken |= not results or results[-1].status == _FATAL
        self._is_broken |= not self._has_become(results)
        if not (self._is_known or self._is_broken):
            self._note_identity(next((r for r in results if r.ntuples), None))
            if self._identity.is_pooled:
                await self._tell_pooler()

    async def _introduce(self, settings: list[bytes]) -> list[pq.abc.PGresult]:
        """Make the settings, and ask who is there, as far as this server knows that."""
        results: list[pq.abc.PGresult] = []
        if self._persona is not None:  # whatever its login has been made to set
            settings = [b"SET ROLE NONE", *settings]
        for question in _questions(settings):
            results = await self._results_of(b"; ".join([*question, *self._become]))
            if not results or results[-1].status != _FATAL:
                if _CHECK not in question and _CHECK in self._settings:
                    self._settings.remove(_CHECK)
                break
        return results

    def _has_become(self, results: Sequence[pq.abc.PGresult]) -> bool:
        """Tell from the answer whether the session is who it is to be."""
        if self._persona is None:
            return True
        rows = [result for result in results if result.ntuples]
        failed = [result for result in results if result.status == _FATAL]
        # What went before may have been answered, and be undone by now.
        has_become = bool(rows) and not failed and rows[-1].get_value(0, 0) == b"t"
        if not has_become:
            said = bounded(failed[-1].error_message).strip() if failed else ""
            self._refusal = self._persona.explain(said)
        return has_become

    def _note_identity(self, result: pq.abc.PGresult | None) -> None:
        """Take the answer to _IDENTITY or _NO_IDENTITY.

        A role that was set with the login would not come back after DISCARD ALL.
        """
        self._is_known = True
        if result is None:
            return
        self._is_reusable = result.get_value(0, 0) == b"t"
        if result.nfields > 1:
            pid = int(result.get_value(0, 1) or 0)
            port = int(result.get_value(0, 2) or 0)
            since = result.get_value(0, 3)
            self._identity = ServerSession(
                pid,
                _EPOCH + timedelta(microseconds=int(since)) if since else None,
                is_pooled(self._pgconn, pid, port),
            )

    async def _tell_pooler(self) -> None:
        takes_any_bytes = _ANY_BYTES in self._settings
        told = list(_OF_POOLED[takes_any_bytes:])
        self._settings += told
        await self._results_of(b"; ".join(told))

    def _hear_last_words(self, notice: pq.abc.PGresult) -> None:
        severity = notice.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
        self._is_broken |= severity == b"FATAL"

    async def _results_of(self, text: bytes) -> list[pq.abc.PGresult]:
        results: list[pq.abc.PGresult] = []
        await self.query(text, results.append)
        return results

    async def _ask(
        self, text: bytes, take: Take, parameters: Sequence[str] | None = None
    ) -> None:
        if parameters is None:
            self._pgconn.send_query(text)
        else:
            self._pgconn.send_query_params(text, [p.encode() for p in parameters])
        self._read_few_rows_at_a_time()
        await self._flush()
        while True:
            if self._pgconn.is_busy():
                await self._receive_result()
            if (result := self._pgconn.get_result()) is None:
                return
            if result.status in _COPIES:
                await self._copy(result.status)
            else:
                take(result)

    async def _tell_and_ask(
        self, settings: Sequence[bytes], text: bytes, take: Take, *, resets: bool
    ) -> None:
        """Send settings and a statement at once, each in a transaction of its own."""
        self._pgconn.enter_pipeline_mode()
        for setting in settings:
            self._pgconn.send_query_params(setting, None)
        self._pgconn.pipeline_sync()
        self._pgconn.send_query_params(text, None)
        self._pgconn.pipeline_sync()
        if resets:
            self._send_reset()
        await self._flush()
        await self._finish_transaction(_ignore)
        self._read_few_rows_at_a_time()
        await self._finish_transaction(take)
        if not resets:
            self._pgconn.exit_pipeline_mode()

    async def _finish_transaction(self, take: Take) -> bool:
        """Have all results up to the next sync taken; tell whether all was done."""
        done: list[pq.abc.PGresult] = []  # unless the transaction fails at its end
        statement_has_ended = False
        while True:
            if self._pgconn.is_busy():
                await self._receive_result()
            if (result := self._pgconn.get_result()) is None:
                if statement_has_ended:
                    text = "the answer of the server is incomplete"
                    raise psycopg.OperationalError(text)
                statement_has_ended = True
                continue
            statement_has_ended = False
            if result.status == _SYNC:
                break
            if result.status == _FATAL:
                done.clear()
            if done or result.command_status:
                done.append(result)
            else:
                take(result)
        for result in done:
            take(result)
        return bool(done)

    async def _copy(self, status: int) -> None:
        """Write what COPY TO STDOUT sends; let COPY FROM STDIN fail."""
        # If anything breaks here, the next result shows it again.
        with suppress(psycopg.Error):
            if status == pq.ExecStatus.COPY_IN:
                while self._pgconn.put_copy_end(_COPY_REFUSED) == 0:
                    await self._flush()
                await self._flush()
                return
            while True:
                size, data = self._pgconn.get_copy_data(1)
                if size > 0:
                    self._output.write(data)
                elif size == 0:
                    await self._receive()
                else:
                    return

    def _read_few_rows_at_a_time(self) -> None:
        if self._reads_chunks:
            self._pgconn.set_chunked_rows_mode(_ROWS_AT_A_TIME)
        else:
            self._pgconn.set_single_row_mode()

    async def _flush(self) -> None:
        if self._pgconn.flush() == 0:
            return
        with self._wire.writing():
            # The server may have to send its notices before it reads on.
            while self._pgconn.flush() != 0:
                await self._wait()

    async def _receive_result(self) -> None:
        """Wait until the next result, or the end of all, is there."""
        while self._pgconn.is_busy():
            await self._receive()

    async def _receive(self) -> None:
        """Wait until something has come."""
        if self._wire.is_broken:
            raise psycopg.OperationalError("the connection is lost")
        await self._wait()

    async def _wait(self) -> None:
        """Wait for the server; when cancelled, ask it to stop, then go away."""
        waiter = self._wire.waiter()
        if self._stop_by == math.inf:
            await self._cancellation.wait(waiter)
            if self._cancellation.reason is None:
                return
            await self._ask_to_stop()
        if (left := self._stop_by - time.monotonic()) > 0:
            await wait(waiter, left)
        else:
            await self._terminate()  # even if there is always something to read

    async def _ask_to_stop(self) -> None:
        self._stop_by = time.monotonic() + _CANCEL_TIME
        with suppress(psycopg.Error, OSError):  # TimeoutError is one of the latter
            async with asyncio.timeout(_CANCEL_TIME):
                with self._wire.unread():
                    await in_thread(self._connection.cancel_safe, timeout=_CANCEL_TIME)

    async def _terminate(self) -> NoReturn:
        """End the session from the server's side, and let go of it."""
        with suppress(OSError, psycopg.Error):
            async with asyncio.timeout(_TERMINATE_TIME):
                with self._wire.unread():
                    conninfo = self.conninfo_of_same
                    await in_thread(_end_session, conninfo, self._identity)
            await self._see_to_the_end(time.monotonic() + _TERMINATE_TIME)
        ended = self.lost
        self.close()
        raise StepAbortedError(
            f"{self._cancellation.reason}\n"
            f"the statement did not stop within {_CANCEL_TIME:g} s; "
            + ("its session was terminated" if ended else _MAY_GO_ON)
        )

    async def _see_to_the_end(self, deadline: float) -> None:
        """Read, and forget, what the server still sends, until it ends the session."""
        while not self.lost and (left := deadline - time.monotonic()) > 0:
            await wait(self._wire.waiter(), left)
            while not self._pgconn.is_busy() and self._pgconn.get_result() is not None:
                pass


def _end_session(conninfo: str, session: ServerSession) -> None:
    """End a session through another one, in a thread.

    That may have come to another server, where somebody else has the process id.
    """
    with psycopg.connect(conninfo, autocommit=True) as other:
        if session.began is None:
            other.execute(_TERMINATE, [session.pid])
        else:
            other.execute(_TERMINATE_THAT, session[:2])


def _questions(settings: list[bytes]) -> Iterator[list[bytes]]:
    """Yield what to tell and to ask a server first: what follows is simpler each time.

    Not every platform has _CHECK.
    """
    yield [*settings, _IDENTITY]
    simple = [setting for setting in settings if setting != _CHECK]
    if len(simple) < len(settings):
        yield [*simple, _IDENTITY]
    yield [*simple, _NO_IDENTITY]


def _settings_of_all_runs(pgconn: pq.abc.PGconn) -> list[bytes]:
    settings = []
    if pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
        # It takes any bytes, but only UTF-8 from whoever claims to speak UTF-8.
        settings.append(_ANY_BYTES)
    if pgconn.server_version >= _KNOWS_CHECK_INTERVAL:
        settings.append(_CHECK)
    return settings


def _setting_of(given: str, pgconn: pq.abc.PGconn) -> bytes:
    """Return the statement that sets a run's input, which is JSON.

    A database need not know its characters.
    """
    if pgconn.parameter_status(b"server_encoding") != b"SQL_ASCII":
        given = _NOT_ASCII.sub(lambda characters: dumps(characters[0])[1:-1], given)
    text = given.encode(errors="surrogateescape")
    quoted = text.replace(b"\\", rb"\\").replace(b"'", b"''")
    return b"SET pgagent.input = E'%s'" % quoted


def bounded(message: bytes) -> str:
    """Decode what a server says, or the first and the last part of it."""
    text = BoundedOutput(_LONGEST_MESSAGE)
    text.write(message)
    return text.text()


def _ignore(result: pq.abc.PGresult) -> None:
    """Take a result that does not matter."""
