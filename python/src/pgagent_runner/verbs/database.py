"""The database that a verb is about: which one it is, and a session with it."""

import contextlib
import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.abc import Buffer, Params
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import make_conninfo

from pgagent_runner.catalog import merge_conninfo, parse_conninfo
from pgagent_runner.catalog.connection import knows_no_encoding
from pgagent_runner.catalog.conninfo import has_secret, refuse_readable_secret
from pgagent_runner.catalog.probes import Probes, of_refusal
from pgagent_runner.configuration import (
    Configuration,
    ConfigurationError,
    UnreadableError,
)
from pgagent_runner.declaring import gather
from pgagent_runner.options import AgentOptions, configuration
from pgagent_runner.verbs.frame import (
    Given,
    LostError,
    VerbError,
    has_terminal,
    say,
)
from pgagent_runner.verbs.output import Moment, Span, Table

Session = psycopg.Connection[tuple[Any, ...]]

_OPTIONS = ("config", "conninfo")
# Whoever has set one of these has said where to go, as to psql.
_WHERE = ("PGAGENT_CONNINFO", "PGSERVICE", "PGHOST", "PGHOSTADDR", "PGDATABASE")

# Of this transaction alone: behind a pooler the session is somebody else's afterwards.
# To compile what is asked once would take longer than to answer it.
_SETTINGS: LiteralString = """
    SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
           pg_catalog.set_config('DateStyle', 'ISO', true),
           pg_catalog.set_config('IntervalStyle', 'postgres', true),
           pg_catalog.set_config('extra_float_digits', '1', true),
           pg_catalog.set_config('bytea_output', 'hex', true),
           pg_catalog.set_config('jit', 'off', true)
"""
_ANY_BYTES: LiteralString = "SET LOCAL client_encoding = 'SQL_ASCII'"
_ZONE: LiteralString = "SELECT pg_catalog.set_config('TimeZone', %s, true)"

# SQLSTATEs of what can't be found where there is no pgagent, or an older one.
_NOT_FOUND = frozenset(("3F000", "42P01", "42703", "42883"))
_NOT_PERMITTED = "42501"


def database(given: Given) -> tuple[str, Configuration]:
    """Return the connection string that was chosen, and what the file has besides.

    Raises ConfigurationError.
    """
    file = _file(given, os.environ)
    refuse_readable_secret(file)
    words: dict[str, Any] = dict(_words(given))
    told = [named(given.dbname)] if given.dbname else getattr(given, "conninfo", [])
    if any(told):
        words["conninfo"] = told
        if has_secret(" ".join(told)):
            say(given, READABLE)
    chosen = gather(AgentOptions, words, os.environ, file, _OPTIONS)
    try:
        return merge_conninfo(AgentOptions(**chosen).conninfo, {}), file
    except ValueError as e:
        raise ConfigurationError(f"the connection string is wrong: {e}") from None


READABLE = (
    "the password on the command line can be read by every user of this machine; keep"
    " it in a .pgpass file"
)


def named(database: str) -> str:
    """Return the connection string of what may be the name of a database alone."""
    is_conninfo = "=" in database or "://" in database
    return database if is_conninfo else make_conninfo("", dbname=database)


def _words(given: Given) -> dict[str, Path]:
    """Return what the command line says of the file."""
    return {"config": Path(given.config)} if given.config else {}


def _file(given: Given, environ: Mapping[str, str]) -> Configuration:
    """Read pgagent.toml; the usual one is left out if the environment says where.

    The runner's, if it is none of this user's business, is none. That is said, for the
    database may be another one then.
    """
    is_named = given.config or environ.get("PGAGENT_CONFIG")
    where = (environ.get(name) for name in _WHERE)
    if not is_named and (given.dbname or any(where)):
        return Configuration()
    try:
        return configuration(_words(given), environ)
    except UnreadableError as e:
        say(given, f"{e}; it is left out")
        return Configuration()


@contextlib.contextmanager
def connect(given: Given) -> Iterator[Session]:
    """Open a session with the database that was chosen, in a transaction.

    It is committed at the end of the block, and rolled back if that raises. Times come
    in the reader's time zone, as `Moment` and `Span`. Names of tables and functions
    have to be qualified. What the server refuses is raised as `VerbError`, with its
    notices said to the user.
    """
    conninfo, _ = database(given)
    session = _opened(given, conninfo)
    try:
        settle(session)
        yield session
        session.commit()
    except psycopg.Error as e:
        kind = LostError if session.closed else VerbError
        raise kind(_explained(given, session, e)) from e
    except UnicodeEncodeError as e:
        raise VerbError(f"{e.object!r} is not text in UTF-8") from e
    finally:
        session.close()


def settle(session: Session) -> None:
    """Make the settings of a verb, in a transaction that begins."""
    session.execute(_SETTINGS)
    if session.info.parameter_status("server_encoding") == "SQL_ASCII":
        session.execute(_ANY_BYTES)
    if zone := reader_zone(os.environ):
        # The server may know less of the world than this machine.
        with contextlib.suppress(psycopg.DataError), session.transaction():
            session.execute(_ZONE, [zone])


def renew(session: Session) -> None:
    """End the transaction, and begin another one, that sees what has come since."""
    session.commit()
    settle(session)


def fetch(
    session: Session, query: LiteralString, params: Params | None = None
) -> Table:
    """Return the rows of a query with the names of their columns."""
    cursor = session.execute(query, params)
    return Table(
        [column.name for column in cursor.description or ()], cursor.fetchall()
    )


