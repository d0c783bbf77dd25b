"""Whatever the rows hold, all views and functions answer, and other jobs run."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule
from support import database
from transitions import claim, finish_run

TIMES = ("-infinity", "infinity", "4714-11-24 00:00+00 BC", "294276-12-31 23:59+00")
SPANS = ("178000000 years", "-178000000 years", "-1 year 361 days", "2147483647 days")
FIELDS = {"jscminutes": 60, "jschours": 24, "jscweekdays": 7} | {
    "jscmonthdays": 32,
    "jscmonths": 12,
}

# Each creates or changes rows of the job 7, its schedule 7, step 7, run 7 and so on.
HOSTILE = [
    *(f"UPDATE pgagent.pga_job SET jobnextrun = '{t}'" for t in TIMES),
    *(f"UPDATE pgagent.pga_job SET joblastrun = '{t}'" for t in TIMES),
    *(
        f"UPDATE pgagent.pga_job SET jobcreated = '{t}', jobchanged = '{t}'"
        for t in TIMES
    ),
    *(
        f"UPDATE pgagent.pga_job SET {column} = '{span}'"
        for column in ("jobtimeout", "jobmissedlimit", "jobkeepfor")
        for span in SPANS[::3]
    ),
    "UPDATE pgagent.pga_job SET jobname = '', jobdesc = '', jobhostagent = 'nowhere'",
    "UPDATE pgagent.pga_job SET jobrunid = -7, jobfromstep = -7, jobdeaths = -7",
    "UPDATE pgagent.pga_job SET jobrunid = 9223372036854775807, jobnextrun = now()",
    "UPDATE pgagent.pga_job SET jobenabled = false",
    *(f"UPDATE pgagent.pga_schedule SET jscstart = '{t}'" for t in TIMES),
    *(f"UPDATE pgagent.pga_schedule SET jscend = '{t}'" for t in TIMES),
    *(f"UPDATE pgagent.pga_schedule SET jscat = '{t}'" for t in TIMES[2:]),
    *(f"UPDATE pgagent.pga_schedule SET jscevery = '{s}'" for s in SPANS[::3]),
    "UPDATE pgagent.pga_schedule SET jscreboot = true, jscstart = 'infinity'",
    *(
        f"UPDATE pgagent.pga_schedule SET jsctimezone = '{zone}'"
        for zone in ("Nowhere/Gone", "", "UTC+3", "../UTC", "EST5EDT", "x" * 2000)
    ),
    *(
        f"UPDATE pgagent.pga_schedule SET {name} = {value.format(size=size)}"
        for name, size in FIELDS.items()
        for value in (
            "'{{}}'",
            "array_fill(NULL::boolean, ARRAY[{size}])",
            "array_fill(true, ARRAY[{size}], ARRAY[1 - 0])",
            "array_fill(true, ARRAY[{size}, 2])",
            "array_fill(true, ARRAY[{size} - 7], ARRAY[8])",
            "array_fill(true, ARRAY[{size} + 7], ARRAY[-6])",
        )
    ),
    "INSERT INTO pgagent.pga_exception (jexscid) VALUES (7)",
    "INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (7, 'infinity'), (7, '-infinity')",
    "INSERT INTO pgagent.pga_exception (jexscid, jextime) VALUES (7, '24:00'), (7, '00:00:59.9')",
    "INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime) VALUES (7, 'infinity', '24:00')",
    *(f"UPDATE pgagent.pga_joblog SET jlgstart = '{t}'" for t in TIMES),
    *(f"UPDATE pgagent.pga_joblog SET jlgscheduled = '{t}'" for t in TIMES),
    *(f"UPDATE pgagent.pga_joblog SET jlgduration = '{s}'" for s in SPANS),
    "UPDATE pgagent.pga_joblog SET jlgduration = NULL, jlgscheduled = NULL, jlgstation = NULL, jlgagentid = -7",
    *(
        f"UPDATE pgagent.pga_joblog SET jlgstatus = 'r', jlgstart = '{t}', jlgcancel = ''"
        for t in TIMES
    ),
    *(f"UPDATE pgagent.pga_jobsteplog SET jslstart = '{t}'" for t in TIMES),
    *(
        f"UPDATE pgagent.pga_jobsteplog SET jslduration = '{s}', jslcpu = '{s}'"
        for s in SPANS
    ),
    "UPDATE pgagent.pga_jobsteplog SET jslattempt = -1, jslresult = NULL, jslmemory = -1, jslstatus = 'r'",
    "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid) VALUES (-7, 7), (9223372036854775807, 7)",
    *(
        f"INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason, jsklogged)"
        f" VALUES (7, '{a}', '{b}', '', '{a}')"
        for a, b in (TIMES[:2], TIMES[1::-1], TIMES[2:])
    ),
    *(
        f"INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglogintime, jaglease)"
        f" VALUES ({pid}, '', '{t}', '{t}')"
        for pid, t in zip((-7, 0, 2147483647, 7), TIMES, strict=True)
    ),
    *(
        f"INSERT INTO pgagent.pga_jobaside (jsajobid, jsauntil, jsatimes, jsareason, jsasince)"
        f" VALUES (7, '{t}', -7, '', '{t}')"
        for t in TIMES
    ),
    "DELETE FROM pgagent.pga_jobstep WHERE jstjobid = 7",
    "DELETE FROM pgagent.pga_joblog WHERE jlgjobid = 7",
    "DELETE FROM pgagent.pga_jobsteplog",
    "DELETE FROM pgagent.pga_schedule WHERE jscjobid = 7",
]

VIEWS = (
    "job_status",
    "run_history",
    "running",
    "agents",
    "skipped_runs",
    "job",
    "job_run_details",
)
FUNCTIONS = (
    "explain_job(7)",
    "next_runs(7)",
    "next_runs(7, '-infinity', 'infinity', 3)",
    "next_runs(7, 'infinity')",
    "pga_run_due(pg_backend_pid(), 9, NULL, NULL)",
    "pga_run_due(pg_backend_pid(), 9, '{7}', NULL)",
    "pga_look_again('here', NULL, NULL)",
    "pga_job_review('{7}')",
    "pga_sequences_forward()",
    "pga_log_prune(0, 100, 100)",
    "pga_log_prune(-8, 100, 100)",
)


@pytest.fixture(scope="module")
def hostile(cluster, maker, template):
    """A database with a job, a run of it, and a session of an agent."""
    with (
        database(maker, "hostile", template) as name,
        closing(psycopg.connect(cluster.conninfo(name), autocommit=True)) as session,
    ):
        session.execute(
            "SELECT pgagent.pga_agent_register('here', '20 s');"
            "SELECT setval('pgagent.pga_joblog_jlgid_seq', 100)"
        )
        add_job(session, {"jstcode": "SELECT 1", "jstid": 7}, due=None, jobid=7)
        add_schedule(session, 7, jscid=7)
        session.execute(
            "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgagentid, jlgscheduled, jlgduration)"
            " VALUES (7, 7, 's', 1, now(), '1 s');"
            "INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus) VALUES (7, 7, 7, 's')"
        )
        yield session


@pytest.mark.parametrize("rows", HOSTILE, ids=lambda rows: rows[15:100])
def test_all_that_can_be_asked_is_answered(hostile, rows):
    with hostile.transaction(force_rollback=True):
        hostile.execute("SET LOCAL check_function_bodies = off")
        hostile.execute("SET LOCAL row_security = off")
        hostile.execute("SET LOCAL session_replication_role = replica")
        hostile.execute(rows)
        hostile.execute("SET LOCAL session_replication_role = origin")
        hostile.execute("SET LOCAL check_function_bodies = on")
        for view in VIEWS:
            hostile.execute(f"SELECT v::text FROM pgagent.{view} AS v").fetchall()
        for function in FUNCTIONS:
            hostile.execute(f"SELECT f::text FROM pgagent.{function} AS f").fetchall()
        ours = add_job(hostile, "SELECT 1", jobid=8)
        assert ours in [job_id for _, job_id in claim(hostile)]
        for run_id, job_id in claim(hostile):
            if job_id == ours:
                finish_run(hostile, run_id)
