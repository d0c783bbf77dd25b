"""The session for claims: it comes back when that costs nothing, and never unasked."""

import math
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, job, runs
from pgagent_runner.catalog import (
    CatalogError,
    CatalogLostError,
    Claims,
    NotRegisteredError,
    Registration,
    explain_refusal,
    is_passing,
    was_cancelled,
)
from support import poll

OURS = "application_name = 'pgagent' AND datname = current_database()"


LONGEST = 60  # seconds until the next look, at most


def end_session(conn, which):
    """Terminate such sessions of ours, and wait until they are gone."""
    where = f"FROM pg_stat_activity WHERE {OURS} AND {which}"
    count = conn.execute(f"SELECT count(pg_terminate_backend(pid)) {where}").fetchone()
    poll(lambda: conn.execute(f"SELECT count(*) {where}").fetchone() == (0,))
    return count[0]


def test_a_session_that_ended_while_idle_is_opened_anew(conn, claims):
    job_id = add_job(conn, "SELECT 1")
    assert claims.claim(0, LONGEST).runs == []

    assert end_session(conn, "query ~ 'pga_run_claim'") == 1

    assert [run.job_id for run in claims.claim(1, LONGEST).runs] == [job_id]


def test_nothing_is_claimed_for_an_agent_whose_session_has_ended(conn, claims):
    job_id = add_job(conn, "SELECT 1")
    assert claims.claim(0, LONGEST).runs == []

    assert end_session(conn, "true") == 2

    with pytest.raises(CatalogLostError, match="the session of the agent has ended"):
        claims.claim(1, LONGEST)
    assert runs(conn) == []
    assert job(conn, job_id, "jobagentid IS NULL")


def test_a_session_that_was_broken_off_claims_nothing_any_more(conn, claims):
    job_id = add_job(conn, "SELECT 1")
    assert claims.claim(0, LONGEST).is_more_due

    claims.break_off()

    for _ in range(2):
        with pytest.raises(CatalogLostError, match="broken off"):
            claims.claim(1, LONGEST)
    assert runs(conn) == []
    assert job(conn, job_id, "jobagentid IS NULL")


def test_only_what_has_waited_long_is_broken_off(conn, claims):
    add_job(conn, "SELECT 1")
    claims.break_off_silent(0)  # it is not waiting for anything

    assert len(claims.claim(1, LONGEST).runs) == 1


def test_an_agent_that_is_not_registered_claims_nothing(dsn, conn, loop):
    with Registration(dsn, "here", 20) as catalog:
        catalog.register()
        catalog.leave("it was stopped")
        with closing(loop.holding(Claims(dsn, catalog.agent_id))) as claims:
            claims.open()
            add_job(conn, "SELECT 1")
            with pytest.raises(NotRegisteredError):
                claims.claim(1, LONGEST)


def claims_in_sessions(conn, end=""):
    """Return the claims that wait for a lock; end their sessions, if asked to."""
    query = (
        f"SELECT {end or ''}(pid) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query ~ 'pga_run_claim'"
    )
    return conn.execute(query).fetchall()


def waiting_claim(conn, end=""):
    """Wait for a claim that waits for a lock; end its session, if asked to."""
    return poll(lambda: claims_in_sessions(conn, end), what="the claim")


@pytest.mark.parametrize("lost", ["by the server", "by us"])
def test_a_claim_whose_answer_is_lost_is_not_asked_again(conn, dsn, claims, loop, lost):
    job_id = add_job(conn, "SELECT 1")
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE")
        claim = loop.started(claims.itself.claim, 1, LONGEST)
        waiting_claim(conn, "pg_terminate_backend" if lost == "by the server" else "")
        if lost == "by us":
            claims.break_off_silent(0)

        # Nobody knows whether it has claimed something.
        with pytest.raises(CatalogLostError):
            claim.result(timeout=10)
        # The server notices within a second that nobody waits for it any more.
        poll(lambda: not claims_in_sessions(conn), what="its end")
    assert runs(conn) == []
    assert job(conn, job_id, "jobagentid IS NULL")


