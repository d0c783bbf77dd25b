"""docs/pg_cron.md, "Moving", followed to the letter while both schedulers are at work.

Twenty jobs are due every minute. `make gates` does it with pg_cron itself and true minutes
(MOVING=real). Here the server's clock is set forward between the minutes, and a model
stands in for pg_cron's launcher: a second at most after each change of the minute it runs
the jobs that are in cron.job then.
"""

import os
import signal
import threading
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import datetime, timedelta

import psycopg
import pytest
from cluster import Cluster
from daemon.runner_process import Runner
from daemon.test_time_travel import Clock
from documents import block, inline
from support import poll

pytestmark = pytest.mark.needs("plpython", "pg_cron", "libfaketime")

JOBS = 20
IS_REAL = os.environ.get("MOVING") == "real"
OURS = 1 if IS_REAL else 2  # minutes after the move
SETTINGS = {
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": "postgres",
    "cron.use_background_workers": "on",
    "max_worker_processes": "40",
    "cron.max_running_jobs": "25",
}
MOVE = block("docs/pg_cron.md", "SELECT m.cron_jobid")
RAN = """
    CREATE TABLE public.ran (
        job text, minute timestamptz DEFAULT date_trunc('minute', clock_timestamp())
    )"""
NOW = "SELECT clock_timestamp()"


class Launcher:
    """A model of pg_cron's, that looks for jobs rather late: `with Launcher(dsn): ...`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        if not IS_REAL:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if not IS_REAL:
            self._thread.join()

    def _run(self) -> None:
        with closing(psycopg.connect(self._dsn, autocommit=True)) as conn:
            before = minute = self._minute(conn)
            while not self._is_over.wait(0.05):
                minute = self._minute(conn)
                if minute != before:
                    self._is_over.wait(0.9)
                    conn.execute(
                        "INSERT INTO public.ran SELECT jobname, %s FROM cron.job",
                        minute,
                    )
                before = minute

    def _minute(self, conn):
        return conn.execute("SELECT date_trunc('minute', clock_timestamp())").fetchone()


class Server:
    """A server with both schedulers, and the clock that they go by."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self.cluster = cluster
        self.clock = clock
        self.conn = psycopg.connect(cluster.conninfo(), autocommit=True)

    def ask(self, query, *parameters):
        return self.conn.execute(query, parameters).fetchall()[0][0]

    def now(self) -> datetime:
        now: datetime = self.ask(NOW)
        return now

    def go_to(self, second: int) -> None:
        """Go to that second of this minute, or of the next one if it is over."""
        now = self.now()
        then = now.replace(second=second, microsecond=0)
        if then < now:
            then += timedelta(minutes=1)
        if not IS_REAL:
            minute = now.replace(second=59, microsecond=0)
            assert then < minute, "a change of the minute is not jumped over"
            self.clock.set(then.timestamp() - time.time())
        poll(lambda: self.now() >= then, 70, f"{then}")

    def see_minute_begin(self) -> datetime:
        """Go on into the next minute, until its jobs have run; return it."""
        self.go_to(57)
        minute = (self.now() + timedelta(seconds=10)).replace(second=0, microsecond=0)
        ran = "SELECT count(*) FROM public.ran WHERE minute = %s"
        poll(lambda: self.ask(ran, minute) >= JOBS, 15, f"the runs of {minute}")
        return minute

    def add(self, name: str, command: str) -> None:
        self.conn.execute("SELECT cron.schedule(%s, '* * * * *', %s)", [name, command])


IDLE = """
    SELECT min(pid) FROM pg_stat_activity
    WHERE backend_type = 'pg_cron launcher' AND wait_event = 'Extension' AND backend_xmin IS NULL"""


@contextmanager
def launcher_stopped(server):
    """Have pg_cron's launcher do nothing: one that is ended may be started anew."""

    def stop():
        if (pid := server.ask(IDLE)) is None:
            return None
        os.kill(pid, signal.SIGSTOP)
        if server.ask(IDLE) == pid:
            return pid
        os.kill(pid, signal.SIGCONT)
        return None

    pid = poll(stop)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def both():
    """A server with pg_cron, whose launcher is stopped but for the real thing."""
    with Cluster(SETTINGS, is_twin=True) as cluster:
        clock = Clock(cluster)
        if IS_REAL:
            cluster.environ.clear()
        cluster.restart()
        server = Server(cluster, clock)
        with closing(server.conn):
            server.conn.execute("CREATE EXTENSION pg_cron")
            server.conn.execute(RAN)
            with nullcontext() if IS_REAL else launcher_stopped(server):
                yield server


@pytest.fixture
def server(both):
    """The same in the midst of a minute, without any job."""
    if not IS_REAL:
        both.clock.set(20 - time.time() % 60)
    yield both
    both.conn.execute("ROLLBACK")
    both.conn.execute("DROP EXTENSION IF EXISTS pgagent CASCADE")
    both.conn.execute("TRUNCATE cron.job, cron.job_run_details, public.ran")


