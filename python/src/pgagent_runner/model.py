"""The values that cross the layers: what is run, and how it ended.

The letters are those of the tables `pga_joblog`, `pga_jobsteplog` and
`pga_jobstep`, unchanged since pgAgent 1: they are an interface.
"""

from dataclasses import dataclass
from enum import StrEnum


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
    """What a step is made of: `pga_jobstep.jstkind`."""

    SQL = "s"
    BATCH = "b"


class OnError(StrEnum):
    """What a failing step does to its job: `pga_jobstep.jstonerror`."""

    FAIL = "f"
    SUCCEED = "s"
    IGNORE = "i"


class Ending(StrEnum):
    """How the execution of a step ended, before `OnError` is applied."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"  # stopped by the runner, not by itself


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run, as it stood when the run was claimed."""

    id: int
    name: str
    kind: str  # a StepKind, unless the row is a bad one
    code: str
    database: str  # a database on the agent's own server, or ''
    conninfo: str  # a libpq connection string to anywhere, or ''; wins over database
    on_error: str  # an OnError


@dataclass(frozen=True, slots=True)
class Run:
    """One claimed run of a job, with the steps that it will execute, in order."""

    id: int
    job_id: int
    job_name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of executing a step.

    `result` is stored in `pga_jobsteplog.jslresult`: the number of rows that the
    last SQL command touched (-1 if the step failed), or the exit code of a script
    (-N if signal N killed it). `output` is stored in `jsloutput`. `reason` says in one
    sentence why the step did not succeed.
    """

    ending: Ending
    result: int
    output: str
    reason: str = ""
