"""One run of a job: its steps in order, what their failures mean, and its end."""

import logging
from collections.abc import Callable
from itertools import zip_longest
from typing import Protocol

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog import CatalogError, CatalogLostError, Seal
from pgagent_runner.events import Events, RunEnded, RunRecorded, RunStarted, StepEnded
from pgagent_runner.model import (
    CONNECTION,
    EndedStep,
    Ending,
    OnError,
    Outcome,
    Run,
    RunStatus,
    Step,
    StepKind,
    StepMode,
    StepStatus,
)

log = logging.getLogger(__name__)

# Failures that may well not recur, and that leave nothing behind: a lost connection,
# serialization failures, deadlocks, locks, a server that restarts.
_PASSING = frozenset((CONNECTION, "40001", "40P01", "55P03", "57P01", "57P02", "57P03"))
_SQLSTATE = 5  # characters
_CLASS = 2

_LONGEST_DELAY = 3600.0  # seconds between two attempts


class Recorder(Protocol):
    """Where the run is recorded: see `catalog.Ledger`, whose errors go through."""

    async def advance(
        self, run: Run, ended: EndedStep | None, step_id: int, attempt: int
    ) -> int | None:
        """Record that a step starts, after another one has ended."""

    async def end_step(self, run: Run, ended: EndedStep) -> None:
        """Record how a step ended, when nothing follows yet."""

    def close_run(
        self,
        run: Run,
        ended: EndedStep | None,
        status: RunStatus,
        message: str | None,
        on_recorded: Callable[[Exception | None], None],
    ) -> None:
        """Have the end of a run recorded, and of its last step; do not wait for it."""

    async def read_step(self, step: Step) -> Step | None:
        """Return a step with its long texts; None if it has been deleted."""

    def seal(self, step_log_id: int) -> Seal:
        """Return how a step commits together with its row in the log."""


class Executor(Protocol):
    """The executor of the steps: see `steps.StepExecutor`."""

    async def execute(self, step: Step, seal: Seal | None) -> Outcome:
        """Execute a step to its end."""

    async def pause(self, seconds: float) -> Outcome | None:
        """Wait for the next attempt; return how the step ends if that is cut short."""


async def execute_run(
    run: Run, recorder: Recorder, executor: Executor, events: Events
) -> None:
    """Execute the steps of a claimed run and record all of it.

    The end of the run is recorded later: then there is the event `RunRecorded`, with
    the error if that has failed. Raises `NotRunningError` if somebody else closed the
    run meanwhile, `CutError` if its next step could not be recorded as started, with
    which it has ended, and `CatalogLostError` if it can't be recorded: then others will
    find it aborted.
    """
    events.emit(RunStarted(run))
    ended, status, message = await _execute_steps(run, recorder, executor, events)
    events.emit(RunEnded(run, status, message))

    def note(error: Exception | None) -> None:
        events.emit(RunRecorded(run, status, message, error))

    recorder.close_run(run, ended, status, message, note)


async def _execute_steps(
    run: Run, recorder: Recorder, executor: Executor, events: Events
) -> tuple[EndedStep | None, RunStatus, str | None]:
    if not run.steps:
        return None, RunStatus.NOTHING_TO_DO, "the job has no enabled step"
    step_log_id = run.step_log_id
    ended = None
    for step, following in zip_longest(run.steps, run.steps[1:]):
        ended = None
        if step_log_id is None:
            text = "run %s: step %s has been deleted"
            log.warning(text, run.id, step.name, extra=run.about(step))
        else:
            ended = await _execute_step(
                run, step, step_log_id, recorder, executor, events
            )
            if (end := _end_of_run(step, ended)) is not None:
                return ended, *end
        if following is not None:
            step_log_id = await recorder.advance(run, ended, following.id, 1)
    return ended, RunStatus.SUCCEEDED, None


