"""Every call of one of our functions in another names each argument, with its type.

Another function of that name in the schema, if somebody may create it, can then match no
call better, or as well.
"""

import psycopg
import pytest
from exact import functions

CHECKED = """
    SELECT p.oid::regproc::text, f.lineno, f.message
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
         AND p.proname <> 'job_cache_invalidate'  -- which hangs on nothing
    LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid AND NOT t.tgisinternal
    CROSS JOIN LATERAL plpgsql_check_function_tb(
        p.oid, COALESCE(t.tgrelid, 0), fatal_errors => false
    ) AS f
    WHERE p.pronamespace = 'pgagent'::regnamespace AND f.sqlstate = '42883'
          -- Whoever calls it names it.
          AND strpos(p.prosrc, %s) > 0
"""
IN_SQL = """
    SELECT p.oid::regproc::text, pg_get_functiondef(p.oid)
    FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'sql'
    WHERE p.pronamespace = 'pgagent'::regnamespace
          AND strpos(pg_get_functiondef(p.oid), %s) > 0
"""


@pytest.fixture
def checker(conn):
    conn.execute("CREATE EXTENSION plpgsql_check")
    conn.execute("CREATE SCHEMA away")
    return conn


def calls_without(conn, name):
    """Return the calls that miss the functions of this name: (caller, line, call)."""
    with conn.transaction(force_rollback=True):
        ours = functions(conn, name)
        for function in ours:
            conn.execute(
                f"ALTER FUNCTION pgagent.{name}({function.identity}) SET SCHEMA away"
            )
        found = conn.execute(CHECKED, [name]).fetchall()
        for caller, definition in conn.execute(IN_SQL, [name]).fetchall():
            try:
                with conn.transaction():
                    conn.execute(definition)
            except psycopg.errors.UndefinedFunction as e:
                found.append((caller, 0, e.diag.message_primary))
    # A constant of type regprocedure, which has quotes in the message, is never inexact.
    exact = {
        f"function {quote}pgagent.{name}({types}){quote} does not exist"
        for (types,) in conn.execute(
            "SELECT oidvectortypes(proargtypes) FROM pg_proc"
            " WHERE pronamespace = 'pgagent'::regnamespace AND proname = %s",
            [name],
        )
        for quote in ("", '"')
    }
    return found, [call for call in found if call[2] not in exact]


@pytest.mark.needs("plpgsql_check")
def test_every_call_is_exact(checker):
    found = 0
    wrong = []
    for name in sorted({function.name for function in functions(checker)}):
        calls, inexact = calls_without(checker, name)
        found += len(calls)
        wrong += inexact
    assert found > 150
    assert wrong == []
