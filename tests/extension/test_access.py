"""Levels of access: what grants, revokes and renews them."""

from contextlib import closing
from itertools import permutations

import psycopg
import pytest
from daemon.runner_process import Runner
from documents import block
from jobs import add_job, runs
from psycopg import sql
from support import ROOT, poll

LEVELS = ("reader", "operator", "editor", "runner", "admin")

# All that a role was granted in the schema, on it, and on columns.
HELD = """
    SELECT 'schema', '', '', a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a, pg_roles AS r
    WHERE n.nspname = 'pgagent' AND r.oid = a.grantee AND r.rolname = %(role)s
    UNION ALL
    SELECT 'relation', c.relname, '', a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a, pg_roles AS r
    WHERE c.relnamespace = 'pgagent'::regnamespace AND r.oid = a.grantee AND r.rolname = %(role)s
    UNION ALL
    SELECT 'column', c.relname, t.attname, a.privilege_type
    FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a, pg_roles AS r
    WHERE c.relnamespace = 'pgagent'::regnamespace AND r.oid = a.grantee AND r.rolname = %(role)s
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, '', a.privilege_type
    FROM pg_proc AS p, aclexplode(p.proacl) AS a, pg_roles AS r
    WHERE p.pronamespace = 'pgagent'::regnamespace AND r.oid = a.grantee AND r.rolname = %(role)s
"""


def held(conn, role="bob"):
    return set(conn.execute(HELD, {"role": role}).fetchall())


def grant(conn, level, role="bob"):
    called = "SELECT pgagent.grant_access(%s, %s)"
    return [did for (did,) in conn.execute(called, [level, role])]


def revoke(conn, level, role="bob"):
    called = "SELECT pgagent.revoke_access(%s, %s)"
    return [did for (did,) in conn.execute(called, [level, role])]


def levels(conn):
    return conn.execute("TABLE pgagent.access_levels ORDER BY 1, 2").fetchall()


@pytest.fixture
def bob(conn):
    """Have a role without any right, which is dropped afterwards."""
    conn.execute("CREATE ROLE bob LOGIN")
    yield
    conn.execute("DROP OWNED BY bob; DROP ROLE bob")


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_granted_once_and_taken_back_whole(conn, level):
    assert grant(conn, level)
    assert levels(conn) == [("bob", level)]
    got = held(conn)

    assert grant(conn, level) == []
    assert held(conn) == got
    assert revoke(conn, level)
    assert held(conn) == set()
    assert levels(conn) == []
    assert revoke(conn, level) == []


@pytest.mark.usefixtures("bob")
def test_it_answers_with_what_it_has_executed(conn):
    did = grant(conn, "reader")
    got = held(conn)
    assert "GRANT USAGE ON SCHEMA pgagent TO bob" in did
    revoke(conn, "reader")
    for statement in did:
        conn.execute(statement)
    assert held(conn) == got


@pytest.mark.usefixtures("bob")
def test_what_lacks_of_a_level_is_granted_again(conn):
    grant(conn, "editor")
    got = held(conn)
    conn.execute("REVOKE SELECT ON pgagent.pga_jobstep FROM bob")
    conn.execute("REVOKE UPDATE (jobdesc) ON pgagent.pga_job FROM bob")

    assert sorted(grant(conn, "editor")) == [
        "GRANT SELECT ON TABLE pgagent.pga_jobstep TO bob",
        "GRANT UPDATE (jobdesc) ON TABLE pgagent.pga_job TO bob",
    ]
    assert held(conn) == got


@pytest.mark.usefixtures("bob")
@pytest.mark.parametrize(("one", "other"), list(permutations(LEVELS, 2)))
def test_a_role_keeps_what_its_other_level_is_granted(conn, one, other):
    grant(conn, one)
    alone = held(conn)
    grant(conn, other)

    revoke(conn, other)

    assert held(conn) == alone
    assert levels(conn) == [("bob", one)]


@pytest.mark.usefixtures("bob")
def test_a_role_keeps_what_is_in_no_level(conn):
    conn.execute("GRANT TRIGGER ON pgagent.pga_job TO bob")
    conn.execute("GRANT UPDATE (jclname) ON pgagent.pga_jobclass TO bob")
    before = held(conn)
    grant(conn, "editor")

    revoke(conn, "editor")

    assert held(conn) == before


