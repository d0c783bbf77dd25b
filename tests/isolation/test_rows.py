"""Whose rows somebody can read and write while the catalogue is isolated."""

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step, batch, job
from psycopg import sql

from .conftest import add_complete_job

TABLES = """
SELECT t.oid::regclass::text FROM pgagent.pga_isolated_tables() AS t (oid) ORDER BY 1
"""
# Of each table, how a row is of a job.
OF_A_JOB = {
    "pgagent.pga_job": "jobid = {0}",
    "pgagent.pga_jobstep": "jstjobid = {0}",
    "pgagent.pga_schedule": "jscjobid = {0}",
    "pgagent.pga_exception": "jexscid IN (SELECT jscid FROM pgagent.pga_schedule WHERE jscjobid = {0})",
    "pgagent.pga_joblog": "jlgjobid = {0}",
    "pgagent.pga_jobsteplog": "jsljlgid IN (SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = {0})",
    "pgagent.pga_jobskip": "jskjobid = {0}",
    "pgagent.pga_jobaside": "jsajobid = {0}",
    "pgagent.pga_jobrequest": "jrqjobid = {0}",
    "pgagent.pga_jobpause": "jpsjobid = {0}",
    "pgagent.pga_alert": "altjobid = {0}",
    "pgagent.pga_alertstate": "alsjobid = {0}",
    "pgagent.pga_alertevent": "alejobid = {0}",
    "pgagent.pga_jobsilence": "jsijobid = {0}",
    "pgagent.pga_jobchange": "jchjobid = {0}",
}
# A column of each that can be written, to itself.
WRITTEN = {
    "pgagent.pga_job": "jobdesc",
    "pgagent.pga_jobstep": "jstdesc",
    "pgagent.pga_schedule": "jscdesc",
    "pgagent.pga_exception": "jextime",
    "pgagent.pga_joblog": "jlgcancel",
    "pgagent.pga_jobsteplog": "jsloutput",
    "pgagent.pga_jobskip": "jskreason",
    "pgagent.pga_jobaside": "jsareason",
    "pgagent.pga_jobrequest": "jrqvia",
    "pgagent.pga_jobpause": "jpsreason",
    "pgagent.pga_alert": "altchannel",
    "pgagent.pga_alertstate": "alsmessage",
    "pgagent.pga_alertevent": "aleerror",
    "pgagent.pga_jobsilence": "jsireason",
    "pgagent.pga_jobchange": "jchaction",
}
# Each view of jobs, and the name of a job in it.
VIEWS = {
    "run_history": "job",
    "job_status": "job",
    "skipped_runs": "job",
    "alerts": "job",
    "alert_log": "job",
    "running": "job",
    "job": "jobname",
    "job_changes": "job",
    "steps": "job",
    "problems": "job",
    "pga_waiting": "job",
    "pga_obstacle": "(SELECT jobname FROM pgagent.job AS j WHERE j.jobid = v.job_id)",
    "pga_usual": "(SELECT jobname FROM pgagent.job AS j WHERE j.jobid = v.job_id)",
    "metrics": "labels ->> 'job'",
    "job_run_details": "(SELECT jobname FROM pgagent.job AS j WHERE j.jobid = v.jobid)",
}
# Parts of problems, which need not show any job.
PARTS = {
    "pga_failing": "job_id",
    "pga_given_up": "job_id",
    "pga_taking_long": "job_id",
    "pga_trouble": "NULL::integer",
    "pga_unarmed_jobs": "NULL::integer",
}
# Those that show no job.
OTHER_VIEWS = ["agents", "classes", "run_as_roles", "access_levels"]
FOREIGN = {
    "a step": "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname) VALUES ({0}, 'x', 's', 'SELECT 1', 'x')",
    "a schedule": "INSERT INTO pgagent.pga_schedule (jscjobid, jscname) VALUES ({0}, 'x')",
    "an exception": "INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT {1}, '2040-02-02'",
    "a run": "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES ({0}, 's')",
    "a step's run": "INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid) VALUES ({2}, 1)",
    "a skip": "INSERT INTO pgagent.pga_jobskip (jskjobid, jskfrom, jskuntil, jskreason) VALUES ({0}, now(), now(), 'x')",
    "an aside": "INSERT INTO pgagent.pga_jobaside (jsajobid, jsauntil, jsareason) VALUES ({0}, now(), 'x')",
    "a wish": "INSERT INTO pgagent.pga_jobrequest (jrqid, jrqjobid, jrqvia) VALUES (7, {0}, 'run_job')",
    "a pause": "INSERT INTO pgagent.pga_jobpause (jpsjobid) VALUES ({0})",
    "the pause of all": "INSERT INTO pgagent.pga_jobpause (jpsjobid) VALUES (NULL)",
    "a silence": "INSERT INTO pgagent.pga_jobsilence (jsijobid) VALUES ({0})",
    "the silence of all": "INSERT INTO pgagent.pga_jobsilence (jsijobid) VALUES (NULL)",
    "the own silence, moved": "UPDATE pgagent.pga_jobsilence SET jsijobid = {0}",
    "an alert": "INSERT INTO pgagent.pga_alert (altname, altchannel, altjobid) VALUES ('x', 'mail', {0})",
    "an alert of all": "INSERT INTO pgagent.pga_alert (altname, altchannel) VALUES ('x', 'mail')",
    "an alert of a class": "INSERT INTO pgagent.pga_alert (altname, altchannel, altclassid) VALUES ('x', 'mail', 1)",
    "the own alert, moved": "UPDATE pgagent.pga_alert SET altjobid = {0}",
    "the own alert, of all": "UPDATE pgagent.pga_alert SET altjobid = NULL",
    "an event": "INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, alejobid) VALUES ('late', gen_random_uuid(), 'x', {0})",
    "the own event, moved": "UPDATE pgagent.pga_alertevent SET alejobid = {0}",
    "the own state, moved": "UPDATE pgagent.pga_alertstate SET alsjobid = {0}",
    "the own pause, moved": "UPDATE pgagent.pga_jobpause SET jpsjobid = {0}",
    "a change": "INSERT INTO pgagent.pga_jobchange (jchjobid, jchobject, jchobjectid, jchaction, jchowner) VALUES ({0}, 'job', {0}, 'delete', 'iso_team_b')",
    "a job": "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobowner) VALUES (1, 'x', 'iso_team_b')",
    "a job of nobody": "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobowner) VALUES (1, 'x', NULL)",
    "the own job, given away": "UPDATE pgagent.pga_job SET jobowner = 'iso_team_b' WHERE jobname = 'job of iso_team_a'",
    "the own job, given to nobody": "UPDATE pgagent.pga_job SET jobowner = NULL WHERE jobname = 'job of iso_team_a'",
    "the own step, moved": "UPDATE pgagent.pga_jobstep SET jstjobid = {0}",
    "the own schedule, moved": "UPDATE pgagent.pga_schedule SET jscjobid = {0}",
    "the own exception, moved": "UPDATE pgagent.pga_exception SET jexscid = {1}",
    "the own run, moved": "UPDATE pgagent.pga_joblog SET jlgjobid = {0}",
    "the own wish, moved": "UPDATE pgagent.pga_jobrequest SET jrqjobid = {0}",
    "a wish in another's name": "UPDATE pgagent.pga_jobrequest SET jrqby = 'iso_bob'",
    "a change in another's name": "INSERT INTO pgagent.pga_jobchange (jchjobid, jchobject, jchobjectid, jchaction, jchowner, jchby) SELECT jobid, 'job', jobid, 'update', jobowner, 'iso_bob' FROM pgagent.pga_job",
}


