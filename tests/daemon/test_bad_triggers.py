"""What users hang on the log harms the run concerned, and no other."""

import time
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, batch, job, runs, step_runs
from support import poll
from transitions import swept

from .runner_process import Runner, agents, ended_runs, running_step

LEASE = 4
AT_ONCE = 1.5  # seconds from a wish to the end of a run
FUNCTION = """
    CREATE FUNCTION public.alert() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
        {}
        RETURN NEW;
    END$$
"""
TRIGGER = """
    CREATE {} alert AFTER UPDATE ON pgagent.pga_jobsteplog {}
    FOR EACH ROW WHEN (NEW.jslstatus = 'f') EXECUTE FUNCTION public.alert()
"""
AT_THE_END = ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED")
FAILS = "RAISE EXCEPTION 'SMTP server not reachable';"
UNQUALIFIED = "INSERT INTO mails VALUES ('it failed');"


@pytest.fixture
def runner(dsn):
    """One that would soon take a session for dead which does not answer."""
    with Runner("--lease", LEASE, dsn) as process:
        yield process.ready()


@pytest.fixture
def long_run(conn, runner, gate):
    """A run that must not be harmed; call it to let it end."""
    code, open_gate = gate
    job_id = add_job(conn, batch(code), "SELECT 1", name="long")
    running_step(conn, job_id)
    (before,) = agents(conn)

    def end():
        open_gate()
        assert ended_runs(conn, job_id) == "s"
        assert agents(conn) == [before]

    return end


def assert_that_others_run(conn, count=5):
    for _ in range(count):
        job_id = add_job(conn, "SELECT 1")
        began = time.monotonic()
        assert ended_runs(conn, job_id) == "s"
        assert time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([FUNCTION.format(FAILS), TRIGGER.format("TRIGGER", "")], "SMTP server"),
        ([FUNCTION.format(FAILS), TRIGGER.format(*AT_THE_END)], "SMTP server"),
        (
            [FUNCTION.format(UNQUALIFIED), TRIGGER.format("TRIGGER", "")],
            "ALTER FUNCTION public.alert() SET search_path = public, pg_temp",
        ),
        (
            ["ALTER TABLE pgagent.pga_jobsteplog ADD CHECK (length(jsloutput) < 10)"],
            'the output of step "step 01" could not be recorded',
        ),
    ],
)
def test_a_record_that_is_refused_concerns_its_run_only(
    conn, runner, long_run, statements, said
):
    conn.execute("CREATE TABLE public.mails (text text)")
    for statement in statements:
        conn.execute(statement)
    bad = add_job(conn, "SELECT 1/0", name="bad")

    assert_that_others_run(conn)

    assert ended_runs(conn, bad) == "f"
    assert said in runs(conn, bad)[0][1]
    assert step_runs(conn, bad)[0][1] in "fd"
    assert job(conn, bad, "jobagentid") is None
    runner.says("(bad) ended: failed, and not all could be recorded")
    assert said in runner.log
    long_run()


def test_a_slow_record_keeps_neither_others_nor_the_lease(conn, runner, long_run):
    """It takes longer than the lease, and is not broken off for that."""
    conn.execute(
        "CREATE SEQUENCE public.fired;"
        + FUNCTION.format(f"PERFORM nextval('public.fired'), pg_sleep({LEASE} * 1.5);")
        + ";"
        + TRIGGER.format("TRIGGER", "")
    )
    bad = add_job(conn, "SELECT 1/0")
    poll(lambda: conn.execute("SELECT is_called FROM public.fired").fetchone()[0])

    assert_that_others_run(conn, 20)

    assert ended_runs(conn, bad, deadline=20) == "f"
    ((fired,),) = conn.execute("SELECT last_value FROM public.fired").fetchall()
    assert fired <= 2
    long_run()


