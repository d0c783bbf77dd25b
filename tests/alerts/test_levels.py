"""Who holds the level runner, or admin, has all that telling takes; nobody else has."""

from contextlib import closing

import psycopg
import pytest
from alerts.telling import claim, fail, later, log, names, run, send_all, sent, watch
from jobs import add_job
from transitions import register

TABLES_OF_4_2 = (
    *("pga_jobagent", "pga_jobclass", "pga_job", "pga_jobstep", "pga_schedule"),
    *("pga_exception", "pga_joblog", "pga_jobsteplog"),
)


@pytest.fixture
def login(conn, dsn):
    """Log in as a new role that holds a level."""
    roles, sessions = [], []

    def make(level):
        role = f"pga_{level}"
        conn.execute(f"CREATE ROLE {role} LOGIN")
        roles.append(role)
        conn.execute("SELECT pgagent.grant_access(%s, %s)", [level, role])
        sessions.append(psycopg.connect(dsn, user=role, autocommit=True))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()
    for role in roles:
        conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_runner_closes_runs_decides_sends_starts_jobs_and_prunes(conn, login):
    runner = login("runner")
    warnings = []
    runner.add_notice_handler(lambda said: warnings.append(said.message_primary))
    failing = add_job(conn, "SELECT 1", due=None, name="etl", jobdisableafter=9)
    add_job(conn, "SELECT 1", due=None, name="tell")
    conn.execute("SELECT pgagent.add_alert('all', 'mail', repeat_every => '1 hour')")
    conn.execute("SELECT pgagent.add_alert('notify', 'notify')")
    conn.execute("SELECT pgagent.add_alert('start', 'job:tell')")
    register(runner)
    fail(runner, failing)
    assert len(log(conn)) == 3
    later(conn)
    assert names(send_all(runner)) == [["failed"]]
    assert [state for _, state in log(conn)] == ["sent"] * 3
    assert conn.execute("SELECT jrqvia FROM pgagent.pga_jobrequest").fetchall() == [
        ("alert",)
    ]
    later(conn, "61 minutes")
    watch(runner)
    later(conn)
    assert names(send_all(runner)) == [["failed"]]
    conn.execute("DELETE FROM pgagent.pga_jobrequest")
    conn.execute("UPDATE pgagent.pga_job SET jobrunid = NULL, jobnextrun = NULL")
    run(runner, failing)
    conn.execute("SELECT pgagent.test_alert('all')")
    watch(runner)
    message, *_ = claim(runner)
    assert sent(runner, message, 1, "no")
    later(conn, "31 days")
    watch(runner)
    runner.execute("SELECT pgagent.pga_log_prune(2000000000, 100, 100)")
    assert log(conn) == []
    assert warnings == []


def test_an_admin_can_have_sent_what_no_runner_does(conn, agent, login):
    admin = login("admin")
    warnings = []
    admin.add_notice_handler(lambda said: warnings.append(said.message_primary))
    job_id = add_job(conn, "SELECT 1", due=None)
    admin.execute("SELECT pgagent.add_alert('all', 'mail')")
    conn.execute(
        "ALTER TABLE pgagent.pga_alertevent ADD CONSTRAINT x CHECK (false) NOT VALID"
    )
    fail(agent, job_id)
    conn.execute("ALTER TABLE pgagent.pga_alertevent DROP CONSTRAINT x")
    assert watch(admin)[0] == 0
    later(conn)
    assert names(send_all(admin)) == [["failed"]]
    assert warnings == []


@pytest.mark.parametrize("level", ["reader", "operator", "editor"])
@pytest.mark.parametrize(
    "call",
    ["pga_alert_watch()", "pga_alert_claim('{mail}')", "pga_alert_sent(NULL, 1)"],
)
def test_others_may_not(login, level, call):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login(level).execute(f"SELECT pgagent.{call}")


def test_who_closes_a_run_without_a_right_to_alerts_closes_it_and_it_is_told_later(
    conn, dsn, sender
):
    """The daemon of 4.2 may have been granted what it needed before there were alerts."""
    conn.execute("CREATE ROLE pga_daemon LOGIN")
    conn.execute("GRANT USAGE ON SCHEMA pgagent TO pga_daemon")
    for table in TABLES_OF_4_2:
        conn.execute(f"GRANT SELECT, INSERT, UPDATE ON pgagent.{table} TO pga_daemon")
    try:
        job_id = add_job(conn, "SELECT 1", due=None)
        conn.execute("SELECT pgagent.add_alert('all', 'mail')")
        conn.execute("INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [job_id])
        with closing(
            psycopg.connect(dsn, user="pga_daemon", autocommit=True)
        ) as daemon:
            daemon.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'f'")
        assert conn.execute("SELECT jlgstatus FROM pgagent.pga_joblog").fetchall() == [
            ("f",)
        ]
        assert log(conn) == []
        watch(sender)
        later(conn)
        assert names(send_all(sender)) == [["failed"]]
    finally:
        conn.execute("DROP OWNED BY pga_daemon; DROP ROLE pga_daemon")
