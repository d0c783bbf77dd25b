"""A runner that is killed: others notice, say why, and the job is free again."""

import pytest
from jobs import add_job, batch, job, runs, step_runs

from .runner_process import Runner, agents, ended_runs, running_step

STEPS = {"sql": "SELECT pg_sleep(5)", "batch": batch("exec sleep 5")}


@pytest.fixture
def other_runner(conn, runner):
    """A second runner, which takes no job of station "doomed"."""
    return runner


@pytest.mark.parametrize("kind", STEPS)
def test_the_run_of_a_killed_runner_is_aborted_by_another(
    conn, dsn, other_runner, kind
):
    job_id = add_job(conn, STEPS[kind], jobhostagent="doomed")
    with Runner("--station", "doomed", dsn) as doomed:
        running_step(conn)
        agent = job(conn, job_id, "jobagentid")
        doomed.kill()

        assert ended_runs(conn, deadline=10) == "d"

    reason = (
        f"aborted: agent {agent} on doomed is gone: its connection to the database ended"
    )
    assert runs(conn) == [("d", reason)]
    ((_, status, _, output),) = step_runs(conn)
    assert (status, output) == ("d", reason)
    assert job(conn, job_id, "jobagentid") is None
    assert agent not in agents(conn)
    other_runner.says("aborted 1 runs of agents that are gone")


def test_a_runner_finds_what_its_predecessor_left_behind(conn, dsn):
    add_job(conn, "SELECT pg_sleep(5)")
    with Runner(dsn) as doomed:
        running_step(conn)
        doomed.kill()

    with Runner(dsn):
        assert ended_runs(conn, deadline=3) == "d"
