"""The server goes away and comes back: the runner stays, and says what was lost."""

from contextlib import closing, contextmanager

import psycopg
import pytest
from jobs import add_job, batch, runs, step_runs

from .runner_process import Runner, agents, ended_runs, running_step


@contextmanager
def connected(dsn):
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        yield conn


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_runner_survives_a_restart_of_the_server(frail, frail_dsn, leash, mode):
    with Runner("--retry", "0.5", frail_dsn) as runner:
        with connected(frail_dsn) as conn:
            lost = [
                add_job(conn, "SELECT pg_sleep(60)"),
                add_job(conn, batch(f"exec 9>{leash.path}; sleep 60 & sleep 60")),
            ]
            for job_id in lost:
                running_step(conn, job_id)

        frail.restart(mode)

        with connected(frail_dsn) as conn:
            next_job = add_job(conn, "SELECT 1")
            assert ended_runs(conn, next_job) == "s"
            assert ended_runs(conn, count=3) == "dds"
            for job_id in lost:
                ((_, reason),) = runs(conn, job_id)
                assert reason.endswith("its connection to the database ended")
                assert reason in step_runs(conn, job_id)[0][3]
            assert len(agents(conn)) == 1
        assert not leash.is_held()
        assert runner.stop() == 0


def test_a_runner_waits_for_a_server_that_is_down(frail, frail_dsn):
    frail.stop()
    try:
        with Runner("--retry", "0.5", frail_dsn) as runner:
            runner.says("next attempt in")
            frail.start()
            with connected(frail_dsn) as conn:
                add_job(conn, "SELECT 1")
                assert ended_runs(conn) == "s"
    finally:
        frail.restart()


def test_a_runner_waits_for_the_extension(frail_dsn):
    with connected(frail_dsn) as conn:
        conn.execute("DROP EXTENSION pgagent")
        with Runner("--retry", "0.5", frail_dsn) as runner:
            runner.says("next attempt in")

            conn.execute("CREATE EXTENSION pgagent")

            add_job(conn, "SELECT 1")
            assert ended_runs(conn) == "s"
