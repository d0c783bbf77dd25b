"""Verbs that look: list, show, next, runs, logs, explain. They change nothing."""

from typing import Any, LiteralString

from pgagent_runner.verbs.database import Session, connect, fetch, job_id, value
from pgagent_runner.verbs.frame import Given, VerbError
from pgagent_runner.verbs.output import (
    Table,
    coloured,
    fields,
    is_terminal,
    show,
    shown,
    write,
    write_json,
    write_raw,
)
from pgagent_runner.verbs.output import aligned as aligned_table
from pgagent_runner.verbs.text import visible
from pgagent_runner.verbs.times import moment, moment_ago

_FEW_RUNS = 20

# People are shown what is cheap to know; percentiles of all jobs take their time.
_LIST: LiteralString = """
    SELECT s.job_id, s.job, s.state, s.next_run, s.last_run, s.last_status, s.schedule,
           s.problem
    FROM pgagent.job_status AS s
    WHERE NOT %(failed)s OR s.last_status IN ('failed', 'aborted')
    ORDER BY s.job, s.job_id
"""
_LIST_ALL: LiteralString = """
    SELECT s.* FROM pgagent.job_status AS s
    WHERE NOT %(failed)s OR s.last_status IN ('failed', 'aborted')
    ORDER BY s.job, s.job_id
"""

_JOB: LiteralString = """
    SELECT s.*, j.jobdesc AS description, c.jclname AS class, j.jobhostagent AS host,
           j.jobowner AS owner, j.jobtimeout AS timeout, j.joboverlap AS overlap,
           j.jobmissed AS missed, j.jobmissedlimit AS missed_limit,
           j.jobkeepfor AS keep_for, j.jobkeepruns AS keep_runs,
           j.joblateafter AS late_after, j.joblongafter AS long_after,
           j.joblongfactor AS long_factor, j.jobdisableafter AS disable_after,
           j.joblastsuccess AS last_success, j.jobsucceeded AS succeeded,
           j.jobfailed AS failed, j.jobaborted AS aborted, j.jobempty AS empty,
           j.jobcreated AS created, j.jobchanged AS changed
    FROM pgagent.job_status AS s
    JOIN pgagent.pga_job AS j ON j.jobid = s.job_id
    LEFT JOIN pgagent.pga_jobclass AS c ON c.jclid = j.jobjclid
    WHERE s.job_id = %(job)s
"""
_STEPS: LiteralString = """
    SELECT v.step, v.step_id, v.enabled, v.kind, v.mode, v.database, v.has_conninfo,
           v.run_as, CASE t.jstonerror WHEN 'f' THEN 'fail' WHEN 's' THEN 'success'
                          WHEN 'i' THEN 'ignore' END AS on_error,
           t.jsttimeout AS timeout, t.jstretries AS retries,
           t.jstdesc AS description, v.code AS command
    FROM pgagent.steps AS v
    JOIN pgagent.pga_jobstep AS t ON t.jstid = v.step_id
    WHERE v.job_id = %(job)s ORDER BY v.step, v.step_id
"""
_SCHEDULES: LiteralString = """
    SELECT s.jscname AS schedule, s.jscid AS schedule_id,
           pgagent.pga_schedule_text(s) AS text, s.jsctimezone AS timezone,
           s.jscenabled AS enabled, s.jscstart AS start_at, s.jscend AS end_at,
           s.jscdesc AS description
    FROM pgagent.pga_schedule AS s
    WHERE s.jscjobid = %(job)s ORDER BY s.jscname, s.jscid
"""
_EXCEPTIONS: LiteralString = """
    SELECT s.jscname AS schedule, e.jexdate AS date, e.jextime AS time
    FROM pgagent.pga_exception AS e
    JOIN pgagent.pga_schedule AS s ON s.jscid = e.jexscid
    WHERE s.jscjobid = %(job)s
    ORDER BY s.jscname, s.jscid, e.jexdate, e.jextime
"""

_NEXT: LiteralString = """
    SELECT n.run_at, n.run_at - pg_catalog.now() AS starts_in, n.job_id,
           n.job_name AS job, n.schedule_name AS schedule, n.local_time, n.note
    FROM pgagent.next_runs(until => %(until)s::timestamptz,
                           max_rows => %(limit)s::integer) AS n
"""
_NEXT_OF_JOB: LiteralString = """
    SELECT n.run_at, n.run_at - pg_catalog.now() AS starts_in,
           j.jobid::bigint AS job_id,
           j.jobname AS job, n.schedule_name AS schedule, n.local_time, n.note
    FROM pgagent.pga_job AS j
    CROSS JOIN LATERAL pgagent.next_runs(
        j.jobid::bigint, pg_catalog.now(), %(until)s::timestamptz, %(limit)s::integer
    ) AS n
    WHERE j.jobid = %(job)s::bigint
"""

