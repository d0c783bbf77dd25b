"""What happens to runs, for whoever wants to know: the log, the metrics.

In the order in which they happen to a run: RunClaimed, RunStarted, StepEnded for every
attempt at a step, RunEnded, RunRecorded.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from pgagent_runner.model import Outcome, Run, RunStatus, Step, StepStatus

log = logging.getLogger(__name__)


class RunClaimed(NamedTuple):
    """A due job is this agent's, and waits for its task."""

    run: Run


class RunStarted(NamedTuple):
    """Its first step is about to be executed."""

    run: Run


class StepEnded(NamedTuple):
    """An attempt at a step has ended; that is not recorded yet."""

    run: Run
    step: Step
    status: StepStatus
    outcome: Outcome


class RunEnded(NamedTuple):
    """No step of it will be executed any more; that is not recorded yet."""

    run: Run
    status: RunStatus
    message: str | None


class RunRecorded(NamedTuple):
    """The end of it is recorded, or can't be: then `error` says why."""

    run: Run
    status: RunStatus
    message: str | None
    error: Exception | None


Event = RunClaimed | RunStarted | StepEnded | RunEnded | RunRecorded


class Events:
    """Hands each event to whoever listens, in the loop's thread, at once."""

    def __init__(self, *listeners: Callable[[Event], object]) -> None:
        """Begin with these listeners."""
        self._listeners = list(listeners)

    def listen(self, listener: Callable[[Event], object]) -> None:
        """Have a function called with every event from now on; it must not wait."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Tell all listeners; an error of one of them is logged, and that is all."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                text = "run %s: an error in the runner itself"
                log.exception(text, event.run.id, extra=event.run.about())