def count(session, relation, condition="true"):
    query = f"SELECT count(*) FROM {relation} WHERE {condition}"
    return session.execute(query).fetchone()[0]


def snapshot(conn, job_id):
    """Return all rows of a job with their versions."""
    return {
        table: conn.execute(
            f"SELECT xmin::text, t::text FROM {table} AS t WHERE {of.format(job_id)} ORDER BY 2"
        ).fetchall()
        for table, of in OF_A_JOB.items()
    }


def test_the_tables_of_these_tests_are_those_that_have_policies(isolated):
    tables = [table for (table,) in isolated.execute(TABLES)]
    assert tables == sorted(OF_A_JOB)
    assert sorted(WRITTEN) == tables
    with_policies = isolated.execute(
        "SELECT DISTINCT format('%I.%I', schemaname, tablename) FROM pg_policies ORDER BY 1"
    )
    assert [table for (table,) in with_policies] == tables


@pytest.mark.parametrize("table", OF_A_JOB)
def test_a_member_reads_and_writes_the_rows_of_the_own_team_only(
    jobs, isolated, login, table
):
    mine = OF_A_JOB[table].format(jobs["iso_team_a"])
    before = {owner: snapshot(isolated, jobs[owner]) for owner in ("iso_team_b", None)}
    alice = login("alice")

    assert count(alice, table) == count(isolated, table, mine) > 0
    changes = count(isolated, table, mine)
    update = f"UPDATE {table} SET {WRITTEN[table]} = {WRITTEN[table]}"
    assert alice.execute(update).rowcount == (
        0 if table == "pgagent.pga_jobchange" else 1
    )
    # No column need be read: policies for reading do not count then.
    alice.execute(
        f"UPDATE {table} SET {WRITTEN[table]} = DEFAULT"
        if table == "pgagent.pga_joblog"
        else update
    )
    alice.execute(f"DELETE FROM {table}")

    assert {
        owner: snapshot(isolated, jobs[owner]) for owner in ("iso_team_b", None)
    } == before
    assert count(isolated, table, mine) == (
        changes if table == "pgagent.pga_jobchange" else 0
    )


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_is_written_for_another_team(jobs, isolated, login, what):
    theirs = jobs["iso_team_b"]
    ids = isolated.execute(
        "SELECT (SELECT jscid FROM pgagent.pga_schedule WHERE jscjobid = %(job)s),"
        " (SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = %(job)s)",
        {"job": theirs},
    ).fetchone()
    before = [snapshot(isolated, job_id) for job_id in jobs.values()]

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login("alice").execute(FOREIGN[what].format(theirs, *ids))

    assert [snapshot(isolated, job_id) for job_id in jobs.values()] == before


