"""What importers find: jobs, as pgagent.apply_jobs() takes them, and what differs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Attributes = dict[str, Any]
"""Of a job, a step or a schedule, by the names that the SQL functions have for them."""


class Note(NamedTuple):
    """Something that is not as it was, in words; about all jobs if `job` is None."""

    job: str | None
    text: str

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.job or 'all jobs'}: {self.text}"


@dataclass
class Found:
    """What has been found in one place, job by job.

    source: where that was. left_out: how many entries have become no job.
    """

    source: str
    jobs: list[Attributes] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    left_out: int = 0

    def add(self, job: Attributes, *notes: str) -> None:
        """Add a job, and what is different with it."""
        self.jobs.append(job)
        self.notes += [Note(job["name"], text) for text in dict.fromkeys(notes)]

    def note(self, name: str, text: str) -> None:
        """Say something about an entry that has become no job by itself."""
        self.notes.append(Note(name, text))

    def leave_out(self, name: str, reason: str) -> None:
        """Say of an entry why it becomes no job."""
        self.left_out += 1
        self.notes.append(Note(name, f"left out: {reason}"))

    def say_of_all(self, *texts: str) -> None:
        """Say what is different with every job, if there are any."""
        if self.jobs:
            self.notes[:0] = [Note(None, text) for text in texts]

    @property
    def definition(self) -> Attributes:
        """All jobs, as a file or apply_jobs() has them."""
        return {"format": 1, "jobs": self.jobs}

    @property
    def summary(self) -> str:
        """How much has been found where, in a line."""
        jobs = "1 job" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs"
        rest = f", {self.left_out} left out" if self.left_out else ""
        return f"{self.source}: {jobs}{rest}"

    def lines(self) -> Iterator[str]:
        """Yield the summary, and then what differs, a line each."""
        yield self.summary
        yield from map(str, self.notes)


def job(name: str, **attributes: object) -> Attributes:
    """Return a job, a step or a schedule without what is None, and so by default."""
    return {"name": name} | {k: v for k, v in attributes.items() if v is not None}


def span(milliseconds: int) -> str:
    """Return a span of time in the words of an interval."""
    seconds, rest = divmod(milliseconds, 1000)
    if rest:
        return f"{milliseconds} milliseconds"
    return "1 second" if seconds == 1 else f"{seconds} seconds"
