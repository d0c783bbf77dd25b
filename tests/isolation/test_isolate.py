"""isolate() is a switch, and tells what it does."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job
from support import ROOT
from transitions import register

FUNCTIONS = ROOT / "python/src/pgagent_runner/catalog/sql/functions.sql"
ENABLED = """
SELECT bool_and(c.relrowsecurity), bool_or(c.relrowsecurity)
FROM pgagent.pga_isolated_tables() AS t (oid) JOIN pg_class AS c USING (oid)
"""
BARRIERS = """
SELECT relname::text FROM pg_class WHERE relnamespace = 'pgagent'::regnamespace
       AND relkind = 'v' AND 'security_barrier=true' = ANY (reloptions) ORDER BY 1
"""
PUBLIC_MAY = """
SELECT count(*) FROM pgagent.pga_isolation_rights() AS f (oid)
JOIN pg_proc USING (oid), aclexplode(COALESCE(proacl, acldefault('f', proowner))) AS a
WHERE a.grantee = 0
"""
BROKEN = "SELECT pgagent.pga_isolation_broken()"


def isolate(conn, *, on=True):
    return dict(conn.execute("SELECT * FROM pgagent.isolate(%s)", [on]).fetchall())


def state(conn):
    """Return (row security on all tables, on any, barriers?, PUBLIC's rights, recorded)."""
    return (
        *conn.execute(ENABLED).fetchone(),
        len(conn.execute(BARRIERS).fetchall()) > 3,
        *conn.execute(PUBLIC_MAY).fetchone(),
        conn.execute("SELECT FROM pgagent.pga_isolation").rowcount,
    )


OPEN = (False, False, False, 5, 0)
ISOLATED = (True, True, True, 0, 1)


def test_the_switch_goes_on_and_off_and_on(conn):
    assert state(conn) == OPEN
    for on, expected in ((True, ISOLATED), (False, OPEN), (True, ISOLATED)):
        report = isolate(conn, on=on)
        assert state(conn) == expected
        assert not [change for change in report.values() if "already" in change]


@pytest.mark.parametrize("on", [True, False])
def test_asked_again_it_says_that_all_is_so_already(conn, on):
    first = isolate(conn, on=on)
    before = state(conn)
    again = isolate(conn, on=on)
    assert state(conn) == before
    assert again.keys() == first.keys()
    assert {
        change for change in again.values() if not change.endswith(" already")
    } == set()


def test_it_tells_what_it_has_done(conn):
    add_job(conn, "SELECT 1")
    report = isolate(conn)
    assert report["table pgagent.pga_joblog"] == "row security enabled"
    assert report["view pgagent.run_history"] == "a security barrier"
    assert report["function pgagent.pga_may_see_all()"] == "revoked from PUBLIC"
    assert report["pgagent.pga_isolation"] == "isolated"
    assert "pga_may_use_runner_login()" in report["1 job without an owner"]


def test_only_what_is_missing_is_done(conn):
    isolate(conn)
    conn.execute("ALTER TABLE pgagent.pga_joblog DISABLE ROW LEVEL SECURITY")
    changed = {o: c for o, c in isolate(conn).items() if not c.endswith(" already")}
    assert changed == {"table pgagent.pga_joblog": "row security enabled"}


def test_what_was_granted_by_hand_is_left(isolated, login):
    isolated.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO iso_rita")
    isolate(isolated)
    add_job(isolated, "SELECT 1", jobowner="iso_team_a")
    assert login("rita").execute("SELECT FROM pgagent.job_status").rowcount == 1


def test_who_may_register_as_a_runner_goes_on(shared, login):
    add_job(shared, "SELECT 1")
    with closing(psycopg.connect(shared.info.dsn, autocommit=True)) as other:
        other.execute(
            "REVOKE ALL ON FUNCTION pgagent.pga_may_see_all() FROM iso_runner"
        )
    report = shared.execute("SELECT * FROM pgagent.isolate()").fetchall()
    granted = 'granted to "iso_runner", which may register as a runner'
    assert ("function pgagent.pga_may_see_all()", granted) in report
    assert login("runner").execute("SELECT FROM pgagent.pga_job").rowcount == 1


def test_only_the_owner_of_the_tables_may(shared, login):
    for on in (True, False):
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege,
            match="may not isolate the catalogue, nor end that",
        ):
            login("alice").execute("SELECT pgagent.isolate(%s)", [on])
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is NULL"):
        shared.execute("SELECT pgagent.isolate(NULL)")
    assert state(shared) == OPEN