def test_every_view_of_jobs_is_a_barrier_in_between(isolated):
    views = isolated.execute(
        "SELECT c.relname::text, 'security_barrier=true' = ANY (c.reloptions) IS TRUE"
        " FROM pg_class AS c"
        " WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind = 'v'"
    ).fetchall()
    of_jobs = {view for view, _ in views if view not in OTHER_VIEWS}
    assert of_jobs == {view for view, is_barrier in views if is_barrier}
    assert of_jobs == {*VIEWS, *PARTS}


@pytest.mark.parametrize("view", PARTS)
def test_a_part_of_problems_shows_no_job_of_others(jobs, isolated, login, view):
    isolated.execute(
        "UPDATE pgagent.pga_job SET jobfailures = 1, joblongafter = '1 us', jobfailed = 1;"
        " UPDATE pgagent.pga_joblog SET jlgstatus = 'r', jlgstart = now() - interval '1 h'"
    )
    query = f"SELECT {PARTS[view]} FROM pgagent.{view} WHERE {PARTS[view]} IS NOT NULL"
    own = [
        one
        for (one,) in login("alice").execute("SELECT job_id FROM pgagent.job_status")
    ]
    assert {one for (one,) in login("alice").execute(query)} <= set(own)
    assert login("rita").execute(query).fetchall() == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_shows_the_jobs_of_the_own_team(jobs, isolated, login, view):
    isolated.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'r'")
    isolated.execute("UPDATE pgagent.pga_jobsteplog SET jslstatus = 'r'")
    job = VIEWS[view]
    query = f"SELECT DISTINCT {job} FROM pgagent.{view} AS v WHERE {job} IS NOT NULL ORDER BY 1"
    assert login("alice").execute(query).fetchall() == [("job of iso_team_a",)]
    assert login("rita").execute(query).fetchall() == []
    isolated.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO iso_rita")
    assert len(login("rita").execute(query).fetchall()) == 3
    isolated.execute(
        "REVOKE EXECUTE ON FUNCTION pgagent.pga_may_see_all() FROM iso_rita"
    )


