"""Rules that make little sense hold up nobody: neither their own job nor others."""

import pytest
from jobs import add_job, add_schedule, batch, runs, step_runs
from support import poll

from .runner_process import ended_runs, running_step

AGES = "100000 years"


@pytest.mark.parametrize("delay", ["30 days", AGES])
def test_a_long_delay_between_attempts_is_waited_for(conn, runner, gate, delay):
    code, open_gate = gate
    other = add_job(conn, batch(code))
    running_step(conn, other)
    step = {"jstcode": "SELECT 1/0", "jstretries": 3, "jstretrydelay": delay}
    job_id = add_job(conn, step | {"jstretryon": ["any"]})
    poll(lambda: step_runs(conn, job_id) and step_runs(conn, job_id)[0][1] == "f")
    assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"

    assert [row[1] for row in step_runs(conn, job_id)] == ["f"]
    conn.execute(
        "SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = %s",
        [job_id],
    )

    assert ended_runs(conn, job_id) == "d"
    open_gate()
    assert ended_runs(conn, other) == "s"


def test_a_limit_of_ages_is_none(conn, runner):
    step = {"jstcode": "SELECT 1", "jsttimeout": AGES}
    job_id = add_job(conn, step, jobtimeout=AGES, jobmissedlimit=AGES, jobkeepfor=AGES)
    add_schedule(conn, job_id, jscstart="2020-01-01", jscend="2020-02-01")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = '2020-01-01'")

    assert ended_runs(conn, job_id) == "s"
    conn.execute("SELECT pgagent.pga_log_prune(0, 10, 10)")
    assert runs(conn) == [("s", None)]
    assert "Traceback" not in runner.log
