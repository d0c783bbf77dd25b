"""Jobs for tests: defined by plain INSERTs, as pgAdmin does."""

from itertools import count

_number = count(1)


def add_job(conn, *steps, due="now()", name=None, **columns):
    """Create a job with these steps (dicts of columns, or SQL texts); return its id.

    `due` is an SQL expression for jobnextrun: by default the job is due at once.
    """
    columns = {"jobjclid": 1, "jobname": name or f"job {next(_number)}"} | columns
    job_id = _insert(conn, "pga_job", "jobid", columns)
    for number, step in enumerate(steps, 1):
        add_step(conn, job_id, step, name=f"step {number:02}")
    if due is not None:
        conn.execute(
            f"UPDATE pgagent.pga_job SET jobnextrun = {due} WHERE jobid = %s", [job_id]
        )
    return job_id


def add_step(conn, job_id, step, name="step"):
    """Add a step, by default an SQL step in this database; return its id."""
    columns = {"jstjobid": job_id, "jstname": name, "jstkind": "s"}
    columns |= {"jstcode": step} if isinstance(step, str) else step
    if columns["jstkind"] == "s" and "jstconnstr" not in columns:
        columns.setdefault("jstdbname", conn.info.dbname)
    return _insert(conn, "pga_jobstep", "jstid", columns)


def batch(code, **columns):
    """Return the columns of a batch step."""
    return {"jstkind": "b", "jstcode": code} | columns


def add_schedule(conn, job_id, **columns):
    """Add a schedule, by default of every minute; return its id."""
    columns = {"jscjobid": job_id, "jscname": "schedule"} | columns
    return _insert(conn, "pga_schedule", "jscid", columns)


def runs(conn, job_id=None):
    """Return (status, message) of the runs of a job, or of all, in order."""
    return conn.execute(
        "SELECT jlgstatus, jlgmessage FROM pgagent.pga_joblog"
        " WHERE jlgjobid = COALESCE(%s, jlgjobid) ORDER BY jlgid",
        [job_id],
    ).fetchall()


def step_runs(conn, job_id=None):
    """Return (name, status, result, output) of the steps that ran, in order."""
    return conn.execute(
        "SELECT jstname, jslstatus, jslresult, jsloutput FROM pgagent.pga_jobsteplog"
        " JOIN pgagent.pga_jobstep ON jstid = jsljstid"
        " WHERE jstjobid = COALESCE(%s, jstjobid) ORDER BY jslid",
        [job_id],
    ).fetchall()


def job(conn, job_id, column):
    """Return a column of a job."""
    row = conn.execute(
        f"SELECT {column} FROM pgagent.pga_job WHERE jobid = %s", [job_id]
    ).fetchone()
    return row and row[0]


def _insert(conn, table, key, columns):
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    query = f"INSERT INTO pgagent.{table} ({names}) VALUES ({places}) RETURNING {key}"
    return conn.execute(query, list(columns.values())).fetchone()[0]
