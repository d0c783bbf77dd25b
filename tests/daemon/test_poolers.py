"""Behind a pooler: session mode keeps every promise, any other mode is refused in words."""

import signal
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest
from jobs import add_job, batch, job, runs, step_runs
from support import poll

from .poolers import PgBouncer, Pgpool
from .runner_process import Runner, agents, ended_runs
from .stubborn import SWALLOWS_CANCELLING, busy_sessions

pytestmark = pytest.mark.needs("pgbouncer")

LEASE = 4
USE = (
    "use session pooling (PgBouncer: pool_mode = session), or connect to PostgreSQL"
    " itself: port 5432"
)
TRANSACTION = f"a pooler in transaction mode lies before the server, which takes the session away after each of its transactions: {USE}"


@pytest.fixture(scope="module")
def session_mode(cluster):
    with PgBouncer(cluster, pool_mode="session", default_pool_size=50) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def transaction_mode(cluster):
    with PgBouncer(cluster, pool_mode="transaction", max_client_conn=90) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def pgpool(cluster):
    with Pgpool(cluster) as pooler:
        yield pooler


@pytest.fixture(
    params=["PgBouncer", pytest.param("pgpool-II", marks=pytest.mark.needs("pgpool"))]
)
def pooled(request, dsn):
    """How to reach the database through a pooler that gives whole sessions."""
    names = {"PgBouncer": "session_mode", "pgpool-II": "pgpool"}
    return request.getfixturevalue(names[request.param]).conninfo(dsn)


def noted(conn):
    """Return the process ids that are noted as those of steps."""
    return {pid for (pid,) in conn.execute("SELECT jsspid FROM pgagent.pga_jobsession")}


# Modes that take sessions away


@pytest.mark.parametrize(
    "settings",
    [
        {"pool_mode": "transaction"},
        {"pool_mode": "transaction", "server_round_robin": 1},
        {"pool_mode": "transaction", "default_pool_size": 1},
        {"pool_mode": "statement"},
    ],
)
def test_a_pooler_that_takes_sessions_away_is_refused(cluster, conn, dsn, settings):
    with PgBouncer(cluster, **settings) as pooler, Runner(pooler.conninfo(dsn)) as it:
        it.says(USE)

        mode = settings["pool_mode"]
        assert f"a pooler in {mode} mode lies before the server" in it.log
        assert agents(conn) == []
        assert "Traceback" not in it.log
        it.stop(deadline=5)


def test_a_pooler_of_several_processes_is_refused(cluster, conn, dsn):
    """Each has a pool of its own: two sessions need not meet in one of them."""
    settings: dict[str, Any] = {"pool_mode": "transaction", "so_reuseport": 1}
    with ExitStack() as stack:
        pooler = stack.enter_context(PgBouncer(cluster, **settings))
        for _ in range(3):
            stack.enter_context(PgBouncer(cluster, pooler.port, **settings))
        with Runner(pooler.conninfo(dsn)) as runner:
            runner.says(TRANSACTION)


def test_it_goes_on_when_the_pooler_gives_whole_sessions(cluster, conn, dsn):
    with (
        PgBouncer(cluster, pool_mode="transaction") as pooler,
        Runner("--retry", "600", pooler.conninfo(dsn)) as runner,
    ):
        runner.says(TRANSACTION)
        pooler.set(pool_mode="session")
        runner.says(" serves database ", 12)
        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"


def test_a_step_behind_such_a_pooler_is_refused(conn, dsn, runner, transaction_mode):
    where = {"jstconnstr": transaction_mode.conninfo(dsn)}
    job_id = add_job(conn, {"jstcode": "CREATE TABLE never ()"} | where)

    assert ended_runs(conn, job_id) == "f"
    assert step_runs(conn, job_id)[0][3].startswith(TRANSACTION)
    assert conn.execute("SELECT to_regclass('never')").fetchone() == (None,)


# Whole sessions


# In mode autocommit: what has begun can be seen. It hides behind a name of its own.
ENDLESS = """
    SET application_name = 'mine';
    INSERT INTO begun VALUES (pg_backend_pid(), {number});
    SELECT pg_sleep(600)"""