_RUNS: LiteralString = """
    SELECT DISTINCT ON (h.run_id) h.run_id, h.job_id, h.job, h.status, h.scheduled,
           h.started,
           CASE WHEN h.status <> 'running' THEN h.duration
                WHEN pg_catalog.isfinite(h.started)
                THEN pg_catalog.clock_timestamp() - h.started END AS duration,
           h.station, h.started_via, h.started_by, h.restart_of, h.message
    FROM pgagent.run_history AS h
    WHERE (%(job)s::bigint IS NULL OR h.job_id = %(job)s::bigint)
          AND (%(since)s::timestamptz IS NULL OR h.started >= %(since)s::timestamptz)
          AND (NOT %(failed)s OR h.status IN ('failed', 'aborted'))
          -- By the table: there is an index of those under way.
          AND (NOT %(running)s OR h.run_id IN (
              SELECT l.jlgid FROM pgagent.pga_joblog AS l WHERE l.jlgstatus = 'r'))
    ORDER BY h.run_id DESC LIMIT %(limit)s::bigint
"""

_LATEST: LiteralString = """
    SELECT h.run_id FROM pgagent.run_history AS h
    WHERE h.job_id = %s ORDER BY h.run_id DESC LIMIT 1
"""
_IS_RUN: LiteralString = (
    "SELECT EXISTS (SELECT FROM pgagent.run_history AS h WHERE h.run_id = %s)"
)
_LOGS: LiteralString = """
    SELECT h.run_id, h.job_id, h.job, h.status, h.started, h.duration, h.message,
           h.step, h.attempt, h.step_status, h.step_started, h.step_duration, h.result,
           h.output
    FROM pgagent.run_history AS h
    WHERE h.run_id = %(run)s AND (%(step)s::text IS NULL OR h.step = %(step)s::text)
    ORDER BY h.step_log_id
"""
_LONGEST_ID = 18  # digits


def list_jobs(given: Given) -> int:
    """List the jobs."""
    for_people = not (given.json or given.csv or given.expanded)
    query = _LIST if for_people else _LIST_ALL
    with connect(given) as session:
        found = fetch(session, query, {"failed": given.failed})
    nothing = "No job has failed." if given.failed else "There are no jobs."
    only = list(found.columns)
    if for_people and all(row[only.index("problem")] is None for row in found.rows):
        only.remove("problem")
    show(given, Table(found.columns, found.rows, nothing, only))
    return 0


def show_job(given: Given) -> int:
    """Show a job with its parts."""
    with connect(given) as session:
        key = {"job": job_id(session, given.job)}
        job = fetch(session, _JOB, key)
        parts = {
            "steps": fetch(session, _STEPS, key),
            "schedules": fetch(session, _SCHEDULES, key),
            "exceptions": fetch(session, _EXCEPTIONS, key),
        }
    if not job.rows:  # row security: it is there, and somebody else's
        raise VerbError(f'the job "{given.job}" is not yours to look at')
    if given.json:
        write_json(
            _record(job) | {name: _records(part) for name, part in parts.items()}
        )
    elif given.csv:
        show(given, _attributes(job, parts))
    else:
        _print_job(job, parts, is_expanded=given.expanded)
    return 0


def _record(table: Table) -> dict[str, Any]:
    return dict(zip(table.columns, table.rows[0], strict=True))


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _attributes(job: Table, parts: dict[str, Table]) -> Table:
    """Return all of a job as a table of attributes."""
    rows = [("job", _record(job)["job"], *pair) for pair in _record(job).items()]
    for kind, part in parts.items():
        for record in _records(part):
            name = record.get(part.columns[0])
            rows += [(kind.removesuffix("s"), name, *pair) for pair in record.items()]
    return Table(("object", "name", "attribute", "value"), rows)


def _print_job(job: Table, parts: dict[str, Table], *, is_expanded: bool) -> None:
    said = {k: v for k, v in _record(job).items() if _says_something(v)}
    write("".join(f"{line}\n" for line in fields(list(said), list(said.values()))))
    for title, part in parts.items():
        if not part.rows:
            continue
        write(f"\n{title}:\n")
        if is_expanded:
            show_all = [
                line for row in part.rows for line in (*fields(part.columns, row), "")
            ]
            write("\n".join(show_all))
        else:
            write(aligned_table(_brief(part)))


