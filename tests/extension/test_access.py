"""Levels of access: what grants, revokes and renews them."""

from contextlib import closing
from itertools import permutations

import psycopg
import pytest
from psycopg import sql


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
