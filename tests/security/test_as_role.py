"""Steps that run as the owner of their job, or as another role: what they can do, and
what is said when they can't.
"""

import psycopg
import pytest
from daemon.runner_process import ended_runs
from jobs import add_job, add_step, batch, runs, step_runs
from support import poll

CANNOT_BE_CANCELLED = """DO $$ BEGIN LOOP
    BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN END;
END LOOP; END $$"""


@pytest.fixture
def allow(admin):
    """Create roles that are allowed, and remove them in the end."""
    made = []

    def create(name, attributes="", **how):
        identifier = psycopg.sql.Identifier(name)
        admin.execute(
            psycopg.sql.SQL("CREATE ROLE {} " + attributes).format(identifier)
        )
        made.append(name)
        by = how.get("by", "ticket")
        admin.execute("SELECT pgagent.allow_run_as(%s::name, by => %s)", [name, by])
        return name

    yield create
    for name in made:
        admin.execute("SELECT pgagent.disallow_run_as(%s::name)", [name])
        identifier = psycopg.sql.Identifier(name)
        admin.execute(
            psycopg.sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(identifier)
        )


def ended(admin, job_id, letter):
    assert ended_runs(admin, job_id) == letter, (
        runs(admin, job_id),
        step_runs(admin, job_id),
    )
    return step_runs(admin, job_id)


def test_the_output_says_as_whom_a_step_ran(admin, agent, role):
    job_id = add_job(
        admin, "SELECT 1", {"jstcode": "SELECT 1 / 0", "jstonerror": "i"}, jobowner=role
    )

    (_, _, _, good), (_, _, _, bad) = ended(admin, job_id, "s")

    assert good == f"role: {role}\nSELECT 1\n"
    assert bad.startswith("ERROR:  division by zero\n")
    assert f"\nrole: {role}\n" in bad


def test_a_step_without_a_role_says_nothing_of_one(admin, agent):
    job_id = add_job(admin, "SELECT 1")

    assert ended(admin, job_id, "s")[0][3] == "SELECT 1\n"


def test_a_role_does_what_needs_to_be_outside_of_a_transaction(admin, agent, role):
    schema = f"yard_{role}"
    text = f"""
        CREATE SCHEMA {schema};
        CREATE TABLE {schema}.t AS SELECT 1 AS x;
        CREATE INDEX CONCURRENTLY i ON {schema}.t (x);
        REINDEX TABLE CONCURRENTLY {schema}.t;
        VACUUM ANALYZE {schema}.t;
        CREATE PROCEDURE {schema}.p() LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO {schema}.t VALUES (2); COMMIT; ROLLBACK; END$$;
        CALL {schema}.p()
    """
    vacuum = {"jstcode": f"VACUUM {schema}.t"}
    call = {"jstcode": f"CALL {schema}.p()"}
    all_of_it = {"jstcode": text, "jstmode": "autocommit"}
    job_id = add_job(admin, all_of_it, vacuum, call, jobowner=role)
    try:
        ended(admin, job_id, "s")

        query = "SELECT count(*), min(tableowner) FROM {0}.t, pg_tables WHERE schemaname = '{0}'"
        assert admin.execute(query.format(schema)).fetchone() == (3, role)
    finally:
        admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def test_a_step_that_became_its_login_is_the_role_again_in_the_next(admin, agent, role):
    as_whom = "DO $$ BEGIN RAISE NOTICE 'as %', current_user; END $$"
    leave = f"CREATE TEMP TABLE mine (); {as_whom}; RESET ROLE"
    stay = f"SELECT * FROM mine; {as_whom}"
    job_id = add_job(admin, leave, stay, jobowner=role)

    outputs = [output for *_, output in ended(admin, job_id, "s")]

    assert all(f"as {role}" in output for output in outputs)


def test_an_atomic_step_of_a_role_is_refused(admin, agent, role):
    step = {"jstcode": "SELECT 1", "jstmode": "atomic"}
    job_id = add_job(admin, step, jobowner=role)

    ((_, _, _, output),) = ended(admin, job_id, "f")

    assert output.startswith("an atomic step can't run as"), output


def test_a_step_of_an_unknown_kind_of_right_is_refused_without_a_connection(
    admin, agent
):
    """Nobody has allowed it: the reason says how, and no session is opened."""
    job_id = add_job(admin, "SELECT 1", jobowner="team_b")

    ((_, _, _, output),) = ended(admin, job_id, "f")

    assert "pgagent.allow_run_as('team_b')" in output
    assert "role:" not in output


