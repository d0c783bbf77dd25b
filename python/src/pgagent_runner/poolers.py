"""Poolers: whether a session has a session of the server to itself.

libpq knows the process id that it was told when it connected. A pooler tells its own,
and the server has to be asked for the other.
"""

import os
import select
import socket
import time
from typing import Self

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

_ROUNDS = 3
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

    Two of them are opened, and their transactions interleaved so that a pooler that
    gives each transaction a session of the server has to swap those. Blocks for some
    seconds at most. Raises psycopg.Error, also if there is no answer in time.
    """
    with _Session(conninfo) as one, _Session(conninfo) as other:
        place = one.ask(_PLACE).decode()
        try:
            mode = "transaction" if _are_swapped(one, other) else None
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


def _are_swapped(one: "_Session", other: "_Session") -> bool:
    """Tell whether two sessions share or exchange sessions of the server.

    Whatever was given back first or last is what a pool hands out next.
    """
    seen_by_one, seen_by_other = set(), set()
    for _ in range(_ROUNDS):
        one.ask(b"BEGIN")
        seen_by_one.add(one.ask(_PID))
        other.send(b"BEGIN")
        try:
            other.answer()
        except _NoAnswerError:
            one.ask(b"COMMIT")  # has it been waiting for that?
            other.answer()
        seen_by_other.add(other.ask(_PID))
        if seen_by_one & seen_by_other:
            return True
        one.ask(b"COMMIT")
        other.ask(b"COMMIT")
        seen_by_one |= {one.ask(_PID), one.ask(_PID)}
        seen_by_other.add(other.ask(_PID))
    return len(seen_by_one) > 1 or len(seen_by_other) > 1


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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, query: bytes) -> bytes:
        """Do as `send` and `answer` do."""
        self.send(query)
        return self.answer()

    def send(self, query: bytes) -> None:
        """Send a query, which may have to wait."""
        self._pgconn.send_query(query)

    def answer(self) -> bytes:
        """Return the first value of the last result.

        Raises psycopg.Error with what the server says, or _NoAnswerError.
        """
        value, problem = b"", ""
        deadline = time.monotonic() + _PATIENCE
        while (result := self._next_result(deadline)) is not None:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                problem = result.error_message.decode(errors="replace").strip()
            elif result.ntuples:
                value = result.get_value(0, 0) or b""
        if problem or self._pgconn.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError(problem or "the session was lost")
        return value

    def _next_result(self, deadline: float) -> pq.abc.PGresult | None:
        poll = select.poll()
        poll.register(self._pgconn.socket, select.POLLIN)
        while self._pgconn.is_busy():
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise _NoAnswerError
            try:
                self._pgconn.consume_input()
            except psycopg.OperationalError:  # its last words came before
                return None
        return self._pgconn.get_result()


def _own_port(pgconn: pq.abc.PGconn) -> int | None:
    """Return the port of our end; None if that is a Unix socket."""
    with socket.socket(fileno=os.dup(pgconn.socket)) as same:
        if same.family == socket.AF_UNIX:
            return None
        port: int = same.getsockname()[1]
        return port