@pytest.mark.parametrize(
    "relation", [*OF_A_JOB, *(f"pgagent.{view}" for view in VIEWS)]
)
def test_no_condition_of_a_query_is_shown_the_rows_of_others(
    jobs, isolated, login, relation
):
    alice = login("alice")
    isolated.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'r'")
    isolated.execute("UPDATE pgagent.pga_jobsteplog SET jslstatus = 'r'")
    isolated.execute("GRANT CREATE ON SCHEMA public TO iso_alice")
    said = []
    alice.add_notice_handler(lambda notice: said.append(notice.message_primary))
    alice.execute(
        "CREATE FUNCTION public.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000000001"
        " AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
    )
    alice.execute(f"SELECT FROM {relation} AS t WHERE public.tell(t::text)")
    assert len(said) == count(alice, relation)
    assert 0 < len(said) < count(isolated, relation)


THROUGH_VIEWS = [
    "DELETE FROM pgagent.job",
    "DELETE FROM pgagent.job_run_details",
    "UPDATE pgagent.job_run_details SET start_time = now()",
    "UPDATE pgagent.job_run_details SET job_pid = 7",
]


@pytest.mark.parametrize("statement", THROUGH_VIEWS)
def test_what_is_written_through_a_view_is_the_own_teams(
    jobs, isolated, login, statement
):
    theirs = [jobs["iso_team_b"], jobs[None]]
    before = [snapshot(isolated, job_id) for job_id in theirs]
    # Its owner's rights, not those of the tables, let one write through a view.
    isolated.execute(
        "REVOKE INSERT, UPDATE, DELETE ON pgagent.pga_job, pgagent.pga_joblog FROM iso_editors"
    )
    # That of a step, which goes with its job, is written by the trigger's caller.
    isolated.execute(
        "GRANT UPDATE (jobchanged, jobnextrun) ON pgagent.pga_job TO iso_editors"
    )
    assert login("alice").execute(statement).rowcount == 1
    isolated.execute(
        "GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO iso_bob, iso_alice"
    )
    mine = snapshot(isolated, jobs["iso_team_a"])
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is not a job of"):
        login("bob").execute(statement)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is not a job of"):
        login("alice").execute(statement)
    assert [snapshot(isolated, job_id) for job_id in theirs] == before
    assert snapshot(isolated, jobs["iso_team_a"]) == mine


CHANGES_OF_JOBS = [
    "active = false",
    "jobname = 'mine'",
    "schedule = '@hourly'",
    "command = 'SELECT 2'",
    "database = 'template1'",
    "username = 'iso_team_a'",
    "nodename = 'elsewhere'",
]


