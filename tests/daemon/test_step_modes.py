"""Atomic steps of a runner that is killed, or too late."""

import random
from functools import partial

import pytest
from jobs import add_job, runs
from support import poll

from .runner_process import Runner, ended_runs, running_step

KILLS = 4
JOBS = 30


def step(code, mode, **columns):
    return {"jstkind": "s", "jstcode": code, "jstmode": mode} | columns


@pytest.fixture
def table(conn):
    conn.execute("CREATE TABLE effect (n integer)")
    return lambda: [n for (n,) in conn.execute("SELECT n FROM effect ORDER BY n")]


def test_a_run_that_was_closed_takes_the_effect_of_its_atomic_step_back(
    conn, runner, table
):
    code = "INSERT INTO effect VALUES (1); SELECT pg_sleep(0.5)"
    add_job(conn, step(code, "atomic"))
    running_step(conn)

    conn.execute(
        "SELECT pgagent.pga_run_abort(jlgid, 'by hand') FROM pgagent.pga_joblog"
    )

    runner.says("was closed by somebody else")
    assert table() == []
    assert runs(conn) == [("d", "by hand")]


def test_whenever_the_runner_is_killed_effects_and_log_agree(conn, dsn):
    """The first to be killed has just begun, the last is nearly done."""
    conn.execute("CREATE TABLE effect (run text)")
    code = "INSERT INTO effect VALUES (current_setting('application_name'))"
    rng = random.Random(1)
    for trial in range(KILLS):
        jobs = [add_job(conn, step(code, "atomic"), due=None) for _ in range(JOBS)]
        with Runner("--workers", "8", dsn) as runner:
            runner.ready()
            conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
            wanted = rng.randrange(JOBS * (trial + 1) // KILLS)
            poll(partial(has_begun, conn, jobs, wanted))
            runner.kill()
        with Runner(dsn) as runner:
            ended_runs(conn, count=(trial + 1) * JOBS, deadline=20)
        conn.execute("UPDATE pgagent.pga_job SET jobenabled = false")

    effects = [run for (run,) in conn.execute("SELECT run FROM effect ORDER BY run")]
    logged = conn.execute(
        "SELECT format('pgagent job %s run %s', jlgjobid, jlgid) FROM pgagent.pga_joblog"
        " JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid WHERE jslstatus = 's'"
    )
    assert effects == sorted(run for (run,) in logged)
    assert "d" in {status for status, _ in runs(conn)}


def has_begun(conn, jobs, wanted):
    query = "SELECT count(*) >= %s FROM pgagent.pga_joblog WHERE jlgjobid = ANY (%s)"
    return conn.execute(query, [wanted, jobs]).fetchone()[0]
