"""Which jobs a verb is for, until when, and how that is said."""

from typing import LiteralString

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.verbs.database import Session, job_ids, value
from pgagent_runner.verbs.frame import Given
from pgagent_runner.verbs.times import moment, moment_after

_NAME: LiteralString = (
    "SELECT j.jobname FROM pgagent.pga_job AS j WHERE j.jobid = %s::bigint"
)


def job_name(session: Session, job: int) -> str:
    """Return the name of the job with this id."""
    name: str = value(session, _NAME, [job])
    return name


def named(session: Session, jobs: list[str]) -> dict[int, str]:
    """Return the ids of jobs, each with its name."""
    return {job: job_name(session, job) for job in job_ids(session, jobs)}


def refuse_both(given: Given) -> None:
    """Raise ConfigurationError unless jobs are named, or --all is given."""
    if given.all and given.jobs:
        raise ConfigurationError("--all is for all jobs: name none beside it")
    if not given.all and not given.jobs:
        raise ConfigurationError("name a job, or several, or say --all")


def listed(jobs: dict[int, str]) -> str:
    """Return the names of jobs as a sentence has them."""
    if not jobs:
        return "all jobs"
    names = ", ".join(f'"{name}"' for name in jobs.values())
    return f"job {names}" if len(jobs) == 1 else f"jobs {names}"


def are(jobs: dict[int, str]) -> str:
    """Return the verb that goes with them."""
    return "is" if len(jobs) == 1 else "are"


def until_when(session: Session, given: Given) -> str | None:
    """Return the time that --until or --for says, if there is one of them."""
    if given.until:
        return moment(session, given.until)
    if given.span:
        return moment_after(session, given.span)
    return None
