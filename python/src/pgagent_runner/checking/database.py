"""A session with the catalogue that changes nothing, and waits for nothing for long."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg.abc import Params

from pgagent_runner.catalog import merge_conninfo, parse_conninfo
from pgagent_runner.catalog.connection import (
    break_off,
    conninfo_of_server,
    knows_no_encoding,
)
from pgagent_runner.catalog.probes import Refusal, refusal
from pgagent_runner.checking.findings import literal

Row = tuple[Any, ...]

_CONNECT = 10  # seconds, unless the connection string has others
_PATIENCE = 8.0  # seconds until a server that says nothing is given up

# Of this transaction alone: behind a pooler the session is somebody else's afterwards.
_SETTINGS: LiteralString = """
    SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
           pg_catalog.set_config('DateStyle', 'ISO', true),
           pg_catalog.set_config('extra_float_digits', '1', true),
           pg_catalog.set_config('row_security', 'on', true),
           pg_catalog.set_config('client_min_messages', 'error', true),
           pg_catalog.set_config('jit', 'off', true),
           pg_catalog.set_config('lock_timeout', '2s', true),
           pg_catalog.set_config('statement_timeout', '5s', true)
"""
_ANY_BYTES: LiteralString = "SET LOCAL client_encoding = 'SQL_ASCII'"


class NoDatabaseError(Exception):
    """There is no session with the catalogue."""

    def __init__(self, refused: Refusal) -> None:
        """Take why, and what puts it right."""
        super().__init__(refused.told)
        self.refusal = refused


class Database:
    """The catalogue: `rows` asks for some, in a transaction that only reads."""

    def __init__(self, conninfo: str, session: psycopg.Connection[Row]) -> None:
        """Take a session, and how it was opened."""
        self._conninfo = conninfo
        self._session = session
        self._takes_any_bytes = knows_no_encoding(session)
        session.prepare_threshold = None
        session.read_only = True

    @classmethod
    def open(cls, conninfo: str) -> "Database":
        """Connect, as the runner does; raise NoDatabaseError."""
        defaults = {
            "connect_timeout": _CONNECT,
            "fallback_application_name": "pgagent check",
        }
        whole = merge_conninfo(conninfo, defaults)
        try:
            session = psycopg.connect(whole, client_encoding="UTF8")
        except (psycopg.Error, OSError, UnicodeError) as e:
            raise NoDatabaseError(_refusal(str(e), parse_conninfo(whole))) from e
        return cls(conninfo, session)

    @contextlib.contextmanager
    def asking(self) -> Iterator[psycopg.Connection[Row]]:
        """Lend the session to a block, which leaves nothing behind."""
        timer = threading.Timer(_PATIENCE, self.break_off)
        timer.daemon = True
        timer.start()
        try:
            self._session.execute(_SETTINGS)
            if self._takes_any_bytes:
                self._session.execute(_ANY_BYTES)
            yield self._session
        finally:
            with contextlib.suppress(psycopg.Error):
                self._session.rollback()
            timer.cancel()

    def rows(self, query: LiteralString, parameters: Params = ()) -> list[Row]:
        """Return the rows of a query."""
        with self.asking() as session:
            return session.execute(query, parameters or None).fetchall()

    def row(self, query: LiteralString, parameters: Params = ()) -> Row:
        """Return the only row of a query."""
        (row,) = self.rows(query, parameters)
        return row

    @property
    def session(self) -> psycopg.Connection[Row]:
        """The session, for what is known of it without a question."""
        return self._session

    @property
    def conninfo(self) -> str:
        """How it was opened."""
        return self._conninfo

    @property
    def server_conninfo(self) -> str:
        """How to reach any database of the same server."""
        return conninfo_of_server(self._conninfo, self._session)

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._session.info.dbname

    @property
    def user(self) -> str:
        """The login of the session."""
        return self._session.info.user

    @property
    def grant(self) -> str:
        """The statement that gives the login all that a runner needs."""
        return f"SELECT pgagent.grant_access('runner', {literal(self.user)})"

    @property
    def is_lost(self) -> bool:
        """Whether the session has ended."""
        return self._session.closed

    def break_off(self) -> None:
        """Have whatever waits for an answer fail: for any thread."""
        with contextlib.suppress(psycopg.Error, OSError):
            break_off(self._session)

    def close(self) -> None:
        """End the session."""
        self._session.close()


def _refusal(reason: str, parameters: dict[str, Any]) -> Refusal:
    """Return why there is no session, unless that could show a part of a password."""
    for name in ("host", "port", "dbname"):
        if "@" in str(parameters.get(name, "")):
            told = f"the {name} contains an @, and a part of a password may be in it"
            remedy = "in a URI, write @, : and / of a password as %40, %3A and %2F"
            return Refusal(told, remedy, is_answered=False)
    return refusal(reason, parameters)