@pytest.mark.timeout(400)
def test_each_minute_has_exactly_one_run_of_each_job(server):
    names = [f"job {number}" for number in range(JOBS)]
    for name in names:
        server.add(name, f"INSERT INTO public.ran (job) VALUES ('{name}')")
    server.conn.execute(block("docs/pg_cron.md", "CREATE EXTENSION pgagent_python"))
    run = block("docs/pg_cron.md", "pgagent run").split()
    assert run == ["pgagent", "run", '"dbname=postgres"']
    # The lease is long, for the clock is set forward by minutes.
    dsn = server.cluster.conninfo()
    with (
        Launcher(dsn),
        Runner(dsn, "--lease", "3600", "--poll", "1") as runner,
    ):
        runner.ready()
        first = server.see_minute_begin()
        look = block("docs/pg_cron.md", "SELECT * FROM pgagent.import")
        assert look.strip() == inline("docs/python.md", "SELECT * FROM pgagent.import")
        dry = server.conn.execute(look)
        assert {row[4] for row in dry} == {"would become a job"}

        # In a transaction of the user's own, in the midst of which a minute begins.
        server.go_to(54)
        with server.conn.transaction():
            rows = server.conn.execute(MOVE).fetchall()
            poll(lambda: server.now().second == 2, 15, "pg_cron's minute to begin")
        moved = server.now()
        assert {row[2:] for row in rows} == {("has become a job", True)}
        assert server.ask("SELECT count(*) FROM cron.job") == 0
        last = [server.see_minute_begin() for _ in range(OURS)][-1]

    minutes = [
        first + timedelta(minutes=m)
        for m in range(int((last - first).total_seconds()) // 60 + 1)
    ]
    assert len(minutes) == 2 + OURS
    ran = server.conn.execute(
        "SELECT job, minute FROM public.ran WHERE minute >= %s ORDER BY minute, job",
        [first],
    )
    assert ran.fetchall() == [(n, m) for m in minutes for n in sorted(names)]
    assert 5 <= moved.second < 10
    by_us = server.ask("SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 's'")
    assert by_us == OURS * JOBS


LONG = "SELECT pg_sleep(600)"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid = %s"


@pytest.fixture
def long_run(server):
    """Begin a long run as pg_cron does, by libpq."""
    dsn = server.cluster.conninfo()
    with closing(psycopg.connect(dsn, application_name="pg_cron")) as session:
        pid = session.info.backend_pid

        def begin():
            session.pgconn.send_query(LONG.encode())
            with closing(psycopg.connect(dsn, autocommit=True)) as other:
                poll(lambda: other.execute(RUNNING, [pid]).fetchall()[0][0])
            return pid

        yield begin
        server.conn.execute(f"ROLLBACK; SELECT pg_terminate_backend({pid})")


@pytest.mark.parametrize("is_logged", [False, True])
def test_a_job_that_pg_cron_is_running_is_left_to_the_next_call(
    server, long_run, is_logged
):
    server.add("long", "SELECT 2" if is_logged else LONG)
    server.add("short", "SELECT 1")
    server.conn.execute("CREATE EXTENSION pgagent_python CASCADE")
    pid = long_run()
    if is_logged:
        logged = "INSERT INTO cron.job_run_details (runid, jobid, status, job_pid) SELECT 1, jobid, 'running', %s FROM cron.job WHERE jobname = 'long'"
        server.conn.execute(logged, [pid])

    rows = {name: result for _, name, result, _ in server.conn.execute(MOVE)}

    assert rows["short"] == "has become a job"
    assert rows["long"] == (
        "left alone: pg_cron is running it; call again when that has ended"
    )
    assert server.ask("SELECT string_agg(jobname, ',') FROM cron.job") == "long"
    assert server.ask(RUNNING, pid) == 1


def test_while_runs_may_be_waiting_in_pg_cron_nothing_is_moved(server):
    server.add("a", "SELECT 1")
    server.conn.execute("CREATE EXTENSION pgagent_python CASCADE")
    dsn = server.cluster.conninfo()
    with ExitStack() as sessions:
        for _ in range(int(SETTINGS["cron.max_running_jobs"])):
            session = psycopg.connect(dsn, application_name="pg_cron")
            sessions.enter_context(closing(session))
        rows = server.conn.execute(MOVE).fetchall()
    assert [row[2][:34] for row in rows] == ["left alone: pg_cron is running it;"]


def test_a_run_that_begins_before_the_move_is_over_undoes_the_move(server, long_run):
    server.add("long", LONG)
    server.conn.execute("CREATE EXTENSION pgagent_python CASCADE")
    server.conn.execute("BEGIN")
    server.conn.execute(MOVE)
    long_run()
    with pytest.raises(psycopg.errors.ObjectInUse, match="do it again"):
        server.conn.execute("COMMIT")
    assert server.ask("SELECT count(*) FROM cron.job") == 1
    assert server.ask("SELECT count(*) FROM pgagent.pga_job") == 0


def test_what_was_not_removed_from_pg_cron_is_pointed_out(server):
    server.add("a", "SELECT 1")
    server.conn.execute("CREATE EXTENSION pgagent_python CASCADE")
    told = []
    server.conn.add_notice_handler(lambda d: told.append(d.message_detail))
    server.conn.execute("SELECT * FROM pgagent.import_pg_cron(dry_run => false)")
    (job_id,) = server.conn.execute("SELECT jobid FROM cron.job").fetchone()
    assert told == [f"Its jobs {job_id}: cron.unschedule() removes them there."]


def test_a_script_with_the_schema_replaced_runs_at_the_same_times(server):
    server.conn.execute("SELECT cron.schedule('nightly-vacuum', '0 3 * * *', 'VACUUM')")
    server.conn.execute("ALTER DATABASE postgres SET timezone = 'Asia/Tokyo'")
    with closing(psycopg.connect(server.cluster.conninfo(), autocommit=True)) as conn:
        conn.execute(block("docs/pg_cron.md", "CREATE EXTENSION pgagent;"))
        conn.execute(block("docs/pg_cron.md", "BEGIN;"))
        conn.execute("SET timezone = 'UTC'")
        look = block("docs/pg_cron.md", "SELECT * FROM pgagent.next_runs('nightly")
        for run_at, *_ in conn.execute(look).fetchall():
            assert (run_at.hour, run_at.minute) == (3, 0)
        assert conn.execute("SELECT count(*) FROM cron.job").fetchone() == (0,)
