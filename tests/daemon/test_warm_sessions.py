"""Sessions that are kept for the next run: nothing passes from one run to another."""

import signal

import pytest
from jobs import add_job, batch, runs, step_runs
from psycopg.conninfo import make_conninfo
from support import poll

from .runner_process import Runner, ended_runs, running_step

PID = "DO $$ BEGIN RAISE NOTICE 'pid %', pg_backend_pid(); END $$"


def pid_of(conn, job_id):
    output = step_runs(conn, job_id)[-1][3]
    return output.partition("pid ")[2].split()[0]


LEAVINGS = {
    "a setting": ("SET work_mem = '77MB'", "current_setting('work_mem') <> '77MB'"),
    "a role": ("SET ROLE pg_monitor", "current_user <> 'pg_monitor'"),
    "an identity": (
        "SET SESSION AUTHORIZATION pg_monitor",
        "session_user <> 'pg_monitor'",
    ),
    "a temporary table": (
        "CREATE TEMP TABLE left_over ()",
        "to_regclass('left_over') IS NULL",
    ),
    "a lock": (
        "SELECT pg_advisory_lock(7)",
        "(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND objid = 7) = 0",
    ),
    "a prepared statement": (
        "PREPARE p AS SELECT 1",
        "NOT EXISTS (SELECT FROM pg_prepared_statements)",
    ),
    "a cursor": (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "NOT EXISTS (SELECT FROM pg_cursors WHERE name = 'c')",
    ),
    "a channel": (
        "LISTEN gossip",
        "NOT EXISTS (SELECT FROM pg_listening_channels())",
    ),
}


@pytest.mark.parametrize("leaving", LEAVINGS)
def test_a_run_finds_nothing_that_another_left_in_the_session(conn, runner, leaving):
    leave, absent = LEAVINGS[leaving]
    first = add_job(conn, f"{PID}; {leave}")
    assert ended_runs(conn, first) == "s"

    check = f"DO $$ BEGIN ASSERT {absent}; END $$"
    second = add_job(conn, PID, check)

    assert ended_runs(conn, second) == "s", step_runs(conn, second)
    first_pid = pid_of(conn, first)
    assert step_runs(conn, second)[0][3].count(f"pid {first_pid}") == 1


def test_a_session_with_an_open_transaction_is_not_kept(conn, runner):
    first = add_job(conn, f"{PID}; BEGIN")
    assert ended_runs(conn, first) == "f"

    second = add_job(conn, PID)

    assert ended_runs(conn, second) == "s"


def test_a_role_that_comes_with_the_login_is_not_lost(cluster, conn, dsn):
    conn.execute("DROP ROLE IF EXISTS app; DROP ROLE IF EXISTS app_login")
    conn.execute("CREATE ROLE app; CREATE ROLE app_login LOGIN IN ROLE app")
    conn.execute("ALTER ROLE app_login SET role = app")
    check = "DO $$ BEGIN ASSERT current_user = 'app'; END $$"
    target = f"host={cluster.host} user=app_login dbname={conn.info.dbname}"
    with Runner(dsn) as runner:
        runner.ready()
        for _ in range(2):
            job_id = add_job(conn, {"jstcode": check, "jstconnstr": target})
            assert ended_runs(conn, job_id) == "s", step_runs(conn, job_id)
    conn.execute("DROP ROLE app_login; DROP ROLE app")


def test_no_more_sessions_than_allowed_are_opened_on_a_target(conn, dsn):
    conn.execute("SELECT pg_advisory_lock(1)")
    with Runner("--target-sessions", "2", dsn) as runner:
        runner.ready()
        for _ in range(12):
            add_job(conn, "SELECT pg_advisory_xact_lock_shared(1), pg_sleep(0.01)")
        most = 0
        query = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'pgagent job %%' AND datname = %s"
        )

        def sessions():
            nonlocal most
            (count,) = conn.execute(query, [conn.info.dbname]).fetchone()
            most = max(most, count)
            return count

        def ended():
            sessions()
            return len([1 for status, _ in runs(conn) if status == "s"]) == 12

        poll(lambda: sessions() >= 2, what="two that wait for the lock")
        conn.execute("SELECT pg_advisory_unlock(1)")
        poll(ended)
    assert most == 2


@pytest.mark.needs("client_connection_check_interval")
def test_a_statement_dies_with_its_runner(conn, dsn):
    with Runner(dsn) as runner:
        runner.ready()
        add_job(conn, "SELECT pg_sleep(600)")
        running_step(conn)
        query = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'"
        poll(lambda: conn.execute(query).rowcount == 1)
        runner.send(signal.SIGKILL)
        runner.ended()
        poll(lambda: conn.execute(query).rowcount == 0, 2, "the statement to end")


def test_the_session_of_a_dead_agents_step_ends_before_the_job_is_free(conn, dsn):
    """Frozen, not dead: its session would go on for ever."""
    query = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'"
    with Runner("--lease", "4", dsn) as frozen:
        frozen.ready()
        add_job(conn, "SELECT pg_sleep(600)")
        running_step(conn)
        poll(lambda: conn.execute(query).rowcount == 1)
        with Runner("--lease", "4", dsn) as other:
            other.ready()
            frozen.send(signal.SIGSTOP)
            try:
                poll(lambda: runs(conn)[0][0] == "d", 15, "the run to be aborted")
                assert conn.execute(query).rowcount == 0
            finally:
                frozen.send(signal.SIGCONT)


def test_runs_that_need_each_others_targets_do_not_wait_for_each_other(
    conn, dsn, cluster, tmp_path
):
    """Each has the only session of the one, and wants one of the other."""
    one = {"jstconnstr": make_conninfo(dsn, dbname=conn.info.dbname)}
    other = {"jstconnstr": cluster.conninfo()}
    meet = "until test $(ls {0} | wc -l) -ge 2; do touch {0}/{1}; sleep 0.02; done"
    jobs = [
        add_job(
            conn,
            {"jstcode": "SELECT 1"} | first,
            batch(meet.format(tmp_path, number)),
            {"jstcode": "SELECT 2"} | second,
            {"jstcode": "SELECT 3"} | first,
        )
        for number, (first, second) in enumerate([(one, other), (other, one)])
    ]

    with Runner("--target-sessions", "1", dsn):
        assert [ended_runs(conn, job_id) for job_id in jobs] == ["s", "s"]
