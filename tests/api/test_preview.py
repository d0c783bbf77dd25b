"""Looking ahead, and asking why."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step
from support import poll
from transitions import claim, finish_run, register


def next_runs(conn, arguments):
    query = (
        "SELECT to_char(local_time, 'MM-DD HH24:MI:SS'), note"
        f" FROM pgagent.next_runs({arguments})"
    )
    return conn.execute(query).fetchall()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            "schedule => '30 2 * * *', after => '2031-03-29 00:00Z', max_rows => 2",
            [
                ("03-29 02:30:00", None),
                (
                    "03-30 03:00:00",
                    "clocks go forward: its time 02:00 to 03:00 does not exist",
                ),
            ],
            id="gap",
        ),
        pytest.param(
            "schedule => '*/30 * * * *', after => '2031-10-26 00:00Z', max_rows => 3",
            [
                (
                    "10-26 02:30:00",
                    "clocks go back: this local time comes twice, this is the first",
                ),
                (
                    "10-26 02:00:00",
                    "clocks have gone back: this local time comes twice, this is the second",
                ),
                (
                    "10-26 02:30:00",
                    "clocks have gone back: this local time comes twice, this is the second",
                ),
            ],
            id="overlap",
        ),
        pytest.param(
            "schedule => '@every 90 seconds', after => '2031-01-01 00:00Z',"
            " until => '2031-01-01 00:04Z'",
            [("01-01 01:01:30", None), ("01-01 01:03:00", None)],
            id="interval",
        ),
    ],
)
def test_the_text_of_a_schedule_is_previewed(conn, arguments, expected):
    assert next_runs(conn, f"timezone => 'Europe/Berlin', {arguments}") == expected


def test_all_schedules_of_a_job_are_previewed_together_without_the_excepted(conn):
    conn.execute(
        "SELECT pgagent.schedule('x', '0 9 1 1 *', 'SELECT 1', timezone => 'UTC')"
    )
    conn.execute("SELECT pgagent.add_schedule('x', '0 9,10 1 1 *', timezone => 'UTC')")
    conn.execute("SELECT pgagent.add_exception('x', '2031-01-01', '10:00')")

    assert next_runs(conn, "'x', after => '2031-01-01 00:00Z', max_rows => 2") == [
        ("01-01 09:00:00", None),
        ("01-01 09:00:00", None),
    ]
    assert next_runs(conn, "'x', after => '2031-01-01 09:30Z', max_rows => 2")[1] == (
        "01-01 10:00:00",
        None,
    )


def explain(conn, job_id):
    rows = conn.execute("SELECT * FROM pgagent.explain_job(%s::bigint)", [job_id])
    return {gate: (ok, detail) for gate, ok, detail in rows}


CAUSES = {
    "disabled": (
        "UPDATE pgagent.pga_job SET jobenabled = false",
        "enabled",
        False,
        "its schedules do not start it",
    ),
    "no steps": (
        "DELETE FROM pgagent.pga_jobstep",
        "steps",
        False,
        "the job has no steps",
    ),
    "steps disabled": (
        "UPDATE pgagent.pga_jobstep SET jstenabled = false",
        "steps",
        False,
        "all 1 steps are disabled",
    ),
    "no schedule": (
        "DELETE FROM pgagent.pga_schedule",
        "schedule",
        False,
        "the job has no schedules",
    ),
    "schedule disabled": (
        "UPDATE pgagent.pga_schedule SET jscenabled = false",
        'schedule "s"',
        False,
        "is disabled",
    ),
    "ended": (
        "UPDATE pgagent.pga_schedule SET jscstart = '2000-01-01', jscend = '2001-01-01'",
        'schedule "s"',
        False,
        "ended at 2001",
    ),
    "starts later": (
        "UPDATE pgagent.pga_schedule SET jscstart = '2090-01-01'",
        'schedule "s"',
        True,
        "it starts at 2090",
    ),
    "ends before it matches": (
        "UPDATE pgagent.pga_schedule SET jscend = now() + interval '1 minute', jscmonthdays[29] = true, jscmonths[2] = true",
        'schedule "s"',
        False,
        "matches no time before its end",
    ),
    "impossible date": (
        "UPDATE pgagent.pga_schedule SET jscmonthdays[30] = true, jscmonths[2] = true",
        'schedule "s"',
        False,
        "matches no date of the calendar",
    ),
    "excepted": (
        "UPDATE pgagent.pga_schedule SET jschours[4] = true, jscminutes[1] = true; INSERT INTO pgagent.pga_exception (jexscid, jextime) SELECT jscid, '03:00' FROM pgagent.pga_schedule",
        'schedule "s"',
        False,
        "matches only times that its exceptions leave out",
    ),
    "next one excepted": (
        "UPDATE pgagent.pga_schedule SET jschours[4] = true, jscminutes[1] = true; INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT jscid, (jobnextrun AT TIME ZONE 'UTC')::date FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid",
        'schedule "s"',
        True,
        "an exception leaves out",
    ),
    "disabled, but asked for": (
        "UPDATE pgagent.pga_job SET jobenabled = false; UPDATE pgagent.pga_job SET jobnextrun = now()",
        "enabled",
        False,
        "disabled, but somebody has asked for one run",
    ),
    "no schedule starts it": (
        "DELETE FROM pgagent.pga_schedule",
        "due",
        None,
        "no schedule starts the job; run_job() runs it once",
    ),
    "unknown zone": (
        "SET session_replication_role = replica; UPDATE pgagent.pga_schedule SET jsctimezone = 'Mars/Olympus'; RESET session_replication_role",
        'schedule "s"',
        False,
        "a time zone that this server does not know: Mars/Olympus",
    ),
    "one-shot over": (
        "UPDATE pgagent.pga_schedule SET jscat = now() - interval '1 h', jscenabled = false",
        'schedule "s"',
        False,
        "was for one run at",
    ),
    "reboot": (
        "UPDATE pgagent.pga_schedule SET jscreboot = true",
        'schedule "s"',
        True,
        "waits for a runner to start",
    ),
    "no runner": (
        "DELETE FROM pgagent.pga_jobagent",
        "runner",
        False,
        "no runner is alive",
    ),
    "no runner there": (
        "UPDATE pgagent.pga_job SET jobhostagent = 'moon'",
        "runner",
        False,
        'no runner on host "moon" is alive, only on "here"',
    ),
    "not due": ("SELECT 1", "due", False, "due at "),
    "due": (
        "UPDATE pgagent.pga_job SET jobnextrun = now()",
        "due",
        True,
        "the next runner with a free worker takes it",
    ),
    "never run": ("SELECT 1", "last run", None, "has not run yet"),
}


@pytest.fixture
def job_id(conn):
    register(conn)
    job_id = add_job(conn, due=None)
    add_step(conn, job_id, "SELECT 1")
    add_schedule(conn, job_id, jscname="s", jsctimezone="UTC")
    return job_id


@pytest.mark.parametrize("cause", CAUSES)
def test_explain_job_names_the_cause(conn, job_id, cause):
    produce, gate, ok, sentence = CAUSES[cause]
    conn.execute(produce)

    found, detail = explain(conn, job_id)[gate]

    assert (found, sentence in detail) == (ok, True), detail


def test_explain_job_tells_of_a_run_under_way_and_of_the_last_one(conn, job_id):
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, _),) = claim(conn)
    ok, detail = explain(conn, job_id)["running"]
    assert not ok
    assert f"run {run_id} is under way" in detail

    finish_run(conn, run_id, "f", "for a reason")

    ok, detail = explain(conn, job_id)["last run"]
    assert not ok
    assert detail.endswith("failed: for a reason")


def test_explain_job_tells_of_a_dead_agent(conn, dsn, job_id):
    with closing(psycopg.connect(dsn, autocommit=True)) as agent:
        register(agent)
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        claim(agent)
    poll(lambda: "which is dead" in explain(conn, job_id)["running"][1])


def test_explain_job_tells_of_a_locked_row(conn, dsn, job_id):
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    with psycopg.connect(dsn) as locker:
        locker.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        ok, detail = explain(conn, job_id)["due"]
    assert not ok
    assert "another transaction has locked the job's row" in detail
