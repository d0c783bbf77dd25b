"""A session with the catalogue: how it is opened, and what its errors mean."""

import contextlib
import os
import select
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.waiting import Ready, Wait

from pgagent_runner.catalog.errors import BY_SQLSTATE, CatalogError, CatalogLostError
from pgagent_runner.tasks import in_task, in_thread, wait_ready

Row = tuple[Any, ...]
T = TypeVar("T")

# What psycopg waits for: the events of poll, and what it is told when that has come.
_EVENTS = {
    Wait.R: (select.POLLIN, Ready.R),
    Wait.W: (select.POLLOUT, Ready.W),
    Wait.RW: (select.POLLIN | select.POLLOUT, Ready.RW),
}

# What a session of ours needs, whatever the role, the database or the user's
# environment prescribe; settings that this server does not have are left out. Four let
# the server notice that we are gone as soon as we notice that it is. The last ones: all
# that we ask for is found by an index, whatever the statistics of tables say that were
# empty a minute ago.
_SETTINGS = """
    SELECT pg_catalog.set_config(s.name, s.value, false)
    FROM (VALUES
        ('search_path', 'pg_catalog, pg_temp'),
        ('client_min_messages', 'error'),
        ('default_transaction_isolation', 'read committed'),
        ('default_transaction_read_only', 'off'),
        ('default_transaction_deferrable', 'off'),
        ('array_nulls', 'on'),
        ('standard_conforming_strings', 'on'),
        ('transform_null_equals', 'off'),
        ('row_security', 'on'),
        ('check_function_bodies', 'on'),
        ('DateStyle', 'ISO'),
        ('IntervalStyle', 'postgres'),
        ('extra_float_digits', '1'),
        ('bytea_output', 'hex'),
        ('statement_timeout', '0'),
        ('idle_in_transaction_session_timeout', '0'),
        ('idle_session_timeout', '0'),
        ('transaction_timeout', '0'),
        ('lock_timeout', %s),
        ('client_connection_check_interval', '1s'),
        ('tcp_keepalives_idle', '5'),
        ('tcp_keepalives_interval', '2'),
        ('tcp_keepalives_count', '3'),
        ('enable_seqscan', 'off'),
        ('enable_bitmapscan', 'off'),
        ('enable_sort', 'off'),
        ('enable_hashjoin', 'off'),
        ('enable_mergejoin', 'off'),
        ('plan_cache_mode', 'force_generic_plan'),
        ('jit', 'off')
    ) AS s (name, value)
    WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL
"""

_DEFAULTS = {
    "connect_timeout": 10,
    "fallback_application_name": "pgagent",
    # A peer that is gone without a word is noticed within 11 s.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}


class Connection(psycopg.Connection[Row]):
    """A session with the catalogue, which knows when to plan its statements anew."""

    _rows = 0
    _rows_of_plans = 100

    def note_rows(self, count: int) -> None:
        """Note how many rows it has added to the log."""
        self._rows += count

    @property
    def plans_are_old(self) -> bool:
        """Whether the log has doubled since statements were planned.

        What was the shortest way when a table was empty may now be a long one.
        """
        return self._rows >= self._rows_of_plans

    def forget_old_plans(self) -> None:
        """Have statements planned anew."""
        self.execute("DISCARD PLANS")
        self._rows_of_plans = 2 * self._rows

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Wait for what psycopg waits for; in a task, others go on meanwhile."""
        if not in_task():
            return super().wait(gen, *args, **kwargs)
        try:
            wanted = next(gen)
            while True:
                events, ready = _EVENTS[wanted]
                wait_ready({self.fileno(): events})
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result


class _TextLoader(Loader):
    """Text of a database that does not know its encoding may hold any bytes."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


def parse_conninfo(conninfo: str) -> dict[str, Any]:
    """Return the parameters of a libpq connection string or URI.

    Raises ValueError with libpq's reason, unless that could quote a password.
    """
    try:
        return dict(conninfo_to_dict(conninfo))
    except psycopg.ProgrammingError as e:
        if "password" in conninfo or "://" in conninfo:
            raise ValueError("it can't be parsed") from None
        raise ValueError(str(e).strip()) from e


def merge_conninfo(conninfo: str, defaults: Mapping[str, Any]) -> str:
    """Return the connection string with those of the `defaults` that it does not set.

    Defaults that are None are left out. Raises ValueError as `parse_conninfo` does.
    """
    known = {k: v for k, v in defaults.items() if v is not None}
    return make_conninfo("", **(known | parse_conninfo(conninfo)))


def connect(conninfo: str, lock_timeout: float = 0) -> Connection:
    """Open a session with the catalogue, in autocommit mode.

    A statement waits at most `lock_timeout` seconds for a lock; 0 is for ever.
    Raises CatalogLostError with libpq's reason.
    """
    try:
        # In a thread, because resolving a name may take long.
        connection = in_thread(
            partial(Connection.connect, autocommit=True, client_encoding="UTF8"),
            merge_conninfo(conninfo, _DEFAULTS),
        )
        connection.execute(_SETTINGS, [f"{lock_timeout * 1000:.0f}ms"])
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            # It takes any bytes, and would refuse to send those that are not UTF-8.
            connection.execute("SET client_encoding = 'SQL_ASCII'")
            for name in ("text", "name", "bpchar"):
                connection.adapters.register_loader(name, _TextLoader)
    except UnicodeError as e:  # of Python's codec for host names
        host = parse_conninfo(conninfo).get("host")
        shown = "" if "@" in str(host) else f' "{host}"'
        raise CatalogLostError(f"the host name{shown} can't be looked up") from e
    except OSError as e:  # no thread left
        raise CatalogLostError(str(e)) from e
    except psycopg.Error as e:
        # The rest of a password that holds an @ is taken for the host.
        if "@" in str(parse_conninfo(conninfo).get("host", "")):
            raise CatalogLostError("can't connect: the host contains an @") from None
        raise CatalogLostError(str(e).strip()) from e
    return connection


def break_off(connection: Connection) -> None:
    """Have whatever waits for this session's answer fail: for another thread.

    A server that is alive and does not answer is no error to TCP.
    """
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as same,
    ):
        same.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def translated_errors(connection: Connection) -> Iterator[None]:
    """Turn the driver's errors on this session into ours."""
    try:
        yield
    except psycopg.Error as e:
        message = e.diag.message_primary or str(e).strip()
        if e.diag.message_detail:
            message = f"{message} ({e.diag.message_detail})"
        if connection.closed:
            raise CatalogLostError(message) from e
        raise BY_SQLSTATE.get(e.sqlstate or "", CatalogError)(message) from e
