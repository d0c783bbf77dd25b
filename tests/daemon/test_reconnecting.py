"""An agent that registers again and again, and one that is stopped while it claims.

RECONNECTS=200 in the environment for as many as `make gates` has.
"""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest
from jobs import add_job, job, runs
from support import poll

from .runner_process import Program, Runner, agents, ended_runs

RECONNECTS = int(os.environ.get("RECONNECTS", "60"))
FORKING = """
# A loop is known by the pair of sockets by which signals wake it.
import os, sys
from pgagent_runner import cli

fork = os.fork

def told_fork():
    descriptors = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    loops = [d for d in descriptors if os.path.lexists(d) and "socket" in os.readlink(d)]
    threads = os.listdir("/proc/self/task")
    print("threads", len(threads), "loops", len(loops), flush=True)
    child = fork()
    if child:
        print("child", child, flush=True)
    return child

os.fork = told_fork
sys.exit(cli.main(sys.argv[1:]))
"""


def counted(runner):
    """Return how many descriptors and threads the runner has."""
    process = Path(f"/proc/{runner.pid}")
    return tuple(len(list((process / part).iterdir())) for part in ("fd", "task"))


def has_served(runner, times):
    return runner.log.count(" serves database ") >= times


def has_ended(conn, agent):
    return agent not in agents(conn)


@pytest.mark.timeout(60 + RECONNECTS)
def test_many_reconnects_leave_no_descriptor_and_no_thread(conn, dsn):
    with Runner("--debuggable", "--retry", "0.1", dsn) as runner:
        runner.ready()
        for number in range(RECONNECTS):
            (agent,) = poll(lambda: agents(conn), what="a registration")
            poll(partial(has_served, runner, number + 1))
            if number in {0, 20}:
                add_job(conn, "SELECT 1")
                ended_runs(conn, count=1 + (number == 20))
                before = counted(runner)
            conn.execute("SELECT pg_terminate_backend(%s)", [agent])
            poll(partial(has_ended, conn, agent), what="its end")
        add_job(conn, "SELECT 1")
        assert ended_runs(conn, count=3) == "sss"

        def is_as_before():
            return all(
                now <= then for now, then in zip(counted(runner), before, strict=True)
            )

        poll(is_as_before, what=f"no more descriptors and threads than {before}")
        assert runner.stop() == 0


def claiming(conn):
    query = (
        "SELECT FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query ~ 'pga_run_claim'"
    )
    return conn.execute(query).fetchall()


@pytest.mark.parametrize("grace", [10, 0])
def test_a_claim_in_flight_is_not_lost_when_the_agent_stops(conn, dsn, grace):
    with Runner(dsn, "--grace", grace) as runner:
        runner.ready()
        with psycopg.connect(dsn) as holder:
            holder.execute("LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE")
            job_id = add_job(holder, "SELECT 1")
            conn.execute("NOTIFY pgagent")
            poll(partial(claiming, conn), what="the claim")
            runner.send(signal.SIGTERM)
            if not grace:
                runner.ended()
        runner.ended()
        assert runs(conn) in ([("s", None)], []) or not grace
    # Whatever the server made of the claim, which it may have given up: the next agent
    # sees to it.
    with Runner(dsn) as another:
        another.ready()
        assert ended_runs(conn) in (("s",) if grace else ("s", "d", "ds"))
        assert another.stop() == 0
    assert job(conn, job_id, "jobagentid") is None
    assert agents(conn) == []


def test_it_detaches_before_there_is_a_loop_or_a_thread(conn, dsn, tmp_path):
    options = ["-l", "2", "-s", tmp_path / "log", dsn]
    with Program([sys.executable, "-c", FORKING, *options]) as parent:
        assert parent.ended() == 0
        told, child = parent.log.splitlines()
    try:
        assert told == "threads 1 loops 0"
        poll(lambda: agents(conn), what="its registration")
    finally:
        os.kill(int(child.split()[1]), signal.SIGTERM)
    poll(lambda: not agents(conn))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_too_late_changes_nothing_of_the_end(dsn, number):
    with Runner(dsn) as runner:
        runner.ready()
        runner.send(signal.SIGTERM)
        while runner.process.poll() is None:
            runner.send(number)
            time.sleep(0.001)
        assert runner.ended() == 0
        assert "Traceback" not in runner.log
        assert "stopped" in runner.log
