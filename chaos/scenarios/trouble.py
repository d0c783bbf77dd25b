"""R25, R27, R28: bad jobs, bad servers and untidy steps."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from subprocess import CalledProcessError

import psycopg

from chaos.faults import cpu_seconds, fill, small_disk, wait_until
from chaos.fleet import Runner, runner
from chaos.history import (
    add_interval,
    add_job,
    batch,
    effect,
    make_due,
    scalar,
    sql_step,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server

DEATHS = 3
BUSY = 0.05
RECOVERY = 10.0
ENDED = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 's'"


@scenario(
    "R25",
    "a job that kills its runner three times in a row is disabled, with the reason",
    short=1,
    full=5,
    seconds=40,
)
def poison(lab: Lab) -> None:
    """Start the runner again and again, as a service manager does."""
    for _ in range(lab.count):
        with server() as cluster, closing(cluster.connect()) as conn:
            file = lab.directory / "runner.pid"
            job = add_job(conn, "poison", batch(f'kill -9 "$(cat {file})"; sleep 600'))
            harmless = add_job(conn, "harmless", effect(0.01))
            add_interval(conn, job, 1)
            add_interval(conn, harmless, 1)
            deaths = 0
            while deaths <= DEATHS and is_enabled(conn, job):
                with runner(cluster.dsn, name=f"victim-{deaths}") as victim:
                    file.write_text(str(victim.pid))
                    wait_until(
                        lambda: not victim.alive or not is_enabled(conn, job),  # noqa: B023
                        30,
                    )
                    deaths += not victim.alive
            lab.findings.expect("deaths until the job was disabled", deaths, DEATHS)
            lab.findings.expect(
                "the job is enabled", is_enabled(conn, job), expected=False
            )
            (reason,) = conn.execute(
                "SELECT jlgmessage FROM pgagent.pga_joblog WHERE jlgjobid = %s"
                " ORDER BY jlgid DESC LIMIT 1",
                [job],
            ).fetchone() or (None,)
            told = "disabled" in (reason or "")
            lab.findings.expect("the last run says so", reason, "… disabled …", ok=told)


def is_enabled(conn: Connection, job: int) -> bool:
    """Whether the job is enabled."""
    query = "SELECT jobenabled::integer FROM pgagent.pga_job WHERE jobid = %s"
    return scalar(conn, query, job) == 1


@contextmanager
def read_only(_: Lab, __: Server, conn: Connection) -> Iterator[None]:
    """Let no session write."""
    conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    conn.execute("SELECT pg_reload_conf()")
    yield
    conn.execute("SET default_transaction_read_only = off")
    conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
    conn.execute("SELECT pg_reload_conf()")


@contextmanager
def locked(_: Lab, cluster: Server, __: Connection) -> Iterator[None]:
    """Hold the table of jobs."""
    with closing(psycopg.connect(cluster.dsn)) as holder:
        holder.execute("LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE")
        yield
        holder.rollback()


@contextmanager
def impatient_role(_: Lab, __: Server, conn: Connection) -> Iterator[None]:
    """Give the role a statement_timeout, and make every session a new one."""
    conn.execute("ALTER ROLE postgres SET statement_timeout = '20ms'")
    terminate_others(conn)
    yield
    conn.execute("ALTER ROLE postgres RESET statement_timeout")
    terminate_others(conn)


def use_up(conn: Connection) -> None:
    """Fill what the log still has, smaller and smaller parts at a time.

    What was refused leaves room behind, which is made use of as soon as it is vacuumed.
    """
    for rows in 10_000, 100, 1:
        with suppress(psycopg.errors.DiskFull):
            while True:
                conn.execute(
                    "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgagentid)"
                    " SELECT min(jobid), 's', 1 FROM pgagent.pga_job,"
                    " generate_series(1, %s) GROUP BY generate_series",
                    [rows],
                )
        if rows > 1:
            conn.execute("VACUUM pgagent.pga_joblog")


@contextmanager
def full_disk(_: Lab, cluster: Server, conn: Connection) -> Iterator[None]:
    """Fill the disk of the log tables; raise CalledProcessError if not permitted."""
    tables = "pga_joblog", "pga_jobsteplog"
    indexes = "pga_joblog_pkey", "pga_jobsteplog_pkey", "pga_joblog_jobid"
    with small_disk(8, cluster.owner_id()) as directory:
        conn.execute(f"CREATE TABLESPACE small LOCATION '{directory}'".encode())
        for name in tables:
            conn.execute(f"ALTER TABLE pgagent.{name} SET TABLESPACE small".encode())
        for name in indexes:
            conn.execute(f"ALTER INDEX pgagent.{name} SET TABLESPACE small".encode())
        conn.execute("VACUUM pgagent.pga_joblog")  # which keeps files of its own
        ballast = fill(directory)
        use_up(conn)
        yield
        ballast.unlink()
        for name in tables:
            conn.execute(
                f"ALTER TABLE pgagent.{name} SET TABLESPACE pg_default".encode()
            )
        for name in indexes:
            conn.execute(
                f"ALTER INDEX pgagent.{name} SET TABLESPACE pg_default".encode()
            )
        conn.execute("DROP TABLESPACE small")


def terminate_others(conn: Connection) -> None:
    """End every other session of the database."""
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


TROUBLES = {
    "read-only": read_only,
    "lock on pga_job": locked,
    "statement_timeout in the role": impatient_role,
    "full disk": full_disk,
}


@scenario(
    "R27",
    "a server that refuses (full disk, lock, …): the runner lives, idles, recovers",
    short=8,
    full=60,
    seconds=75,
)
def refusals(lab: Lab) -> None:
    """Cause each trouble for so many seconds, with jobs due all the time."""
    for name, trouble in TROUBLES.items():
        with server() as cluster, closing(cluster.connect()) as conn:
            for number in range(3):
                job = add_job(conn, f"job {number}", sql_step("SELECT 1"))
                add_interval(conn, job, 1)
            with runner(cluster.dsn) as it:
                it.ready()
                wait_until(lambda: scalar(conn, ENDED) >= 3, 10)
                untroubled = scalar(conn, ENDED)
                try:
                    with trouble(lab, cluster, conn):
                        watch(lab, name, it)
                        expect_trace(lab, name, it)
                        if name in NO_TROUBLE:
                            goes_on = scalar(conn, ENDED) > untroubled
                            lab.findings.expect(
                                f"{name}: jobs run", goes_on, expected=True
                            )
                except CalledProcessError as e:
                    lab.findings.left_out.append(f"{name}: {e.stderr!r}")
                    continue
                before = scalar(conn, ENDED)
                took = wait_until(lambda: scalar(conn, ENDED) > before, RECOVERY + 10)  # noqa: B023
                lab.findings.at_most(f"{name}: ran again after", took, RECOVERY, "s")


def watch(lab: Lab, name: str, it: Runner) -> None:
    """Measure what the runner does while it is in trouble."""
    time.sleep(2)  # it has noticed by then
    cpu, lines, start = cpu_seconds(it.pid), it.log.count("\n"), time.monotonic()
    time.sleep(lab.count)
    passed = time.monotonic() - start
    share = (cpu_seconds(it.pid) - cpu) / passed if it.alive else 1.0
    lab.findings.expect(f"{name}: the runner lives", it.alive, expected=True)
    lab.findings.at_most(f"{name}: processor", 100 * share, 100 * BUSY, "%")
    rate = (it.log.count("\n") - lines) / passed
    lab.findings.at_most(f"{name}: lines in its log", rate, 20, "a second")


TRACES = {"full disk": "No space left on device"}

# The runner's own sessions set what they depend on themselves.
NO_TROUBLE = {"read-only", "statement_timeout in the role"}


def expect_trace(lab: Lab, name: str, it: Runner) -> None:
    """Expect the trouble in the log: that it has happened, and that people are told."""
    if trace := TRACES.get(name):
        told = trace in it.log
        lab.findings.expect(f"{name}: the log says so", told, expected=True)


LEFTOVERS = {
    "an open transaction": "BEGIN; CREATE TABLE chaos.never (i integer)",
    "a role": "SET ROLE nobody_special",
    "a setting": "SET work_mem = '77MB'",
    "a temporary table": "CREATE TEMP TABLE left_behind (i integer)",
    "a LISTEN": "LISTEN somebody",
    "an advisory lock": "SELECT pg_advisory_lock(4711)",
    "a prepared statement": "PREPARE left_behind AS SELECT 1",
    "a cursor": "DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1",
}
CLEAN = """
DO $$
BEGIN
    ASSERT current_user = session_user, 'a role is set';
    ASSERT current_setting('work_mem') <> '77MB', 'a setting has been changed';
    ASSERT to_regclass('pg_temp.left_behind') IS NULL, 'there is a temporary table';
    ASSERT NOT EXISTS (SELECT FROM pg_listening_channels()), 'it listens';
    ASSERT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'),
        'a lock is held';
    ASSERT NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'left_behind'),
        'a statement is prepared';
    ASSERT NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'left_behind'),
        'a cursor is open';
    ASSERT to_regclass('chaos.never') IS NULL, 'an open transaction was committed';