def _says_something(value: object) -> bool:
    return value not in (None, "", []) and value is not False


def _brief(part: Table) -> Table:
    """Return a table without columns that are the same for all and say nothing."""
    kept = [
        place
        for place, name in enumerate(part.columns)
        if not name.endswith("_id")
        and any(_says_something(row[place]) for row in part.rows)
        and not (name == "enabled" and all(row[place] for row in part.rows))
    ]
    rows = [[row[place] for place in kept] for row in part.rows]
    return Table([part.columns[place] for place in kept], rows)


def next_runs(given: Given) -> int:
    """Show when jobs will run."""
    with connect(given) as session:
        chosen = {
            "job": job_id(session, given.job) if given.job else None,
            "until": moment(session, given.until) if given.until else None,
            "limit": given.limit,
        }
        found = fetch(session, _NEXT_OF_JOB if given.job else _NEXT, chosen)
    whom = "it" if given.job else "any job"
    till = " until then" if given.until else ""
    nothing = f"No schedule starts {whom}{till}."
    only = ["run_at", "starts_in", "job", "schedule", "note"]
    if all(row[found.columns.index("note")] is None for row in found.rows):
        only.remove("note")
    show(given, Table(found.columns, found.rows, nothing, only))
    return 0


def list_runs(given: Given) -> int:
    """List runs."""
    limit = given.limit or (None if given.since else _FEW_RUNS)
    with connect(given) as session:
        chosen = {
            "job": job_id(session, given.job) if given.job else None,
            "since": moment_ago(session, given.since) if given.since else None,
            "failed": given.failed,
            "running": given.running,
            "limit": limit,
        }
        found = fetch(session, _RUNS, chosen)
    only = ["run_id", "job", "status", "started", "duration", "message"]
    show(given, Table(found.columns, found.rows, "There is no such run.", only))
    return 0


def run_id(session: Session, text: str) -> int:
    """Return the id of the run that a text stands for: its own, or a job's latest.

    Raises VerbError if there is none.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID
    if is_number and value(session, _IS_RUN, [int(text)]):
        return int(text)
    if is_number and not value(
        session,
        "SELECT EXISTS (SELECT FROM pgagent.pga_job AS j WHERE j.jobname = %s)",
        [text],
    ):
        raise VerbError(f"there is no run {text} in the log")
    latest: int | None = value(session, _LATEST, [job_id(session, text)])
    if latest is None:
        raise VerbError(f'the log has no run of job "{text}"')
    return latest


def print_logs(given: Given) -> int:
    """Print what the steps of a run have written."""
    with connect(given) as session:
        run = run_id(session, given.run)
        found = fetch(session, _LOGS, {"run": run, "step": given.step})
    if given.step and not found.rows:
        raise VerbError(f'run {run} has no step "{given.step}"')
    if given.json or given.csv or given.expanded:
        show(given, found)
        return 0
    records = _records(found)
    write(_head_of_run(records[0]))
    for record in records:
        if record["step"] is not None:
            _print_step(record)
    return 0


def _head_of_run(run: dict[str, Any]) -> str:
    end = f" after {shown(run['duration'])}" if run["duration"] is not None else ""
    status = coloured("status", run["status"])
    lines = [f'run {run["run_id"]} of job "{visible(run["job"])}", {status}{end}']
    lines.append(f"started {shown(run['started'])}")
    if run["message"]:
        lines.append(shown(run["message"]))
    return "".join(f"{line}\n" for line in lines)


def _print_step(step: dict[str, Any]) -> None:
    parts = [f'step "{visible(step["step"])}"']
    if step["attempt"] != 1:
        parts.append(f"attempt {step['attempt']}")
    parts.append(coloured("status", step["step_status"]))
    if step["step_duration"] is not None:
        parts[-1] += f" after {shown(step['step_duration'])}"
    if step["result"] is not None:
        parts.append(f"result {step['result']}")
    write(f"\n--- {', '.join(parts)}\n")
    output = step["output"] or ""
    if output and not output.endswith("\n"):
        output += "\n"
    if is_terminal():
        write_raw(visible(output))
    else:
        write_raw(output)


def explain(given: Given) -> int:
    """Say why a job runs, or why not."""
    with connect(given) as session:
        query: LiteralString = "SELECT e.* FROM pgagent.explain_job(%s::bigint) AS e"
        found = fetch(session, query, [job_id(session, given.job)])
    show(given, found)
    return 0
