"""SQL steps: sent to a session that the run's steps on the same target share."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from psycopg import pq
from psycopg.conninfo import make_conninfo

from pgagent_runner.model import CONNECTION, Run, Step, StepKind, StepMode
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.steps.sql.connecting import connect, connection_parameters
from pgagent_runner.steps.sql.hints import hint
from pgagent_runner.steps.sql.permitted import Parameters
from pgagent_runner.steps.sql.pool import SessionPool
from pgagent_runner.steps.sql.roles import ROLE, RoleLogin
from pgagent_runner.steps.sql.session import Session, bounded
from pgagent_runner.steps.sql.statements import may_commit, split
from pgagent_runner.steps.sql.vetting import Target

_LARGEST_RESULT = 2**31 - 1  # of type integer
_SQLSTATE = 5  # characters

_NO_STATEMENT = "the step contains no SQL statement"
_LEFT_OPEN = "the step left a transaction open; it has been rolled back"
_ENDED = "an atomic step can't end its own transaction, which its log row is part of"
_RESET_ROLE = b"RESET SESSION AUTHORIZATION; RESET ROLE"
_LOST = "the connection was lost while the step was running;"
_IN_DOUBT = f"{_LOST} whether its last statement took effect is unknown"
_ROLLED_BACK = f"{_LOST} its transaction has been rolled back"
_LONG = 1.0  # seconds of waiting for a connection that are worth mentioning


class Seal(Protocol):
    """How a step commits together with its own row in the log."""

    async def is_recorded(self) -> bool:
        """Find out whether the step's row is closed."""

    async def explain(self, sqlstate: str, said: str) -> str:
        """Say what was in the way of that statement, and what helps, or ''."""

    def statement(self, result: int, output: str) -> tuple[str, Sequence[str]]:
        """Return the last statement of the transaction, and its parameters."""


