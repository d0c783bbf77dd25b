"""Jobs of every kind, as rows: each public column differs from its default in one."""

from typing import Any

from jobs import add_job, add_schedule, add_step, batch

# Of pga_job; NULL and "for ever" are values, too.
JOBS: dict[str, dict[str, Any]] = {
    "described": {"jobdesc": 'line 1\nline "2"\twith \\ and Ünï\r\n'},
    "of a class of its own": {"jobjclid": "class"},
    "of another stock class": {"jobjclid": 2},
    "on one host": {"jobhostagent": "elsewhere"},
    "disabled": {"jobenabled": False},
    "owned": {"jobowner": "pga_keeper"},
    "limited": {"jobtimeout": "1 day 02:03:04.5"},
    "queueing": {"joboverlap": "queue"},
    "missing all": {"jobmissed": "all"},
    "missing none": {"jobmissed": "skip"},
    "late": {"jobmissedlimit": "2 hours"},
    "watched": {
        "joblateafter": "1 hour",
        "joblongafter": "2 hours",
        "joblongfactor": 1.5,
        "jobdisableafter": 3,
    },
    "not watched": {"joblateafter": None},
    "kept for long": {"jobkeepfor": "1 year"},
    "kept for ever": {"jobkeepfor": None},
    "with many runs": {"jobkeepruns": 12345},
    "with all runs": {"jobkeepruns": None},
    "with neither limit": {"jobkeepfor": None, "jobkeepruns": None},
}

STEPS: dict[str, dict[str, Any]] = {
    "described": {"jstdesc": "what it does"},
    "disabled": {"jstenabled": False},
    "in another database": {"jstdbname": "another"},
    "by a connection string": {"jstconnstr": "service=there", "jstdbname": ""},
    "run as somebody": {"jstrunas": "pga_keeper"},
    "autocommit": {"jstmode": "autocommit"},
    "atomic": {"jstmode": "atomic"},
    "a success anyway": {"jstonerror": "s"},
    "ignored": {"jstonerror": "i"},
    "limited": {"jsttimeout": "90 seconds"},
    "tried again": {"jstretries": 3},
    "after a while": {"jstretries": 1, "jstretrydelay": "00:01:30"},
    "at once": {"jstretrydelay": "0"},
    "ever later": {"jstretrybackoff": 1.1},
    "for a reason": {"jstretryon": ["40001", "connection"]},
    "for no reason": {"jstretryon": []},
    "of nothing": {"jstcode": ""},
    "of blanks": {"jstcode": "  \n\t"},
    "of quotes": {"jstcode": 'SELECT \'\'\'\', """""" -- \'\'\'\n""""\\'},
    "of one line": {"jstcode": "SELECT E'\\\\', $$'$$"},
    "of the ends of lines": {"jstcode": "\r\nSELECT 1\r\n\n\rSELECT 2\n'"},
    "of controls": {"jstcode": "\x01\x1b[31m\x7f\u2028\ufeff\U0001f600\n\x02"},
}

# Texts of schedules; the field that is selected in full is not the one that is empty.
TEXTS = (
    "30 2 * * *",
    "0 9 * * mon-fri",
    "*/15 8-17 * * *",
    "0 0 1,15 jan,jul *",
    "0 12 L * *",
    "0 12 5,L * *",
    "0 12 1-31,L * *",
    "0 9 13 * fri",
    "0 9 1-7 * &mon",
    "0-59 0-23 1-31 1-12 *",
    "0-59 * * * 0-6",
    "0 0 1-31 * &0-6",
    "* * * * *",
    "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37 1,3,5,7 * * *",
    "@hourly",
    "@every 90 seconds",
    "366 days",
    "@at 2091-05-01 09:00 Europe/Berlin",
    "@at 2091-10-28T02:30:00+01:00",
    "@reboot",
)

SCHEDULES: dict[str, dict[str, Any]] = {
    "described": {"jscdesc": "why"},
    "disabled": {"jscenabled": False},
    "in Berlin": {"jsctimezone": "Europe/Berlin"},
    "from then on": {"jscstart": "2090-01-01 00:00+00"},
    "until then": {"jscend": "2090-01-01 00:00+00"},
    "of months": {"jscevery": "1 mon", "jscstart": "2024-01-31 12:00+00"},
    "of fractions": {"jscevery": "00:00:01.5", "jscstart": "2024-01-01 00:00+00"},
    "of a day": {"jscevery": "1 day", "jscstart": "2024-01-01 00:00+00"},
    "once, to the millisecond": {"jscat": "2091-01-01 00:00:00.125+00"},
    "once, and it has been": {"jscat": "2001-01-01 00:00+00", "jscenabled": False},
    "once, in an hour that comes twice": {
        "jscat": "2091-10-28 01:30+00",
        "jsctimezone": "Europe/Berlin",
    },
}


