"""A job of every kind of part, and what of it is a definition."""

from jobs import add_job, add_schedule

# What changes when a job runs, the ids, and what triggers keep: stands in no history.
NO_DEFINITION = {
    "pga_job": {
        "jobid",
        "jobchanged",
        "jobagentid",
        "jobnextrun",
        "joblastrun",
        "jobrunid",
        "jobfromstep",
        "jobdeaths",
        "jobownerid",
        "jobaskedby",
        "jobchangeid",
        "jobfailures",
        "joblastsuccess",
        "jobsucceeded",
        "jobfailed",
        "jobaborted",
        "jobempty",
    },
    "pga_jobstep": {"jstid", "jstjobid", "jscnextrun", "jstrunasid"},
    "pga_schedule": {"jscid", "jscjobid"},
    "pga_exception": {"jexid"},
}

_PARTS = {
    "pga_job": ("jobid", "t.jobid = %s"),
    "pga_jobstep": ("jstid", "t.jstjobid = %s"),
    "pga_schedule": ("jscid", "t.jscjobid = %s"),
    "pga_exception": (
        "jexid",
        "t.jexscid IN (SELECT jscid FROM pgagent.pga_schedule WHERE jscjobid = %s)",
    ),
}


def definition(conn, job_id):
    """Return table -> id -> columns of a job's definition."""
    found = {}
    for table, (key, condition) in _PARTS.items():
        rows = conn.execute(
            f"SELECT t.{key}, to_jsonb(t) - %s::text[] FROM pgagent.{table} AS t WHERE {condition}",
            [list(NO_DEFINITION[table]), job_id],
        ).fetchall()
        found[table] = dict(rows)
    return found


def make_job(conn, name="etl"):
    """Create a job with two steps, three schedules and two exceptions; return its id."""
    job_id = add_job(
        conn,
        {
            "jstcode": "SELECT 'ä\\''",
            "jstmode": "autocommit",
            "jsttimeout": "90 s",
            "jstretryon": ["40001", "connection"],
        },
        {"jstcode": "#!/bin/sh\ntrue", "jstkind": "b"},
        name=name,
        due=None,
        jobtimeout="1 mon -3 days 04:05:06.789",
    )
    schedule_id = add_schedule(
        conn, job_id, jscname="nightly", jscminutes=[True] + [False] * 59
    )
    add_schedule(
        conn,
        job_id,
        jscname="interval",
        jscevery="90 s",
        jscstart="2031-01-01 00:00:00.25+00",
    )
    add_schedule(conn, job_id, jscname="once", jscat="2051-01-01 00:00+00")
    conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)"
        " VALUES (%s, '2040-12-25', NULL), (%s, NULL, '12:00')",
        [schedule_id, schedule_id],
    )
    return job_id


def now(conn):
    """Return the server's time, between what was done and what comes."""
    return conn.execute("SELECT clock_timestamp()").fetchone()[0]


def revert(conn, job, as_of):
    return conn.execute("SELECT pgagent.revert_job(%s, %s)", [job, as_of]).fetchone()[0]


def last_change(conn):
    """Return (by, login, object, name, action, old, new) of the last change."""
    return conn.execute(
        "SELECT jchby, jchlogin, jchobject, jchname, jchaction, jchold, jchnew"
        " FROM pgagent.pga_jobchange ORDER BY jchid DESC LIMIT 1"
    ).fetchone()
