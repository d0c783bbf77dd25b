"""The values that cross the layers: what is run, and how it ended.

The letters are those of the tables `pga_joblog`, `pga_jobsteplog` and
`pga_jobstep`, unchanged since pgAgent 1: they are an interface.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class RunStatus(StrEnum):
    """How a run of a job stands: `pga_joblog.jlgstatus`."""

    RUNNING = "r"
    SUCCEEDED = "s"
    FAILED = "f"
    NOTHING_TO_DO = "i"  # no step to execute
    ABORTED = "d"


class StepStatus(StrEnum):
    """How a step of a run stands: `pga_jobsteplog.jslstatus`."""

    RUNNING = "r"
    SUCCEEDED = "s"
    FAILED = "f"
    IGNORED = "i"  # failed, and the job went on
    ABORTED = "d"


class StepKind(StrEnum):
    """The kind of a step: `pga_jobstep.jstkind`."""

    SQL = "s"
    BATCH = "b"


class OnError(StrEnum):
    """What a failing step does to its job: `pga_jobstep.jstonerror`."""

    FAIL = "f"
    SUCCEED = "s"
    IGNORE = "i"


class StepMode(StrEnum):
    """How an SQL step is sent: `pga_jobstep.jstmode`."""

    SINGLE = "single"  # one query, one implicit transaction
    AUTOCOMMIT = "autocommit"  # statement by statement
    ATOMIC = "atomic"  # in one transaction with its own row in the log


class Ending(StrEnum):
    """How the execution of a step ended, before `OnError` is applied."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"  # the time of the whole run is over
    ABORTED = "aborted"  # stopped by the runner, not by itself


# Causes of a failure beside SQLSTATEs and exit codes: see `Outcome.cause`.
CONNECTION = "connection"
TIMEOUT = "timeout"


class Step(NamedTuple):
    """One step of a run, as it stood when the run was claimed."""

    id: int
    name: str
    kind: str  # a StepKind, unless the row is a bad one
    code: str
    database: str  # a database on the agent's own server, or ''
    conninfo: str  # a libpq connection string to anywhere, or ''; beats database
    on_error: str  # an OnError
    mode: str = StepMode.SINGLE  # a StepMode
    timeout: float | None = None  # seconds; None: no limit
    retries: int = 0  # further attempts after a failure that allows them
    retry_delay: float = 10.0  # seconds before the first of them
    retry_backoff: float = 2.0  # factor from one delay to the next
    retry_on: Sequence[str] | None = None  # causes; None: the usual ones
    role: str | None = None  # as which it runs; None: as the runner's own login
    refusal: str | None = None  # why it must not run, in a sentence
    owner: str | None = None  # of the job: a role; None: nobody
    is_complete: bool = True  # or code and conninfo are long, and still to be read


class Run(NamedTuple):
    """One claimed run of a job, with the steps that it will execute, in order."""

    id: int
    job_id: int
    job_name: str
    steps: tuple[Step, ...]
    step_log_id: int | None = None  # of the first step, which has started
    timeout: float | None = None  # seconds that the run may take; None: no limit
    due_at: float | None = None  # on the monotonic clock; None: nobody knows
    input: str | None = None  # JSON, the input with which somebody asked for it

    def about(self, step: Step | None = None) -> dict[str, int | str]:
        """Return what a message of the log is about: `extra`, as `logging` takes it."""
        keys: dict[str, int | str]
        keys = {"job_id": self.job_id, "job": self.job_name, "run_id": self.id}
        if step is not None:
            keys |= {"step_id": step.id, "step": step.name}
        return keys


class Outcome(NamedTuple):
    """How the execution of a step ended, with its result and output.

    `result` is stored in `pga_jobsteplog.jslresult`: the number of rows that the
    last SQL command touched (-1 if the step failed), or the exit code of a script
    (-N if signal N killed it); None if another attempt follows. `output` is stored in
    `jsloutput`. `reason` says in one sentence why the step did not succeed, `cause` in
    one word: an SQLSTATE, an exit code, CONNECTION or TIMEOUT. `cpu` (seconds) and
    `memory` (bytes, the largest) are what a script has taken; None if it has not ended.
    """

    ending: Ending
    result: int | None
    output: str
    reason: str = ""
    cause: str = ""
    cpu: float | None = None
    memory: int | None = None


class RecordError(Exception):
    """The record of the runs refused or failed: that is no failure of a step."""


def explain_error(error: Exception) -> str:
    """Say in the log of a run that an error of the runner, not of its job, ended it."""
    return f"an error in the runner itself: {type(error).__name__}: {error}"


class EndedStep(NamedTuple):
    """How a step of a run ended, to be recorded in its row of `pga_jobsteplog`."""

    log_id: int
    status: StepStatus
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to the catalogue's server in order to become a role."""

    name: str
    password: str | None = field(repr=False)
    """Good for one login within seconds; None: the runner has means of its own."""


class LoginError(Exception):
    """There is no login for a role: that is a failure of the step that needs it."""

    def __init__(self, reason: str, sqlstate: str = "") -> None:
        """Take what the server has said."""
        super().__init__(reason)
        self.sqlstate = sqlstate


class ServerSession(NamedTuple):
    """A session as its server knows it."""

    pid: int
    began: datetime | None  # None if that is hidden from us, or the server can't tell
    is_pooled: bool  # a pooler gives it to somebody else after us


class Heard(NamedTuple):
    """What has been notified: whatever it is, but of alerts, jobs may have changed."""

    times: int
    cancel: bool  # whether a run may have to be cancelled
    senders: frozenset[int] = frozenset()  # process ids of their sessions
    alerts: int = 0  # how often that was of alerts, and of nothing else

    def plus(self, other: "Heard") -> "Heard":
        """Return it with what was heard besides."""
        return Heard(
            self.times + other.times,
            self.cancel or other.cancel,
            self.senders | other.senders,
            self.alerts + other.alerts,
        )


class Pulse(NamedTuple):
    """The catalogue's answer to a heartbeat.

    Where somebody's lock or trigger is in the way, all or part of it is missing.
    """

    asked: float  # by a clock that goes on while this machine sleeps
    answered: float
    refused: str | None = None  # why the lease could not be renewed
    seen: bool | None = None  # whether it shows that the agent lives even so
    now: float | None = None  # the server's clock, in seconds
    dead: int = 0  # how much there is to sweep
    # Runs of this agent to be stopped, and who says so; None: its row is gone.
    lost: Mapping[int, str | None] = MappingProxyType({})
    agents: int | None = None  # that are alive
    unarmed: str | None = None  # why this agent may claim nothing


class Standing(NamedTuple):
    """How an agent stands, for whoever asks."""

    trouble: str | None  # why it is not ready, in a sentence
    unarmed: str | None = None  # why it starts no job
    conninfo: str | None = None  # how to reach the catalogue
    workers: int = 0
    busy: int = 0
    unrecorded: int = 0  # runs that are under way, or not recorded yet
    scripts: int = 0
    sessions: int = 0  # of steps
    idle_sessions: int = 0
    targets: int = 0