@pytest.mark.parametrize("change", CHANGES_OF_JOBS)
def test_a_job_of_pg_crons_view_is_changed_with_the_rights_on_the_tables(
    jobs, isolated, login, change
):
    statement = f"UPDATE pgagent.job SET {change}"
    theirs = [jobs["iso_team_b"], jobs[None]]
    before = [snapshot(isolated, job_id) for job_id in theirs]
    isolated.execute(
        "GRANT EXECUTE ON FUNCTION pgagent.pga_may_use_conninfo() TO iso_alice"
    )
    assert login("alice").execute(statement).rowcount == 1
    isolated.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO iso_alice")
    for job_id in theirs:
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege, match="is not a job of"
        ):
            login("alice").execute(f"{statement} WHERE jobid = {job_id}")
    assert [snapshot(isolated, job_id) for job_id in theirs] == before
    # The view alone does not do.
    mine = snapshot(isolated, jobs["iso_team_a"])
    isolated.execute(
        "REVOKE INSERT, UPDATE, DELETE ON pgagent.pga_job, pgagent.pga_jobstep,"
        " pgagent.pga_schedule FROM iso_editors"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login("alice").execute(
            f"UPDATE pgagent.job SET active = true, jobname = 'other'"
            f" WHERE jobid = {jobs['iso_team_a']}"
        )
    assert snapshot(isolated, jobs["iso_team_a"]) == mine


def test_a_function_does_not_pass_over_a_job_that_is_seen_and_not_ones_own(
    jobs, isolated, login
):
    isolated.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO iso_alice")
    theirs = jobs["iso_team_b"]
    (run_id,) = isolated.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'r' WHERE jlgjobid = %s RETURNING jlgid",
        [theirs],
    ).fetchone()
    before = snapshot(isolated, theirs)
    alice = login("alice")
    for call in (
        f"run_job({theirs})",
        f"cancel_run({run_id})",
        f"drop_job({theirs})",
        f"alter_job({theirs}, active => false)",
        f"alter_job({theirs}, schedule => '@hourly')",
        f"alter_job({theirs}, timezone => 'UTC')",
        f"alter_job({theirs}, keep_runs => 1)",
        f"add_step({theirs}, 'name', 'SELECT 1')",
        f"add_schedule({theirs}, '@hourly')",
        f"add_exception({theirs}, on_date => '2041-01-01')",
        "create_job('job of iso_team_b', on_conflict => 'replace')",
        f"rename_job({theirs}, 'new')",
        f"add_step({theirs}, 'step 01', 'SELECT 1', on_conflict => 'nothing')",
        f"alter_step({theirs}, 'step 01', 'SELECT 7')",
        f"rename_step({theirs}, 'step 01', 'new')",
        f"drop_step({theirs}, 'step 01', if_exists => true)",
        f"alter_schedule({theirs}, 'schedule', enabled => false)",
        f"rename_schedule({theirs}, 'schedule', 'new')",
        f"drop_schedule({theirs}, 'schedule')",
        f"alter_exception({theirs}, '2041-01-01', new_date => '2041-01-02')",
        f"drop_exception({theirs}, '2041-01-01', if_exists => true)",
        "schedule('job of iso_team_b', '@hourly', 'SELECT 1')",
    ):
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege, match="is not a job of"
        ) as e:
            alice.execute(f"SELECT pgagent.{call}")
        assert "pga_may_edit_all()" in (e.value.diag.message_detail or "")
    assert snapshot(isolated, theirs) == before
    assert alice.execute(f"SELECT FROM pgagent.explain_job({theirs})").rowcount > 3


