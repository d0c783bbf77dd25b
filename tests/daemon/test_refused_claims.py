"""A claim that is refused, or slow, for one job delays no other job, and says why."""

import re
from functools import partial

import pytest
from jobs import add_job, job, runs
from support import poll

from .runner_process import ended_runs

FUNCTION = """
CREATE FUNCTION public.hook() RETURNS trigger LANGUAGE plpgsql {settings} AS $$
BEGIN
    IF to_jsonb(NEW) ->> '{column}' = (SELECT jobid::text FROM pgagent.pga_job WHERE jobname = 'culprit') THEN
        {action}
    END IF;
    RETURN NEW;
END $$;
"""
RAISE = "RAISE EXCEPTION 'no mail today' USING ERRCODE = 'P0042';"
ASIDE = "SELECT jsareason FROM pgagent.pga_jobaside WHERE jsajobid = %s"


def hang(conn, trigger, action, column="jlgjobid", settings=""):
    function = FUNCTION.format(action=action, column=column, settings=settings)
    conn.execute(function + trigger)


LOG = "CREATE TRIGGER hook {} ON pgagent.pga_joblog FOR EACH ROW EXECUTE FUNCTION public.hook()"

REFUSALS = {
    "a trigger before": LOG.format("BEFORE INSERT"),
    "a trigger after": LOG.format("AFTER INSERT"),
    "a deferred trigger": (
        "CREATE CONSTRAINT TRIGGER hook AFTER INSERT ON pgagent.pga_joblog"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.hook()"
    ),
}


@pytest.fixture
def two(conn):
    """Two jobs, the culprit due first; nobody runs them yet."""
    culprit = add_job(conn, "SELECT 1", due=None, name="culprit")
    return culprit, add_job(conn, "SELECT 1", due=None, name="bystander")


def make_due(conn):
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 s' * (3 - jobid)"
    )


def assert_only_the_culprit_waits(conn, runner, two, reason):
    culprit, bystander = two
    make_due(conn)

    assert ended_runs(conn, bystander, deadline=5) == "s"
    told = poll(lambda: conn.execute(ASIDE, [culprit]).fetchone(), what="the reason")
    assert re.search(reason, told[0])
    assert runs(conn, culprit) == []
    runner.says("job 1 (culprit) can't be started, next attempt in ")
    assert conn.execute(
        "SELECT state FROM pgagent.job_status WHERE job = 'culprit'"
    ).fetchone() == ("set aside",)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_trigger_that_fails_holds_up_its_own_job_only(conn, runner, two, kind):
    hang(conn, REFUSALS[kind], RAISE)

    assert_only_the_culprit_waits(conn, runner, two, "^no mail today")
    assert "could not look" not in runner.log

    conn.execute("DROP FUNCTION public.hook CASCADE")
    assert ended_runs(conn, two[0]) == "s"
    assert conn.execute("SELECT FROM pgagent.pga_jobaside").fetchall() == []