@pytest.mark.usefixtures("bob")
def test_lists_of_grants_by_hand_are_taken_back_too(conn):
    conn.execute(
        "GRANT USAGE ON SCHEMA pgagent TO bob;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO bob;"
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO bob;"
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO bob"
    )
    for level in LEVELS:
        revoke(conn, level)

    relations = {found for found in held(conn) if found[0] != "function"}
    assert relations == {("relation", "pga_access", "", "SELECT")}
    own = """
        SELECT p.proname FROM pg_proc AS p, aclexplode(p.proacl) AS a
        WHERE p.pronamespace = 'pgagent'::regnamespace AND a.grantee = 'bob'::regrole
              AND p.prorettype <> 'trigger'::regtype
              AND NOT has_function_privilege('public', p.oid, 'EXECUTE')"""
    assert conn.execute(own).fetchall() == []


def test_nobody_else_grants_or_takes_a_level(conn, dsn):
    conn.execute("CREATE ROLE bob LOGIN; GRANT USAGE ON SCHEMA pgagent TO bob")
    with closing(psycopg.connect(dsn, autocommit=True, user="bob")) as session:
        for function in ("grant_access", "revoke_access"):
            with pytest.raises(
                psycopg.errors.InsufficientPrivilege,
                match="only the owner of the tables may do that",
            ):
                session.execute(f"SELECT pgagent.{function}('admin', 'pg_monitor')")
    conn.execute("DROP OWNED BY bob; DROP ROLE bob")


@pytest.mark.parametrize("function", ["grant_access", "revoke_access"])
@pytest.mark.parametrize(
    ("level", "role", "state", "said"),
    [
        ("king", "bob", "22023", '(level): "king" is not known'),
        (None, "bob", "22023", "(level): "),
        ("reader", "eve", "42704", 'there is no role "eve"'),
        ("reader", "public", "42704", 'there is no role "public"'),
        ("reader", None, "42704", "there is no role"),
        ("reader", "b" * 64, "42704", "there is no role"),
    ],
)
@pytest.mark.usefixtures("bob")
def test_what_is_not_known_is_said(conn, function, level, role, state, said):
    with pytest.raises(psycopg.Error) as refused:
        conn.execute(f"SELECT pgagent.{function}(%s, %s)", [level, role])
    assert refused.value.sqlstate == state
    assert said in str(refused.value)


def test_the_owner_of_the_tables_is_granted_nothing(conn):
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'pga_job'"
    (role,) = conn.execute(owner).fetchone()
    for function in (grant, revoke):
        with pytest.raises(psycopg.Error, match=f'"{role}" owns the tables'):
            function(conn, "reader", role)


@pytest.mark.parametrize("role", ['odd "name', "Größe", "a b; DROP ROLE x", "public "])
def test_a_role_may_have_any_name(conn, role):
    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    grant(conn, "editor", role)
    assert levels(conn) == [(role, "editor")]
    revoke(conn, "editor", role)
    conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert levels(conn) == []


@pytest.mark.usefixtures("bob")
def test_a_level_goes_with_a_role_that_is_renamed_and_with_no_stranger(conn):
    grant(conn, "reader")
    conn.execute("ALTER ROLE bob RENAME TO rob; CREATE ROLE bob")
    try:
        assert levels(conn) == [("rob", "reader")]
        assert held(conn) == set()
    finally:
        conn.execute("DROP ROLE bob; ALTER ROLE rob RENAME TO bob")


@pytest.mark.parametrize("level", ["reader", "operator"])
@pytest.mark.usefixtures("bob")
def test_a_reader_is_shown_no_connection_string(conn, dsn, level):
    secret = "dbname=postgres user=postgres password=hush-hush"
    step = {"jstcode": "SELECT 1", "jstconnstr": secret}
    add_job(conn, step, name="remote")
    grant(conn, level)
    relations = """
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'v')
              AND has_any_column_privilege('bob', c.oid, 'SELECT')"""
    names = [name for (name,) in conn.execute(relations)]
    assert len(names) > 15
    with closing(psycopg.connect(dsn, autocommit=True, user="bob")) as session:
        for name in sorted({*names} - {"pga_jobstep"}):
            shown = session.execute(f"SELECT * FROM pgagent.{name}").fetchall()
            assert "hush-hush" not in str(shown), name
        for call in ("explain_job('remote')", "next_runs('remote')"):
            shown = session.execute(f"SELECT * FROM pgagent.{call}").fetchall()
            assert "hush-hush" not in str(shown)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT jstconnstr FROM pgagent.pga_jobstep")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT s FROM pgagent.pga_jobstep AS s")
        row = "SELECT step, has_conninfo FROM pgagent.steps"
        assert session.execute(row).fetchall() == [("step 01", True)]


# What an update brings

UPDATE = "ALTER EXTENSION pgagent UPDATE"

