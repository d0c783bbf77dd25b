"""A runner that is killed: others notice, say why, and the job is free again."""

import os
import sys

import pytest
from jobs import add_job, batch, job, runs, step_runs

from .runner_process import Program, Runner, agents, ended_runs, running_step

# Steps that keep all else in the runner from going on; only a defect could do so.
STUCK = """
import sys, time
from pgagent_runner.cli import main
from pgagent_runner.steps.sql.sql_steps import SqlSteps
SqlSteps.execute = lambda *_: time.sleep(60)
sys.exit(main())
"""
# A connection that can't be closed, and less patience with it than a runner has.
CLINGING = """
import sys, time
from pgagent_runner.agent import agent
from pgagent_runner.catalog import Claims
from pgagent_runner.cli import main
agent._CLOSE_TIME = 1
Claims.break_off = lambda _: time.sleep(60)
sys.exit(main())
"""
REASON = "aborted: agent {} on doomed is gone: its connection to the database ended"


def test_the_runs_of_a_killed_runner_are_aborted_by_another(conn, dsn, runner):
    doomed_steps = "SELECT pg_sleep(6)", batch("exec sleep 6")
    jobs = [add_job(conn, step, jobhostagent="doomed") for step in doomed_steps]
    with Runner("--station", "doomed", dsn) as doomed:
        for job_id in jobs:
            running_step(conn, job_id)
        agent = job(conn, jobs[0], "jobagentid")
        doomed.kill()

        assert ended_runs(conn, count=2, deadline=10) == "dd"

    reason = REASON.format(agent)
    assert runs(conn) == [("d", reason)] * 2
    assert [row[1:] for row in step_runs(conn)] == [("d", -1, reason)] * 2
    assert [job(conn, job_id, "jobagentid") for job_id in jobs] == [None, None]
    assert agent not in agents(conn)
    for number, job_id in enumerate(jobs, 1):
        runner.says(f"run {number} of job {job_id} (")
    assert runner.log.count(f"): {reason}") == 2


@pytest.mark.parametrize("station", ["same", "another"])
def test_a_new_runner_finds_what_a_killed_one_left_behind(conn, dsn, station):
    add_job(conn, "SELECT pg_sleep(2)")
    with Runner("--station", "same", dsn) as doomed:
        running_step(conn)
        doomed.kill()

    with Runner("--station", station, dsn):
        assert ended_runs(conn, deadline=4) == "d"


def test_a_runner_in_which_nothing_goes_on_ends_by_itself(conn, dsn):
    add_job(conn, "SELECT 1")
    command = [sys.executable, "-c", STUCK, "run", "--lease", "4", dsn]
    with Program(command) as stuck:
        assert stuck.ended() == os.EX_SOFTWARE
        assert "nothing has gone on for" in stuck.log

    with Runner(dsn):
        assert ended_runs(conn, deadline=4) == "d"


def test_a_runner_that_cannot_close_its_connections_ends_by_itself(dsn):
    command = [sys.executable, "-c", CLINGING, "run", dsn]
    with Program(command) as clinging:
        clinging.says(" serves database ")
        assert clinging.stop() == os.EX_SOFTWARE
        assert "it could not be closed; the runner ends" in clinging.log
