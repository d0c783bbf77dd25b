"""Poolers: whether a session has a session of the server to itself.

libpq knows the process id that it was told when it connected. A pooler tells its own,
and the server has to be asked for the other.
"""

import contextlib
import select
import socket
import time
from typing import Self

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

# More than a pooler usually has processes on one port, each with a pool of its own.
_SESSIONS = 6
_PATIENCE = 2.0  # seconds that a pooler may take for an answer
_CONNECT = 4  # seconds for a session

_PID = b"SELECT pg_catalog.pg_backend_pid()"
_PLACE = b"""
    SELECT COALESCE(pg_catalog.host(pg_catalog.inet_server_addr())
                    OPERATOR(pg_catalog.||) ', '::pg_catalog.text, ''::pg_catalog.text)
           OPERATOR(pg_catalog.||) 'port '::pg_catalog.text
           OPERATOR(pg_catalog.||) pg_catalog.current_setting('port'::pg_catalog.text)
"""


def is_pooled(pgconn: pq.abc.PGconn, pid: int, port: int | None) -> bool:
    """Tell whether what the server says of a session shows a pooler in between.

    The server was asked for the session's process id and its client's port. After us
    such a pooler gives the same session of the server to somebody else.
    """
    return pid != pgconn.backend_pid or (port or None) != _own_port(pgconn)


def why_unfit(conninfo: str) -> str | None:
    """Say why sessions behind a pooler can't be relied upon; None if they can.

    Some are opened, and their transactions interleaved so that a pooler that gives each
    transaction a session of the server has to swap those. The string should name one
    address. Blocks for some seconds at most. Raises psycopg.Error, also if there is no
    answer in time.
    """
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(_Session(conninfo)) for _ in range(_SESSIONS)]
        place = sessions[0].ask(_PLACE).decode()
        try:
            mode = "transaction" if _are_swapped(sessions) else None
        except psycopg.Error as e:
            if "statement pooling" not in str(e):
                raise
            mode = "statement"
    if mode is None:
        return None
    return (
        f"a pooler in {mode} mode lies before the server, which takes the session away"
        " after each of its transactions: use session pooling (PgBouncer: pool_mode ="
        f" session), or connect to PostgreSQL itself: {place}"
    )


def _are_swapped(sessions: list["_Session"]) -> bool:
    """Tell whether sessions share or exchange sessions of the server.

    What was given back last, or first, is what a pool hands out next. A small one may
    have none for some of ours, until a transaction of another ends or for ever.
    """
    for session in sessions:
        session.send(b"BEGIN")
    until = time.monotonic() + _PATIENCE
    begun = [session for session in sessions if session.has_answer(until)]
    for session in begun:
        session.note_pid()
    for session in begun:
        session.ask(b"COMMIT")
    until = time.monotonic() + _PATIENCE
    for session in sessions:
        if session not in begun and session.has_answer(until):
            session.note_pid()
            session.ask(b"COMMIT")
            begun.append(session)
    if len(begun) == 1:
        raise _NoAnswerError
    for session in begun:
        session.note_pid()
        session.note_pid()
    pids = [session.pids for session in begun]
    return len(set().union(*pids)) < len(pids) or any(len(p) > 1 for p in pids)


class _NoAnswerError(psycopg.OperationalError):
    """A session waits for something."""

    def __init__(self) -> None:
        super().__init__(f"a pooler has had no session to give for {_PATIENCE:g} s")


class _Session:
    """A session that waits for each answer for a limited time."""

    def __init__(self, conninfo: str) -> None:
        self._connection = psycopg.connect(
            make_conninfo(conninfo, connect_timeout=_CONNECT), autocommit=True
        )
        self._pgconn = self._connection.pgconn
        self.pids: set[bytes] = set()  # of the server, that it has met

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def note_pid(self) -> None:
        """Ask the server who it is."""
        self.pids.add(self.ask(_PID))

    def ask(self, query: bytes) -> bytes:
        """Send a query; return the first value of its last result.

        Raises psycopg.Error with what the server says, or _NoAnswerError.
        """
        self.send(query)
        return self._answer(time.monotonic() + _PATIENCE)

    def send(self, query: bytes) -> None:
        """Send a query, which may have to wait."""
        self._pgconn.send_query(query)

    def has_answer(self, until: float) -> bool:
        """Tell whether a query is answered in time; raises psycopg.Error."""
        try:
            self._answer(until)
        except _NoAnswerError:
            return False
        return True

    def _answer(self, until: float) -> bytes:
        value, problem = b"", ""
        while (result := self._next_result(until)) is not None:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                problem = result.error_message.decode(errors="replace").strip()
            elif result.ntuples:
                value = result.get_value(0, 0) or b""
        if problem or self._pgconn.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(problem or "the session was lost")
        return value

    def _next_result(self, until: float) -> pq.abc.PGresult | None:
        poll = select.poll()
        poll.register(self._pgconn.socket, select.POLLIN)
        while self._pgconn.is_busy():
            left = max(until - time.monotonic(), 0)
            if not poll.poll(left * 1000):
                raise _NoAnswerError
            try:
                self._pgconn.consume_input()
            except psycopg.OperationalError:  # its last words came before
                return None
        return self._pgconn.get_result()


def _own_port(pgconn: pq.abc.PGconn) -> int | None:
    """Return the port of our end; None if that is a Unix socket."""
    same = socket.socket(fileno=pgconn.socket)
    try:
        if same.family == socket.AF_UNIX:
            return None
        port: int = same.getsockname()[1]
        return port
    finally:
        same.detach()
