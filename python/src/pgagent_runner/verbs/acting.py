"""Verbs that act: start, cancel, enable, disable, pause, unpause, copy, delete-log."""

import time
from typing import LiteralString

from pgagent_runner.verbs.chosen import (
    are,
    job_name,
    listed,
    named,
    refuse_both,
    until_when,
)
from pgagent_runner.verbs.database import (
    Session,
    connect,
    fetch,
    job_id,
    renew,
    settle,
    value,
)
from pgagent_runner.verbs.frame import (
    FAILED,
    Given,
    LostError,
    VerbError,
    ask,
    confirm,
    has_terminal,
    say,
)
from pgagent_runner.verbs.output import Table, report, shown
from pgagent_runner.verbs.times import moment_ago

# What has become of a run that was asked for, all of it as of one moment.
_RUN: LiteralString = """
    SELECT (SELECT h.status FROM pgagent.run_history AS h
            WHERE h.run_id = %(run)s::bigint LIMIT 1) AS status,
           EXISTS (SELECT FROM pgagent.job_status AS s
                   WHERE s.job_id = %(job)s::bigint
                         AND %(run)s::bigint = ANY (s.promised)) AS is_promised
"""
_ENDED: LiteralString = """
    SELECT h.run_id, h.job_id, h.job, h.status, h.started, h.duration, h.message
    FROM pgagent.run_history AS h WHERE h.run_id = %s::bigint LIMIT 1
"""

# Whether anything of a run, or of a job, is under way; see cancel_run(text).
_HAS_BEGUN: LiteralString = """
    SELECT EXISTS (
        SELECT FROM pgagent.running AS r
        WHERE r.job = %(target)s::text
              OR r.run_id::text = %(target)s::text AND NOT EXISTS (
                  SELECT FROM pgagent.pga_job AS j WHERE j.jobname = %(target)s::text
              )
    )
"""
_STILL_PAUSED: LiteralString = """
    SELECT count(*) FROM pgagent.job_status AS s
    WHERE s.paused AND (s.job_id = ANY (%(jobs)s::bigint[]) OR %(all)s::boolean)
"""
_GOOD = ("succeeded", "nothing to do")
_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 1.0  # seconds between two looks
_PATIENCE = 60.0  # seconds without a connection

_DELETE: LiteralString = """
    SELECT pgagent.delete_log(%(job)s::bigint, %(before)s::timestamptz,
                              %(keep)s::integer, %(most)s::integer, %(dry)s::boolean)
"""
_RUNS_AT_ONCE = 1000


def start(given: Given) -> int:
    """Start a job, and maybe wait for the end of its run."""
    with connect(given) as session:
        job = job_id(session, given.job)
        name = job_name(session, job)
        query: LiteralString = "SELECT pgagent.run_job(%s::bigint, %s::text)"
        run: int = value(session, query, [job, given.from_step])
        if not given.wait:
            told = f'job "{name}" has been asked to run: run {run}'
            columns = ("run_id", "job_id", "job")
            report(given, told, Table(columns, [(run, job, name)]))
            return 0
    try:
        return _report_end(given, _ended(given, job, run))
    except (KeyboardInterrupt, LostError):
        say(given, f"run {run} goes on; pgagent cancel {run} would stop it")
        raise


def _ended(given: Given, job: int, run: int) -> Table:
    """Return how a run has ended; the server may be restarted meanwhile.

    Raises LostError if it can't be reached for a minute.
    """
    patience = _PATIENCE
    while True:
        try:
            with connect(given) as session:
                patience = _PATIENCE
                _await_end(session, job, run)
                return fetch(session, _ENDED, [run])
        except LostError:
            if patience <= 0:
                raise
            time.sleep(_LONGEST_WAIT)
            patience -= _LONGEST_WAIT


def _await_end(session: Session, job: int, run: int) -> None:
    """Wait for the end of a run that has been promised.

    Raises VerbError if it will not begin any more.
    """
    pause = _SHORTEST_WAIT
    while True:
        ((status, is_promised),) = fetch(session, _RUN, {"job": job, "run": run}).rows
        if status is None and not is_promised:
            raise VerbError(f"run {run} was taken back before it began")
        if status not in (None, "running"):
            return
        session.commit()  # a snapshot that is held keeps dead rows
        time.sleep(pause)
        settle(session)
        pause = min(pause * 1.5, _LONGEST_WAIT)


def _report_end(given: Given, ended: Table) -> int:
    run, _, name, status, _, duration, message = ended.rows[0]
    took = "" if duration is None else f" after {shown(duration)}"
    why = f": {message}" if message else ""
    told = f'run {run} of job "{name}", {status}{took}{why}'
    report(given, told, ended)
    return 0 if status in _GOOD else FAILED


def cancel(given: Given) -> int:
    """Stop a run, or all of a job that is under way or promised."""
    # Nobody is there to be asked in a script; what was stopped can be started again.
    question = f'Stop what is under way or promised of "{given.target}"?'
    if has_terminal() and not given.yes and not ask(question):
        say(given, "nothing was stopped")
        return 0
    with connect(given) as session:
        query: LiteralString = "SELECT pgagent.cancel_run(%s::text)"
        was_stopped: bool = value(session, query, [given.target])
        has_begun: bool = value(session, _HAS_BEGUN, {"target": given.target})
    if not was_stopped:
        raise VerbError(f'nothing of "{given.target}" is under way or promised')
    told = f'what was promised of "{given.target}" is taken back'
    if has_begun:
        told = f'"{given.target}" is being stopped'
    report(given, told, Table(("target", "cancelled"), [(given.target, True)]))
    return 0


