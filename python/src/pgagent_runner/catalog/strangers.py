"""Whether the schema pgagent is its owner's alone: asked before any function of it."""

from typing import Any, LiteralString

import psycopg

from pgagent_runner.catalog.connection import BlockingConnection
from pgagent_runner.catalog.errors import StrangersError

_MOST_NAMED = 10
_LONGEST = 150  # characters of a name or a remedy: a signature may have thousands

# Nothing but what PostgreSQL itself brings, for a session whose search_path is
# pg_catalog. An owner is a superuser, or has the table of jobs or the extension.
# A function of an owner's counts as a stranger's if it has the name of a member and is
# none: it may have been taken over together with the schema. An extension vouches for
# its members only if it is an owner's: anybody may add to his own.
_QUERY: LiteralString = """
    WITH schema AS MATERIALIZED (
        SELECT n.oid, n.nspowner, n.nspacl, c.relowner, e.oid AS extension, e.extowner
        FROM pg_catalog.pg_namespace AS n
        LEFT JOIN pg_catalog.pg_class AS c
            ON c.relnamespace = n.oid AND c.relname = 'pga_job'::name
        LEFT JOIN pg_catalog.pg_extension AS e ON e.extname = 'pgagent'::name
        WHERE n.nspname = 'pgagent'::name
    ), owner AS MATERIALIZED (
        SELECT r.oid FROM pg_catalog.pg_roles AS r
        WHERE r.rolsuper OR r.oid IN (SELECT s.relowner FROM schema AS s)
              OR r.oid IN (SELECT s.extowner FROM schema AS s)
    ), object AS MATERIALIZED (
        SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, p.oid,
               p.proname AS name, p.proowner AS owner, 'ROUTINE'::text AS kind,
               p.oid::pg_catalog.regprocedure::text AS signature
        FROM pg_catalog.pg_proc AS p JOIN schema AS s ON p.pronamespace = s.oid
        UNION ALL
        SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid,
               o.oprname, o.oprowner, 'OPERATOR'::text,
               o.oid::pg_catalog.regoperator::text
        FROM pg_catalog.pg_operator AS o JOIN schema AS s ON o.oprnamespace = s.oid
    ), judged AS MATERIALIZED (
        SELECT o.*, EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
            WHERE d.classid = o.class AND d.objid = o.oid
                  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                  AND d.deptype = 'e'::"char"
                  AND e.extowner IN (SELECT w.oid FROM owner AS w)
        ) AS is_member
        FROM object AS o
    )
    SELECT 'the role '::text || COALESCE(r.rolname::text, 'PUBLIC'::text)
               || ' may create functions there'::text,
           'REVOKE CREATE ON SCHEMA pgagent FROM '::text
               || COALESCE(pg_catalog.quote_ident(r.rolname::text), 'PUBLIC'::text)
    FROM schema AS s
    CROSS JOIN LATERAL pg_catalog.aclexplode(s.nspacl) AS a
    LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
    WHERE a.privilege_type = 'CREATE'::text AND a.grantee <> s.nspowner
          AND a.grantee NOT IN (SELECT w.oid FROM owner AS w)
    UNION ALL
    SELECT 'the schema belongs to '::text
               || pg_catalog.pg_get_userbyid(s.nspowner)::text,
           'ALTER SCHEMA pgagent OWNER TO '::text || pg_catalog.quote_ident(
               COALESCE(pg_catalog.pg_get_userbyid(s.relowner), current_user)::text)
    FROM schema AS s
    WHERE s.nspowner NOT IN (SELECT w.oid FROM owner AS w)
    UNION ALL
    SELECT j.signature || ' belongs to '::text
               || pg_catalog.pg_get_userbyid(j.owner)::text
               || CASE WHEN j.owner IN (SELECT w.oid FROM owner AS w)
                       THEN ', but not to the extension'::text ELSE ''::text END,
           'DROP '::text || j.kind || ' '::text || j.signature
    FROM judged AS j
    WHERE NOT j.is_member AND (
        j.owner NOT IN (SELECT w.oid FROM owner AS w)
        OR j.name IN (SELECT m.name FROM judged AS m WHERE m.is_member)
    )
"""


def refuse_strangers(session: BlockingConnection) -> None:
    """Raise StrangersError if others have, or may put, functions where ours are."""
    if found := strangers(session):
        named = [f"{what} ({remedy})" for what, remedy in found[:_MOST_NAMED]]
        if len(found) > _MOST_NAMED:
            named.append(f"and {len(found) - _MOST_NAMED} more")
        raise StrangersError(
            f'database "{session.info.dbname}": the schema pgagent is not its owner\'s'
            " alone, and functions of others could run with the rights of this login:"
            f" {'; '.join(named)}"
        )


def strangers(session: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return what others have, or may put, in the schema; each with its remedy."""
    rows = session.execute(_QUERY).fetchall()
    return [(_cut(what), _cut(remedy)) for what, remedy in rows]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