# As docs/security.md of 5.0.0 had them written out by hand.
EDITOR_OF_5_0 = """
    GRANT USAGE ON SCHEMA pgagent TO bob;
    GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO bob;
    GRANT INSERT, UPDATE, DELETE ON pgagent.pga_jobstep, pgagent.pga_schedule, pgagent.pga_exception TO bob;
    GRANT DELETE ON pgagent.pga_job TO bob;
    GRANT INSERT (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobtimeout, joboverlap,
                  jobmissed, jobmissedlimit, jobkeepfor, jobkeepruns),
          UPDATE (jobjclid, jobname, jobdesc, jobhostagent, jobenabled, jobtimeout, joboverlap,
                  jobmissed, jobmissedlimit, jobkeepfor, jobkeepruns,
                  jobnextrun, jobrunid, jobfromstep, jobchanged)
        ON pgagent.pga_job TO bob;
    GRANT UPDATE (jlgcancel) ON pgagent.pga_joblog TO bob;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO bob
"""
RUNNER_OF_5_0 = """
    GRANT USAGE ON SCHEMA pgagent TO bob;
    GRANT SELECT ON ALL TABLES IN SCHEMA pgagent TO bob;
    GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgagent TO bob;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO bob;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO bob
"""


@pytest.fixture
def older(new_database):
    """Have a catalogue of 5.0.0, and the role bob."""
    conn = new_database("older")
    conn.execute("CREATE EXTENSION pgagent VERSION '5.0.0'; CREATE ROLE bob LOGIN")
    yield conn
    conn.execute("DROP OWNED BY bob")


@pytest.fixture
def bobs(administration):
    """Drop bob when all databases in which he has rights are gone."""
    yield
    administration.execute("DROP ROLE bob")


@pytest.fixture
def copied(older, new_database, dump, restore):
    """Restore a dump of the older catalogue, once it is updated; return its session."""

    def copy():
        restored = new_database("restored")
        restore(dump(older, "-Fc"), restored)
        return restored

    return copy


@pytest.mark.usefixtures("bobs")
def test_a_runner_is_granted_what_an_update_brings_and_a_dump_keeps_it(older, copied):
    older.execute(RUNNER_OF_5_0)
    older.execute(UPDATE)
    assert levels(older) == [("bob", "runner")]
    assert grant(older, "runner") == []

    restored = copied()

    assert grant(restored, "runner") == []
    assert held(restored) == held(older)


@pytest.mark.usefixtures("bobs")
def test_an_editor_by_hand_can_edit_and_start_jobs_after_an_update(older, cluster):
    older.execute(EDITOR_OF_5_0)
    older.execute(UPDATE)
    assert levels(older) == []
    bob = psycopg.connect(cluster.conninfo("older"), user="bob", autocommit=True)
    with closing(bob):
        bob.execute("SELECT pgagent.schedule('a', '@yearly', 'SELECT 1')")
        bob.execute("SELECT pgagent.cancel_run(pgagent.run_job('a'))")
        bob.execute("SELECT pgagent.drop_job('a')")
    needed = {
        ("relation", "pga_jobchange", "", "INSERT"),
        ("relation", "pga_jobchange_jchid_seq", "", "USAGE"),
        ("relation", "pga_jobrequest", "", "INSERT"),
    }
    assert needed <= held(older)


@pytest.mark.usefixtures("bobs")
def test_an_update_gives_nothing_to_who_may_only_look_at_a_part(older):
    older.execute(
        "GRANT USAGE ON SCHEMA pgagent TO bob;"
        "GRANT SELECT (jobname) ON pgagent.pga_job TO bob;"
        "GRANT SELECT (jstname) ON pgagent.pga_jobstep TO bob;"
        "GRANT SELECT ON pgagent.pga_joblog, pgagent.job_status TO bob;"
        "GRANT UPDATE (jobdesc) ON pgagent.pga_job TO bob"
    )
    before = held(older)
    older.execute(UPDATE)
    assert held(older) - before == {
        ("relation", "pga_jobchange", "", "INSERT"),
        ("relation", "pga_jobchange_jchid_seq", "", "USAGE"),
    }


def new_objects(conn):
    """Do what an update does that brings a table, a column and a function."""
    conn.execute(
        "CREATE TABLE pgagent.pga_newest (x integer);"
        "ALTER TABLE pgagent.pga_jobstep ADD COLUMN jstnew integer;"
        "CREATE FUNCTION pgagent.pga_run_newest() RETURNS void LANGUAGE sql AS '';"
        "REVOKE ALL ON FUNCTION pgagent.pga_run_newest() FROM PUBLIC"
    )
    for member in ("TABLE pgagent.pga_newest", "FUNCTION pgagent.pga_run_newest()"):
        conn.execute(f"ALTER EXTENSION pgagent ADD {member}")
    conn.execute("INSERT INTO pgagent.pga_access (accversion) VALUES ('6.0.0')")


