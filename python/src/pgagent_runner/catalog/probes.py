"""What can be wrong where a runner starts: one list, each with its cause and remedy.

Nothing here writes. `of_refusal` reads what libpq says of a connection that can't be
had, `Probes` asks the session in which an agent is to register, or could not.
"""

import os
import re
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import pq

from pgagent_runner.catalog.errors import (
    CatalogError,
    CatalogLostError,
    LockedError,
    RefusedError,
)

_MOST_NAMED = 5
_LONGEST_CAUSE = 1000  # characters
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Problem:
    """A thing that is wrong: its name, the cause, and what puts it right."""

    name: str
    cause: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.cause}: {self.remedy}" if self.remedy else self.cause


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A connection that can't be had, as libpq or the server says it.

    is_answered: whether somebody has answered, who may say something else soon.
    """

    name: str
    text: re.Pattern[str]
    remedy: str
    is_answered: bool = True


def _refusal(name: str, text: str, remedy: str, *, answered: bool = True) -> _Refusal:
    return _Refusal(name, re.compile(text), remedy, answered)


# Of several hosts, what the first in this list says counts. A server speaks its own
# language (lc_messages) to whom it does not let in: then its words have to do.
_REFUSALS = (
    _refusal(
        "password",
        "password authentication failed|no password supplied|SASL authentication failed"
        "|auth failed",
        "the password is missing or wrong, or has expired; it belongs into .pgpass,"
        ' and ALTER ROLE "{user}" PASSWORD … sets another one',
    ),
    _refusal(
        "operating system user",
        "(?i)(peer|ident) authentication failed",
        "run the runner as the user of the operating system that pg_hba.conf and"
        " pg_ident.conf want for this role, or let them want a password",
    ),
    _refusal(
        "role",
        'role ".*" does not exist|no such user',
        'CREATE ROLE "{user}" LOGIN, or user=…',
    ),
    _refusal("login", "is not permitted to log in", 'ALTER ROLE "{user}" LOGIN'),
    _refusal(
        "database",
        'database ".*" does not exist|no such database',
        'CREATE DATABASE "{dbname}", or dbname=…',
    ),
    _refusal(
        "closed database",
        "is not currently accepting connections",
        'ALTER DATABASE "{dbname}" ALLOW_CONNECTIONS true',
    ),
    _refusal(
        "connect privilege",
        "permission denied for database",
        'GRANT CONNECT ON DATABASE "{dbname}" TO "{user}"',
    ),
    _refusal(
        "pg_hba.conf",
        r"pg_hba\.conf",
        "add a line for it to the server's pg_hba.conf, and SELECT pg_reload_conf()"
        " there; after “no encryption”, sslmode=require may do",
    ),
    _refusal(
        "encoding",
        "conversion between .* is not supported",
        "the runner speaks UTF-8, which the server can't translate for this database:"
        " keep the jobs in one of another encoding",
    ),
    _refusal(
        "too many connections",
        "too many clients already|remaining connection slots are reserved"
        "|too many connections for|no more connections allowed",
        "others have to close theirs, or an administrator raises max_connections, or"
        " the CONNECTION LIMIT of the role or the database",
    ),
    _refusal(
        "startup parameter",
        "unsupported startup parameter",
        "a pooler does not take options= or PGOPTIONS: do without, or have PgBouncer"
        " ignore it (ignore_startup_parameters)",
    ),
    _refusal(
        "setting",
        "invalid value for parameter|unrecognized configuration parameter"
        "|permission denied to set parameter",
        "options= or a variable (PGOPTIONS, PGTZ, PGDATESTYLE) asks for it: correct it,"
        " or leave it out",
    ),
    _refusal(
        "service",
        "definition of service .* not found|service file .* not found"
        "|syntax error in service file",
        "service= (or PGSERVICE) needs a section of that name in ~/.pg_service.conf,"
        " or in the file that PGSERVICEFILE names",
    ),
    _refusal(
        "SSL",
        "server does not support SSL",
        "set ssl = on there, or sslmode=prefer here",
    ),
    _refusal(
        "certificate",
        "certificate|private key|SSL error",
        "sslmode, sslrootcert, sslcert and sslkey have to fit the server's certificate",
    ),
    _refusal(
        "wrong kind of server",
        "session is (not )?read-only|server is (not )?in hot standby mode",
        "none of the hosts is what target_session_attrs asks for",
    ),
    _refusal(
        "server starts",
        "the database system is|the database system was",
        "it goes on when the server takes connections",
    ),
    _refusal(
        "no PostgreSQL",
        "received invalid response to|expected authentication request"
        "|unexpected response|invalid message length",
        "something else than PostgreSQL answers there: check host and port",
    ),
    _refusal(
        "host name",
        "could not translate host name|Name or service not known|No address associated"
        "|Temporary failure in name resolution|can't be looked up",
        "check the name of the host, and the name service",
        answered=False,
    ),
    _refusal(
        "no server",
        "Connection refused|No such file or directory",
        "check host and port, and whether the server runs and listens there"
        " (listen_addresses, unix_socket_directories)",
        answered=False,
    ),
    _refusal(
        "network",
        "timeout expired|timed out|no connection within|No route to host|unreachable",
        "check host, port, and the firewalls on the way",
        answered=False,
    ),
)


_DOWN = ("too many connections", "server starts")


def is_down(reason: str) -> bool:
    """Tell whether what libpq says means that nobody could be let in.

    That is so if nobody answers, or the server starts or is full; not if this login, or
    what was asked for, is wrong.
    """
    cause = next((r for r in _REFUSALS if r.text.search(reason)), None)
    return cause is None or not cause.is_answered or cause.name in _DOWN


class Refusal(NamedTuple):
    """Why there is no connection, in one line, and what puts that right."""

    told: str
    remedy: str  # '' if that is not known
    is_answered: bool


def of_refusal(reason: str, parameters: Mapping[str, Any]) -> CatalogLostError:
    """Return the error that tells why there is no connection, where, and the remedy.

    It is a `RefusedError` unless nobody has answered.
    """
    found = refusal(reason, parameters)
    where = f'database "{_place(parameters)[1]}"'
    if parameters.get("service"):
        where = f'service "{parameters["service"]}"'
    told = f"can't connect to {where}: {found.told}"
    if found.remedy:
        told = f"{told}; {found.remedy}"
    return RefusedError(told) if found.is_answered else CatalogLostError(told)


def refusal(reason: str, parameters: Mapping[str, Any]) -> Refusal:
    """Return why there is no connection, from what libpq or the server says."""
    user, dbname = _place(parameters)
    reason = _in_one_line(reason.removeprefix("connection failed: "))
    if not reason or reason.endswith(_NO_REASON):
        reason = _why_nothing_is_said()
    cause = next((r for r in _REFUSALS if r.text.search(reason)), None)
    if cause is None:
        return Refusal(reason, "", is_answered=True)
    remedy = cause.remedy.format(user=user, dbname=dbname)
    return Refusal(reason, remedy, cause.is_answered)


def _place(parameters: Mapping[str, Any]) -> tuple[str, str]:
    """Return the user and the database of a connection."""
    known = {o.keyword.decode(): o.val for o in pq.Conninfo.get_defaults()}
    user = parameters.get("user") or (known.get("user") or b"").decode()
    dbname = parameters.get("dbname") or (known.get("dbname") or b"").decode() or user
    return user, dbname


_NO_REASON = "no error details available"  # psycopg, where libpq gives none


def _why_nothing_is_said() -> str:
    """Return what keeps libpq from saying anything: no descriptor may be left."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as e:
        told = e.strerror
    else:
        told = "libpq gives no reason"
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"{told}; a process may have {limit} files and connections open: if that is"
        " too few, raise it (ulimit -n, systemd's LimitNOFILE=)"
    )


