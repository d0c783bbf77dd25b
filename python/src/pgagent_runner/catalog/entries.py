"""What is to be recorded of one run, and how the catalogue takes it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pgagent_runner.backoff import Backoff
from pgagent_runner.model import EndedStep, Run, RunStatus

log = logging.getLogger(__name__)

_FIRST_LOCKED = 0.01  # seconds until another look at a job that somebody has locked
_LONGEST_LOCKED = 2.0


@dataclass(slots=True, eq=False)
class Entry:
    """An entry to be recorded of one run, and whoever is told of that."""

    run: Run
    ended: EndedStep | None
    on_end: Callable[[int | None, Exception | None], None]
    next_step_id: int | None = None
    attempt: int = 1
    status: RunStatus | None = None  # if the run ends
    message: str | None = None
    abort: str | None = None  # why the run is aborted, and nothing else is recorded
    locked: Backoff = field(
        default_factory=lambda: Backoff(_FIRST_LOCKED, _LONGEST_LOCKED)
    )
    refusals: int = 0  # that may pass
    was_split: bool = False  # from others, with which it was refused
    is_refused: bool = False  # for good: what can be recorded is
    is_told: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """What it has in common with others that somebody's trigger treats alike."""
        ended = self.ended and self.ended.status
        return self.run.job_id, ended, self.next_step_id, self.status

    @property
    def size(self) -> int:
        """How many characters of output it has."""
        return len(self.ended.outcome.output) if self.ended else 0

    def end(self, step_log_id: int | None, error: Exception | None = None) -> None:
        """Tell, once, what has become of it."""
        if self.is_told:
            return
        self.is_told = True
        try:
            self.on_end(step_log_id, error)
        except Exception:  # which says nothing of what was recorded
            text = "run %s: an error in the runner itself"
            log.exception(text, self.run.id, extra=self.run.about())

    def as_record(self) -> dict[str, Any]:
        """Return what `pga_run_record` takes."""
        record: dict[str, Any] = {"run_id": self.run.id, "job_id": self.run.job_id}
        if self.ended is not None:
            outcome = self.ended.outcome
            record |= {
                "step_log_id": self.ended.log_id,
                "step_status": self.ended.status.value,
                "result": outcome.result,
                "output": storable(outcome.output),
            }
            if outcome.cpu is not None:
                record |= {"cpu": outcome.cpu, "memory": outcome.memory}
        if self.next_step_id is not None:
            record |= {"next_step_id": self.next_step_id, "attempt": self.attempt}
        if self.status is not None:
            record["run_status"] = self.status.value
        if self.message:
            record["message"] = storable(self.message)
        return record


def storable(text: str) -> str:
    """Text as PostgreSQL can take it: no NUL, no byte that is not UTF-8."""
    if text.isascii() and "\0" not in text:
        return text
    clean = text.replace("\0", r"\x00")
    return clean.encode("utf-8", "backslashreplace").decode()


def escaped(text: str) -> str:
    """Text for a database in whose encoding not all of it can be written."""
    return text.encode("ascii", "backslashreplace").decode()


def all_escaped(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with all its texts escaped."""
    return {k: escaped(v) if isinstance(v, str) else v for k, v in record.items()}
