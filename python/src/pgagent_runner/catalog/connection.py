"""A session with the catalogue: how it is opened, and what its errors mean."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import Buffer, Params, PQGen
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.waiting import Ready, Wait

from pgagent_runner import libpq
from pgagent_runner.catalog import probes
from pgagent_runner.catalog.errors import (
    BY_SQLSTATE,
    CatalogError,
    CatalogLostError,
    RefusedError,
)

Row = tuple[Any, ...]
BlockingConnection = psycopg.Connection[Row]
T = TypeVar("T")

# Told to psycopg when that has come for which it waits.
_READY = {Wait.R: Ready.R, Wait.W: Ready.W, Wait.RW: Ready.RW}

# Settings that a session of ours needs, whatever the role, the database or the user's
# environment prescribe; those that this server does not have are left out. Four let
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
    # A peer that is gone without a word is noticed within 11 s: by the server, which
    # counts from the last thing that it heard, a little later than by us, whose last
    # question comes up to 5 s after that. Otherwise others could start our jobs first.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

# Whatever triggers of users have set in it; what is listened to stays.
_RESET: LiteralString = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
_POISON: LiteralString = """
    SELECT current_user::text,
           pg_catalog.current_setting('default_transaction_read_only'::text),
           pg_catalog.current_setting('statement_timeout'::text),
           pg_catalog.current_setting('lock_timeout'::text)
"""
# What becomes of a statement of ours if they have.
_POISONED = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
)

_TAKE_ANY_BYTES: LiteralString = "SET client_encoding = 'SQL_ASCII'"
_LONGEST_TOLD = 32_768  # characters of an error
_SLOWEST = 50_000  # characters a second that every network carries
_SET_UP_TIME = 10.0  # seconds that a server has to make our settings
_NO_ANSWER = f"the server has not answered for {_SET_UP_TIME:g} s"


class Connection(psycopg.AsyncConnection[Row]):
    """A session with the catalogue, in the loop.

    It knows since when it has been asked something, and when to plan its statements
    anew.
    """

    _rows = 0
    _rows_of_plans = 100
    _asked: float | None = None
    _lock_timeout = 0.0
    _kept: tuple[tuple[LiteralString, Params], ...] = ()
    _is_suspect = False

    async def set_up(self, lock_timeout: float) -> None:
        """Make the settings that it needs; raises psycopg's errors."""
        self._lock_timeout = lock_timeout
        await self._make_settings()

    async def keep(self, query: LiteralString, parameters: Params) -> None:
        """Make a further setting, now and whenever settings are made again."""
        await self.ask(query, parameters)
        self._kept += ((query, parameters),)

    def note_rows(self, count: int) -> None:
        """Note how many rows it has added to the log."""
        self._rows += count

    async def renew_plans(self) -> bool:
        """Have statements planned anew if the log has doubled; tell whether it has.

        The shortest way while a table was empty may now be a long one.
        """
        if self._rows < self._rows_of_plans:
            return False
        await self.ask("DISCARD PLANS")
        self._rows_of_plans = 2 * self._rows
        return True

    async def ask(
        self, query: LiteralString, parameters: Params = (), *, characters: int = 0
    ) -> psycopg.AsyncCursor[Row]:
        """Execute a statement; raises `CatalogError` and its kinds.

        So many characters take their time on a slow network before it can be answered.

        Triggers of users may set something for all of a session. So after a refusal
        the settings are made again, and if one of them was the reason, the statement,
        of which nothing is left, is repeated.
        """
        self._asked = time.monotonic() + characters / _SLOWEST
        try:
            with translated_errors(self):
                if self._is_suspect:
                    await self._renew_settings()
                try:
                    return await self.execute(query, parameters or None)
                except psycopg.Error as e:
                    self._is_suspect = not (e.sqlstate or "").startswith("PGA")
                    if not isinstance(e, _POISONED) or not await self._heals():
                        raise
                return await self.execute(query, parameters or None)
        finally:
            self._asked = None

    async def _heals(self) -> bool:
        """Make the settings again; tell whether they were not what they should be."""
        if not self._is_idle:
            return False
        before = await (await self.execute(_POISON)).fetchone()
        await self._renew_settings()
        return before != await (await self.execute(_POISON)).fetchone()

    async def _renew_settings(self) -> None:
        if self._is_idle:
            await self.execute(_RESET)
            await self._make_settings()
            self._is_suspect = False

    @property
    def _is_idle(self) -> bool:
        return self.info.transaction_status is pq.TransactionStatus.IDLE

    async def _make_settings(self) -> None:
        await self.execute(_SETTINGS, [f"{self._lock_timeout * 1000:.0f}ms"])
        if knows_no_encoding(self):
            await self.execute(_TAKE_ANY_BYTES)
        for query, parameters in self._kept:
            await self.execute(query, parameters)

    def break_off_silent(self, seconds: float) -> bool:
        """Break off if it has waited for an answer for so long; tell whether it has."""
        is_silent = self.is_silent(seconds)
        if is_silent:
            self.break_off()
        return is_silent

    def is_silent(self, seconds: float) -> bool:
        """Tell whether it has waited for so long, and nothing has come.

        A loop that has stood still for a while has not read yet what has.
        """
        asked = self._asked
        is_late = asked is not None and asked < time.monotonic() - seconds
        return is_late and not libpq.is_readable(self.fileno())

    def break_off(self) -> None:
        """Have whatever waits for an answer fail."""
        break_off(self)

    def finish(self) -> None:
        """Close it; what is under way fails."""
        self.pgconn.finish()

    async def wait(self, gen: PQGen[T], *_: Any, **__: Any) -> T:  # noqa: ANN401
        """Wait for what psycopg waits for.

        Its own way costs several times as much. Whoever is cancelled in here leaves a
        session that nobody can use: it is closed.
        """
        loop = asyncio.get_running_loop()
        try:
            wanted = next(gen)
            while True:
                waiter = loop.create_future()
                events = {"read": bool(wanted & Wait.R), "write": bool(wanted & Wait.W)}
                with libpq.watched(self.fileno(), waiter, **events):
                    await waiter
                wanted = gen.send(_READY[wanted])
        except StopIteration as end:
            result: T = end.value
            return result
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise


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


