"""Attempts: what may pass is tried again, as often and as late as the step says."""

import pytest
from jobs import add_job, batch, runs, step_runs
from support import poll

from .runner_process import ended_runs
from .stubborn import seconds_of_run

DEAD = "host=127.0.0.1 port=1"


def raising(sqlstate):
    return f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{sqlstate}'; END $$"


LOSES_ITS_CONNECTION = "SELECT pg_terminate_backend(pg_backend_pid())"

# The text of a step, after which failures it may be tried again, and how often it will be.
CASES = {
    "a serialization failure": (raising("40001"), None, 3),
    "a deadlock": (raising("40P01"), None, 3),
    "a lock that could not be had": (raising("55P03"), None, 3),
    "a shutdown": (raising("57P01"), None, 3),
    "a crash": (raising("57P02"), None, 3),
    "a start-up": (raising("57P03"), None, 3),
    "a lost connection": (LOSES_ITS_CONNECTION, None, 3),
    "no connection": ({"jstcode": "SELECT 1", "jstconnstr": DEAD}, None, 3),
    "an error": ("SELECT 1/0", None, 1),
    "a failed assertion": (raising("P0004"), None, 1),
    "its own cancellation": (raising("57014"), None, 1),
    "a limit of time": (
        {"jstcode": "SELECT pg_sleep(9)", "jsttimeout": "50 ms"},
        None,
        1,
    ),
    "a limit of time in the list": (
        {"jstcode": "SELECT pg_sleep(9)", "jsttimeout": "50 ms"},
        ["timeout"],
        3,
    ),
    "an error in the list": ("SELECT 1/0", ["23505", "22012"], 3),
    "an error not in the list": (raising("40001"), ["23505"], 1),
    "an error whose class is in the list": ("SELECT 1/0", ["22"], 3),
    "an error whose class is not in the list": ("SELECT 1/0", ["23"], 1),
    "any error": ("SELECT 1/0", ["any"], 3),
    "no connection, in the list": (
        {"jstcode": "SELECT 1", "jstconnstr": DEAD},
        ["connection"],
        3,
    ),
    "no connection, not in the list": (
        {"jstcode": "SELECT 1", "jstconnstr": DEAD},
        ["40001"],
        1,
    ),
    "an empty list": (raising("40001"), [], 1),
    "an exit code": (batch("exit 3"), None, 3),
    "an exit code in the list": (batch("exit 75"), ["3", "75"], 3),
    "an exit code not in the list": (batch("exit 7"), ["75"], 1),
    "a signal in the list": (batch("kill -9 $$"), ["-9"], 3),
    "a limit of time of a script": (batch("sleep 9", jsttimeout="50 ms"), None, 1),
    "a limit of time of a script in the list": (
        batch("sleep 9", jsttimeout="50 ms"),
        ["timeout"],
        3,
    ),
    "a script like a class": (batch("exit 22"), ["22"], 3),
    "a success": ("SELECT 1", ["any"], 1),
    "a success of a script": (batch("true"), None, 1),
}


def test_a_step_is_tried_again_after_what_it_says(conn, runner):
    jobs = {}
    for case, (step, causes, _) in CASES.items():
        retrying = {"jstretries": 2, "jstretrydelay": "0", "jstretryon": causes}
        columns = {"jstcode": step} if isinstance(step, str) else step
        jobs[case] = add_job(conn, columns | retrying)

    ended_runs(conn, count=len(CASES), deadline=30)

    found = {case: len(step_runs(conn, job_id)) for case, job_id in jobs.items()}
    assert found == {case: attempts for case, (_, _, attempts) in CASES.items()}


def attempts(conn):
    return conn.execute(
        "SELECT jslattempt, jslstatus FROM pgagent.pga_jobsteplog ORDER BY jslid"
    ).fetchall()


def test_each_attempt_has_its_row(conn, runner):
    conn.execute("CREATE SEQUENCE number")
    code = "SELECT 1 / (nextval('number') - 2) * 1 / (currval('number') - 1)"
    add_job(
        conn, {"jstcode": code, "jstretries": 5, "jstretrydelay": "0"} | ANY, "SELECT 1"
    )

    assert ended_runs(conn) == "s"

    assert attempts(conn) == [(1, "f"), (2, "f"), (3, "s"), (1, "s")]
    first, second = [row[3] for row in step_runs(conn)][:2]
    assert "division by zero" in first
    assert first.endswith("attempt 1 of 6; the next one in 0 s\n")
    assert second.endswith("attempt 2 of 6; the next one in 0 s\n")


ANY = {"jstretryon": ["any"]}


@pytest.mark.parametrize(
    ("on_error", "run", "last"), [("f", "f", "f"), ("i", "s", "i"), ("s", "s", "s")]
)
def test_only_the_last_attempt_is_answered(conn, runner, on_error, run, last):
    step = {"jstcode": "SELECT 1/0", "jstretries": 1, "jstretrydelay": "0"}
    add_job(conn, step | ANY | {"jstonerror": on_error})

    assert ended_runs(conn) == run

    assert attempts(conn) == [(1, "f"), (2, last)]


def test_the_next_attempt_comes_later_and_later(conn, runner):
    delays = {"jstretries": 3, "jstretrydelay": "0.1 s", "jstretrybackoff": 3}
    add_job(conn, {"jstcode": "SELECT 1/0"} | delays | ANY)

    ended_runs(conn)

    pauses = conn.execute(
        "SELECT extract(epoch FROM jslstart - lag(jslstart + jslduration) OVER (ORDER BY jslid))"
        " FROM pgagent.pga_jobsteplog ORDER BY jslid OFFSET 1"
    ).fetchall()
    for (pause,), delay in zip(pauses, (0.1, 0.3, 0.9), strict=True):
        assert 0.9 * delay - 0.01 <= pause < delay + 0.5


def test_a_session_that_is_lost_is_opened_anew_for_the_next_attempt(conn, runner):
    conn.execute("CREATE SEQUENCE number")
    code = (
        "SELECT CASE nextval('number') WHEN 1"
        " THEN pg_terminate_backend(pg_backend_pid()) END"
    )
    add_job(conn, {"jstcode": code, "jstretries": 1, "jstretrydelay": "0"})

    assert ended_runs(conn) == "s"
    assert attempts(conn) == [(1, "f"), (2, "s")]


def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled(conn, runner):
    step = {"jstcode": "SELECT 1/0", "jstretries": 9, "jstretrydelay": "600 s"}
    add_job(conn, step | ANY, "SELECT 1")
    poll(lambda: attempts(conn) == [(1, "f")])

    ((cancelled,),) = conn.execute(
        "SELECT clock_timestamp() FROM pgagent.pga_joblog WHERE pgagent.cancel_run(jlgid)"
    )

    assert ended_runs(conn) == "d"
    assert seconds_of_run(conn, since=f"'{cancelled}'") < 2
    ((_, message),) = runs(conn)
    assert message.startswith('aborted in step "step 01": cancelled by ')
