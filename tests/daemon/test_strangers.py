"""A schema in which others have, or may put, functions is not served, and that is said."""

import psycopg
import pytest
from jobs import add_job
from pgagent_runner.catalog import Registration, StrangersError
from support import free_from_extension

from .runner_process import Runner, ended_runs

BODY = "LANGUAGE sql AS 'SELECT 1'"


@pytest.fixture
def mallory(conn):
    """A role that owns nothing and may nothing."""
    conn.execute("DROP ROLE IF EXISTS mallory; CREATE ROLE mallory")
    yield "mallory"
    conn.execute("DROP OWNED BY mallory; DROP ROLE mallory")


@pytest.fixture
def plant(conn, mallory):
    """Do something as mallory, who may create in the schema only that long."""

    def plant(*statements):
        conn.execute(
            "GRANT CREATE, USAGE ON SCHEMA pgagent TO mallory; SET ROLE mallory"
        )
        for statement in statements:
            conn.execute(statement)
        conn.execute("RESET ROLE; REVOKE CREATE ON SCHEMA pgagent FROM mallory")

    return plant


def refusal(dsn):
    """Return what is said instead of registering."""
    with (
        Registration(dsn, "here", 20) as catalog,
        pytest.raises(StrangersError) as refused,
    ):
        catalog.register()
    return str(refused.value)


def test_the_catalogue_as_it_is_installed_is_served(conn, dsn):
    with Registration(dsn, "here", 20) as catalog:
        catalog.register()


PLANTED = {
    "function": (
        f"CREATE FUNCTION pgagent.pga_run_claim(smallint, smallint) RETURNS int {BODY}",
        (
            "pgagent.pga_run_claim(smallint,smallint) belongs to mallory"
            " (DROP ROUTINE pgagent.pga_run_claim(smallint,smallint))"
        ),
    ),
    "procedure": (
        f"CREATE PROCEDURE pgagent.other(name) {BODY}",
        "pgagent.other(name) belongs to mallory (DROP ROUTINE pgagent.other(name))",
    ),
    "aggregate": (
        "CREATE AGGREGATE pgagent.mine(integer) (SFUNC = int4pl, STYPE = integer)",
        "pgagent.mine(integer) belongs to mallory (DROP ROUTINE pgagent.mine(integer))",
    ),
    "operator": (
        "CREATE OPERATOR pgagent.= (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
        "pgagent.=(text,text) belongs to mallory (DROP OPERATOR pgagent.=(text,text))",
    ),
}


@pytest.mark.parametrize(("statement", "named"), PLANTED.values(), ids=PLANTED)
def test_what_a_stranger_has_put_there_is_named(dsn, plant, statement, named):
    plant(statement)

    assert named in refusal(dsn)


def test_ten_are_named_and_the_rest_is_counted(dsn, plant):
    parameters = ", ".join(["pgagent.pga_job"] * 99)
    plant(
        f"CREATE FUNCTION pgagent.f({parameters}) RETURNS int {BODY}",
        *(f"CREATE FUNCTION pgagent.f{n}() RETURNS int {BODY}" for n in range(13)),
    )

    said = refusal(dsn)

    assert said.count("belongs to mallory") + said.count("…") // 2 == 10
    assert said.endswith("; and 4 more")
    assert len(said) < 2000


@pytest.mark.parametrize("role", ["mallory", "PUBLIC"])
def test_a_right_to_create_is_named(conn, dsn, mallory, role):
    conn.execute(f"GRANT CREATE ON SCHEMA pgagent TO {role}")

    assert (
        f"the role {role} may create functions there"
        f" (REVOKE CREATE ON SCHEMA pgagent FROM {role})"
    ) in refusal(dsn)


@pytest.mark.needs("extension")
def test_a_stranger_who_owns_the_schema_is_named(conn, dsn, mallory):
    conn.execute("ALTER SCHEMA pgagent OWNER TO mallory")

    said = refusal(dsn)

    assert (
        "the schema belongs to mallory (ALTER SCHEMA pgagent OWNER TO postgres)" in said
    )
    assert said.count("mallory") == 1
    conn.execute("ALTER SCHEMA pgagent OWNER TO postgres")