@pytest.mark.parametrize(
    "deed",
    [
        "DELETE FROM pgagent.pga_joblog WHERE jlgstatus = 'r' AND jlgjobid = {}",
        (
            "DELETE FROM pgagent.pga_jobsteplog AS s USING pgagent.pga_jobstep"
            " WHERE jsljstid = jstid AND jslstatus = 'r' AND jstjobid = {}"
        ),
        "DELETE FROM pgagent.pga_jobstep WHERE jstjobid = {}",
        "DELETE FROM pgagent.pga_job WHERE jobid = {}",
    ],
)
def test_a_run_that_deletes_its_own_record_leaves_its_job_free(
    conn, runner, long_run, deed
):
    bad = add_job(conn, "SELECT 1", "SELECT 2", due=None)
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = %s WHERE jstname = 'step 01'"
        " AND jstjobid = %s",
        [deed.format(bad), bad],
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [bad]
    )

    assert_that_others_run(conn)

    poll(lambda: job(conn, bad, "jobagentid IS NULL") is not False)
    assert not conn.execute(
        "SELECT FROM pgagent.pga_joblog WHERE jlgjobid = %s AND jlgstatus = 'r'", [bad]
    ).fetchall()
    long_run()


def test_a_slow_record_keeps_no_runner_from_stopping(conn, dsn, runner):
    conn.execute(
        FUNCTION.format("PERFORM pg_sleep(600);") + ";" + TRIGGER.format("TRIGGER", "")
    )
    bad = add_job(conn, "SELECT 1/0")
    slow = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    poll(lambda: conn.execute(slow).fetchall())

    assert runner.stop(deadline=15) == 0

    conn.execute("DROP TRIGGER alert ON pgagent.pga_jobsteplog")
    with closing(psycopg.connect(dsn, autocommit=True)) as other:
        poll(lambda: swept(other) and agents(other) == [])
    assert [status for status, _ in runs(conn, bad)] == ["d"]
    assert job(conn, bad, "jobagentid") is None


def test_a_trigger_that_ends_its_session_keeps_no_other_run_from_being_recorded(
    conn, runner, long_run
):
    ends = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1);"
    conn.execute(FUNCTION.format(ends) + ";" + TRIGGER.format("TRIGGER", ""))
    bad = add_job(conn, "SELECT 1/0", name="bad")

    assert_that_others_run(conn)

    told = f"run {runs_of(conn, bad)[-1]} of job {bad} (bad), trying again: "
    runner.says(f"could not record {told}terminating connection")
    conn.execute("DROP TRIGGER alert ON pgagent.pga_jobsteplog")
    assert ended_runs(conn, bad) == "f"
    long_run()


READ_ONLY = "SET default_transaction_read_only = on;"
LIMITS = "SET statement_timeout = 1; SET lock_timeout = 1;"
ROLE = "PERFORM set_config('role', 'pg_monitor', false);"


@pytest.mark.parametrize(
    ("table", "sets"),
    [
        ("pga_joblog", READ_ONLY),
        ("pga_joblog", LIMITS),
        ("pga_joblog", ROLE),
        ("pga_jobsteplog", READ_ONLY),
        ("pga_jobsteplog", LIMITS),
        ("pga_jobagent", READ_ONLY),
        ("pga_jobagent", LIMITS),
    ],
)
def test_what_a_trigger_sets_for_a_session_harms_no_other_run(
    conn, runner, long_run, table, sets
):
    bad = add_job(conn, "SELECT 1", due=None, name="bad")
    is_bad = f"COALESCE((to_jsonb(NEW) ->> 'jlgjobid')::integer, {bad}) = {bad}"
    conn.execute(FUNCTION.format(f"IF {is_bad} THEN {sets} END IF;"))
    for event in ("UPDATE", "INSERT"):
        conn.execute(
            f"CREATE TRIGGER alert AFTER {event} ON pgagent.{table}"
            " FOR EACH ROW EXECUTE FUNCTION public.alert()"
        )
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = 2")
        assert_that_others_run(conn)
        conn.execute(f"DROP TRIGGER alert ON pgagent.{table}")
    assert_that_others_run(conn)
    long_run()
    lines = [line for line in runner.log.splitlines() if "could not" in line]
    assert [line for line in lines if "job 2 (bad)" not in line] == []


def runs_of(conn, job_id):
    query = "SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = %s ORDER BY jlgid"
    return [run_id for (run_id,) in conn.execute(query, [job_id])]