# The objects that a runner needs beside all functions that are not everybody's: see
# docs/security.md. Of some it needs columns only.
_TABLES = {
    "pga_job": "SELECT, UPDATE",
    "pga_jobstep": "SELECT",
    "pga_schedule": "SELECT, UPDATE",
    "pga_exception": "SELECT",
    "pga_joblog": "SELECT, INSERT, UPDATE, DELETE",
    "pga_jobsteplog": "SELECT, INSERT, UPDATE",
    "pga_jobagent": "SELECT, INSERT, UPDATE, DELETE",
    "pga_jobsession": "SELECT, INSERT, UPDATE, DELETE",
    "pga_jobskip": "SELECT, INSERT, UPDATE, DELETE",
    "pga_jobrequest": "SELECT, DELETE",
    "pga_jobclass": "SELECT",
    "pga_jobpause": "SELECT",
}

# What the runner's login lacks, as what would be granted. Only names of pg_catalog are
# looked up: the schema may be one into which it must not look.
_LACKING: LiteralString = """
    WITH schema AS (
        SELECT n.oid, pg_catalog.has_schema_privilege(n.oid, 'USAGE'::text) AS is_open
        FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'pgagent'::name
    )
    SELECT 'USAGE ON SCHEMA pgagent'::text, 0 FROM schema AS s WHERE NOT s.is_open
    UNION ALL
    SELECT pg_catalog.string_agg(w.privilege, ', '::text ORDER BY w.place)
               || ' ON pgagent.'::text || c.relname::text, 1
    FROM schema AS s
    CROSS JOIN ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]))
        AS t (name, privileges)
    CROSS JOIN LATERAL pg_catalog.regexp_split_to_table(t.privileges, ', '::text)
        WITH ORDINALITY AS w (privilege, place)
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = t.name::name
    WHERE NOT CASE w.privilege
        WHEN 'DELETE'::text THEN pg_catalog.has_table_privilege(c.oid, w.privilege)
        ELSE pg_catalog.has_any_column_privilege(c.oid, w.privilege) END
    GROUP BY c.relname
    UNION ALL
    SELECT 'USAGE ON SEQUENCE pgagent.'::text || c.relname::text, 2
    FROM schema AS s JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid
    WHERE c.relname IN ('pga_joblog_jlgid_seq'::name, 'pga_jobsteplog_jslid_seq'::name)
          AND NOT pg_catalog.has_sequence_privilege(c.oid, 'USAGE'::text)
    UNION ALL
    SELECT 'EXECUTE ON FUNCTION pgagent.'::text || p.proname::text || '('::text
               || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'::text, 3
    FROM schema AS s JOIN pg_catalog.pg_proc AS p ON p.pronamespace = s.oid
    WHERE p.proname ~ '^pga_((agent|run|step|log|job)_|login_ticket$)'::text
          AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
          AND NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE'::text)
    ORDER BY 2, 1
"""