def test_setting_row_security_off_gives_nothing(jobs, login):
    alice = login("alice")
    alice.execute("SET row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("SELECT FROM pgagent.pga_job")
    assert count(alice, "pgagent.job_status") == 1


def test_the_functions_do_not_know_the_jobs_of_others(jobs, login):
    alice = login("alice")
    for call in (
        "explain_job('job of iso_team_b')",
        "next_runs('job of iso_team_b')",
        "run_job('job of iso_team_b')",
        "unschedule('job of iso_team_b')",
        f"run_job({jobs['iso_team_b']})",
        f"explain_job({jobs[None]})",
        "cancel_run('job of iso_team_b')",
    ):
        with pytest.raises(psycopg.errors.UndefinedObject) as e:
            alice.execute(f"SELECT * FROM pgagent.{call}")
        assert "team_b" not in (e.value.diag.message_detail or "")
    assert (
        alice.execute("SELECT FROM pgagent.explain_job('job of iso_team_a')").rowcount
        > 3
    )
    assert (
        alice.execute("SELECT FROM pgagent.next_runs('job of iso_team_a')").rowcount
        == 10
    )


def test_a_job_of_one_owner_is_edited_by_all_members(jobs, isolated, login):
    amber = login("amber")
    mine = jobs["iso_team_a"]
    before = job(isolated, mine, "jobchanged")
    add_step(amber, mine, "SELECT 2")
    assert job(isolated, mine, "jobchanged") > before
    schedule_id = add_schedule(amber, mine)
    assert job(isolated, mine, "jobnextrun") is not None
    amber.execute("DELETE FROM pgagent.pga_schedule WHERE jscid = %s", [schedule_id])
    assert amber.execute("SELECT pgagent.run_job(%s)", [mine]).fetchone()[0] > 0
    assert job(isolated, mine, "jobnextrun <= now()")


def test_a_new_job_is_owned_by_whoever_makes_it(isolated, login):
    job_id = add_job(login("alice"), "SELECT 1", due=None)
    assert job(isolated, job_id, "jobowner") == "iso_alice"
    assert count(login("amber"), "pgagent.pga_job") == 0
    amber = login("amber")
    amber.execute("SET ROLE iso_team_a")
    job_id = add_job(amber, "SELECT 1", due=None)
    assert job(isolated, job_id, "jobowner") == "iso_team_a"
    assert count(login("alice"), "pgagent.pga_job") == 2


def test_a_job_has_no_owner_where_nothing_is_isolated(shared, login):
    job_id = add_job(login("alice"), "SELECT 1", due=None)
    assert job(shared, job_id, "jobowner") is None
    assert count(login("bob"), "pgagent.job_status") == 1
    login("bob").execute("DELETE FROM pgagent.pga_job")
    assert count(shared, "pgagent.pga_job") == 0


BATCH = "may not write batch steps"
CONNINFO = "may not write steps with a connection string"
RIGHTS = {
    "batch": (
        "pga_may_use_batch",
        BATCH,
        "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode) VALUES ({0}, 'x', 'b', 'ls')",
    ),
    "batch by update": (
        "pga_may_use_batch",
        BATCH,
        "UPDATE pgagent.pga_jobstep SET jstkind = 'b', jstdbname = ''",
    ),
    "connection string": (
        "pga_may_use_conninfo",
        CONNINFO,
        "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstconnstr) VALUES ({0}, 'x', 's', 'x', 'host=h')",
    ),
    "connection string by update": (
        "pga_may_use_conninfo",
        CONNINFO,
        "UPDATE pgagent.pga_jobstep SET jstconnstr = 'host=h', jstdbname = ''",
    ),
}


@pytest.mark.parametrize("what", RIGHTS)
def test_batch_and_connection_strings_take_rights_of_their_own(
    jobs, isolated, login, what
):
    right, refusal, statement = RIGHTS[what]
    statement = statement.format(jobs["iso_team_a"])
    alice = login("alice")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=refusal) as e:
        alice.execute(statement)
    assert right in (e.value.diag.message_detail or "")
    isolated.execute(f"GRANT EXECUTE ON FUNCTION pgagent.{right}() TO iso_alice")
    assert alice.execute(statement).rowcount == 1


def test_what_an_administrator_has_made_of_a_step_is_not_the_editors_to_use(
    jobs, isolated, login
):
    # The code of a batch step, or of one with a connection string, is as good as the step.
    add_step(isolated, jobs["iso_team_a"], batch("true"), name="theirs")
    alice = login("alice")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="batch steps"):
        alice.execute(
            "UPDATE pgagent.pga_jobstep SET jstcode = 'id' WHERE jstkind = 'b'"
        )
    assert (
        alice.execute("DELETE FROM pgagent.pga_jobstep WHERE jstkind = 'b'").rowcount
        == 1
    )