class SqlSteps:
    """Executes the SQL steps of one run, with one session for each target."""

    def __init__(
        self,
        settings: StepSettings,
        run: Run,
        cancellation: Cancellation,
        pool: SessionPool,
    ) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._run = run
        self._cancellation = cancellation
        self._pool = pool
        self._sessions: dict[Target, Session] = {}
        self._targets: dict[int, Target | None] = {}
        self._connecting_since: float | None = None
        self._waited = 0.0  # seconds, for the connection of the step under way

    @property
    def connecting_since(self) -> float | None:
        """Since when, on the monotonic clock, it has been waiting to be connected."""
        return self._connecting_since

    async def execute(
        self,
        step: Step,
        seal: Seal | None,
        output: BoundedOutput,
        limit: AbstractContextManager[None],
    ) -> int:
        """Execute the step and give the number of rows its last command touched.

        `limit` is entered when the step needs to wait for no other run any more.
        Raise StepError if it fails, StepAbortedError if it was cancelled.
        """
        parameters, target = self._place_of(step)
        is_first = target not in self._sessions
        self._waited = 0.0
        if is_first:
            await self._take(target)
        with limit:
            session = await (
                self._first_session(step, target, parameters, output)
                if is_first
                else self._same_session(step, target, parameters, output)
            )
            if self._waited >= _LONG:  # which is a part of its duration
                output.line(f"waited {self._waited:.1f} s for a connection")
            if (persona := session.persona) is not None:
                output.line(persona.line)
            return await self._execute(session, step, seal, output)

    async def _execute(
        self, session: Session, step: Step, seal: Seal | None, output: BoundedOutput
    ) -> int:
        self._cancellation.check()
        answer = _Answer(session, output)
        code = step.code.encode(errors="surrogateescape")
        if seal is not None:
            await self._execute_atomically(code, seal, answer)
        elif step.mode == StepMode.AUTOCOMMIT:
            await answer.ask_each(split(code), self._cancellation)
        else:
            await answer.ask(code, ends_run=self._ends_run(step))
        if session.lost:
            # A commit whose answer is lost may have happened.
            if seal is not None and await seal.is_recorded():
                return answer.result
            certain = seal is not None and not answer.is_committing
            is_undone = certain and not may_commit(code)
            answer.note_loss(_ROLLED_BACK if is_undone else _IN_DOUBT)
        elif await session.roll_back_what_is_open():
            answer.problems.append(_LEFT_OPEN)
        if not answer.problems:
            return answer.result
        remedy = hint(step, code, answer.cause, answer.problems[0])
        text = "\n".join(filter(None, [*answer.problems, remedy, session.target]))
        if self._cancellation.reason is not None:
            raise StepAbortedError(f"{self._cancellation.reason}\n{text}")
        raise StepError(text, cause=answer.cause)

    def let_go(self, step: Step) -> None:
        """Give back the sessions that neither this step nor a later one names."""
        if not self._sessions or step not in self._run.steps:
            return
        following = self._run.steps[self._run.steps.index(step) :]
        for target in list(self._sessions):
            if not any(self._target_of(other) == target for other in following):
                self._pool.let_go(target, self._sessions.pop(target))

    def close(self) -> None:
        """Give the sessions back."""
        try:
            while self._sessions:
                self._pool.give_back(*self._sessions.popitem())
        finally:
            self.abandon()

    def break_off(self) -> None:
        """Have what waits for a server fail, from any thread."""
        for session in list(self._sessions.values()):
            session.break_off()

    def abandon(self) -> None:
        """Close the sessions: nobody knows in what state they are."""
        while self._sessions:
            self._pool.close_one(*self._sessions.popitem())

    def _target_of(self, step: Step) -> Target | None:
        """Return where a step is going to run, if that is a database."""
        if step.id not in self._targets:
            target = None
            if step.kind == StepKind.SQL:
                with suppress(StepError):
                    _, target = self._place_of(step)
            self._targets[step.id] = target
        return self._targets[step.id]

    def _place_of(self, step: Step) -> tuple[Parameters, Target]:
        """Return how to connect for a step, and what its session is known by."""
        parameters = connection_parameters(step, self._settings)
        items = parameters.items()
        role = _role_of(step)
        return parameters, frozenset(items if role is None else (*items, (ROLE, role)))

    def _ends_run(self, step: Step) -> bool:
        return step in self._run.steps[-1:] and not step.retries

    async def _execute_atomically(
        self, code: bytes, seal: Seal, answer: "_Answer"
    ) -> None:
        """Execute the step and close its row in the log in one transaction."""
        session = answer.session
        began = await session.transaction_after(b"BEGIN")
        await answer.ask(code)
        if not answer.problems and not session.lost:
            if (
                not session.is_in_transaction
                or await session.transaction_after(_RESET_ROLE) != began
            ):
                answer.problems.append(_ENDED)
                return
            statement, parameters = seal.statement(answer.result, answer.output.text())
            end = _Answer(session, BoundedOutput(0))
            await end.ask(statement.encode(), parameters)
            if not end.problems:
                answer.is_committing = True
                await end.ask(b"COMMIT")
            answer.problems, answer.cause = end.problems, end.cause
            if end.problems and not session.lost:
                said = "\n".join(end.problems)
                reason = await seal.explain(end.cause, said)
                answer.problems = [*filter(None, [*end.problems, reason])]

    async def _take(self, target: Target) -> None:
        """Wait for a session that another run has left, or may open one."""
        with self._connecting():
            waits = not self._sessions
            session = await self._pool.acquire(target, self._cancellation, waits=waits)
        if session is not None:
            self._sessions[target] = session

    async def _first_session(
        self, step: Step, target: Target, parameters: Parameters, output: BoundedOutput
    ) -> Session:
        """Return what has been taken, or open one if that has died or is none."""
        session = self._sessions.get(target)
        if session is not None:
            await self._begin(session, parameters)
            if not session.lost:
                session.write_to(output)
                return session
            self._pool.replace(target, self._sessions.pop(target))
        return await self._open(step, target, parameters, output)

    async def _same_session(
        self, step: Step, target: Target, parameters: Parameters, output: BoundedOutput
    ) -> Session:
        """Return the session of the earlier steps, or open one if it has died."""
        session = self._sessions[target]
        session.write_to(output)
        if await session.is_usable():
            return session
        self._pool.replace(target, self._sessions.pop(target))
        output.line("the session of the earlier steps was lost; this is a new one")
        return await self._open(step, target, parameters, output)

    async def _open(
        self, step: Step, target: Target, parameters: Parameters, output: BoundedOutput
    ) -> Session:
        with self._pool.opening(target):
            log_in = self._login(step, parameters)
            with self._connecting():
                pgconn = await connect(
                    *(parameters, self._cancellation, output),
                    *(self._pool.note_shortage, log_in),
                )
            conninfo = make_conninfo("", **parameters)
            persona = None if log_in is None else log_in.persona
            session = Session(pgconn, self._cancellation, conninfo, persona)
            try:
                session.write_to(output)
                await self._begin(session, parameters)
                session.check_refusal()
                if session.has_other_pid:
                    same = session.conninfo_of_same
                    await self._pool.vetting.check(target, same, self._cancellation)
                # A connection string may lead to the agent's own server, too.
                if not step.conninfo or session.identity.began is not None:
                    await self._settings.on_session(session.identity)
            except BaseException:
                session.close()
                raise
        self._sessions[target] = session
        return session

    def _login(self, step: Step, parameters: Parameters) -> RoleLogin | None:
        """Return how to become the role of a step, if it has one."""
        role = _role_of(step)
        if role is None:
            return None
        return RoleLogin(
            *(role, self._run.id, parameters),
            *(self._settings.log_in, self._pool.logins, self._cancellation),
        )

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        """Show that it waits for a connection and has none yet."""
        self._connecting_since = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - self._connecting_since
            self._connecting_since = None

    async def _begin(self, session: Session, parameters: Parameters) -> None:
        name = self._name(parameters)
        await session.begin(self._cancellation, name, self._run.input)

    def _name(self, parameters: Parameters) -> str | None:
        """Return the name that shows in pg_stat_activity, unless the target has one."""
        if parameters.get("application_name"):
            return None
        return f"pgagent job {self._run.job_id} run {self._run.id}"


