"""What the log says of runs."""

import logging

from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    CutError,
    NotRunningError,
)
from pgagent_runner.events import Event, RunRecorded, RunStarted, StepEnded

log = logging.getLogger(__name__)


def write_down(event: Event) -> None:
    """Log an event, if it is one that an operator may want to read of."""
    match event:
        case RunStarted(run):
            _log(logging.INFO, event, "run %s of job %s (%s) starts", *_named(event))
        case StepEnded(run, step, status):
            _log(
                *(logging.DEBUG, event, "run %s: step %s: %s"),
                *(run.id, step.name, status.name.lower()),
            )
        case RunRecorded(run, status, message, None):
            _log(
                *(logging.INFO, event, "run %s of job %s (%s) ended: %s%s"),
                *(
                    *_named(event),
                    status.name.lower(),
                    f", {message}" if message else "",
                ),
            )
        case RunRecorded(run, _, _, NotRunningError() as error):
            text = "run %s was closed by somebody else: %s"
            _log(logging.WARNING, event, text, run.id, error)
        case RunRecorded(_, status, _, CutError() as error):
            text = "run %s of job %s (%s) ended: %s, and not all could be recorded: %s"
            _log(
                *(logging.WARNING, event, text, *_named(event)),
                *(status.name.lower(), error),
            )
        case RunRecorded(_, _, _, CatalogLostError()):
            pass  # nor is anything else recorded any more
        case RunRecorded(_, _, _, CatalogError() as error):
            text = "run %s of job %s (%s) could not be recorded: %s"
            _log(logging.ERROR, event, text, *_named(event), error)
        case RunRecorded(run, _, _, error):
            text = "run %s: an error in the runner itself"
            log.error(text, run.id, exc_info=error, extra=run.about())


def _named(event: RunStarted | RunRecorded) -> tuple[int, int, str]:
    return event.run.id, event.run.job_id, event.run.job_name


def _log(level: int, event: Event, text: str, *values: object) -> None:
    if log.isEnabledFor(level):
        step = event.step if isinstance(event, StepEnded) else None
        log.log(level, text, *values, extra=event.run.about(step))