_FACTS: LiteralString = """
    SELECT pg_catalog.current_database()::text, current_user::text,
           (SELECT e.extversion FROM pg_catalog.pg_extension AS e
            WHERE e.extname = 'pgagent'::name),
           (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a
            WHERE a.name = 'pgagent'::name)::text,
           c.oid IS NOT NULL,
           (SELECT pg_catalog.regexp_replace(
                       p.prosrc, '[^0-9.]+'::text, ''::text, 'g'::text)
            FROM pg_catalog.pg_proc AS p
            WHERE p.pronamespace = n.oid AND p.proname = 'pgagent_version'::name),
           EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                   WHERE a.attrelid = c.oid AND a.attname = 'jobkeepfor'::name)
    FROM (VALUES ('pgagent'::name)) AS w (name)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.name
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace = n.oid AND c.relname = 'pga_job'::name
"""

_TRIGGERS: LiteralString = """
    SELECT pg_catalog.quote_ident(t.tgname::text),
           'pgagent.'::text || c.relname::text,
           p.oid::pg_catalog.regprocedure::text, p.proname::text
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    WHERE n.nspname = 'pgagent'::name AND NOT t.tgisinternal
          AND p.pronamespace <> n.oid
    ORDER BY t.tgname
"""

# Not found, maybe since a trigger does not qualify it: our functions pin search_path.
_NOT_FOUND = frozenset(("42P01", "42883", "42704", "3F000"))

_STANDBY = "25006"


