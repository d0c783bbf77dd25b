"""What strangers NOTIFY costs next to nothing, and keeps no job from its time."""

import os
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from jobs import add_job, runs
from psycopg.conninfo import make_conninfo
from support import poll

from .runner_process import Runner, agents, ended_runs, running_step

LOOP = "DO $$ BEGIN LOOP PERFORM {}; COMMIT; END LOOP; END $$"
FLOODS = {
    "a word that is known": LOOP.format("pg_notify('pgagent', 'cancel')"),
    "long and ever new": LOOP.format(
        "pg_notify('pgagent', repeat('x', 7900) || clock_timestamp())"
    ),
    "thousands at once": LOOP.format(
        "pg_notify('pgagent', repeat('x', 7900) || n) FROM generate_series(1, 2000) AS n"
    ),
}
RUNS = 5  # one a second


@pytest.fixture
def stranger(conn, dsn):
    """The conninfo of a role without any right in the schema."""
    conn.execute("DROP ROLE IF EXISTS mallory; CREATE ROLE mallory LOGIN")
    yield make_conninfo(dsn, user="mallory")
    conn.execute("DROP ROLE mallory")


@contextmanager
def flood(conn, stranger, code):
    """Have two sessions of a stranger do this all the time."""

    def work():
        with (
            suppress(psycopg.Error),
            closing(psycopg.connect(stranger, autocommit=True)) as other,
        ):
            other.execute(code)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        active = "SELECT FROM pg_stat_activity WHERE usename = 'mallory' AND state = 'active'"
        poll(lambda: len(conn.execute(active).fetchall()) == 2)
        yield
    finally:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mallory'"
        while any(thread.is_alive() for thread in threads):
            conn.execute(end)
            threads[0].join(0.1)
            threads[1].join(0.1)


def count_calls(conn):
    """Return how often the runner has asked for something so far."""
    query = (
        "SELECT COALESCE(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname IN"
        " ('pga_agent_heartbeat', 'pga_run_claim')"
    )
    return int(conn.execute(query).fetchone()[0])


def seconds_of_processor(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kilobytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_notifications_costs_next_to_nothing(conn, dsn, stranger, code):
    conn.execute(f"ALTER DATABASE \"{conn.info.dbname}\" SET track_functions = 'all'")
    with Runner("--lease", "4", dsn) as runner:
        runner.ready()
        conn.execute("SELECT pgagent.schedule('tick', '1 second', 'SELECT 1')")
        ended_runs(conn)
        agents_before = agents(conn)
        with flood(conn, stranger, code):
            before = seconds_of_processor(runner.pid), kilobytes(runner.pid)
            calls, first = count_calls(conn), len(runs(conn))
            began = time.monotonic()
            poll(lambda: len(runs(conn)) > first + RUNS, 3 * RUNS)
            seconds = time.monotonic() - began
            calls = count_calls(conn) - calls
            busy = seconds_of_processor(runner.pid) - before[0]
            grown = kilobytes(runner.pid) - before[1]
            assert agents(conn) == agents_before

    assert {status for status, _ in runs(conn)} == {"s"}
    assert conn.execute("SELECT count(*) FROM pgagent.skipped_runs").fetchone() == (0,)
    # What it asks for anyway, ten looks that everybody has at once, each a sign of life and
    # a claim, and a few more.
    assert calls < 3 * seconds + 25
    assert busy < 0.05 * seconds
    assert grown < 20_000


def test_a_run_is_cancelled_and_a_job_started_during_a_flood(conn, runner, stranger):
    running = add_job(conn, "SELECT pg_sleep(60)")
    running_step(conn)
    with flood(conn, stranger, FLOODS["a word that is known"]):
        conn.execute("SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog")
        assert ended_runs(conn, running) == "d"
        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
