"""SQL steps: one simple query each, in a session that the run's steps share."""

from dataclasses import dataclass, field

from psycopg import pq

from pgagent_runner.model import Run, Step
from pgagent_runner.steps.cancel import Cancellation
from pgagent_runner.steps.connect import connect, connection_parameters
from pgagent_runner.steps.errors import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.session import Session, message
from pgagent_runner.steps.settings import StepSettings

Target = frozenset[tuple[str, str | int | None]]

_LARGEST_RESULT = 2**31 - 1  # of type integer

_NO_STATEMENT = "the step contains no SQL statement"
_COPY_REFUSED = "COPY FROM STDIN is not possible in a job step"
_LEFT_OPEN = "the step left a transaction open; it has been rolled back"
_CONNECTION_LOST = (
    "the connection was lost while the step was running;"
    " whether its last statement took effect is unknown"
)


class SqlSteps:
    """Executes the SQL steps of one run, with one session for each target."""

    def __init__(
        self, settings: StepSettings, run: Run, cancellation: Cancellation
    ) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._run = run
        self._cancellation = cancellation
        self._sessions: dict[Target, Session] = {}

    def execute(self, step: Step, output: BoundedOutput) -> int:
        """Execute the step and give the number of rows its last command touched.

        Raise StepError if it fails, StepAbortedError if it was cancelled.
        """
        session = self._session(step, output)
        answer = _Answer(session, output)
        for result in session.query(step.code.encode(errors="surrogateescape")):
            answer.take(result)
        if session.lost:
            answer.problems = [_CONNECTION_LOST, session.error_text.rstrip()]
        elif session.roll_back_what_is_open():
            answer.problems.append(_LEFT_OPEN)
        if not answer.problems:
            return min(answer.rows, _LARGEST_RESULT)
        text = "\n".join([*answer.problems, session.target])
        if self._cancellation.reason is not None:
            raise StepAbortedError(f"{self._cancellation.reason}\n{text}")
        raise StepError(text)

    def close(self) -> None:
        """End the sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _session(self, step: Step, output: BoundedOutput) -> Session:
        parameters = connection_parameters(step, self._settings, self._run)
        target = frozenset(parameters.items())
        session = self._sessions.get(target)
        if session is not None:
            session.report_notices_to(output)
            if session.is_usable():
                return session
            session.close()
            output.line("the session of the earlier steps was lost; this is a new one")
        pgconn = connect(parameters, self._cancellation, output)
        session = Session(pgconn, self._cancellation, self._settings.kill_grace)
        self._sessions[target] = session
        session.report_notices_to(output)
        session.accept_any_bytes()
        return session


@dataclass
class _Answer:
    """What the server has answered to the text of a step so far."""

    session: Session
    output: BoundedOutput
    statements: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self, result: pq.abc.PGresult) -> None:
        match result.status:
            case pq.ExecStatus.COMMAND_OK | pq.ExecStatus.TUPLES_OK:
                self._note_command(result)
                self.statements += 1
            case pq.ExecStatus.TUPLES_CHUNK | pq.ExecStatus.SINGLE_TUPLE:
                self._note_command(result)
            case pq.ExecStatus.COPY_OUT:
                for data in self.session.copy_out():
                    self.output.write(data)
            case pq.ExecStatus.COPY_IN:
                self.session.refuse_copy(_COPY_REFUSED)
            case pq.ExecStatus.EMPTY_QUERY:
                self.problems.append(_NO_STATEMENT)
            case _:
                self._fail(result)

    def _note_command(self, result: pq.abc.PGresult) -> None:
        # The tag comes with the last rows, or after them if those fill a chunk.
        if tag := result.command_status:
            self.rows = result.command_tuples or 0
            self.output.line(tag.decode())

    def _fail(self, result: pq.abc.PGresult) -> None:
        self.problems.append(message(result).rstrip())
        if sqlstate := result.error_field(pq.DiagnosticField.SQLSTATE):
            self.problems.append(f"SQLSTATE: {sqlstate.decode()}")
        if self.statements:
            self.problems.append(f"in statement {self.statements + 1}")