class Probes:
    """Looks for what is wrong in the database of an open session."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        """Ask through this session, which is in no transaction."""
        self._session = session

    def explain(self, error: CatalogError) -> CatalogError:
        """Return the same kind of error with where, why, and the remedy."""
        told = str(next(self._of_error(error)))
        return type(error)(f'database "{self._session.info.dbname}": {told}')

    def lacking(self) -> Problem | None:
        """Tell which privileges this login lacks, of those that a runner needs."""
        rows = self._session.execute(
            _LACKING, (list(_TABLES), list(_TABLES.values()))
        ).fetchall()
        if not rows:
            return None
        grants = [row[0] for row in rows]
        user = self._session.info.user
        if problem := self._role(user):
            return problem
        named = "; ".join(
            f'GRANT {grant} TO "{user}"' for grant in grants[:_MOST_NAMED]
        )
        more = len(grants) - _MOST_NAMED
        literal = user.replace("'", "''")
        return Problem(
            "privileges",
            f'permission denied: the role "{user}" lacks what a runner needs',
            f"{named}{f'; and {more} more' if more > 0 else ''}; or all at once:"
            f" SELECT pgagent.grant_access('runner', '{literal}')",
        )

    def _role(self, login: str) -> Problem | None:
        """Tell whether the session acts as another role than its login."""
        row = self._session.execute("SELECT current_user::text").fetchone()
        user = row[0] if row else login
        if user == login:
            return None
        dbname = self._session.info.dbname
        return Problem(
            "role",
            f'permission denied: the role "{login}" acts as "{user}", which a setting'
            " of role says, and that lacks what a runner needs",
            "leave it out where it comes from (options=, PGOPTIONS, ALTER ROLE"
            f' "{login}" RESET role, ALTER DATABASE "{dbname}" RESET role), or grant'
            f' "{user}" what docs/security.md lists',
        )

    def catalogue(self) -> Problem | None:
        """Tell whether there is no catalogue, or one of another version than ours."""
        row = self._session.execute(_FACTS).fetchone()
        assert row is not None  # noqa: S101 (an aggregate of one row)
        _, _, extension, available, has_tables, found, is_5 = row
        own = version("pgagent-runner")
        update = "ALTER EXTENSION pgagent UPDATE" if extension else "pgagent update"
        if not has_tables:
            return Problem(
                "no catalogue", "it has no pgagent", _install(available, own)
            )
        at = found or extension or ("5.0.0" if is_5 else "4.2")
        if _order(at) < _order(own):
            if extension and _order(available or "0") < _order(own):
                update = (
                    f"install the files of {own} on the server, which has those of"
                    f" {available}, then {update}"
                )
            elif not (extension or is_5):
                update = (
                    "CREATE EXTENSION pgagent VERSION 'unpackaged', then ALTER"
                    " EXTENSION pgagent UPDATE; or pgagent update"
                )
            cause = f"it has pgagent {at}, and this runner needs {own}"
            return Problem("old catalogue", cause, update)
        if _order(at) > _order(own):
            return Problem(
                "old runner",
                f"it has pgagent {at}, and this runner is of {own}",
                f"install the runner of {at}",
            )
        return None

    def _of_error(self, error: CatalogError) -> Iterator[Problem]:
        """Yield what explains a refused registration, the likeliest first."""
        cause = error.__cause__
        diag = cause.diag if isinstance(cause, psycopg.Error) else None
        sqlstate = (diag.sqlstate if diag else None) or ""
        if isinstance(error, LockedError):
            yield Problem(
                "lock",
                f"somebody has locked a table of pgagent ({error})",
                "it goes on when the lock is gone; pg_locks tells who has it",
            )
        if sqlstate == _STANDBY:
            yield Problem("standby", str(error))
        if diag is not None and (problem := self._trigger(str(error), diag)):
            yield problem
        if problem := self.catalogue():
            yield problem
        if problem := self.lacking():
            yield problem
        if diag is not None and diag.constraint_name:
            table = f"{diag.schema_name}.{diag.table_name}"
            yield Problem(
                "constraint",
                f"the constraint {diag.constraint_name} of {table} says {error}",
                f'ALTER TABLE {table} DROP CONSTRAINT "{diag.constraint_name}"',
            )
        yield Problem("refused", str(error))

    def _trigger(self, reason: str, diag: psycopg.errors.Diagnostic) -> Problem | None:
        """Tell which trigger of a user's has raised an error, if one has."""
        context = diag.context or ""
        for name, table, function, word in self._session.execute(_TRIGGERS).fetchall():
            if function not in context and f'function "{word}"' not in context:
                continue
            remedy = f"mend {function}, or ALTER TABLE {table} DISABLE TRIGGER {name}"
            if diag.sqlstate in _NOT_FOUND:
                remedy = (
                    f"ALTER FUNCTION {function} SET search_path = …, since it does not"
                    f" qualify the name; or ALTER TABLE {table} DISABLE TRIGGER {name}"
                )
            return Problem(
                "trigger", f"the trigger {name} of {table} says {reason}", remedy
            )
        return None


def _install(available: str | None, own: str) -> str:
    if available is None:
        return (
            "install the files of the extension on the server, then CREATE EXTENSION"
            " pgagent; or pgagent init"
        )
    if _order(available) < _order(own):
        return (
            f"install the files of {own} on the server, which has those of {available},"
            " then CREATE EXTENSION pgagent; or pgagent init"
        )
    return "CREATE EXTENSION pgagent, or pgagent init"


def _order(text: str) -> tuple[int, ...]:
    """Return what versions are compared by."""
    return tuple(map(int, re.findall(r"\d+", text)))


def _in_one_line(reason: str) -> str:
    line = _SPACE.sub(" ", reason).strip()
    return line if len(line) <= _LONGEST_CAUSE else f"{line[:_LONGEST_CAUSE]}…"
