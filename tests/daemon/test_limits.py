"""Time limits of steps and jobs, in every phase: all has ended two seconds later."""

import socket
from contextlib import closing

import pytest
from jobs import add_job, batch, runs, step_runs
from support import poll

from .runner_process import ended_runs

LIMIT = "1 second"

STUBBORN_SQL = """DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN END;
END LOOP; END $$"""
STUBBORN_SCRIPT = "trap '' TERM; while :; do sleep 60; done"
DETACHED_SCRIPT = "setsid sh -c 'trap \"\" TERM; sleep 61' & sleep 62"


@pytest.fixture
def silent():
    """The connection string of a server that accepts and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"host=127.0.0.1 port={server.getsockname()[1]} connect_timeout=60"


PHASES = {
    "SQL": lambda _: {"jstcode": "SELECT pg_sleep(60)"},
    "stubborn SQL": lambda _: {"jstcode": STUBBORN_SQL},
    "connecting": lambda silent: {"jstcode": "SELECT 1", "jstconnstr": silent},
    "a script": lambda _: batch("sleep 60"),
    "a stubborn script": lambda _: batch(STUBBORN_SCRIPT),
    "a detached script": lambda _: batch(DETACHED_SCRIPT),
}


def took(conn, job_id):
    """Return how many seconds the run took."""
    return conn.execute(
        "SELECT extract(epoch FROM jlgduration)::float8 FROM pgagent.pga_joblog"
        " WHERE jlgjobid = %s",
        [job_id],
    ).fetchone()[0]


def nothing_is_left(conn, leash):
    query = (
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active'"
        " AND datname = current_database() AND query ~ 'pg_sleep'"
        " AND pid <> pg_backend_pid())"
    )
    return conn.execute(query).fetchone()[0] and not leash.is_held()


@pytest.mark.parametrize("phase", PHASES)
def test_a_step_that_takes_too_long_fails(conn, runner, silent, leash, phase):
    step = PHASES[phase](silent) | {"jsttimeout": LIMIT}
    step["jstkind"] = step.get("jstkind", "s")
    if step["jstkind"] == "b":
        step["jstcode"] = f"exec 9>{leash.path}\n{step['jstcode']}"

    job_id = add_job(conn, step, "SELECT 1")

    assert ended_runs(conn, job_id) == "f"
    assert runs(conn, job_id) == [
        ("f", 'step "step 01" failed: the step took longer than 1 s')
    ]
    assert 1 <= took(conn, job_id) <= 3
    poll(lambda: nothing_is_left(conn, leash), 1, "nothing to be left")


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_takes_too_long_fails(conn, runner, silent, phase):
    step = PHASES[phase](silent) | {"jstonerror": "i"}
    step["jstkind"] = step.get("jstkind", "s")

    job_id = add_job(conn, step, "SELECT 1", jobtimeout=LIMIT)

    assert ended_runs(conn, job_id) == "f"
    assert runs(conn, job_id) == [
        ("f", 'step "step 01" failed: the run took longer than 1 s')
    ]
    assert 1 <= took(conn, job_id) <= 3
    assert [row[1] for row in step_runs(conn, job_id)] == ["f"]


def test_after_the_limit_of_a_step_its_on_error_rule_holds(conn, runner):
    slow = {"jstkind": "s", "jstcode": "SELECT pg_sleep(60)", "jsttimeout": "0.3 s"}
    job_id = add_job(
        conn,
        slow | {"jstonerror": "i"},
        batch("sleep 60", jsttimeout="0.3 s", jstonerror="s"),
        "SELECT 1",
    )

    assert ended_runs(conn, job_id) == "s"
    assert [row[1] for row in step_runs(conn, job_id)] == ["i", "s", "s"]


def test_a_job_may_run_out_of_time_between_two_attempts(conn, runner):
    failing = batch("exit 1", jstretries=5, jstretrydelay="1 minute")
    job_id = add_job(conn, failing, jobtimeout=LIMIT)

    assert ended_runs(conn, job_id) == "f"
    assert "the run took longer than 1 s" in runs(conn, job_id)[0][1]
    assert took(conn, job_id) <= 3


def test_what_ends_in_time_is_not_disturbed(conn, runner):
    steps = [batch("true", jsttimeout="5 s"), {"jstkind": "s", "jstcode": "SELECT 1"}]
    job_id = add_job(conn, *steps, jobtimeout="5 s")

    assert ended_runs(conn, job_id) == "s"