HOOK = """
CREATE SCHEMA "Odd.one";
CREATE FUNCTION "Odd.one".hook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {} RETURN NEW; END $$;
CREATE TRIGGER hook BEFORE INSERT ON pgagent.pga_joblog
    FOR EACH ROW EXECUTE FUNCTION "Odd.one".hook()
"""


def test_a_claim_that_takes_too_long_for_its_patience_is_refused(
    conn, dsn, catalog, loop
):
    job_id = add_job(conn, "SELECT 1")
    conn.execute(HOOK.format("PERFORM pg_catalog.pg_sleep(60);"))
    hasty = Claims(dsn, catalog.agent_id, patience=0.2)
    with closing(loop.holding(hasty)) as claims:
        claims.open()
        with pytest.raises(CatalogError) as refused:
            claims.claim(1, LONGEST)

        assert was_cancelled(refused.value)
        (due,) = claims.due(9)
        assert due.id == job_id
        assert claims.claim(1, LONGEST, without=[job_id]).look_at > due.due_at + 1
    assert runs(conn) == []


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (
            "INSERT INTO audit VALUES (1);",
            (
                'relation "audit" does not exist, in function "Odd.one".hook(), which has to'
                ' qualify that name, or: ALTER FUNCTION "Odd.one".hook()'
                ' SET search_path = "Odd.one", public, pg_temp'
            ),
        ),
        ("RAISE 'no';", 'no, in function "Odd.one".hook()'),
    ],
)
def test_a_refusal_says_in_which_function_and_what_helps(conn, claims, action, reason):
    add_job(conn, "SELECT 1")
    conn.execute(HOOK.format(action))

    with pytest.raises(CatalogError) as refused:
        claims.claim(1, LONGEST)

    assert explain_refusal(refused.value) == reason
    assert not is_passing(refused.value)


@pytest.mark.parametrize("state", ["40001", "55P03", "53200", "25006"])
def test_what_passes_by_itself_is_nobodys_fault(conn, claims, state):
    add_job(conn, "SELECT 1")
    conn.execute(HOOK.format(f"RAISE SQLSTATE '{state}';"))

    with pytest.raises(CatalogError) as refused:
        claims.claim(1, LONGEST)

    assert is_passing(refused.value)


@pytest.mark.parametrize(
    ("array", "causes"),
    [
        ("{{any}}", ("any",)),
        ("{{40001,NULL},{NULL,08}}", ("40001", "08")),
        ("[0:1]={any,3}", ("any", "3")),
        ("{}", ()),
        (None, None),
    ],
)
def test_reasons_to_try_again_are_a_plain_list(conn, claims, array, causes):
    add_restored(conn, jstretryon=array)

    assert claims.claim(1, LONGEST).runs[0].steps[0].retry_on == causes


def test_spans_that_are_less_than_nothing_in_seconds_are_nothing(conn, claims):
    span = "-1 year 361 days"
    add_restored(conn, jsttimeout=span, jstretrydelay=span)

    step = claims.claim(1, LONGEST).runs[0].steps[0]
    assert (step.timeout, step.retry_delay) == (0, 0)


@pytest.mark.needs("infinite_intervals")
def test_a_limit_without_end_is_none(conn, claims):
    add_restored(conn, jsttimeout="infinity", jstretrydelay="infinity")
    conn.execute("UPDATE pgagent.pga_job SET jobtimeout = 'infinity'")

    (run,) = claims.claim(1, LONGEST).runs
    assert run.timeout is None
    assert run.steps[0].timeout is None
    assert run.steps[0].retry_delay == math.inf


def add_restored(conn, **step):
    """Add a due job whose step is stored unchecked, as pg_restore does."""
    with conn.transaction():
        conn.execute("SET check_function_bodies = off")
        conn.execute("SET row_security = off")
        add_job(conn, {"jstcode": "SELECT 1"} | step, due=None)
    conn.execute("RESET check_function_bodies")
    conn.execute("RESET row_security")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