def _role_of(step: Step) -> str | None:
    """Return as whom a step runs here: a connection string says that itself."""
    return None if step.conninfo else step.role


@dataclass
class _Answer:
    """The server's answer so far to the text of a step."""

    session: Session
    output: BoundedOutput
    statements: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    cause: str = ""
    is_committing: bool = False

    @property
    def result(self) -> int:
        """The number of rows that the last command touched, as a column can hold it."""
        return min(self.rows, _LARGEST_RESULT)

    async def ask(
        self,
        text: bytes,
        parameters: Sequence[str] | None = None,
        *,
        ends_run: bool = False,
    ) -> None:
        await self.session.query(text, self._take, parameters, ends_run=ends_run)

    async def ask_each(
        self, statements: Iterable[bytes | None], cancellation: Cancellation
    ) -> None:
        """Send statements one by one, up to the first that fails."""
        is_empty = True
        for statement in statements:
            if statement is None:
                await asyncio.sleep(0)
                cancellation.check()
                continue
            is_empty = False
            await self.ask(statement)
            if self.problems or self.session.lost:
                return
        if is_empty:
            self.problems.append(_NO_STATEMENT)

    def note_loss(self, meaning: str) -> None:
        """Tell what is known of the end of the session, and of the step's effect."""
        libpq_says = self.session.error_text
        for problem in self.problems:  # the last words of the server may be in both
            libpq_says = libpq_says.replace(problem, "")
        self.problems = [meaning, *self.problems, libpq_says.strip()]
        self.cause = CONNECTION

    def _take(self, result: pq.abc.PGresult) -> None:
        match result.status:
            case pq.ExecStatus.COMMAND_OK | pq.ExecStatus.TUPLES_OK:
                self._note_command(result)
                self.statements += 1
            case pq.ExecStatus.TUPLES_CHUNK | pq.ExecStatus.SINGLE_TUPLE:
                self._note_command(result)
            case pq.ExecStatus.EMPTY_QUERY:
                self.problems.append(_NO_STATEMENT)
            case _:
                self._fail(result)

    def _note_command(self, result: pq.abc.PGresult) -> None:
        # The tag comes with the last rows, or after them if those fill a chunk.
        if tag := result.command_status:
            self.rows = result.command_tuples or 0
            self.output.line(tag)

    def _fail(self, result: pq.abc.PGresult) -> None:
        self.problems.append(bounded(result.error_message).rstrip())
        if sqlstate := result.error_field(pq.DiagnosticField.SQLSTATE):
            self.cause = sqlstate[:_SQLSTATE].decode(errors="backslashreplace")
            self.problems.append(f"SQLSTATE: {self.cause}")
        if self.statements:
            self.problems.append(f"in statement {self.statements + 1}")