def test_it_gives_up_when_the_tables_are_in_use_all_the_time(conn, dsn):
    with closing(psycopg.connect(dsn)) as other:
        other.execute("SELECT FROM pgagent.pga_joblog")
        with pytest.raises(
            psycopg.errors.LockNotAvailable,
            match="pgagent: the tables are locked by others",
        ) as e:
            isolate(conn)
    assert "Nothing was changed" in (e.value.diag.message_detail or "")
    assert state(conn) == OPEN


def test_where_row_security_is_off_no_owned_job_is_claimed(isolated, dsn, login):
    owned = add_job(isolated, "SELECT 1", jobowner="iso_team_a")
    with closing(psycopg.connect(dsn, autocommit=True)) as agent:
        register(agent)
        isolated.execute("ALTER TABLE pgagent.pga_jobstep DISABLE ROW LEVEL SECURITY")
        broken = isolated.execute(BROKEN).fetchone()[0]
        assert "not enabled on pga_jobstep" in broken
        assert "isolate()" in broken
        explained = isolated.execute(
            "SELECT ok, detail FROM pgagent.explain_job(%s) WHERE gate = 'isolated'",
            [owned],
        ).fetchone()
        assert explained == (False, broken)

        unowned = add_job(isolated, "SELECT 1")
        claim = "SELECT run_job_id, look_again FROM pgagent.pga_run_claim(pg_backend_pid(), 9, 60)"
        # There is nothing more to do for now: the runner does not ask again and again.
        assert agent.execute(claim).fetchall() == [(unowned, None), (None, 60)]
        due = "SELECT job_id FROM pgagent.pga_run_due(pg_backend_pid(), 9, NULL, NULL)"
        assert agent.execute(due).fetchall() == []

        isolate(isolated)
        assert isolated.execute(BROKEN).fetchone() == (None,)
        assert agent.execute(due).fetchall() == [(owned,)]
        assert agent.execute(claim).fetchall()[0] == (owned, None)


def test_what_an_update_makes_anew_is_isolated_if_the_catalogue_is(isolated):
    # As `pgagent update` does, and ALTER EXTENSION.
    isolated.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_may_see_all() TO PUBLIC")
    barriers = isolated.execute(BARRIERS).fetchall()
    isolated.execute(f"BEGIN; {FUNCTIONS.read_text()}; COMMIT".encode())
    assert isolated.execute(ENABLED).fetchone() == (True, True)
    assert isolated.execute(BARRIERS).fetchall() == barriers
    # That was the administrator's will.
    assert isolated.execute(PUBLIC_MAY).fetchone() == (1,)


def test_an_update_does_not_isolate(conn):
    conn.execute(f"BEGIN; {FUNCTIONS.read_text()}; COMMIT".encode())
    assert state(conn) == OPEN


def test_a_catalogue_of_4_2_is_as_open_after_the_update_and_can_be_isolated(
    conn_42, roles
):
    conn_42.execute("ALTER EXTENSION pgagent UPDATE")
    assert state(conn_42) == OPEN
    add_job(conn_42, "SELECT 1")
    assert conn_42.execute("SELECT jobowner FROM pgagent.pga_job").fetchone() == (None,)
    isolate(conn_42)
    assert state(conn_42) == ISOLATED