def add_endless_job(conn, number):
    """Add a job that never ends, and wait until it runs; return it and its session."""
    code = ENDLESS.format(number=number)
    job_id = add_job(conn, {"jstcode": code, "jstmode": "autocommit"})
    query = "SELECT pid FROM begun WHERE job = %s"
    ((pid,),) = poll(lambda: conn.execute(query, [number]).fetchall())
    return job_id, pid


def is_connected(conn, pid):
    query = "SELECT FROM pg_stat_activity WHERE pid = %s"
    return conn.execute(query, [pid]).fetchone() is not None


@pytest.mark.needs("pgpool")
def test_steps_of_dead_runners_end_and_nothing_else_does(
    conn, dsn, session_mode, pgpool
):
    """One is killed, whose sessions others get, and one is frozen behind either pooler."""
    pooled = session_mode.conninfo(dsn)
    conn.execute("CREATE TABLE begun (pid int, job int)")
    with ExitStack() as stack:
        with Runner("--lease", LEASE, pooled) as killed:
            killed.ready()
            between_steps = add_job(conn, "SELECT 1", batch("sleep 600"))
            poll(lambda: len(step_runs(conn, between_steps)) == 2)
            killed.kill()
        innocent = [stack.enter_context(closing(connect(pooled))) for _ in range(9)]
        asked = [session.execute("SELECT pg_backend_pid()") for session in innocent]
        assert noted(conn) & {cursor.fetchone()[0] for cursor in asked}
        jobs = []
        for number, pooler in enumerate((session_mode, pgpool)):
            runner = Runner("--lease", LEASE, pooler.conninfo(dsn))
            stack.enter_context(runner).ready()
            jobs.append(add_endless_job(conn, number))
            runner.send(signal.SIGSTOP)
            stack.callback(runner.send, signal.SIGCONT)

        with Runner("--lease", LEASE, dsn) as other:
            other.ready()
            poll(lambda: "r" not in "".join(s for s, _ in runs(conn)), 15, "all to end")

            assert not any(is_connected(conn, pid) for _, pid in jobs)
            for session in innocent:
                session.execute("SELECT 1")
    assert [job(conn, job_id, "jobagentid") for job_id, _ in jobs] == [None, None]


def connect(dsn):
    return psycopg.connect(dsn, autocommit=True)


def test_nothing_is_left_of_a_runner_that_was_killed(conn, pooled):
    """Its sessions are given to the next one: of a pooler's, the last is the first."""
    with Runner("--lease", LEASE, pooled) as killed:
        killed.ready()
        job_id = add_job(conn, "SELECT pg_sleep(600)")
        poll(lambda: busy_sessions(conn))
        killed.kill()
        with Runner("--lease", LEASE, pooled) as next_one:
            next_one.ready()
            poll(lambda: runs(conn, job_id)[0][0] == "d", 15, "the run to be closed")

            assert not busy_sessions(conn)
            assert not noted(conn)
            assert len(agents(conn)) == 1
            assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"


def test_a_statement_is_cancelled_or_its_session_terminated(conn, pooled):
    with Runner(pooled) as runner:
        runner.ready()
        job_id = add_job(conn, "SELECT pg_sleep(600)")
        ((pid, _),) = poll(lambda: busy_sessions(conn))
        poll(lambda: pid in noted(conn), what="the session to be noted")
        conn.execute("SELECT pgagent.cancel_run(%s)", [job_id])
        assert ended_runs(conn, job_id) == "d"
        poll(lambda: not busy_sessions(conn), 3)

        job_id = add_job(conn, {"jstcode": SWALLOWS_CANCELLING, "jsttimeout": "0.5 s"})
        assert ended_runs(conn, job_id) == "f"
        assert "its session was terminated" in step_runs(conn, job_id)[0][3]
        poll(lambda: not busy_sessions(conn), 3)


def test_text_keeps_its_encoding_from_run_to_run(cluster, session_mode):
    """DISCARD ALL brings the encoding of the database back, which is not ours."""
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute("DROP DATABASE IF EXISTS latin")
        admin.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        )
    dsn = cluster.conninfo("latin")
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        conn.execute("CREATE EXTENSION pgagent")
        with Runner(session_mode.conninfo(dsn)) as runner:
            runner.ready()
            for _ in range(3):
                job_id = add_job(conn, "DO $$ BEGIN ASSERT length('Größe') = 5; END $$")
                assert ended_runs(conn, job_id) == "s"
