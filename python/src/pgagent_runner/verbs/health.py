"""What is wrong now: `problems`, a table, and `health`, a line for Nagios and its kin.

`health` answers whatever happens: a server may be gone, frozen, or behind a name that
nobody resolves, and libpq waits for the last two where no signal ends that. So a child
looks, and its parent waits for as long as it was told.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, LiteralString, NoReturn

import psycopg

from pgagent_runner.catalog.probes import is_down
from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.verbs.database import Session, connect, fetch, job_id
from pgagent_runner.verbs.frame import Given, LostError, VerbError
from pgagent_runner.verbs.output import Table, in_words, show, write
from pgagent_runner.verbs.text import clipped, visible

_PROBLEMS: LiteralString = """
    SELECT p.job_id, p.job, p.problem, p.since, p.detail FROM pgagent.problems AS p
    WHERE %(job)s::bigint IS NULL OR p.job_id = %(job)s::bigint
    ORDER BY p.since, p.job, p.job_id, p.problem
"""

# The trouble of all jobs is this job's, too; but not the messages that wait to be sent.
_PROBLEMS_OF: LiteralString = """
    SELECT p.job_id, p.job, p.problem, p.detail FROM pgagent.problems AS p
    WHERE %(job)s::bigint IS NULL OR p.job_id = %(job)s::bigint
          OR (p.job_id IS NULL AND p.problem <> 'alert')
    ORDER BY p.since, p.job, p.job_id, p.problem
"""
_FIGURES: LiteralString = """
    SELECT pgagent.pga_unarmed(),
           (SELECT count(*) FROM pgagent.agents AS a WHERE a.alive),
           (SELECT count(*) FROM pgagent.pga_job AS j
            WHERE j.jobagentid IS NOT NULL
                  AND (%(job)s::bigint IS NULL OR j.jobid = %(job)s::bigint))
"""
# A time that is infinitely long ago is a century ago.
_WAITING: LiteralString = """
    SELECT w.job_id, w.job, w.reason, extract(epoch FROM pg_catalog.now() - greatest(
               w.since, pg_catalog.now() - interval '100 years'))::double precision
    FROM pgagent.pga_waiting AS w
    WHERE %(job)s::bigint IS NULL OR w.job_id = %(job)s::bigint
    ORDER BY w.since, w.job_id LIMIT 1
"""
_PATIENCE: LiteralString = """
    SELECT pg_catalog.set_config('statement_timeout', %s, true)
"""

_NO_RUNNER = 'no runner is alive: start one with "pgagent run"'
_TOLD_AT_MOST = 3
_LONGEST = 400  # characters of each
_CANCELLED = "57014"
_CONNECT_SECONDS = "5"  # of the ten that there are, for each host
# Of the one job that is looked at, these are worse.
_FATAL = ("failed", "aborted", "disabled", "role", "time_zone")


def list_problems(given: Given) -> int:
    """List what is wrong now."""
    with connect(given) as session:
        job = job_id(session, given.job) if given.job else None
        found = fetch(session, _PROBLEMS, {"job": job})
    only = ["job", "problem", "since", "detail"]
    show(given, Table(found.columns, found.rows, "There is no problem.", only))
    return 0


class Status(IntEnum):
    """What Nagios takes an exit code for."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not well, and how bad that is."""

    status: Status
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job that has been due for longest, and has not started."""

    job_id: int
    job: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What the database says, of all jobs or of one."""

    unarmed: str | None
    runners: int
    running: int
    waiting: Waiting | None
    problems: Sequence[Sequence[Any]]


def health(given: Given) -> int:
    """Print a line, and return what it says as Nagios' exit code."""
    sys.stdout.flush()
    status, line = _within(given.timeout, lambda: _answer(given)) or _no_answer(given)
    write(f"PGAGENT {status.name} - {line}\n")
    return status


def _answer(given: Given) -> tuple[Status, str]:
    """Return the status and the line, whatever the database is like."""
    given.asks = False  # nobody is there to be asked for a password
    os.environ.setdefault("PGCONNECT_TIMEOUT", _CONNECT_SECONDS)
    if given.warning > given.critical:
        told = f"--warning {given.warning} is more than --critical {given.critical}"
        return Status.UNKNOWN, told
    try:
        with connect(given) as session:
            seen = _look(session, given)
    except (VerbError, ConfigurationError) as e:
        return _no_look(e), _plain(str(e))
    return _judged(given, seen)


