"""Nothing on the tables of alerts keeps a run from being closed, or for long."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from alerts.telling import fail, later, log, names, run, send_all, watch
from jobs import add_job, job, runs
from transitions import RECORD, claim

pytestmark = pytest.mark.usefixtures("alert")

TABLES = ["pga_alert", "pga_alertstate", "pga_alertevent", "pga_jobsilence"]

FUNCTION = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN {} END $$
"""
TRIGGERS = {
    "raises": ("RAISE EXCEPTION 'no';", "TRIGGER refuse BEFORE INSERT OR UPDATE"),
    "cancels": (
        "RAISE query_canceled;",
        "TRIGGER refuse BEFORE INSERT OR UPDATE",
    ),
    "asserts": ("ASSERT false;", "TRIGGER refuse BEFORE INSERT OR UPDATE"),
    "keeps the row": ("RETURN NULL;", "TRIGGER refuse BEFORE INSERT OR UPDATE"),
    "raises at the commit": (
        "RAISE EXCEPTION 'no';",
        "CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE",
    ),
}


@pytest.fixture
def locked(dsn):
    """Lock a table in another session; return the session."""
    with closing(psycopg.connect(dsn)) as session:

        def lock(table, mode="ACCESS EXCLUSIVE"):
            session.execute(f"LOCK TABLE pgagent.{table} IN {mode} MODE")
            return session

        yield lock


@pytest.mark.parametrize("table", TABLES)
def test_who_locks_a_table_of_alerts_delays_no_run_and_it_is_told_later(
    conn, agent, sender, locked, table
):
    failing, well = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    agent.execute("SET lock_timeout = '10 s'")
    fail(agent, well)
    session = locked(table)
    begin = time.monotonic()
    fail(agent, failing, "no disk")
    run(agent, well)
    assert time.monotonic() - begin < 3
    assert runs(conn, failing) == [("f", "no disk")]
    assert job(conn, failing, "jobagentid IS NULL AND jobfailures = 1")

    session.rollback()
    watch(sender)
    later(conn)
    (events,) = send_all(sender)
    assert {(event["event"], event["job_id"]) for event in events} == {
        ("failed", failing),
        ("failed", well),
        ("recovered", well),
    }


def test_of_many_runs_in_one_record_only_the_first_waits(conn, agent, locked):
    jobs = [add_job(conn, "SELECT 1") for _ in range(50)]
    entries = [
        {"run_id": run_id, "run_status": "f", "message": "no"}
        for run_id, _ in claim(agent, 50)
    ]
    locked("pga_alertevent")
    begin = time.monotonic()
    answers = agent.execute(RECORD, [json.dumps(entries)]).fetchall()
    assert time.monotonic() - begin < 1.5
    assert {refusal for _, refusal, _ in answers} == {None}
    assert len(runs(conn)) == len(jobs)


@pytest.mark.parametrize("table", TABLES[1:3])
@pytest.mark.parametrize("kind", TRIGGERS)
def test_what_a_trigger_there_refuses_is_recorded_and_told_when_it_is_gone(
    conn, agent, sender, table, kind
):
    body, trigger = TRIGGERS[kind]
    deferred = "DEFERRABLE INITIALLY DEFERRED" if "CONSTRAINT" in trigger else ""
    conn.execute(FUNCTION.format(body))
    conn.execute(
        f"CREATE {trigger} ON pgagent.{table} {deferred}"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    )
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id, "no disk")
    assert runs(conn, job_id) == [("f", "no disk")]
    assert job(conn, job_id, "jobagentid IS NULL AND jobfailures = 1")

    conn.execute("DROP FUNCTION public.refuse CASCADE")
    watch(sender)
    later(conn)
    assert names(send_all(sender)) == [["failed"]]


@pytest.mark.parametrize("table", TABLES[1:3])
def test_a_constraint_there_refuses_no_run_either(conn, agent, table):
    conn.execute(f"ALTER TABLE pgagent.{table} ADD CHECK (false) NOT VALID")
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id, "no disk")
    assert runs(conn, job_id) == [("f", "no disk")]


def test_a_watch_that_is_refused_one_thing_does_the_others_and_says_so(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute(
        "ALTER TABLE pgagent.pga_alertevent ADD CHECK (aleevent <> 'failed') NOT VALID"
    )
    fail(agent, job_id)
    conn.execute("SELECT pgagent.test_alert('all')")
    warnings = []
    conn.add_notice_handler(lambda said: warnings.append(said.message_primary))
    claimable, look_again = watch(conn)
    assert (claimable, look_again) == (1, 5)
    (warning,) = warnings
    assert warning.startswith(
        "pgagent: what alerts are to tell can't be decided: new row"
    )


def test_where_there_are_no_alerts_a_failing_run_writes_nothing_of_them(conn, agent):
    conn.execute("SELECT pgagent.drop_alert('all')")
    fail(agent, add_job(conn, "SELECT 1", due=None))
    for table in ("pga_alertstate", "pga_alertevent"):
        assert conn.execute(f"SELECT FROM pgagent.{table}").fetchall() == []


def test_that_a_job_was_disabled_is_told_once_by_those_who_watch_next(
    dsn, conn, agent, sender, locked
):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute("SELECT pgagent.alter_job(%s, disable_after => 2)", [job_id])
    fail(agent, job_id)
    session = locked("pga_alertevent")
    fail(agent, job_id)
    assert job(conn, job_id, "NOT jobenabled")
    session.rollback()
    watchers = [psycopg.connect(dsn, autocommit=True) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(watch, watchers))
    for watcher in watchers:
        watcher.close()
    watch(sender)
    later(conn)
    ((failed, disabled),) = send_all(sender)
    assert (failed["event"], disabled["event"]) == ("failed", "disabled")
    assert disabled["message"].startswith("it was failure 2 in a row")
    conn.execute("DELETE FROM pgagent.pga_alertstate")
    watch(sender)
    assert len(log(conn)) == 2


def test_that_somebody_has_disabled_a_job_is_not_told(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id)
    conn.execute("SELECT pgagent.alter_job(%s, enabled => false)", [job_id])
    watch(sender)
    assert log(conn) == [("failed", "pending")]