def conninfo_of_server(conninfo: str, session: psycopg.Connection[Any]) -> str:
    """Return how to reach any database of the very server that this session is on.

    `conninfo` is what the session was opened with, which may name several.
    """
    info = session.info
    parameters = parse_conninfo(conninfo)
    if "hostaddr" in parameters:
        parameters["hostaddr"] = info.hostaddr
    parameters |= {"host": info.host, "port": info.port, "user": info.user}
    return make_conninfo("", **parameters)


def connect(conninfo: str, lock_timeout: float = 0) -> BlockingConnection:
    """Open a session with the catalogue, in autocommit mode: for a thread.

    A statement waits at most `lock_timeout` seconds for a lock; 0 is for ever.
    Raises CatalogLostError with libpq's reason.
    """
    with _told_as_lost(conninfo):
        session = BlockingConnection.connect(
            merge_conninfo(conninfo, _DEFAULTS), autocommit=True, client_encoding="UTF8"
        )
        with _in_time(session):
            _make_settings(session, lock_timeout)
    return session


def renew_settings(session: BlockingConnection, lock_timeout: float = 0) -> None:
    """Make all settings again, which triggers of users may have changed.

    Raises psycopg's errors.
    """
    session.execute(_RESET)
    _make_settings(session, lock_timeout)


def _make_settings(session: BlockingConnection, lock_timeout: float) -> None:
    session.execute(_SETTINGS, [f"{lock_timeout * 1000:.0f}ms"])
    if knows_no_encoding(session):
        session.execute(_TAKE_ANY_BYTES)


async def open_in_loop(conninfo: str, lock_timeout: float = 0) -> Connection:
    """Do as `connect` does, in the loop."""
    with _told_as_lost(conninfo):
        parameters = parse_conninfo(merge_conninfo(conninfo, _DEFAULTS))
        pgconn = await libpq.connect(parameters | {"client_encoding": "UTF8"})
        session = Connection(pgconn)
        try:
            await session.set_autocommit(True)
            async with asyncio.timeout(_SET_UP_TIME):
                await session.set_up(lock_timeout)
        except TimeoutError:
            pgconn.finish()
            raise CatalogLostError(_NO_ANSWER) from None
        except BaseException:
            pgconn.finish()
            raise
    return session