async def _execute_step(  # noqa: PLR0913, PLR0917 (all that a step needs)
    run: Run,
    step: Step,
    step_log_id: int,
    recorder: Recorder,
    executor: Executor,
    events: Events,
) -> EndedStep:
    """Execute a step, repeatedly if that may help; its end is not recorded yet."""
    if not step.is_complete:
        complete = await _completed(step, recorder)
        if isinstance(complete, Outcome):
            return EndedStep(step_log_id, _step_status(step, complete), complete)
        step = complete
    attempt = 1
    longest = max(_LONGEST_DELAY, step.retry_delay)
    # A little jitter, so that steps that failed together do not return together.
    backoff = Backoff(step.retry_delay, longest, factor=step.retry_backoff, spread=0.1)
    while True:
        atomic = step.mode == StepMode.ATOMIC
        seal = recorder.seal(step_log_id) if atomic else None
        outcome = await executor.execute(step, seal)
        status = _step_status(step, outcome)
        events.emit(StepEnded(run, step, status, outcome))
        if attempt > step.retries or not _may_pass(step, outcome):
            return EndedStep(step_log_id, status, outcome)
        # Monitors of pgAgent take every step with such a result for a failure.
        reason = "" if outcome.reason in outcome.output else f": {outcome.reason}"
        failed = _with_note(
            outcome,
            f"attempt {attempt} of {step.retries + 1}{reason};"
            f" the next one in {backoff.pause:g} s",
        )
        superseded = failed._replace(result=None)
        await recorder.end_step(
            run, EndedStep(step_log_id, StepStatus.FAILED, superseded)
        )
        cut_short = await executor.pause(backoff.next())
        attempt += 1
        next_log_id = await recorder.advance(run, None, step.id, attempt)
        if next_log_id is None:  # deleted meanwhile
            return EndedStep(step_log_id, _step_status(step, outcome), outcome)
        step_log_id = next_log_id
        if cut_short is not None:
            status = _step_status(step, cut_short)
            events.emit(StepEnded(run, step, status, cut_short))
            return EndedStep(step_log_id, status, cut_short)


async def _completed(step: Step, recorder: Recorder) -> Step | Outcome:
    """Return a step with its long texts, or how it ends because they can't be read."""
    reason = "it has been deleted"
    try:
        if (complete := await recorder.read_step(step)) is not None:
            return complete
    except CatalogLostError:
        raise
    except CatalogError as e:
        reason = f"its text can't be read: {e}"
    return Outcome(Ending.FAILED, -1, f"{reason}\n", reason)


def _may_pass(step: Step, outcome: Outcome) -> bool:
    """Tell whether a failure is one of those after which the step is tried again."""
    cause = outcome.cause
    if outcome.ending is not Ending.FAILED:
        return False
    if step.retry_on is None:
        by_itself = step.kind == StepKind.BATCH and cause.lstrip("-").isdigit()
        return by_itself or cause in _PASSING
    causes = {cause, "any"}
    if step.kind == StepKind.SQL and len(cause) == _SQLSTATE:
        causes.add(cause[:_CLASS])
    return not causes.isdisjoint(step.retry_on)


def _with_note(outcome: Outcome, note: str) -> Outcome:
    output = f"{outcome.output.rstrip()}\n{note}\n".lstrip("\n")
    return outcome._replace(output=output)


def _end_of_run(step: Step, ended: EndedStep) -> tuple[RunStatus, str] | None:
    """Tell how the run ends with this step, if it does."""
    reason = ended.outcome.reason
    match ended.status:
        case StepStatus.FAILED:
            return RunStatus.FAILED, f'step "{step.name}" failed: {reason}'
        case StepStatus.ABORTED:
            return RunStatus.ABORTED, f'aborted in step "{step.name}": {reason}'
    return None


def _step_status(step: Step, outcome: Outcome) -> StepStatus:
    match outcome.ending:
        case Ending.SUCCEEDED:
            return StepStatus.SUCCEEDED
        case Ending.ABORTED:
            return StepStatus.ABORTED
        case Ending.EXPIRED:
            return StepStatus.FAILED
        case Ending.FAILED:
            return {
                OnError.SUCCEED.value: StepStatus.SUCCEEDED,
                OnError.IGNORE.value: StepStatus.IGNORED,
            }.get(step.on_error, StepStatus.FAILED)
