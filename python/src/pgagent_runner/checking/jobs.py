"""What is wrong with jobs now, as the view pgagent.problems has it, and what helps."""

import re
from collections.abc import Iterator
from typing import LiteralString

from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import (
    Finding,
    State,
    cut,
    identifier,
    literal,
    quoted,
    shell,
    warning,
)

_MOST = 200  # problems that are told one by one

_PROBLEMS: LiteralString = """
    SELECT p.job, p.problem, p.detail FROM pgagent.problems AS p
    WHERE p.problem <> 'unarmed' ORDER BY p.job_id NULLS FIRST, p.problem
"""
_OWNER: LiteralString = """
    SELECT pg_catalog.pg_get_userbyid(c.relowner)::text
    FROM pg_catalog.pg_class AS c WHERE c.oid = 'pgagent.pga_job'::pg_catalog.regclass
"""

# Under which name each is told, and how bad it is; others, and those of jobs: jobs run.
_KINDS = {
    "no_runner": ("runner", State.FAULT),
    "isolation": ("isolation", State.FAULT),
    "role": ("roles", State.FAULT),
    "time_zone": ("time zones", State.FAULT),
    "late": ("jobs", State.FAULT),
    "set_aside": ("jobs", State.FAULT),
    "alert": ("alerts", State.WARNING),
}
_VERBS = {
    "failed": ("logs",),
    "aborted": ("logs",),
    "late": ("explain",),
    "long": ("explain",),
    "set_aside": ("explain",),
    "disabled": ("enable",),
}
_SCHEDULE = re.compile(r'schedule "(.*?)" is in a time zone', re.DOTALL)
_BY_CALL = re.compile(r"by SELECT (pgagent\.\w+\(.*?\))(?:$|;)", re.DOTALL)


def problems(case: Case) -> Iterator[Finding]:
    """Tell of what the catalogue itself finds wrong."""
    found = case.ask().rows(_PROBLEMS)
    if any(problem == "no_runner" for _, problem, _ in found):
        # Why jobs are late has been told.
        found = [row for row in found if row[1] != "late"]
    for job, problem, detail in found[:_MOST]:
        check, state = _KINDS.get(problem, ("jobs", State.WARNING))
        whose = "" if job is None else f"job {quoted([job])[0]}: "
        word = f"{problem.replace('_', ' ')}: " if check == "jobs" else ""
        told = f"{whose}{word}{cut(detail)}"
        yield Finding(check, state, told, _remedy(case, job or "", problem, detail))
    if len(found) > _MOST:
        told = f"{len(found) - _MOST} further problems of jobs"
        yield warning("jobs", told, "pgagent problems")


def _remedy(case: Case, job: str, problem: str, detail: str) -> str:
    match problem:
        case "no_runner":
            return "pgagent run, or systemctl start pgagent"
        case "isolation":
            (owner,) = case.ask().row(_OWNER)
            return f"SET ROLE {identifier(owner)}; SELECT pgagent.isolate()"
        case "alert":
            return "pgagent send-alerts"
        case "time_zone":
            schedule = _SCHEDULE.search(detail)
            name = literal(schedule[1]) if schedule else "'SCHEDULE'"
            return (
                f"SELECT pgagent.alter_schedule({literal(job)}, {name},"
                " timezone => 'UTC'), or another that pg_timezone_names has"
            )
        case "role":
            call = _BY_CALL.search(detail)
            change = f"pgagent.alter_job({literal(job)}, owner => 'ROLE')"
            return f"SELECT {call[1] if call else change}"
    return shell("pgagent", *_VERBS.get(problem, ("explain",)), job)
