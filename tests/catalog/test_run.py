"""Runs and steps: each ends once, and only by whoever holds it."""

import psycopg
import pytest
from jobs import add_job, add_schedule, job, runs, step_runs
from transitions import claim, claim_rows, finish_run, finish_step, start_step


@pytest.fixture
def run(conn, agent):
    """A run under way of a job with one step: (run id, job id, step id)."""
    add_job(conn, "SELECT 1")
    ((run_id, job_id, _, step_id, *_),) = claim_rows(agent)
    return run_id, job_id, step_id


def test_a_finished_run_frees_its_job_and_has_a_duration(conn, agent, run):
    run_id, job_id, _ = run

    finish_run(agent, run_id, "f", "step failed")

    assert runs(conn) == [("f", "step failed")]
    assert job(conn, job_id, "jobagentid") is None
    assert conn.execute(
        "SELECT jlgduration > interval '0' FROM pgagent.pga_joblog"
    ).fetchone() == (True,)


def test_a_run_is_finished_once(conn, agent, run):
    finish_run(agent, run[0], "s")

    with pytest.raises(psycopg.Error, match=f"run {run[0]} is not running") as e:
        finish_run(agent, run[0], "f", "too late")

    assert e.value.sqlstate == "PGA01"
    assert runs(conn) == [("s", None)]


def test_a_run_whose_job_was_deleted_cannot_be_finished(conn, agent, run):
    conn.execute("DELETE FROM pgagent.pga_job")

    with pytest.raises(psycopg.Error, match="is not running") as e:
        finish_run(agent, run[0])

    assert e.value.sqlstate == "PGA01"
    assert e.value.diag.message_detail == "It is not in the log: its job was deleted."


def test_the_next_run_is_computed_when_the_run_ends(conn, agent, run):
    run_id, job_id, _ = run
    add_schedule(conn, job_id)
    assert job(conn, job_id, "jobnextrun <= now()")

    finish_run(agent, run_id)

    assert job(conn, job_id, "jobnextrun > now()")


def test_a_job_without_a_schedule_does_not_run_again(conn, agent, run):
    finish_run(agent, run[0])

    assert job(conn, run[1], "jobnextrun") is None


def test_the_wish_to_run_now_while_the_job_runs_is_kept(conn, agent, run):
    add_schedule(conn, run[1])
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    finish_run(agent, run[0])

    assert [job_id for _, job_id in claim(agent)] == [run[1]]


def test_a_job_disabled_while_it_runs_ends_and_stays_quiet(conn, agent, run):
    add_schedule(conn, run[1])
    conn.execute("UPDATE pgagent.pga_job SET jobenabled = false")

    finish_run(agent, run[0])

    assert job(conn, run[1], "jobnextrun") is None


def test_a_step_is_logged_from_start_to_end(conn, agent, run):
    step_log_id = start_step(agent, run[0], run[2])
    assert step_runs(conn) == [("step 01", "r", None, None)]

    finish_step(agent, step_log_id, "i", 3, "said so")

    assert step_runs(conn) == [("step 01", "i", 3, "said so")]


def test_a_step_is_finished_once(agent, run):
    step_log_id = start_step(agent, run[0], run[2])
    finish_step(agent, step_log_id)

    with pytest.raises(psycopg.Error, match="is not running") as e:
        finish_step(agent, step_log_id, "f")

    assert e.value.sqlstate == "PGA02"


def test_no_step_starts_in_a_run_that_has_ended(conn, agent, run):
    finish_run(agent, run[0], "d", "gone")

    with pytest.raises(psycopg.Error, match="is not running") as e:
        start_step(agent, run[0], run[2])

    assert e.value.sqlstate == "PGA01"
    assert step_runs(conn) == []


def test_a_deleted_step_does_not_start(conn, agent, run):
    conn.execute("DELETE FROM pgagent.pga_jobstep")

    with pytest.raises(psycopg.Error, match=f"step {run[2]} does not exist") as e:
        start_step(agent, run[0], run[2])

    assert e.value.sqlstate == "PGA02"