def make(conn):
    """Make the jobs; return how many there are."""
    conn.execute("""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pga_keeper') THEN
                CREATE ROLE pga_keeper;
            END IF;
        END; $$
    """)
    (klass,) = conn.execute(
        "INSERT INTO pgagent.pga_jobclass (jclname) VALUES ('Our \"own\"') RETURNING jclid"
    ).fetchone()
    for name, columns in JOBS.items():
        known = {k: klass if v == "class" else v for k, v in columns.items()}
        add_job(conn, "SELECT 1", name=f"job {name}", due=None, **known)
    for name, columns in STEPS.items():
        job_id = add_job(conn, name=f"step {name}", due=None)
        add_step(conn, job_id, {"jstcode": "SELECT 1"} | columns, name=name)
    for text in TEXTS:
        job_id = add_job(conn, batch("true"), name=f"at {text}", due=None)
        conn.execute("SELECT pgagent.add_schedule(%s::bigint, %s)", [job_id, text])
        conn.execute(
            "SELECT pgagent.add_schedule(%s::bigint, %s, 'named', 'Europe/Berlin')",
            [job_id, text],
        )
    for name, columns in SCHEDULES.items():
        job_id = add_job(conn, "SELECT 1", name=f"schedule {name}", due=None)
        add_schedule(conn, job_id, jscname=name, **columns)
    _make_odd_ones(conn)
    (count,) = conn.execute("SELECT count(*) FROM pgagent.pga_job").fetchone()
    return count


def _make_odd_ones(conn):
    """Make jobs, and parts, that share their names, and some with exceptions."""
    for code in ("SELECT 1", "SELECT 2"):
        job_id = add_job(conn, code, name="twin", due=None)
        add_step(conn, job_id, "SELECT 'b'", name="same")
        add_step(conn, job_id, "SELECT 'a'", name="same")
        add_schedule(conn, job_id, jscname="same", jschours=_only(24, 5))
        add_schedule(conn, job_id, jscname="same", jschours=_only(24, 4))
    job_id = add_job(conn, name="of nothing", due=None)
    job_id = add_job(conn, name="with exceptions", due=None)
    schedule = add_schedule(conn, job_id, jscname="daily")
    for date, time in (
        ("2090-12-25", None),
        (None, "12:30"),
        ("2090-12-24", "00:00"),
        ("4713-01-01 BC", None),
    ):
        conn.execute(
            "INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES (%s, %s, %s)",
            [schedule, date, time],
        )


def _only(size, selected):
    return [place == selected for place in range(size)]


# All columns but ids and times, and what follows from times: the image in the fields of a
# schedule that goes by the start of a runner.
DEFINITIONS = """
SELECT 'class', jclname, NULL::text, NULL, to_jsonb(c) - 'jclid'
FROM pgagent.pga_jobclass AS c
UNION ALL
SELECT 'job', j.jobname, NULL, jclname, to_jsonb(j) - '{jobid,jobjclid,jobcreated,jobchanged,
    jobnextrun,joblastrun,jobagentid,jobchangeid,jobaskedby}'::text[]
FROM pgagent.pga_job AS j JOIN pgagent.pga_jobclass ON jclid = jobjclid
UNION ALL
SELECT 'step', jobname, jstname, NULL, to_jsonb(s) - '{jstid,jstjobid}'::text[]
FROM pgagent.pga_jobstep AS s JOIN pgagent.pga_job ON jobid = jstjobid
UNION ALL
SELECT 'schedule', jobname, jscname, NULL, to_jsonb(s) - '{jscid,jscjobid}'::text[]
    - CASE WHEN jscevery IS NOT NULL OR jscstart > now() AND jscat IS NULL THEN '' ELSE 'jscstart' END
    - CASE WHEN jscreboot THEN '{jscend,jscminutes,jschours}'::text[] ELSE '{}' END
FROM pgagent.pga_schedule AS s JOIN pgagent.pga_job ON jobid = jscjobid
UNION ALL
SELECT 'exception', jobname, jscname, NULL, to_jsonb(e) - '{jexid,jexscid}'::text[]
FROM pgagent.pga_exception AS e JOIN pgagent.pga_schedule ON jscid = jexscid
JOIN pgagent.pga_job ON jobid = jscjobid
ORDER BY 1, 2, 3, 5
"""


def definitions(conn):
    """Return what the tables hold of definitions."""
    return conn.execute(DEFINITIONS).fetchall()
