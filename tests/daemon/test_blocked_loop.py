"""What becomes of the agent when its loop does not turn, for whatever reason."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from jobs import add_job, batch, runs
from psycopg.conninfo import make_conninfo
from runner.lossy_proxy import LossyProxy
from support import poll

from .runner_process import PGAGENT, Program, agents, ended_runs, running_step

LEASE = 4.0  # seconds
# `pgagent run` with a loop that SIGUSR1 blocks, as a long call of C would.
BLOCKABLE = """
import asyncio, os, signal, sys, time
from pgagent_runner import cli
from pgagent_runner.agent.agent import Agent

run = Agent.run

async def run_blockable(self):
    seconds = float(os.environ["BLOCKED_FOR"])
    add = asyncio.get_running_loop().add_signal_handler
    add(signal.SIGUSR1, time.sleep, seconds)
    await run(self)

Agent.run = run_blockable
sys.exit(cli.main(sys.argv[1:]))
"""


def blockable(dsn, seconds, lease=LEASE):
    """A runner that is blocked for so many seconds by SIGUSR1."""
    options = ["--poll", "600", "--grace", "0.2", "--lease", lease]
    command = [sys.executable, "-c", BLOCKABLE, "run", *options, dsn]
    return Program(command, {"BLOCKED_FOR": str(seconds)})


def lease_of(conn):
    """Return until when the agent's lease lasts, and how long that is from now."""
    return conn.execute(
        "SELECT jaglease, jaglease - clock_timestamp() FROM pgagent.pga_jobagent"
    ).fetchone()


def test_a_loop_that_is_blocked_for_longer_than_the_lease_ends_the_process(conn, dsn):
    with blockable(dsn, 600) as runner:
        runner.says(" serves database ")
        add_job(conn, "SELECT pg_sleep(600)")
        running_step(conn)
        runner.send(signal.SIGUSR1)
        began = time.monotonic()

        assert runner.ended(30) == os.EX_SOFTWARE

        assert LEASE <= time.monotonic() - began < 2 * LEASE
        assert "nothing has gone on for" in runner.log
        # It was not renewed once more by the way.
        _, left = lease_of(conn)
        assert left < timedelta(seconds=LEASE)
    query = "SELECT FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"
    poll(lambda: not conn.execute(query).fetchall(), what="the step to end")


def test_the_lease_is_renewed_while_the_loop_is_blocked_for_less(conn, dsn):
    with blockable(dsn, LEASE * 0.8) as runner:
        runner.says(" serves database ")
        (before, _) = lease_of(conn)
        began = time.monotonic()
        runner.send(signal.SIGUSR1)
        add_job(conn, "SELECT 1")
        renewed = {before}

        while not runs(conn):  # the loop is blocked
            until, left = lease_of(conn)
            assert left > timedelta(0)
            renewed.add(until)
            assert time.monotonic() - began < 10

        assert time.monotonic() - began > LEASE / 2
        assert len(renewed) > 3  # it is shown five times a lease
        assert ended_runs(conn) == "s"
        assert len(agents(conn)) == 1
        assert runner.stop() == 0


@pytest.fixture
def proxy(cluster, tmp_path):
    with LossyProxy(tmp_path, cluster.host, cluster.port) as proxy:
        yield proxy


def test_steps_are_stopped_in_time_if_the_server_is_gone_and_the_loop_is_blocked(
    conn, dsn, proxy, tmp_path
):
    step = {"jstcode": "SELECT pg_sleep(600)", "jstconnstr": dsn}
    lease = 10.0
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as watcher,
        blockable(make_conninfo(dsn, host=str(tmp_path)), 600, lease) as runner,
    ):
        runner.says(" serves database ")
        add_job(conn, step)
        running_step(conn)
        query = (
            "SELECT FROM pg_stat_activity WHERE application_name ~ '^pgagent job'"
            " AND state = 'active'"
        )
        poll(lambda: watcher.execute(query).fetchall(), what="the step's session")
        runner.send(signal.SIGUSR1)
        proxy.hang()

        poll(lambda: not watcher.execute(query).fetchall(), 2 * lease, "its end")

        _, left = lease_of(watcher)
        assert left > timedelta(0)
        # And the process, for which nobody else can do anything, ends too.
        assert runner.ended(3 * lease) == os.EX_SOFTWARE


def test_a_log_that_nobody_reads_keeps_no_process_from_ending(conn, dsn):
    """Its jobs are free for others after the lease, and it must not go on then."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    options = ["--lease", str(LEASE), "--log-level", "debug"]
    with subprocess.Popen(
        [PGAGENT, "run", *options, dsn],
        env={**os.environ, "PGAGENT_CONFIG": os.devnull},
        stdin=subprocess.DEVNULL,
        stderr=writing,
    ) as process:
        os.close(writing)
        try:
            ids = [add_job(conn, batch("echo hi")) for _ in range(40)]
            poll(lambda: agents(conn))
            assert process.wait(4 * LEASE) == os.EX_SOFTWARE
            ended = [status for status, _ in runs(conn)]
            assert ended != ["s"] * len(ids), "its log has held up nothing"
        finally:
            process.kill()
            os.close(reading)
