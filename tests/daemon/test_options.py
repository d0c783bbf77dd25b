"""A runner that is told what to do by pgagent.toml or by variables."""

import json

import pytest
from jobs import add_job, batch, step_runs
from psycopg.conninfo import make_conninfo

from .runner_process import PGAGENT, Program, ended_runs


@pytest.fixture
def file(tmp_path, dsn):
    path = tmp_path / "pgagent.toml"
    path.write_text(
        f'[run]\nconninfo = "{dsn}"\npoll = 600\nlog_format = "json"\nworkers = 5\n'
        'env = ["SEEN", "PGAGENT_LOG_LEVEL", "PGAGENT_CONNINFO"]\n'
    )
    return path


def test_a_runner_serves_by_its_file_alone_and_logs_json(conn, file):
    add_job(conn, "SELECT 1")
    with Program([PGAGENT, "run", "--config", file]) as runner:
        assert ended_runs(conn) == "s"
        runner.stop()
        logged = [json.loads(line) for line in runner.log.splitlines()]

    assert {found["pid"] for found in logged} == {runner.pid}
    assert any(found["message"].endswith("5 jobs at a time") for found in logged)
    assert logged[-1]["message"] == "stopped"


def test_a_runner_serves_by_variables_which_no_script_can_see(conn, file, dsn):
    add_job(conn, batch("env; tr '\\0' '\\n' </proc/$PPID/environ || true"))
    environ = {
        "PGAGENT_CONFIG": file,
        "PGAGENT_CONNINFO": make_conninfo(dsn, password="hidden"),
        "PGAGENT_LOG_LEVEL": "debug",
        "SEEN": "yes",
    }
    with Program(
        [PGAGENT, "run"], {name: str(value) for name, value in environ.items()}
    ) as runner:
        assert ended_runs(conn) == "s"
        assert '"level": "DEBUG"' in runner.log
        assert "hidden" not in runner.log

    seen = step_runs(conn)[0][3]
    assert "SEEN=yes" in seen
    variables = {line.split("=")[0] for line in seen.splitlines() if "=" in line}
    of_steps = ("PGAGENT_JOB_", "PGAGENT_RUN_", "PGAGENT_STEP_")
    assert [
        name
        for name in variables
        if name.startswith("PG") and not name.startswith(of_steps)
    ] == []


def test_the_form_of_4_2_takes_the_rest_from_the_file(conn, file, dsn):
    add_job(conn, "SELECT 1")
    command = [PGAGENT, "-f", "-t", "7", "--config", file, "-l", "2", dsn]
    with Program(command) as runner:
        assert ended_runs(conn) == "s"
        runner.says("5 jobs at a time")