def enable(given: Given) -> int:
    """Enable jobs."""
    return _set_enabled(given, enabled=True)


def disable(given: Given) -> int:
    """Disable jobs."""
    return _set_enabled(given, enabled=False)


def _set_enabled(given: Given, *, enabled: bool) -> int:
    with connect(given) as session:
        jobs = named(session, given.jobs)
        for job in jobs:
            session.execute(
                "SELECT pgagent.alter_job(%s::bigint, enabled => %s::boolean)",
                [job, enabled],
            )
    word = "enabled" if enabled else "disabled"
    rows = [(job, name, enabled) for job, name in jobs.items()]
    told = f"{listed(jobs)} {are(jobs)} {word}"
    report(given, told, Table(("job_id", "job", "enabled"), rows))
    return 0


def pause(given: Given) -> int:
    """Pause jobs, or all."""
    refuse_both(given)
    with connect(given) as session:
        until = until_when(session, given)
        jobs = named(session, given.jobs)
        if given.all:
            session.execute(
                "SELECT pgagent.pause_all(%s::timestamptz, %s::text)",
                [until, given.reason],
            )
        for job in jobs:
            session.execute(
                "SELECT pgagent.pause_job(%s::bigint, %s::timestamptz, %s::text)",
                [job, until, given.reason],
            )
        end = value(session, "SELECT %s::timestamptz", [until])
    till = f" until {shown(end)}" if until else ""
    which: list[tuple[object, ...]] = [*jobs.items()] or [(None, None)]
    rows = [(job, name, end) for job, name in which]
    told = f"{listed(jobs)} {are(jobs)} paused{till}"
    report(given, told, Table(("job_id", "job", "paused_until"), rows))
    return 0


def unpause(given: Given) -> int:
    """End the pause of jobs, or the one of all."""
    refuse_both(given)
    with connect(given) as session:
        jobs = named(session, given.jobs)
        if given.all:
            session.execute("SELECT pgagent.unpause_all()")
        for job in jobs:
            session.execute("SELECT pgagent.unpause_job(%s::bigint)", [job])
        chosen = {"jobs": list(jobs), "all": given.all}
        still: int = value(session, _STILL_PAUSED, chosen)
    rows: list[tuple[object, ...]] = [*jobs.items()] or [(None, None)]
    told = f"{listed(jobs)} {are(jobs)} paused no more"
    if given.all:
        told = "there is no pause of all jobs any more"
        if still:
            told += f"; paused by themselves, and still so: {still:,}"
    elif still:
        told = f"{listed(jobs)} {are(jobs)} still paused, as all jobs are"
    report(given, told, Table(("job_id", "job"), rows))
    return 0


def copy(given: Given) -> int:
    """Make a job like another one."""
    with connect(given) as session:
        job = job_id(session, given.job)
        query: LiteralString = (
            "SELECT pgagent.copy_job(%s::bigint, %s::text, %s::boolean)"
        )
        new: int = value(session, query, [job, given.name, given.enable])
    state = "enabled" if given.enable else "disabled"
    told = f'job "{given.name}" has been made, with the id {new}; it is {state}'
    columns = ("job_id", "job", "enabled")
    report(given, told, Table(columns, [(new, given.name, given.enable)]))
    return 0


def delete_log(given: Given) -> int:
    """Delete old runs from the log."""
    refuse_both(given)
    with connect(given) as session:
        before = moment_ago(session, given.before or "now")
        jobs = named(session, given.jobs) if given.jobs else _all(session)
        chosen = {"before": before, "keep": given.keep, "most": None, "dry": True}
        found = {job: value(session, _DELETE, {"job": job} | chosen) for job in jobs}
        total = sum(found.values())
        renew(session)
        what = f"{total:,} {'run' if total == 1 else 'runs'} of {_whose(given, jobs)}"
        if total and not confirm(given, f"Delete {what} from the log?"):
            return 0
        chosen |= {"most": _RUNS_AT_ONCE, "dry": False}
        deleted = {
            job: _deleted(session, {"job": job} | chosen)
            for job, count in found.items()
            if count
        }
    count = sum(deleted.values())
    told = f"{count:,} {'run was' if count == 1 else 'runs were'} deleted from the log"
    rows = [(job, jobs[job], number) for job, number in deleted.items()]
    report(given, told, Table(("job_id", "job", "deleted"), rows))
    return 0


def _deleted(session: Session, chosen: dict[str, object]) -> int:
    """Delete what was chosen, in short transactions; return how many runs that were."""
    total = 0
    while True:
        deleted: int = value(session, _DELETE, chosen)
        renew(session)
        total += deleted
        if deleted < _RUNS_AT_ONCE:
            return total


def _all(session: Session) -> dict[int, str]:
    query: LiteralString = (
        "SELECT j.jobid::bigint, j.jobname FROM pgagent.pga_job AS j ORDER BY j.jobid"
    )
    return {int(job): str(name) for job, name in fetch(session, query).rows}


def _whose(given: Given, jobs: dict[int, str]) -> str:
    return "all jobs" if given.all else listed(jobs)