@pytest.mark.usefixtures("bob")
@pytest.mark.needs("extension")
@pytest.mark.parametrize(
    ("level", "brought"),
    [
        (
            "reader",
            {
                ("relation", "pga_newest", "", "SELECT"),
                ("column", "pga_jobstep", "jstnew", "SELECT"),
            },
        ),
        (
            "runner",
            {
                ("relation", "pga_newest", "", "SELECT"),
                ("function", "pgagent.pga_run_newest()", "", "EXECUTE"),
            },
        ),
    ],
)
def test_who_holds_a_level_gets_what_is_new_in_it(conn, level, brought):
    grant(conn, level)
    before = held(conn)
    new_objects(conn)
    assert held(conn) - before == brought


@pytest.mark.usefixtures("bob")
def test_it_is_said_if_whoever_ends_the_transaction_may_not_grant_it(conn):
    grant(conn, "reader")
    conn.execute("REVOKE SELECT ON pgagent.pga_job FROM bob")
    conn.execute("CREATE ROLE ann; GRANT USAGE ON SCHEMA pgagent TO ann")
    told = []
    conn.add_notice_handler(lambda notice: told.append(notice.message_primary))
    try:
        with conn.transaction():
            conn.execute("GRANT SELECT, INSERT ON pgagent.pga_access TO ann")
            conn.execute("SET LOCAL ROLE ann")
            conn.execute("INSERT INTO pgagent.pga_access (accversion) VALUES ('6.0.0')")
        assert told == [
            "pgagent: what the update has brought is not granted to those who hold a level of access"
        ]
    finally:
        conn.execute("DROP OWNED BY ann; DROP ROLE ann")


def test_rights_beyond_a_level_are_granted_as_the_page_says(conn):
    conn.execute(block("docs/security.md", "CREATE ROLE job_editor"))
    conn.execute(block("docs/security.md", "SELECT * FROM pgagent.isolate()"))
    may = "has_function_privilege('job_editor', 'pgagent.pga_may_use_%s()', 'EXECUTE')"
    assert conn.execute(f"SELECT {may % 'batch'}, {may % 'conninfo'}").fetchone() == (
        True,
        False,
    )
    revoke(conn, "editor", "job_editor")
    conn.execute("DROP OWNED BY job_editor; DROP ROLE job_editor")


# What the runner and the owner need


@pytest.fixture
def roles(administration):
    """Drop the roles of sql/superuser.sql once their databases are gone."""
    yield
    for role in ("pgagent_runner", "pgagent_owner", "pga_team"):
        administration.execute(f"DROP ROLE IF EXISTS {role}")


def superuser_script(pg, **names):
    """Execute the script as docs/security.md says."""
    command = block("docs/security.md", "psql -d jobs -v owner=pgagent_owner").split()
    values = [f"-v{key}={value}" for key, value in names.items()]
    script = command.pop()
    done = pg("psql", "-X", *values, *command[1:], ROOT / script)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("roles")
def test_no_superuser_is_needed_but_for_one_script(new_database, pg, cluster):
    conn = new_database("jobs")
    for _ in range(2):
        superuser_script(pg)
    conn.execute(block("docs/security.md", "SET ROLE pgagent_owner"))
    conn.execute("RESET ROLE")

    dsn = f"{cluster.conninfo('jobs')} user=pgagent_runner"
    with Runner(dsn) as runner:
        runner.ready()
        batch_step = {"jstkind": "b", "jstcode": "exit 0"}
        job_id = add_job(conn, "SELECT 1", batch_step)
        poll(lambda: runs(conn, job_id) == [("s", None)], what="the run to succeed")
        assert "ERROR" not in runner.log
    mighty = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname ~ '^pgagent'"
    assert conn.execute(mighty).fetchall() == []
    owners = """
        SELECT DISTINCT pg_get_userbyid(c.relowner) FROM pg_class AS c
        WHERE c.relnamespace = 'pgagent'::regnamespace"""
    assert conn.execute(owners).fetchall() == [("pgagent_owner",)]
    conn.execute("DROP EXTENSION pgagent; DROP SCHEMA IF EXISTS pgagent")
    conn.execute("DROP OWNED BY pgagent_runner, pgagent_owner")


@pytest.mark.usefixtures("roles")
def test_roles_to_run_as_are_the_owners_to_give(new_database, pg):
    conn = new_database("jobs")
    conn.execute("CREATE ROLE pga_team")
    superuser_script(pg, run_as="pga_team")
    conn.execute("SET SESSION AUTHORIZATION pgagent_owner")
    conn.execute("CREATE ROLE pga_login LOGIN NOINHERIT; GRANT pga_team TO pga_login")
    conn.execute("ALTER ROLE pga_login PASSWORD 'x'; DROP ROLE pga_login")
    conn.execute("RESET SESSION AUTHORIZATION; DROP OWNED BY pgagent_owner")