def _no_answer(given: Given) -> tuple[Status, str]:
    return Status.CRITICAL, f"no answer from the database within {given.timeout} s"


def _no_look(error: Exception) -> Status:
    """Tell whether the database is down, or only this check is wrong."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error):
        return Status.UNKNOWN
    is_lost = isinstance(error, LostError) and is_down(str(cause))
    is_slow = cause.sqlstate == _CANCELLED
    return Status.CRITICAL if is_lost or is_slow else Status.UNKNOWN


def _look(session: Session, given: Given) -> Seen:
    session.execute(_PATIENCE, [f"{given.timeout}s"])
    job = {"job": job_id(session, given.job) if given.job else None}
    ((unarmed, runners, running),) = fetch(session, _FIGURES, job).rows
    waiting = [Waiting(*row) for row in fetch(session, _WAITING, job).rows]
    problems = fetch(session, _PROBLEMS_OF, job).rows
    return Seen(unarmed, runners, running, waiting[0] if waiting else None, problems)


def _judged(given: Given, seen: Seen) -> tuple[Status, str]:
    findings = sorted(_findings(given, seen), key=lambda one: -one.status)
    status = findings[0].status if findings else Status.OK
    told = [_plain(one.text) for one in findings[:_TOLD_AT_MOST]]
    if len(findings) > _TOLD_AT_MOST:
        told.append(f"and {len(findings) - _TOLD_AT_MOST} more (pgagent problems)")
    line = "; ".join(told) or _all_is_well(seen)
    return status, f"{line} | {_performance(given, seen)}"


def _findings(given: Given, seen: Seen) -> Iterator[Finding]:
    kinds = {problem for _, _, problem, _ in seen.problems}
    late = _late(given, seen.waiting)
    if late:
        yield late
    if not seen.runners and not seen.unarmed and "no_runner" not in kinds:
        yield Finding(Status.WARNING, _NO_RUNNER)
    for job, name, problem, detail in seen.problems:
        is_told = late and seen.waiting and job == seen.waiting.job_id
        if problem == "late" and is_told:
            continue
        of = f'job "{name}", {problem}: ' if name is not None else ""
        yield Finding(_badness(given, problem), f"{of}{detail}")


def _late(given: Given, waiting: Waiting | None) -> Finding | None:
    """Return what is to be said of the job that has waited for longest."""
    if waiting is None or waiting.seconds <= given.warning:
        return None
    is_worse = waiting.seconds > given.critical
    told = f'job "{waiting.job}" has been due for {in_words(waiting.seconds)}'
    status = Status.CRITICAL if is_worse else Status.WARNING
    return Finding(status, f"{told}: {waiting.reason}")


def _badness(given: Given, problem: str) -> Status:
    is_fatal = problem == "isolation" or (given.job and problem in _FATAL)
    return Status.CRITICAL if is_fatal else Status.WARNING


def _all_is_well(seen: Seen) -> str:
    if seen.unarmed:
        return f"no job is due; {_plain(seen.unarmed)}"
    waits = "none is due"
    if seen.waiting:
        waits = f"one has been due for {in_words(seen.waiting.seconds)}"
    runners = "1 runner is" if seen.runners == 1 else f"{seen.runners} runners are"
    running = "1 job is" if seen.running == 1 else f"{seen.running} jobs are"
    return f"{runners} alive, {running} under way, {waits}"


def _performance(given: Given, seen: Seen) -> str:
    late = max(seen.waiting.seconds, 0) if seen.waiting else 0
    return (
        f"late={late:.0f}s;{given.warning};{given.critical} running={seen.running}"
        f" problems={len(seen.problems)} runners={seen.runners}"
    )


def _plain(text: str) -> str:
    """Return a text without what would end the line, or begin the figures."""
    return clipped(visible(" ".join(text.split())).replace("|", "/"), _LONGEST)


def _within(
    seconds: int, ask: Callable[[], tuple[Status, str]]
) -> tuple[Status, str] | None:
    """Return a child's answer; None if there is none after so many seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _tell(writing, seconds, ask)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123
        answered, _, _ = select.select([pipe], [], [], seconds)
        answer = pipe.read() if answered else b""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not answer:
        return None
    status, line = json.loads(answer)
    return Status(status), line


def _tell(writing: int, seconds: int, ask: Callable[[], Any]) -> NoReturn:
    """Be the child: write the answer, and end, in any case soon after the parent."""
    signal.alarm(seconds + 1)
    try:
        os.write(writing, json.dumps(ask()).encode())
    finally:
        os._exit(0)
