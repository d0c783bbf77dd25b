"""One run of a job: its steps in order, what their failures mean, and its end."""

import logging
from typing import Protocol

from pgagent_runner.catalog import StepGoneError
from pgagent_runner.model import (
    Ending,
    OnError,
    Outcome,
    Run,
    RunStatus,
    Step,
    StepStatus,
)

log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Where the run is recorded: see `catalog.Ledger`, whose errors go through."""

    def start_step(self, run_id: int, step_id: int) -> int:
        """Record that a step starts."""

    def finish_step(
        self, step_log_id: int, status: StepStatus, outcome: Outcome
    ) -> None:
        """Record how a step ended."""

    def finish_run(self, run_id: int, status: RunStatus, message: str | None) -> None:
        """Record how a run ended."""


class Executor(Protocol):
    """What executes the steps: see `steps.StepExecutor`."""

    def execute(self, step: Step) -> Outcome:
        """Execute a step to its end."""


def execute_run(run: Run, recorder: Recorder, executor: Executor) -> None:
    """Execute the steps of a claimed run and record all of it.

    Raises `NotRunningError` if somebody else closed the run meanwhile, and
    `CatalogLostError` if it can't be recorded: then others will find it aborted.
    """
    log.info("run %s of job %s (%s) starts", run.id, run.job_id, run.job_name)
    status, message = _execute_steps(run, recorder, executor)
    recorder.finish_run(run.id, status, message)
    log.info(
        "run %s of job %s (%s) ended: %s%s",
        *(run.id, run.job_id, run.job_name, status.name.lower()),
        f", {message}" if message else "",
    )


def _execute_steps(
    run: Run, recorder: Recorder, executor: Executor
) -> tuple[RunStatus, str | None]:
    if not run.steps:
        return RunStatus.NOTHING_TO_DO, "the job has no enabled step"
    for step in run.steps:
        try:
            step_log_id = recorder.start_step(run.id, step.id)
        except StepGoneError:
            log.warning("run %s: step %s has been deleted", run.id, step.name)
            continue
        outcome = executor.execute(step)
        status = _step_status(step, outcome)
        try:
            recorder.finish_step(step_log_id, status, outcome)
        except StepGoneError as e:
            log.warning("run %s: step %s can't be recorded: %s", run.id, step.name, e)
        log.debug("run %s: step %s: %s", run.id, step.name, status.name.lower())
        if status is StepStatus.FAILED:
            return RunStatus.FAILED, f'step "{step.name}" failed: {outcome.reason}'
        if status is StepStatus.ABORTED:
            return RunStatus.ABORTED, f'aborted in step "{step.name}": {outcome.reason}'
    return RunStatus.SUCCEEDED, None


def _step_status(step: Step, outcome: Outcome) -> StepStatus:
    match outcome.ending:
        case Ending.SUCCEEDED:
            return StepStatus.SUCCEEDED
        case Ending.ABORTED:
            return StepStatus.ABORTED
        case Ending.FAILED:
            return {
                OnError.SUCCEED.value: StepStatus.SUCCEEDED,
                OnError.IGNORE.value: StepStatus.IGNORED,
            }.get(step.on_error, StepStatus.FAILED)