def test_a_batch_step_of_an_owned_job_runs_as_the_runners_user(admin, agent, role):
    job_id = add_job(admin, batch("id -u"), jobowner=role)

    ((_, _, _, output),) = ended(admin, job_id, "s")

    assert output.strip().isdigit()


def test_a_step_with_a_connection_string_runs_as_whom_that_says(
    bazaar, admin, agent, role
):
    string = bazaar.dsn_of("m_agent", "mmm")
    code = "DO $$ BEGIN ASSERT current_user = 'm_agent'; END $$"
    job_id = add_job(admin, {"jstcode": code, "jstconnstr": string}, jobowner=role)

    ((_, _, _, output),) = ended(admin, job_id, "s")

    assert "role:" not in output


@pytest.mark.parametrize("name", ["We\"ird Röle's \\ name", "a b; SELECT 1", "Ж" * 31])
def test_a_role_may_have_any_name(admin, agent, allow, name):
    allow(name)
    code = "DO $$ BEGIN RAISE NOTICE 'as <%>', current_user; END $$"
    job_id = add_job(admin, code, code, jobowner=name)

    for *_, output in ended(admin, job_id, "s"):
        assert f"as <{name}>" in output


def test_a_login_that_the_server_does_not_let_in_is_explained(admin, agent, allow):
    """There is nothing in .pgpass for it, and PGPASSWORD is not for it either."""
    allow("locked_out", "LOGIN PASSWORD 'another'", by="login")
    job_id = add_job(admin, "SELECT 1", jobowner="locked_out")

    ((_, _, _, output),) = ended(admin, job_id, "f")

    assert "could not connect" in output
    assert 'This runner has to be let in as "locked_out"' in output
    assert "user=locked_out" in output
    assert "nobody's" not in output


def test_the_password_of_a_postgresql_variable_is_not_sent_as_another_roles(
    admin, agent, allow
):
    allow("same_password", "LOGIN PASSWORD 'nobody''s'", by="login")
    job_id = add_job(admin, "SELECT 1", jobowner="same_password")

    ended(admin, job_id, "f")


def test_a_role_that_is_allowed_no_more_is_refused_although_its_session_is_warm(
    admin, agent, allow
):
    allow("passing")
    job_id = add_job(admin, "SELECT 1", jobowner="passing")
    ended(admin, job_id, "s")

    (login,) = admin.execute(
        "SELECT raslogin FROM pgagent.pga_run_as WHERE rasrole = 'passing'"
    ).fetchone()
    admin.execute(f"REVOKE passing FROM {login}")
    again = add_job(admin, "SELECT 1", jobowner="passing")

    ((_, _, _, output),) = ended(admin, again, "f")
    assert "can't become" in output


def test_a_statement_that_does_not_stop_is_ended_through_the_runners_own_login(
    admin, agent, role
):
    job_id = add_job(admin, CANNOT_BE_CANCELLED, jobowner=role)
    query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'DO $$ BEGIN LOOP%'"
    poll(lambda: admin.execute(query).rowcount == 1)
    admin.execute(
        "SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = %s",
        [job_id],
    )

    ((_, _, _, output),) = ended(admin, job_id, "d")

    assert "its session was terminated" in output
    assert admin.execute(query).rowcount == 0


def test_the_step_is_added_with_its_own_role(admin, agent):
    """Of a job that nobody owns: as a role that an administrator has named."""
    job_id = add_job(admin, due=None)
    code = "DO $$ BEGIN ASSERT current_user = 'team_a'; END $$"
    add_step(admin, job_id, {"jstcode": code, "jstrunas": "team_a"})
    admin.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )

    ended(admin, job_id, "s")


def test_a_long_text_runs_as_whom_the_job_is_when_it_is_read(admin, agent):
    """It is not in the claim. Others may have written it since, whose job it is by now."""
    wait = "SELECT pg_advisory_lock(4711), pg_advisory_unlock(4711)"
    as_whom = (
        "DO $$ BEGIN RAISE NOTICE 'as %', current_user; END $$; --" + 300_000 * "x"
    )
    admin.execute("SELECT pg_advisory_lock(4711)")
    job_id = add_job(admin, wait, as_whom, jobowner="team_a")
    poll(lambda: admin.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall())
    admin.execute(
        "UPDATE pgagent.pga_job SET jobowner = 'team_l' WHERE jobid = %s", [job_id]
    )

    admin.execute("SELECT pg_advisory_unlock(4711)")

    _, (_, _, _, output) = ended(admin, job_id, "s")
    assert "role: team_l" in output
    assert "as team_l" in output