def value(session: Session, query: LiteralString, params: Params | None = None) -> Any:  # noqa: ANN401
    """Return the first value of the first row of a query; None if there is no row."""
    row = session.execute(query, params).fetchone()
    return row[0] if row else None


def job_id(session: Session, job: str) -> int:
    """Return the id of the job of this name, or else of this id.

    Raises psycopg's error if there is none, or several of this name.
    """
    by_name = session.execute(_BY_NAME, [job]).fetchall()
    if not by_name and job.isascii() and job.isdigit() and len(job) <= _DIGITS:
        by_id: int | None = value(session, _BY_ID, [int(job)])
        if by_id is not None:
            return by_id
    if len(by_name) == 1:
        only: int = by_name[0][0]
        return only
    refused: int = value(session, "SELECT pgagent.pga_job_id(%s::text)", [job])
    return refused


_DIGITS = 18
_BY_NAME: LiteralString = """
    SELECT j.jobid::bigint FROM pgagent.pga_job AS j WHERE j.jobname = %s::text LIMIT 2
"""
_BY_ID: LiteralString = (
    "SELECT j.jobid::bigint FROM pgagent.pga_job AS j WHERE j.jobid = %s::bigint"
)


def job_ids(session: Session, jobs: Sequence[str]) -> list[int]:
    """Return the ids of several jobs, each once."""
    return list(dict.fromkeys(job_id(session, job) for job in jobs))


def _opened(given: Given, conninfo: str) -> Session:
    """Open a session; ask for a password if that is all that is missing."""
    defaults: dict[str, Any] = {
        "connect_timeout": None if os.environ.get("PGCONNECT_TIMEOUT") else 10,
        "fallback_application_name": f"pgagent {given.verb.name}",
    }
    typed = getattr(given, "password", None)
    whole = make_conninfo(merge_conninfo(conninfo, defaults), password=typed)
    try:
        session = psycopg.connect(whole, client_encoding="UTF8")
    except psycopg.Error as e:
        is_missing = e.pgconn is not None and e.pgconn.needs_password
        may_ask = typed is None and getattr(given, "asks", True)
        if may_ask and is_missing and has_terminal():
            given.password = getpass.getpass(f"pgagent {given.verb.name}: password: ")
            return _opened(given, conninfo)
        raise LostError(str(of_refusal(str(e), parse_conninfo(whole)))) from e
    session.prepare_threshold = None
    session.add_notice_handler(lambda notice: say(given, _noticed(notice)))
    if knows_no_encoding(session):
        session.adapters.register_dumper(str, _AnyBytesDumper)
    for loader, types in _LOADERS.items():
        for name in types:
            session.adapters.register_loader(name, loader)
    return session


class _AnyBytesDumper(Dumper):
    """Text for a database that does not know its encoding: bytes as they were typed."""

    def dump(self, obj: str) -> Buffer:
        return obj.encode("utf-8", "surrogateescape")


class _TextLoader(Loader):
    """Text as the server writes it: its dates reach further than Python's."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _MomentLoader(_TextLoader):
    def load(self, data: Buffer) -> Moment:
        return Moment(bytes(data).decode())


class _SpanLoader(_TextLoader):
    def load(self, data: Buffer) -> Span:
        return Span(bytes(data).decode())


_LOADERS: dict[type[_TextLoader], tuple[str, ...]] = {
    _TextLoader: ("date", "time", "timetz"),
    _MomentLoader: ("timestamptz", "timestamp"),
    _SpanLoader: ("interval",),
}


def reader_zone(environ: Mapping[str, str]) -> str | None:
    """Return the time zone of this machine, or of whoever sits here; None: unknown.

    libpq itself tells the server of PGTZ.
    """
    if environ.get("PGTZ"):
        return None
    if zone := environ.get("TZ", "").removeprefix(":"):
        return zone.partition("zoneinfo/")[2] or zone
    try:
        target = str(Path("/etc/localtime").readlink())
    except OSError:
        target = ""
    if zone := target.partition("zoneinfo/")[2]:
        return zone
    with contextlib.suppress(OSError):
        return Path("/etc/timezone").read_text().strip() or None
    return None


def _noticed(notice: psycopg.errors.Diagnostic) -> str:
    """Return what the server has to say, and how serious that is."""
    severity = (notice.severity_nonlocalized or "").lower()
    kind = "warning: " if severity == "warning" else ""
    return kind + _sentence(notice)


def _sentence(diagnostic: psycopg.errors.Diagnostic) -> str:
    message = (diagnostic.message_primary or "").removeprefix("pgagent: ")
    detail = diagnostic.message_detail
    return f"{message} ({detail})" if detail else message


def _catalogue_problem(session: Session) -> object:
    """Return what is wrong with the catalogue, if something is."""
    with contextlib.suppress(psycopg.Error):
        session.rollback()
        return Probes(session).catalogue()
    return None


def _explained(given: Given, session: Session, error: psycopg.Error) -> str:
    """Return why the server has refused something, and what helps."""
    told = _sentence(error.diag) or str(error)
    if session.closed:
        return f"the connection is lost: {told}"
    if error.sqlstate in _NOT_FOUND and (problem := _catalogue_problem(session)):
        return f'database "{session.info.dbname}": {problem}'
    # What our own functions refuse says itself what it takes.
    is_ours = (error.diag.message_primary or "").startswith("pgagent: ")
    if error.sqlstate == _NOT_PERMITTED and not is_ours:
        level = given.verb.level
        user = session.info.user.replace("'", "''")
        return (
            f"{told}; SELECT pgagent.grant_access('{level}', '{user}') would permit it"
        )
    return told