END
$$
"""


@scenario(
    "R28",
    "whatever a step leaves in its session, the next run sees none of it",
    short=1,
    full=10,
    seconds=10,
)
def hygiene(lab: Lab) -> None:
    """Leave everything a session can hold, and look for it in the run after that."""
    with server() as cluster, closing(cluster.connect()) as conn:
        conn.execute("CREATE ROLE nobody_special")
        with runner(cluster.dsn, "--workers", 1) as it:
            it.ready()
            inspector = add_job(conn, "inspector", sql_step(CLEAN))
            for name, code in LEFTOVERS.items():
                untidy = add_job(conn, name, sql_step(code))
                for _ in range(lab.count):
                    status, output = one_run(conn, untidy)
                    verdict, found = one_run(conn, inspector)
                lab.findings.expect(f"after {name}: the next run", verdict, "s")
                if verdict != "s":
                    lab.note(found)
                if "BEGIN" in code:
                    said = "transaction open" in output
                    lab.findings.expect(
                        f"{name}: its own run", f"{status}: {output}", "f, and why",
                        ok=status == "f" and said,
                    )  # fmt: skip


def one_run(conn: Connection, job: int) -> tuple[str, str]:
    """Run a job; return the status of its step and its output."""
    count = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'"
    before = scalar(conn, count)
    make_due(conn, [job])
    wait_until(lambda: scalar(conn, count) > before, 10)
    (status, output) = conn.execute(
        "SELECT jslstatus::text, COALESCE(jsloutput, '') FROM pgagent.pga_jobsteplog"
        " ORDER BY jslid DESC LIMIT 1"
    ).fetchone() or ("?", "")
    return status, output
