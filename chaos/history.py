"""Jobs for the scenarios, and the history of their runs as the checker wants it."""

from collections.abc import Mapping
from pathlib import Path

from psycopg import sql

from chaos.checker import Run, Skip, Target, Window
from chaos.faults import wait_until
from chaos.server import DATABASE, Connection

EFFECT = "SELECT chaos.effect({job}, {seconds})"
MARKS = "CALL chaos.marks({job})"

# The 4.2 schema lacks some columns; as JSON they are just NULL.
RUNS = """
SELECT jlgid, jlgjobid, extract(epoch FROM jlgstart)::float8, jlgstatus::text,
       extract(epoch FROM jlgstart + jlgduration)::float8,
       extract(epoch FROM (to_jsonb(l) ->> 'jlgscheduled')::timestamptz)::float8,
       to_jsonb(l) ->> 'jlgmessage',
       (SELECT count(*) FROM chaos.effect AS e WHERE e.run = jlgid)
FROM pgagent.pga_joblog AS l
WHERE jlgjobid = ANY (%s) ORDER BY jlgid
"""
OPEN = """
SELECT (SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 'r')
     + (SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r')
     + (SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NOT NULL)
"""


SKIPS = """
SELECT jskjobid, extract(epoch FROM jskfrom)::float8,
       extract(epoch FROM jskuntil)::float8
FROM pgagent.pga_jobskip WHERE jskreason <> ''
"""


def read_skips(conn: Connection) -> list[Skip]:
    """Return what the database says was left out, with a reason."""
    if conn.execute("SELECT to_regclass('pgagent.pga_jobskip')").fetchone() == (None,):
        return []
    return [Skip(*row) for row in conn.execute(SKIPS)]


def effect(seconds: float = 0.05) -> dict[str, str]:
    """Return an SQL step that takes effect once, in the middle of its time."""
    return {"jstkind": "s", "jstcode": EFFECT.replace("{seconds}", str(seconds))}


def marks() -> dict[str, str]:
    """Return an SQL step that commits a mark every 50 ms, for ever."""
    return {"jstkind": "s", "jstcode": MARKS}


def sql_step(code: str) -> dict[str, str]:
    """Return an SQL step."""
    return {"jstkind": "s", "jstcode": code}


def batch(code: str) -> dict[str, str]:
    """Return a batch step."""
    return {"jstkind": "b", "jstcode": code}


def add_job(
    conn: Connection, name: str, *steps: Mapping[str, str], host: str = ""
) -> int:
    """Create a job that is not due yet; "{job}" in its steps is its id."""
    job = _insert(
        conn,
        "pga_job",
        "jobid",
        {"jobjclid": 1, "jobname": name, "jobhostagent": host},
    )
    for number, step in enumerate(steps, 1):
        columns = {"jstjobid": job, "jstname": f"step {number}"} | dict(step)
        columns["jstcode"] = str(columns["jstcode"]).replace("{job}", str(job))
        if columns["jstkind"] == "s":
            columns["jstdbname"] = DATABASE
        _insert(conn, "pga_jobstep", "jstid", columns)
    return job


def add_interval(
    conn: Connection, job: int, seconds: float, delay: float = 0.2
) -> float:
    """Have the job run at an interval, from a time on that is to come; return it."""
    (start,) = conn.execute(
        "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscstart, jscevery)"
        " VALUES (%s, 'interval', now() + make_interval(secs => %s),"
        " make_interval(secs => %s)) RETURNING extract(epoch FROM jscstart)::float8",
        [job, delay, seconds],
    ).fetchone() or (0,)
    return float(start)


def make_due(conn: Connection, jobs: list[int], seconds: float = 0) -> float:
    """Make the jobs due in so many seconds; return when that is."""
    with conn.transaction():
        rows = conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() + make_interval(secs => %s)"
            " WHERE jobid = ANY (%s) RETURNING extract(epoch FROM jobnextrun)::float8",
            [seconds, jobs],
        ).fetchall()
    return float(rows[0][0])


def grid(job: int, start: float, interval: float, until: float) -> list[Target]:
    """Return the times at which an interval makes a job due, before `until`."""
    count = max(0, int((until - start) / interval) + 1)
    dues = (start + interval * n for n in range(count))
    return [Target(job, due) for due in dues if due < until]


def read_runs(
    conn: Connection,
    jobs: list[int],
    *,
    atomic: frozenset[int] = frozenset(),
    counted: frozenset[int] = frozenset(),
    files: Mapping[int, Mapping[int, int]] | None = None,
) -> list[Run]:
    """Return the runs of the jobs.

    Of `counted` jobs the effects are in the database, of those in `files` they were
    counted by run elsewhere.
    """
    runs = []
    for run, job, start, status, end, due, message, effects in conn.execute(
        RUNS, [jobs]
    ):
        seen = effects if job in counted else None
        if files is not None and job in files:
            seen = files[job].get(run, 0)
        runs.append(
            Run(run, job, start, status, end, due, message, seen, job in atomic)
        )
    return runs


def at_rest(conn: Connection) -> bool:
    """Whether no run and no step is open, and no job is claimed."""
    return conn.execute(OPEN).fetchone() == (0,)


def claims_without_run(conn: Connection) -> int:
    """Return how many jobs are claimed though no run of them is open."""
    return scalar(
        conn,
        "SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NOT NULL AND NOT"
        " EXISTS (SELECT FROM pgagent.pga_joblog WHERE jlgjobid = jobid"
        " AND jlgstatus = 'r')",
    )


def scalar(conn: Connection, query: str, *parameters: object) -> int:
    """Return the only value of a query, a number."""
    (value,) = conn.execute(query.encode(), parameters or None).fetchone() or (0,)
    return int(value or 0)


def now(conn: Connection) -> float:
    """Return the server's time."""
    (value,) = conn.execute(
        "SELECT extract(epoch FROM clock_timestamp())::float8"
    ).fetchone() or (0,)
    return float(value)


def has_column(conn: Connection, table: str, column: str) -> bool:
    """Whether a table of the schema has this column."""
    return bool(
        scalar(
            conn,
            "SELECT count(*) FROM pg_attribute WHERE attname = %s"
            " AND attrelid = to_regclass('pgagent.' || %s)",
            *(column, table),
        )
    )


def settle(conn: Connection, seconds: float = 30) -> Window:
    """Let nothing start any more and wait for what runs.

    Return the time in which a job that was just due may have started, or not.
    """
    began = now(conn)
    conn.execute("UPDATE pgagent.pga_job SET jobenabled = false")
    wait_until(lambda: at_rest(conn), seconds)
    return Window(began, now(conn), "the end")


def count_lines(file: Path) -> dict[int, int]:
    """Return how often each number stands in a file, one a line."""
    counts: dict[int, int] = {}
    if file.exists():
        for line in file.read_text().split():
            counts[int(line)] = counts.get(int(line), 0) + 1
    return counts


def _insert(
    conn: Connection, table: str, key: str, columns: Mapping[str, object]
) -> int:
    query = sql.SQL("INSERT INTO pgagent.{} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
        sql.Identifier(key),
    )
    (value,) = conn.execute(query, list(columns.values())).fetchone() or (0,)
    return int(value)