@pytest.mark.needs("extension")
def test_what_was_taken_over_is_known_by_the_name_of_a_function_of_ours(
    conn, dsn, mallory, plant
):
    plant(f"CREATE FUNCTION pgagent.pga_run_claim(smallint, int) RETURNS int {BODY}")
    conn.execute("REASSIGN OWNED BY mallory TO CURRENT_USER")

    assert (
        "pgagent.pga_run_claim(smallint,integer) belongs to postgres, but not to the"
        " extension (DROP ROUTINE pgagent.pga_run_claim(smallint,integer))"
    ) in refusal(dsn)


def test_a_function_of_the_owners_with_a_name_of_its_own_is_welcome(conn, dsn):
    conn.execute(f"CREATE FUNCTION pgagent.my_helper() RETURNS int {BODY}")

    with Registration(dsn, "here", 20) as catalog:
        catalog.register()


@pytest.mark.needs("contrib")
def test_an_extension_of_a_strangers_vouches_for_nothing(conn, dsn, mallory, plant):
    conn.execute(f'GRANT CREATE ON DATABASE "{conn.info.dbname}" TO mallory')
    plant(
        "CREATE EXTENSION tsm_system_rows SCHEMA pgagent",
        f"CREATE FUNCTION pgagent.pga_run_claim(bigint, int) RETURNS int {BODY}",
        "ALTER EXTENSION tsm_system_rows ADD FUNCTION pgagent.pga_run_claim(bigint, int)",
    )

    assert "pgagent.pga_run_claim(bigint,integer) belongs to mallory" in refusal(dsn)


@pytest.mark.needs("extension")
def test_an_owner_of_the_jobs_who_is_no_superuser_is_no_stranger(conn, dsn, mallory):
    conn.execute("ALTER TABLE pgagent.pga_job OWNER TO mallory")
    conn.execute("ALTER SCHEMA pgagent OWNER TO mallory")
    try:
        with Registration(dsn, "here", 20) as catalog:
            catalog.register()
    finally:
        conn.execute("REASSIGN OWNED BY mallory TO CURRENT_USER")


@pytest.mark.needs("extension")
def test_without_an_extension_the_owner_of_the_jobs_is_the_only_one_known(
    conn, dsn, plant
):
    free_from_extension(conn)
    conn.execute(f"CREATE FUNCTION pgagent.pga_log_prune(text) RETURNS int {BODY}")
    with Registration(dsn, "here", 20) as catalog:
        catalog.register()

    plant(PLANTED["function"][0])

    assert PLANTED["function"][1] in refusal(dsn)


def test_nothing_in_the_schema_is_asked_before_that(conn, dsn, plant):
    conn.execute(
        "CREATE SEQUENCE public.called MINVALUE 0; GRANT ALL ON public.called TO PUBLIC"
    )
    plant(
        "CREATE FUNCTION pgagent.pga_agent_register(varchar, interval, boolean, uuid)"
        " RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('public.called') $$",
        "CREATE FUNCTION pgagent.same(name, name) RETURNS boolean LANGUAGE sql"
        " AS $$ SELECT nextval('public.called') > 0 $$",
        "CREATE OPERATOR pgagent.= (FUNCTION = pgagent.same, LEFTARG = name, RIGHTARG = name)",
    )
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(
            f'ALTER DATABASE "{conn.info.dbname}" SET search_path = pgagent, pg_catalog'
        )

    refusal(dsn)

    assert conn.execute("SELECT is_called FROM public.called").fetchone() == (False,)


def test_a_runner_waits_until_it_is_put_right(conn, dsn, plant):
    plant(PLANTED["function"][0])
    with Runner("--retry", "0.2", dsn) as runner:
        runner.says("pga_run_claim(smallint,smallint) belongs to mallory")
        runner.says("next attempt in")
        job_id = add_job(conn, "SELECT 1")

        conn.execute("DROP ROUTINE pgagent.pga_run_claim(smallint,smallint)")

        assert ended_runs(conn, job_id) == "s"
