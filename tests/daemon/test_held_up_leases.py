"""Locks, triggers and wrong clocks keep leases from being renewed; nobody is buried."""

import threading
import time
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest
from cluster import Cluster
from jobs import add_job, batch, runs
from support import poll

from .runner_process import Runner, agents, ended_runs, running_step
from .test_time_travel import Clock

LEASE = 4
TABLES = (
    "pga_jobagent, pga_jobsession, pga_job, pga_jobstep, pga_joblog, pga_jobsteplog,"
    " pga_schedule, pga_exception"
)
TRIGGER = """
    CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN {}; RETURN NEW; END$$;
    CREATE TRIGGER meddle BEFORE UPDATE ON pgagent.pga_jobagent
    FOR EACH ROW EXECUTE FUNCTION public.meddle()
"""


@contextmanager
def two_runners(dsn):
    """Two runners with a short lease."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(Runner("--lease", LEASE, "--station", name, dsn))
            for name in ("one", "two")
        ]
        yield [runner.ready() for runner in started]


@contextmanager
def long_run(conn, gate, station="one"):
    """A run that goes on through all of the block, and then ends in peace."""
    code, open_gate = gate
    job_id = add_job(conn, batch(code), "SELECT 1", jobhostagent=station)
    running_step(conn, job_id)
    before = set(agents(conn))
    yield
    assert set(agents(conn)) == before
    open_gate()
    assert ended_runs(conn, job_id) == "s", runs(conn)


def lock(conn, tables, mode, seconds):
    """Lock tables for some time, each as soon as it can be had."""
    with conn.transaction():
        for table in tables.split(", "):
            conn.execute(f"LOCK TABLE pgagent.{table} IN {mode} MODE")
        conn.execute("SELECT pg_sleep(%s)", [seconds])


def test_locks_for_longer_than_a_lease_only_delay(conn, dsn, gate):
    with two_runners(dsn) as runners:
        with long_run(conn, gate):
            lock(conn, TABLES, "ACCESS EXCLUSIVE", LEASE + 1.5)
            job_id = add_job(conn, "SELECT 1")
            assert ended_runs(conn, job_id) == "s"
        for runner in runners:
            assert "next attempt" not in runner.log


def test_vacuum_full_behind_an_idle_reader_only_delays(conn, dsn, gate):
    with two_runners(dsn), long_run(conn, gate):
        with psycopg.connect(dsn) as reader:
            reader.execute("SELECT FROM pgagent.pga_joblog LIMIT 1")
            vacuum = threading.Thread(
                target=vacuum_full, args=[dsn, "pgagent.pga_joblog"]
            )
            vacuum.start()
            conn.execute("SELECT pg_sleep(%s)", [LEASE + 1])
        vacuum.join(20)
        assert not vacuum.is_alive()
        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"


def vacuum_full(dsn, table):
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.execute(f"VACUUM FULL {table}")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("RAISE EXCEPTION 'not on a Sunday'", "not on a Sunday"),
        ("PERFORM pg_sleep(30)", "canceling statement due to statement timeout"),
    ],
)
def test_a_trigger_that_keeps_leases_from_being_renewed_ends_nothing(
    conn, dsn, gate, what, told
):
    with two_runners(dsn) as runners, long_run(conn, gate):
        conn.execute(TRIGGER.format(what))
        query = "SELECT max(jaglease) < clock_timestamp() - interval '1 s' FROM pgagent.pga_jobagent"
        poll(lambda: conn.execute(query).fetchone()[0], what="the end of all leases")
        job_id = add_job(conn, "SELECT pg_sleep(600)")
        running_step(conn, job_id)
        conn.execute(
            "SELECT pgagent.cancel_run(run_id) FROM pgagent.running WHERE run_id = (SELECT max(jlgid) FROM pgagent.pga_joblog)"
        )
        assert ended_runs(conn, job_id) == "d"
        conn.execute("DROP TRIGGER meddle ON pgagent.pga_jobagent")
        for runner in runners:
            runner.says(f"the lease could not be renewed, trying again: {told}")
            runner.says("the lease is renewed again")
            assert runner.log.count(told) == 1


def test_sessions_of_steps_that_can_not_be_noted_are_used_all_the_same(
    conn, dsn, runner
):
    conn.execute(TRIGGER.format("RAISE EXCEPTION 'not on a Sunday'"))
    conn.execute(
        "CREATE TRIGGER meddle BEFORE INSERT ON pgagent.pga_jobsession"
        " FOR EACH ROW EXECUTE FUNCTION public.meddle()"
    )
    for _ in range(3):
        add_job(conn, "SELECT 1")
    assert ended_runs(conn, count=3) == "sss"
    assert runner.log.count("sessions of steps can't be noted: not on a Sunday") == 1


def test_runners_share_what_the_server_has(conn, dsn):
    (connections,) = conn.execute(
        "SELECT current_setting('max_connections')::integer"
    ).fetchone()
    whole = min(connections // 3, 64)
    with Runner("--lease", LEASE, dsn) as first:
        first.ready().says(f"{whole} jobs at a time")
        with Runner("--lease", LEASE, dsn) as second:
            second.ready().says(f"{connections // 6} jobs at a time")
            first.says(f"2 runners share the server: {connections // 6} jobs at a time")
        first.says(f"1 runners share the server: {whole} jobs at a time")


@pytest.fixture
def clock_and_dsn():
    """A server whose clock can be set: the clock, and a database with the extension."""
    with Cluster({"autovacuum": "off"}, is_twin=True) as server:
        clock = Clock(server)
        server.restart()
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
        yield clock, server.conninfo()


@pytest.mark.needs("libfaketime")
@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_of_the_servers_clock_buries_nobody(clock_and_dsn, gate, step):
    clock, dsn = clock_and_dsn
    clock.set(7200)
    direction = "forward" if step > 0 else "back"
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as conn,
        two_runners(dsn) as runners,
    ):
        begin = time.monotonic()
        with long_run(conn, gate):
            # Until each of them may judge the lease of the other.
            poll(lambda: time.monotonic() > begin + 2 * LEASE, deadline=20)
            clock.set(7200 + step)
            for runner in runners:
                runner.says(f"the database's clock was set {direction} by 3600 s")
            leases = "SELECT count(*) = 2 FROM pgagent.pga_jobagent WHERE jaglease BETWEEN clock_timestamp() AND clock_timestamp() + interval '4 s'"
            poll(lambda: conn.execute(leases).fetchone() == (True,))
            assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
        query = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgduration < '0'"
        assert conn.execute(query).fetchone() == (0,)
        for runner in runners:
            assert runner.log.count("clock was set") == 1
            assert "is gone" not in runner.log
