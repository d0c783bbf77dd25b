"""Names are data: they may hold anything and break neither the log nor the rows."""

import json
import re

import pytest
from jobs import add_job, add_step, batch, job, step_runs

from .runner_process import Runner, ended_runs

NAMES = [
    "a\n2026-01-01 00:00:00.000 [1] ERROR:  forged\r\n",
    "\x1b[2J\x1b]0;title\x07",
    "\u202eevil\u2066\u2028",
    'it\'s "quoted" \\ $(touch x) `id` %s %(n)s {0} $$',
    "x" * 1_000_000,
]
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:.]{12} \[\d+\] [A-Z]+:  .+")


@pytest.fixture
def jobs(conn):
    """A job for each name, whose step has that name too and fails: their ids."""
    ids = {}
    for name in NAMES:
        ids[name] = add_job(conn, due=None, name=name)
        add_step(conn, ids[name], batch('printf %s "$PGAGENT_JOB_NAME"; exit 1'), name)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    return ids


def test_names_of_jobs_and_steps_may_hold_anything(conn, jobs, runner):
    assert ended_runs(conn, count=len(NAMES)) == "f" * len(NAMES)

    for name, job_id in jobs.items():
        assert job(conn, job_id, "jobname") == name
        ((step_name, _, _, output),) = step_runs(conn, job_id)
        assert step_name == name
        assert output == name[:16384]
    lines = runner.log.split("\n")[:-1]
    assert len(lines) == 1 + 3 * len(NAMES)
    for line in lines:
        assert LOG_LINE.fullmatch(line)
        assert line.isprintable()
        assert len(line) < 2200


def test_for_machines_each_message_names_its_job_run_and_step(conn, dsn, jobs):
    with Runner("--log-format", "json", dsn) as runner:
        assert ended_runs(conn, count=len(NAMES)) == "f" * len(NAMES)
        runner.stop()
        logged = [json.loads(line) for line in runner.log.split("\n")[:-1]]

    rows = conn.execute(
        "SELECT jlgjobid, jlgid, jsljstid"
        " FROM pgagent.pga_joblog JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid"
    ).fetchall()
    ended = [found for found in logged if "step" in found]
    assert sorted(
        (found["job_id"], found["run_id"], found["step_id"]) for found in ended
    ) == sorted(rows)
    names = {job_id: name for name, job_id in jobs.items()}
    for found in ended:
        name = names[found["job_id"]]
        assert found["job"][:2000] == found["step"][:2000] == name[:2000]