@contextlib.asynccontextmanager
async def session_for(conninfo: str, lock_timeout: float) -> AsyncIterator[Connection]:
    """Do as `open_in_loop` does, and close the session in the end."""
    session = await open_in_loop(conninfo, lock_timeout)
    try:
        yield session
    finally:
        session.finish()


async def open_unless_closed(
    conninfo: str, closed: asyncio.Event, lock_timeout: float = 0
) -> Connection:
    """Do as `open_in_loop` does, but raise CatalogLostError as soon as that is set.

    Nothing is lost with a session that has not been used, while a server that does not
    answer, or a name that is looked up, may take its time.
    """
    opening = asyncio.create_task(open_in_loop(conninfo, lock_timeout))
    closing = asyncio.create_task(closed.wait())
    try:
        await asyncio.wait((opening, closing), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        _give_up(opening)
        raise
    finally:
        closing.cancel()
    if not opening.done():
        _give_up(opening)
        raise CatalogLostError("there is no use for a session any more")
    return opening.result()


def _give_up(opening: "asyncio.Task[Connection]") -> None:
    """Have a session closed that may just have been opened."""

    def finish(opened: "asyncio.Task[Connection]") -> None:
        if not opened.cancelled() and opened.exception() is None:
            opened.result().finish()

    opening.add_done_callback(finish)
    opening.cancel()


@contextlib.contextmanager
def _in_time(session: BlockingConnection) -> Iterator[None]:
    """Break the session off if the block takes too long; close it if that raises."""
    timer = threading.Timer(_SET_UP_TIME, break_off, [session])
    timer.daemon = True
    try:
        timer.start()
        yield
    except BaseException:
        session.close()
        raise
    finally:
        timer.cancel()


def knows_no_encoding(session: BlockingConnection | Connection) -> bool:
    """Tell whether the database takes any bytes, and have them read as they are.

    It would refuse to send those that are not UTF-8.
    """
    if session.info.parameter_status("server_encoding") != "SQL_ASCII":
        return False
    for name in ("text", "name", "bpchar"):
        session.adapters.register_loader(name, _TextLoader)
    return True


@contextlib.contextmanager
def _told_as_lost(conninfo: str) -> Iterator[None]:
    """Turn what is raised while a session is opened into CatalogLostError."""
    try:
        yield
    except UnicodeError as e:  # of Python's codec for host names
        host = parse_conninfo(conninfo).get("host")
        shown = "" if "@" in str(host) else f' "{host}"'
        reason = f"the host name{shown} can't be looked up"
        raise _refusal(conninfo, reason) from e
    except OSError as e:  # no thread or no descriptor left
        raise CatalogLostError(str(e)) from e
    except psycopg.Error as e:
        raise _refusal(conninfo, str(e)) from e


def _refusal(conninfo: str, reason: str) -> CatalogLostError:
    """Return why there is no session, unless that could show a part of a password.

    Of a URI, the rest of one that holds an @ or a / is taken for the host or more.
    """
    parameters = parse_conninfo(conninfo)
    for name in ("host", "port", "dbname"):
        if "@" in str(parameters.get(name, "")):
            return RefusedError(
                f"can't connect: the {name} contains an @; in a URI, @, : and / of a"
                " password are written %40, %3A and %2F"
            )
    return probes.of_refusal(reason, parameters)


def break_off(session: BlockingConnection | Connection) -> None:
    """Have whatever waits for this session's answer fail: for any thread."""
    with contextlib.suppress(psycopg.Error):
        libpq.shut_down(session.fileno())


@contextlib.contextmanager
def translated_errors(session: BlockingConnection | Connection) -> Iterator[None]:
    """Turn the driver's errors on this session into ours."""
    try:
        yield
    except psycopg.Error as e:
        message = _shortened(e.diag.message_primary or str(e).strip())
        if e.diag.message_detail:
            message = f"{message} ({_shortened(e.diag.message_detail)})"
        if session.closed:
            raise CatalogLostError(message) from e
        raise BY_SQLSTATE.get(e.sqlstate or "", CatalogError)(message) from e


def _shortened(text: str) -> str:
    """Return a text, or its beginning: users' triggers may say megabytes."""
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}…"
