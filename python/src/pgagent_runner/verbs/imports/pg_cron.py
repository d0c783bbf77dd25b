"""The jobs of pg_cron: what becomes of each.

In the database, pgagent.import_pg_cron() of the extension pgagent_python does the same,
and takes care that no time is lost or doubled by the move; this is for files.
"""

from collections.abc import Iterable
from typing import Any

from pgagent_runner.verbs.imports.found import Attributes, Found, job

Row = dict[str, Any]
"""A row of JOBS."""

# Not just any table of that name: its owner would have his commands run by ours.
IS_THERE = """
    SELECT FROM pg_depend AS d
    JOIN pg_extension AS e
        ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_class AS c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE e.extname = 'pg_cron' AND n.nspname = 'cron' AND c.relname = 'job'"""
ZONE = "SELECT COALESCE(nullif(current_setting('cron.timezone', true), ''), 'GMT')"
JOBS = """
    SELECT to_jsonb(c) || jsonb_build_object('can_own', EXISTS (
        SELECT FROM pg_roles AS r
        WHERE r.rolname = c.username AND NOT EXISTS (
            SELECT FROM pg_roles AS s
            WHERE s.rolsuper AND pg_has_role(r.oid, s.oid, 'MEMBER')
        )
    ))
    FROM cron.job AS c ORDER BY c.jobid"""
HERE = ("localhost", "", "127.0.0.1", "::1")

MISSED = (
    "a time that passes while no runner is alive is made up for by one run, where"
    ' pg_cron leaves it out (missed = "skip" does, too)'
)
QUEUED = (
    "a time that passes while the job is running is left out, where pg_cron has it wait"
    ' (overlap = "queue" does, too)'
)


def import_jobs(rows: Iterable[Row], *, zone: str, user: str | None = None) -> Found:
    """Return the jobs that those of pg_cron become, in the zone of cron.timezone.

    user: whose jobs are taken over; by default everybody's.
    """
    found = Found("pg_cron")
    names: set[str] = set()
    for row in rows:
        name = row.get("jobname") or f"pg_cron job {row['jobid']}"
        if name in names:  # two users can have chosen it
            name += f" ({row['username']})"
        names.add(name)
        if user not in (None, row["username"]):
            found.leave_out(name, f"it runs as {row['username']}")
        else:
            _add(found, name, row, zone)
    found.say_of_all(MISSED, QUEUED)
    return found


def _add(found: Found, name: str, row: Row, zone: str) -> None:
    notes = [] if row["active"] else ["disabled, as it was"]
    schedule = row["schedule"].strip()
    if schedule.lower().endswith(("second", "seconds")):
        notes.append(
            "its interval counts from the schedule's start, where pg_cron's counts from"
            " the run before"
        )
    node = row["nodename"]
    is_here = node in HERE or node.startswith("/")
    owner = row["username"] if is_here and row["can_own"] else None
    if owner:
        notes.append(f"runs as its owner {owner} if allow_run_as() lets it")
    elif is_here:
        notes.append(
            f"runs with the login of the runner, no longer as {row['username']}"
        )
    else:
        notes.append(
            f"connects to {node} as {row['username']}, as pg_cron did: the runner needs"
            " a password file for that"
        )
    found.add(
        job(
            name,
            enabled=None if row["active"] else False,
            owner=owner,
            steps=[
                job(
                    "command",
                    command=row["command"],
                    **({"database": row["database"]} if is_here else _connection(row)),
                )
            ],
            schedules=[job(schedule, schedule=schedule, timezone=zone)],
        ),
        *notes,
    )


def _connection(row: Row) -> Attributes:
    parts = {
        "host": row["nodename"],
        "port": row["nodeport"],
        "dbname": row["database"],
        "user": row["username"],
    }
    return {"conninfo": " ".join(f"{k}={_value(v)}" for k, v in parts.items())}


def _value(value: object) -> str:
    """Quote a value of a connection string."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'" if not text or set(text) & set(" \t\n'\\") else text
