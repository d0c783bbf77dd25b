"""Taking over the jobs of the extension pg_cron."""

from typing import Any

# Not just any table of that name: its owner would have his commands run by ours.
IS_THERE = """
    SELECT 1 FROM pg_depend AS d
    JOIN pg_extension AS e
        ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE e.extname = 'pg_cron'
        AND d.classid = 'pg_class'::regclass AND d.objid = to_regclass('cron.job')"""
ZONE = """
    SELECT COALESCE(nullif(current_setting('cron.timezone', true), ''), 'GMT')
        AS zone"""
JOBS = """
    SELECT jobid, schedule, command, nodename, database, username, active, jobname,
        username <> current_user AS foreign_user
    FROM cron.job ORDER BY jobid"""
HERE = ("localhost", "", "127.0.0.1", "::1")


class DryRunError(Exception):
    """Undoes what was done to see whether it can be done."""


def name_of(job: "dict[str, Any]", taken: "set[str]") -> str:
    """Return the name that a job gets: its own, which two users can have chosen."""
    name = job["jobname"] or f"pg_cron job {job['jobid']}"
    return f"{name} ({job['username']})" if name in taken else name


def differences(job: "dict[str, Any]") -> "tuple[list[str], bool]":
    """Say what is not as it was, and whether the job is enabled."""
    notes = [] if job["active"] else ["disabled, as it was"]
    if job["foreign_user"]:
        notes.append(
            f"runs with the login of the runner, no longer as {job['username']}"
        )
    node = job["nodename"]
    here = node in HERE or node.startswith("/")
    if not here:
        notes.append(
            f"disabled: it would run on the runner's server, no longer on {node}"
        )
    return notes, job["active"] and here


def make_job(name: str, job: "dict[str, Any]", zone: str, enabled: bool) -> None:  # noqa: FBT001
    """Make the job that a job of pg_cron becomes."""
    ask(
        "SELECT pgagent.pga_job_make($1, $2, 'sql'::text, $3, $4, $5, $6)",
        "text text text text text boolean",
        *(name, job["schedule"], job["command"], job["database"], zone, enabled),
    )


def take_over(
    name: str,
    job: "dict[str, Any]",
    zone: str,
    dry: bool,  # noqa: FBT001
    all_users: bool,  # noqa: FBT001
) -> str:
    """Take over one job, and say what becomes of it."""
    if ask("SELECT 1 FROM pgagent.pga_job WHERE jobname = $1", "text", name):
        return "left alone: there is a job of this name"
    if job["foreign_user"] and not all_users:
        return (
            f"left alone: it ran as {job['username']},"
            " and would run with the login of the runner"
        )
    notes, enabled = differences(job)
    try:
        with plpy.subtransaction():
            make_job(name, job, zone, enabled)
            if dry:
                raise DryRunError
    except DryRunError:
        pass
    except plpy.SPIError as e:
        return "problem: " + str(e).split("\n")[0]
    done = "would become a job" if dry else "has become a job"
    return "; ".join([done, *notes])


def import_pg_cron(
    dry_run: "bool | None", all_users: "bool | None"
) -> "list[tuple[int, str, str, str, str]]":
    """Take over all jobs, or none; a dry run, the default, is undone."""
    if not ask(IS_THERE):
        plpy.error(
            "pgagent: import_pg_cron: there is no table cron.job"
            " of the extension pg_cron",
            sqlstate="42P01",
            detail="It is in the database that cron.database_name says.",
        )
    dry = dry_run is not False
    zone = ask(ZONE)[0]["zone"]
    rows = []
    names: set[str] = set()
    for job in ask(JOBS):
        name = name_of(job, names)
        names.add(name)
        result = take_over(name, job, zone, dry, bool(all_users))
        rows.append((job["jobid"], name, job["schedule"], job["database"], result))
    problems = [(row[0], row[4][9:]) for row in rows if row[4].startswith("problem: ")]
    if problems and not dry:
        plpy.error(
            f"pgagent: import_pg_cron: job {problems[0][0]}: {problems[0][1]}",
            sqlstate="22023",
            detail=f"{len(problems)} jobs can't be taken over, and none was;"
            " a dry run lists them.",
        )
    return rows