def test_the_code_of_a_step_that_runs_as_another_is_not_the_editors_to_write(
    jobs, isolated, login
):
    step = {"jstcode": "SELECT 1", "jstrunas": "iso_team_b"}
    step_id = add_step(isolated, jobs["iso_team_a"], step, name="theirs")
    alice = login("alice")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match="may not write a step that runs as"
    ):
        alice.execute(
            "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2' WHERE jstid = %s",
            [step_id],
        )
    isolated.execute(
        "GRANT EXECUTE ON FUNCTION pgagent.pga_may_edit_all() TO iso_alice"
    )
    alice.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 2' WHERE jstid = %s",
        [step_id],
    )


def test_an_owner_that_was_made_anew_or_renamed_is_a_stranger(isolated, login):
    isolated.execute("CREATE ROLE iso_gone; GRANT iso_gone TO iso_alice")
    job_id = add_complete_job(isolated, "job", "iso_gone")
    alice = login("alice")
    assert count(alice, "pgagent.pga_job") == count(alice, "pgagent.job_status") == 1
    isolated.execute("ALTER ROLE iso_gone RENAME TO iso_renamed")
    assert count(alice, "pgagent.pga_job") == count(alice, "pgagent.job_status") == 0
    isolated.execute(
        "DROP ROLE iso_renamed; CREATE ROLE iso_gone; GRANT iso_gone TO iso_alice"
    )
    try:
        assert (
            count(alice, "pgagent.pga_job") == count(alice, "pgagent.job_status") == 0
        )
        assert alice.execute("DELETE FROM pgagent.pga_joblog").rowcount == 0
        assert job(isolated, job_id, "jobname") == "job"
    finally:
        isolated.execute("DROP ROLE iso_gone")


def test_who_may_see_all_does_not_write(jobs, isolated, login):
    isolated.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO iso_alice")
    alice = login("alice")
    for table, column in WRITTEN.items():
        assert count(alice, table) == count(isolated, table) > 2
        update = sql.SQL("UPDATE {} SET {} = {}").format(
            *(sql.SQL(part) for part in (table, column, column))
        )
        assert alice.execute(update).rowcount < 2


def test_who_may_edit_all_edits_what_has_an_owner(jobs, isolated, login):
    isolated.execute(
        "GRANT EXECUTE ON FUNCTION pgagent.pga_may_edit_all() TO iso_alice"
    )
    assert (
        login("alice").execute("UPDATE pgagent.pga_job SET jobdesc = 'x'").rowcount == 2
    )
    isolated.execute(
        "GRANT EXECUTE ON FUNCTION pgagent.pga_may_use_runner_login() TO iso_alice"
    )
    assert (
        login("alice").execute("UPDATE pgagent.pga_job SET jobdesc = 'y'").rowcount == 3
    )


@pytest.mark.parametrize("call", ["pause_all()", "unpause_all()"])
def test_all_jobs_are_paused_by_who_may_edit_all(jobs, isolated, login, call):
    with pytest.raises(
        psycopg.Error, match="may not pause all jobs, nor end that"
    ) as e:
        login("alice").execute(f"SELECT pgagent.{call}")
    assert e.value.sqlstate == "42501"

    isolated.execute("SELECT pgagent.pause_all()")
    told = login("alice").execute("SELECT job, paused FROM pgagent.job_status")
    assert told.fetchall() == [("job of iso_team_a", True)]


def test_the_trouble_of_all_jobs_is_everybodys_as_far_as_it_is_his(
    jobs, isolated, login
):
    isolated.execute("DELETE FROM pgagent.pga_joblog; DELETE FROM pgagent.pga_jobpause")
    isolated.execute("UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 h'")
    told = "SELECT detail FROM pgagent.problems WHERE problem = 'no_runner'"

    (detail,) = login("alice").execute(told).fetchone()
    assert "; 1 job is due, " in detail
    (detail,) = isolated.execute(told).fetchone()
    assert "; 3 jobs are due, " in detail
