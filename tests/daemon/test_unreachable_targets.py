"""Targets that never answer, and names that nobody knows: they delay nothing else."""

import signal
import socket
import sys
from contextlib import ExitStack

import pytest
from jobs import add_job, runs

from .runner_process import Program, ended_runs

# `pgagent` on a machine whose name servers answer to no question for such a name.
DEAD_NAME_SERVERS = """if True:
    import socket, sys, time
    from pgagent_runner.cli import main
    look_up = socket.getaddrinfo
    def getaddrinfo(host, *args, **kwargs):
        if host is not None and host.startswith("dead"):
            sys.stderr.write(f"looks {host} up\\n")
            time.sleep(600)
        return look_up(host, *args, **kwargs)
    socket.getaddrinfo = getaddrinfo
    sys.exit(main())
"""


class RunnerWithoutNames(Program):
    """`pgagent run` there."""

    def __init__(self, *arguments):
        options = ["run", "--poll", "600", "--grace", "0.2", "--log-level", "debug"]
        super().__init__(
            [sys.executable, "-c", DEAD_NAME_SERVERS, *options, *arguments]
        )


def nowhere(conninfo):
    return {"jstcode": "SELECT 1", "jstdbname": "", "jstconnstr": conninfo}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_dead_name_servers_stall_neither_other_runs_nor_the_end(conn, dsn, number):
    dead = [add_job(conn, nowhere(f"host=dead{n} user=u")) for n in range(6)]
    with RunnerWithoutNames(dsn) as runner:
        for n in range(6):
            runner.says(f"looks dead{n} up")
        alive = add_job(conn, nowhere("host=localhost port=1 user=u"))
        assert ended_runs(conn, alive) == "f"

        assert runner.stop(number, deadline=5) == 0
    assert [runs(conn, job_id)[0][0] for job_id in dead] == ["d"] * 6


def test_a_runner_whose_own_server_has_a_dead_name_stops_at_once():
    with RunnerWithoutNames("host=dead dbname=x user=x") as runner:
        runner.says("looks dead up")
        assert runner.stop(deadline=3) == 0


def test_steps_at_mute_servers_stall_neither_other_runs_nor_the_end(conn, dsn):
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        mute = f"host=127.0.0.1 port={port} user=u connect_timeout=0"
        jobs = [add_job(conn, nowhere(mute)) for _ in range(6)]
        runner = stack.enter_context(RunnerWithoutNames(dsn))
        for _ in jobs:
            stack.enter_context(server.accept()[0])
        alive = add_job(conn, "SELECT 1")
        assert ended_runs(conn, alive) == "s"

        assert runner.stop(deadline=5) == 0
    assert [runs(conn, job_id)[0][0] for job_id in jobs] == ["d"] * 6
