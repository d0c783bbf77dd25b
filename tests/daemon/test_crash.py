"""A runner that is killed: others notice, say why, and the job is free again."""

import pytest
from jobs import add_job, batch, job, runs, step_runs

from .runner_process import Runner, agents, ended_runs, running_step

STEPS = {"sql": "SELECT pg_sleep(5)", "batch": batch("exec sleep 5")}


@pytest.mark.parametrize("kind", STEPS)
def test_the_runs_of_a_killed_runner_are_aborted_by_another(conn, dsn, kind):
    with Runner(dsn) as first, Runner(dsn) as second:
        first.ready()
        add_job(conn, "SELECT 1")
        second.ready()
        job_id = add_job(conn, STEPS[kind], due=None, jobhostagent="")
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        running_step(conn, job_id)

        first.kill()
