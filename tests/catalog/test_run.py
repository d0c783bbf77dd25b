"""Runs and steps: each ends once, and only by whoever holds it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule, job, runs, step_runs
from support import poll
from transitions import (
    RefusedError,
    claim,
    claim_rows,
    finish_run,
    finish_step,
    record,
    start_step,
)


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

    with pytest.raises(RefusedError, match=f"run {run[0]} is not running") as e:
        finish_run(agent, run[0], "f", "too late")

    assert e.value.sqlstate == "PGA01"
    assert runs(conn) == [("s", None)]


def test_a_run_whose_job_was_deleted_cannot_be_finished(conn, agent, run):
    conn.execute("DELETE FROM pgagent.pga_job")

    with pytest.raises(RefusedError, match="is not running") as e:
        finish_run(agent, run[0])

    assert e.value.sqlstate == "PGA01"
    assert "It is not in the log: it was deleted, or its job was." in str(e.value)


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

    finish_step(agent, run[0], step_log_id, "i", 3, "said so")

    assert step_runs(conn) == [("step 01", "i", 3, "said so")]


def test_the_first_step_starts_with_the_claim(conn, run):
    assert step_runs(conn) == [("step 01", "r", None, None)]


def test_a_step_is_finished_once(conn, agent, run):
    step_log_id = start_step(agent, run[0], run[2])
    finish_step(agent, run[0], step_log_id, "i", 1, "first")

    finish_step(agent, run[0], step_log_id, "f", 2, "second")

    assert step_runs(conn) == [("step 01", "i", 1, "first")]


def test_a_further_attempt_has_a_row_of_its_own(conn, agent, run):
    ended = {"step_log_id": start_step(agent, run[0], run[2]), "step_status": "f"}
    record(agent, run[0], **ended, next_step_id=run[2], attempt=2)

    assert conn.execute(
        "SELECT jslattempt, jslstatus FROM pgagent.pga_jobsteplog ORDER BY jslid"
    ).fetchall() == [(1, "f"), (2, "r")]


def test_what_is_recorded_twice_is_recorded_once(conn, agent, run):
    ended = {"step_log_id": start_step(agent, run[0], run[2]), "step_status": "s"}
    further = {"next_step_id": run[2], "attempt": 2}
    assert len({record(agent, run[0], **ended, **further) for _ in range(3)}) == 1

    for _ in range(3):
        finish_run(agent, run[0], "f", "why")

    assert runs(conn) == [("f", "why")]
    assert len(step_runs(conn)) == 2


def test_no_step_starts_in_a_run_that_has_ended(conn, agent, run):
    finish_run(agent, run[0], "d", "gone")

    with pytest.raises(RefusedError, match="is not running") as e:
        start_step(agent, run[0], run[2])

    assert e.value.sqlstate == "PGA01"
    assert len(step_runs(conn)) == 1


def test_a_deleted_step_does_not_start(conn, agent, run):
    conn.execute("DELETE FROM pgagent.pga_jobstep")

    assert start_step(agent, run[0], run[2]) is None


def test_a_locked_job_is_passed_over_and_nothing_is_written(conn, dsn, agent, run):
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        with pytest.raises(RefusedError, match="locked by another") as e:
            finish_run(agent, run[0])
        assert e.value.sqlstate == "55P03"
        assert runs(conn) == [("r", None)]
    finish_run(agent, run[0])

    assert runs(conn) == [("s", None)]


def test_the_end_of_a_step_is_recorded_though_its_job_is_locked(conn, dsn, agent, run):
    step_log_id = start_step(agent, run[0], run[2])
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        finish_step(agent, run[0], step_log_id, "f", 1, "to be tried again")
    assert step_runs(conn) == [("step 01", "f", 1, "to be tried again")]
    assert runs(conn) == [("r", None)]


def test_an_atomic_step_closes_its_own_row_once(conn, agent, run):
    step_log_id = start_step(agent, run[0], run[2])
    finish = "SELECT pgagent.pga_step_finish(%s, 3, 'done')"
    conn.execute(finish, [step_log_id])

    with pytest.raises(psycopg.Error, match="is not running") as e:
        conn.execute(finish, [step_log_id])

    assert e.value.sqlstate == "PGA02"
    assert step_runs(conn) == [("step 01", "s", 3, "done")]


@pytest.fixture
def two_steps(conn, agent):
    """A run under way of a job with two steps: (run id, id of the second step)."""
    add_job(conn, "SELECT 1", "SELECT 2")
    rows = claim_rows(agent)
    return rows[0][0], rows[1][3]


def test_a_run_that_is_aborted_while_a_step_starts_leaves_no_step_running(
    conn, dsn, agent, two_steps
):
    run_id, step_id = two_steps
    abort = "SELECT pgagent.pga_run_abort(%s, 'its agent is gone')"
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as sweeper,
        ThreadPoolExecutor(1) as threads,
    ):
        with agent.transaction():
            start_step(agent, run_id, step_id)
            aborting = threads.submit(sweeper.execute, abort, [run_id])
            waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            poll(
                lambda: (
                    conn.execute(waits, [sweeper.info.backend_pid]).fetchall()
                    or aborting.done()
                )
            )
        assert aborting.result(10).fetchone() == (1,)

    assert runs(conn) == [("d", "its agent is gone")]
    assert [row[:2] for row in step_runs(conn)] == [("step 01", "d"), ("step 02", "d")]


def test_a_step_that_would_start_while_its_run_is_aborted_waits_for_nobody(
    conn, dsn, agent, two_steps
):
    run_id, step_id = two_steps
    agent.execute("SET lock_timeout = '1ms'")
    with psycopg.connect(dsn) as sweeper:
        sweeper.execute("SELECT pgagent.pga_run_abort(%s, 'gone')", [run_id])
        with pytest.raises(RefusedError, match="locked by another") as e:
            start_step(agent, run_id, step_id)
        assert e.value.sqlstate == "55P03"

    with pytest.raises(RefusedError, match="gone") as e:
        start_step(agent, run_id, step_id)
    assert e.value.sqlstate == "PGA01"
    assert [row[:2] for row in step_runs(conn)] == [("step 01", "d")]