OTHERS = {
    "a trigger on jobs": (
        (
            "CREATE TRIGGER hook AFTER UPDATE ON pgagent.pga_job FOR EACH ROW"
            " WHEN (NEW.jobagentid IS NOT NULL) EXECUTE FUNCTION public.hook()"
        ),
        "jobid",
        "no mail today",
    ),
    "a check": (
        "ALTER TABLE pgagent.pga_joblog ADD CONSTRAINT ours CHECK (jlgjobid <> 1)",
        None,
        "check constraint",
    ),
    "a unique index": (
        (
            "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (1, 's');"
            "CREATE UNIQUE INDEX ours ON pgagent.pga_joblog (jlgjobid) WHERE jlgjobid = 1"
        ),
        None,
        "unique constraint",
    ),
    "a foreign key": (
        (
            "CREATE TABLE public.known (id integer PRIMARY KEY); INSERT INTO public.known VALUES (2);"
            "ALTER TABLE pgagent.pga_joblog ADD FOREIGN KEY (jlgjobid) REFERENCES public.known"
        ),
        None,
        "foreign key constraint",
    ),
    "a row that is left out": (
        "CREATE RULE ours AS ON INSERT TO pgagent.pga_joblog WHERE NEW.jlgjobid = 1 DO INSTEAD NOTHING",
        None,
        "the run of job 1 has not been stored",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_whatever_refuses_a_claim_holds_up_its_own_job_only(conn, runner, two, kind):
    code, column, reason = OTHERS[kind]
    if column:
        hang(conn, code, RAISE, column)
    else:
        conn.execute(code)
    conn.execute("DELETE FROM pgagent.pga_joblog WHERE jlgjobid = 2")
    assert [status for status, _ in runs(conn, two[0])] == ["s"] * (
        kind == "a unique index"
    )

    make_due(conn)
    assert ended_runs(conn, two[1], deadline=5) == "s"
    told = poll(lambda: conn.execute(ASIDE, [two[0]]).fetchone(), what="the reason")
    assert reason in told[0]


def test_a_table_with_a_rule_takes_runs_all_the_same(conn, runner, two):
    conn.execute(
        "CREATE TABLE public.copy (id bigint);"
        "CREATE RULE ours AS ON INSERT TO pgagent.pga_joblog DO ALSO"
        " INSERT INTO public.copy VALUES (NEW.jlgjobid)"
    )
    make_due(conn)

    assert ended_runs(conn, count=2) == "ss"


def has_begun(conn, job_id, count):
    return len(runs(conn, job_id)) == count


@pytest.mark.parametrize("kind", ["a trigger before", "a deferred trigger"])
def test_a_trigger_that_takes_long_delays_its_own_job_only(conn, runner, two, kind):
    culprit, bystander = two
    hang(conn, REFUSALS[kind], "PERFORM pg_catalog.pg_sleep(6);")
    make_due(conn)

    assert ended_runs(conn, bystander, deadline=3) == "s"
    for n in range(3):
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s",
            [bystander],
        )
        wanted = n + 2
        poll(partial(has_begun, conn, bystander, wanted), 1, "the bystander")
        ended_runs(conn, bystander, n + 2)
    assert runs(conn, culprit) == []
    assert ended_runs(conn, culprit, deadline=15) == "s"
    assert job(conn, culprit, "jobagentid") is None


def test_a_name_that_a_trigger_does_not_qualify_is_told_with_the_remedy(
    conn, runner, two
):
    conn.execute("CREATE TABLE public.audit (at timestamptz)")
    hang(conn, REFUSALS["a trigger after"], "INSERT INTO audit VALUES (now());")

    assert_only_the_culprit_waits(
        *(conn, runner, two),
        r'^relation "audit" does not exist, in function public\.hook\(\), which has to'
        r" qualify that name, or: ALTER FUNCTION public\.hook\(\) SET search_path = public, pg_temp$",
    )
    conn.execute("ALTER FUNCTION public.hook() SET search_path = public, pg_temp")
    assert ended_runs(conn, two[0]) == "s"


def test_sequences_that_are_behind_hold_up_nothing(conn, runner):
    """As after tables were brought over by replication."""
    job_id = add_job(conn, "SELECT 1", "SELECT 2", due=None)
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)"
        " SELECT n, 1, 's' FROM generate_series(1, 50) AS n;"
        "INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus)"
        " SELECT n, 1, 1, 's' FROM generate_series(1, 50) AS n"
    )
    promised = conn.execute("SELECT pgagent.run_job(%s)", [job_id]).fetchone()[0]
    assert promised == 51

    poll(lambda: len(runs(conn, job_id)) == 51, what="the run")
    assert ended_runs(conn, job_id, 51) == "s" * 51
    conn.execute("SELECT setval('pgagent.pga_joblog_jlgid_seq', 1)")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert ended_runs(conn, job_id, 52) == "s" * 52
    assert "duplicate key" not in runner.log


def test_a_long_step_does_not_keep_others_from_starting(conn, runner, two):
    culprit, bystander = two
    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 7 --' || repeat('long ', 5000000)"
        " WHERE jstjobid = %s",
        [culprit],
    )
    make_due(conn)

    assert ended_runs(conn, bystander, deadline=3) == "s"
    assert ended_runs(conn, culprit, deadline=20) == "s"
    result = "SELECT DISTINCT result FROM pgagent.run_history WHERE job_id = %s"
    assert conn.execute(result, [culprit]).fetchall() == [(1,)]


SLOW_CLAIM = (
    "SELECT {}(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    " AND query ~ 'pga_run_claim' AND query_start < now() - interval '500 ms'"
)


@pytest.fixture
def slow(conn, two):
    """The culprit, whose claim takes a minute."""
    hang(conn, REFUSALS["a trigger before"], "PERFORM pg_catalog.pg_sleep(60);")
    return two[0]


def test_a_claim_whose_session_is_ended_is_tried_again(conn, runner, slow):
    make_due(conn)
    poll(lambda: conn.execute(SLOW_CLAIM.format("")).fetchall(), what="the claim")

    conn.execute(SLOW_CLAIM.format("pg_terminate_backend"))

    runner.says("the session that claimed job 1 (culprit) is lost: ")
    poll(lambda: conn.execute(SLOW_CLAIM.format("")).fetchall(), what="the next claim")
    assert "aborted" not in runner.log


def test_a_runner_stops_although_a_claim_takes_long(conn, runner, slow):
    make_due(conn)
    poll(lambda: conn.execute(SLOW_CLAIM.format("")).fetchall(), what="the claim")

    assert runner.stop(deadline=8) == 0
    poll(lambda: not conn.execute(SLOW_CLAIM.format("")).fetchall(), what="its end")
    assert job(conn, slow, "jobagentid IS NULL AND jobnextrun <= now()")
    assert runs(conn, slow) == []
