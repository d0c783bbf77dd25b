"""Stopping a runner: in good order, within the time it was given."""

import signal
import socket
import time

import psycopg
import pytest
from jobs import add_job, batch, job, runs, step_runs
from support import poll

from .runner_process import Runner, agents, ended_runs, running_step

STOPPED = "the agent was stopped"


@pytest.fixture(params=["sql", "batch"])
def long_step(request, leash):
    if request.param == "sql":
        return "SELECT pg_sleep(60)"
    return batch(f"exec 9>{leash.path}; sleep 60 & sleep 60")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_runner_stops_at_once(conn, runner, number):
    assert len(agents(conn)) == 1
    start = time.monotonic()

    assert runner.stop(number) == 0

    assert time.monotonic() - start < 1
    assert agents(conn) == []


def test_a_step_that_ends_in_time_succeeds(conn, dsn, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code), "SELECT 1")
    with Runner("--grace", "30", dsn) as runner:
        running_step(conn)

        runner.send(signal.SIGTERM)
        runner.says("stopping")
        open_gate()

        assert runner.ended() == 0
    assert runs(conn, job_id) == [("s", None)]
    assert agents(conn) == []


def test_no_job_starts_after_the_request_to_stop(conn, dsn, gate):
    code, open_gate = gate
    add_job(conn, batch(code))
    with Runner("--grace", "30", dsn) as runner:
        running_step(conn)
        runner.send(signal.SIGTERM)
        runner.says("stopping")

        late = add_job(conn, "SELECT 1")
        open_gate()

        assert runner.ended() == 0
    assert runs(conn, late) == []
    assert job(conn, late, "jobnextrun <= now() AND jobagentid IS NULL")


def test_a_step_that_does_not_end_in_time_is_aborted(conn, dsn, long_step, leash):
    job_id = add_job(conn, long_step, "SELECT 1")
    with Runner("--grace", "0.3", dsn) as runner:
        running_step(conn)

        assert runner.stop() == 0

    assert_aborted(conn, job_id)
    assert not leash.is_held()


def test_the_second_request_stops_at_once(conn, dsn, long_step, leash):
    job_id = add_job(conn, long_step, "SELECT 1")
    with Runner("--grace", "600", dsn) as runner:
        running_step(conn)
        runner.send(signal.SIGINT)
        runner.says("stopping")

        assert runner.stop(signal.SIGINT, deadline=3) == 0

    assert_aborted(conn, job_id)
    assert not leash.is_held()


def test_sixteen_runs_are_stopped_together(conn, dsn):
    for _ in range(16):
        add_job(conn, batch("sleep 60"))
    running = "SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r'"
    with Runner("--grace", "0", dsn) as runner:
        poll(lambda: conn.execute(running).fetchone() == (16,))

        assert runner.stop(deadline=3) == 0

    assert ended_runs(conn, count=16) == 16 * "d"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_that_waits_for_a_mute_server_stops_at_once(tmp_path, number):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()
        server.settimeout(10)
        with (
            Runner(f"host={tmp_path} dbname=x user=x") as runner,
            server.accept()[0],
        ):
            assert runner.stop(number, deadline=3) == 0


def assert_aborted(conn, job_id):
    """Assert that the run ended as aborted, and that nothing of it goes on."""
    ((status, message),) = runs(conn, job_id)
    assert (status, message) == ("d", f'aborted in step "step 01": {STOPPED}')
    ((_, status, _, output),) = step_runs(conn, job_id)
    assert status == "d"
    assert STOPPED in output
    poll(
        lambda: (
            not conn.execute(
                "SELECT FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()",
                ["%pg_sleep%"],
            ).fetchall()
        )
    )
    assert agents(conn) == []
    assert job(conn, job_id, "jobagentid") is None


def test_a_runner_that_is_stopped_before_it_serves_claims_nothing(conn, dsn):
    job_id = add_job(conn, "SELECT 1")
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK pgagent.pga_jobagent")
        with Runner(dsn) as runner:
            poll(lambda: waits_for_a_lock(conn))
            runner.send(signal.SIGTERM)
            holder.rollback()

            assert runner.ended() == 0
    assert runs(conn) == []
    assert job(conn, job_id, "jobnextrun <= now() AND jobagentid IS NULL")


def test_a_locked_job_does_not_keep_a_runner_for_ever(conn, dsn, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code))
    with Runner("--lease", "4", dsn) as runner, psycopg.connect(dsn) as holder:
        running_step(conn)
        holder.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        open_gate()
        runner.send(signal.SIGTERM)
        runner.says("stopping")
        runner.send(signal.SIGTERM)

        assert runner.ended() == 0
    with Runner(dsn):
        assert ended_runs(conn, job_id) == "d"


def waits_for_a_lock(conn):
    return conn.execute(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name = 'pgagent'"
    ).fetchone()
