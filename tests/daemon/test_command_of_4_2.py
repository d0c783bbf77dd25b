"""The command line of pgAgent 4: `pgagent -f -l 2 -s pgagent.out "user=… dbname=…"`."""

import os
import re
import signal
from pathlib import Path

import pytest
from jobs import add_job, add_schedule
from support import poll

from .runner_process import PGAGENT, Program, agents, ended_runs


@pytest.fixture
def log_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pgagent.out"


@pytest.fixture
def start(cluster, conn, log_file):
    """Start `pgagent` as pgAgent's own regression test does, with more options."""

    def start(*options):
        conninfo = f"user={cluster.user} dbname={conn.info.dbname}"
        return Program(
            [PGAGENT, *options, "-l", "2", "-s", log_file.name, conninfo],
            {"PGHOST": cluster.host},
        )

    return start


def test_the_regression_test_of_pgagent_passes(conn, start, log_file):
    job_id = add_job(conn, "SELECT 1", due=None)
    fields = {"minutes": 60, "hours": 24, "weekdays": 7, "monthdays": 32, "months": 12}
    all_ticked = {f"jsc{field}": [True] * size for field, size in fields.items()}
    add_schedule(conn, job_id, **all_ticked)

    with start("-f"):
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

        assert ended_runs(conn, job_id) == "s"
    assert "INFO:  run 1 of job 1" in log_file.read_text()


def test_without_f_it_detaches_and_serves(conn, start, log_file):
    with start() as parent:
        assert parent.ended() == 0
    try:
        add_job(conn, "SELECT 1")
        assert ended_runs(conn) == "s"
        pid = serving_process(log_file)
        assert os.getsid(pid) == pid
    finally:
        os.kill(serving_process(log_file), signal.SIGTERM)
    poll(lambda: "stopped" in log_file.read_text() and not agents(conn))


def test_a_detached_runner_lets_go_of_its_callers_output(start, log_file):
    with start("--debuggable") as parent:
        parent.ended()
        pid = poll(lambda: log_file.exists() and serving_process(log_file))
        try:
            held = {
                str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)
            }
            assert held == {os.devnull}
        finally:
            os.kill(pid, signal.SIGTERM)
            poll(lambda: "stopped" in log_file.read_text())


def serving_process(log_file):
    """Return the process id of whoever wrote the log, if somebody has."""
    found = re.search(r"\[(\d+)\]", log_file.read_text())
    return found and int(found[1])
