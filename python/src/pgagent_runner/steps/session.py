"""A session of a run: one query at a time, read without keeping its rows."""

import math
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import psycopg
from psycopg import capabilities, pq

from pgagent_runner.steps.cancel import Cancellation, wait_ready
from pgagent_runner.steps.connect import describe_target
from pgagent_runner.steps.errors import StepAbortedError
from pgagent_runner.steps.output import BoundedOutput

_ROWS_AT_A_TIME = 20

_OPEN = (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)


class Session:
    """A connection whose every wait ends soon after the run is cancelled."""

    def __init__(
        self, pgconn: pq.abc.PGconn, cancellation: Cancellation, kill_grace: float
    ) -> None:
        """Take over the connection, which must be non-blocking."""
        self._connection = psycopg.Connection(pgconn)
        self._pgconn = pgconn
        self._cancellation = cancellation
        self._kill_grace = kill_grace
        self._stop_by = math.inf
        self._is_broken = False

    @property
    def lost(self) -> bool:
        """Whether the connection has been found broken."""
        return self._is_broken or self._pgconn.status != pq.ConnStatus.OK

    @property
    def error_text(self) -> str:
        """What libpq has to say about the last query, all of it."""
        return self._pgconn.error_message.decode(errors="backslashreplace")

    @property
    def target(self) -> str:
        """The line that tells where this session is."""
        names = {"host": "host", "port": "port", "dbname": "db", "user": "user"}
        return describe_target(
            {
                name: getattr(self._pgconn, attribute).decode(errors="backslashreplace")
                for name, attribute in names.items()
            }
        )

    def report_notices_to(self, output: BoundedOutput) -> None:
        """Let the server's notices appear in this output."""
        self._pgconn.notice_handler = lambda notice: output.line(message(notice))

    def accept_any_bytes(self) -> None:
        """Let a database that takes any bytes take them from this session too.

        It would refuse those that are not UTF-8 from a client that speaks UTF-8.
        """
        if self._pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
            self._run(b"SET client_encoding = 'SQL_ASCII'")

    def is_usable(self) -> bool:
        """Ask the server: the session may have been ended while it was idle."""
        self._run(b"")
        return not self.lost

    def query(self, text: bytes) -> Iterator[pq.abc.PGresult]:
        """Send one simple query and yield its results, errors too, as they come.

        If the connection breaks, they end early and the session is `lost`. A COPY
        must be answered by `copy_out` or `refuse_copy` before the next result.
        Raise StepAbortedError if the server does not stop in time when cancelled.
        """
        try:
            self._send(text)
            while (result := self._next_result()) is not None:
                yield result
        except psycopg.Error:
            self._is_broken = True

    def copy_out(self) -> Iterator[memoryview]:
        """Yield the data of COPY TO STDOUT."""
        # What breaks here is found again by the next result.
        with suppress(psycopg.Error):
            while True:
                size, data = self._pgconn.get_copy_data(1)
                if size > 0:
                    yield data
                elif size == 0:
                    self._receive()
                else:
                    return

    def refuse_copy(self, reason: str) -> None:
        """Let COPY FROM STDIN fail."""
        with suppress(psycopg.Error):
            while self._pgconn.put_copy_end(reason.encode()) == 0:
                self._wait(select.POLLOUT)
            self._flush()

    def roll_back_what_is_open(self) -> bool:
        """End a transaction that was left open; tell whether there was one."""
        if self._pgconn.transaction_status not in _OPEN:
            return False
        self._run(b"ROLLBACK")
        return True

    def close(self) -> None:
        """End the session; the server rolls back what is not committed."""
        self._connection.close()

    def _run(self, command: bytes) -> None:
        for _ in self.query(command):
            pass

    def _send(self, text: bytes) -> None:
        self._pgconn.send_query(text)
        if capabilities.has_stream_chunked():
            self._pgconn.set_chunked_rows_mode(_ROWS_AT_A_TIME)
        else:
            self._pgconn.set_single_row_mode()
        self._flush()

    def _flush(self) -> None:
        while self._pgconn.flush() != 0:
            self._wait(select.POLLIN | select.POLLOUT)
            # The server may have to get rid of its notices before it reads on.
            self._pgconn.consume_input()

    def _receive(self) -> None:
        self._wait(select.POLLIN)
        self._pgconn.consume_input()

    def _next_result(self) -> pq.abc.PGresult | None:
        while self._pgconn.is_busy():
            self._receive()
        while self._pgconn.notifies():
            pass  # of a LISTEN: nobody is there to hear it
        return self._pgconn.get_result()

    def _wait(self, events: int) -> None:
        """Wait for the server; when cancelled, ask it to stop, then go away."""
        ready: set[int] = set()
        while self._pgconn.socket not in ready:
            watched = {self._pgconn.socket: events}
            if self._stop_by == math.inf:
                watched[self._cancellation.fileno()] = select.POLLIN
            remaining = self._stop_by - time.monotonic()
            if remaining <= 0:
                self._go_away()
            ready = wait_ready(watched, remaining)
            if self._cancellation.fileno() in ready:
                self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        self._stop_by = time.monotonic() + self._kill_grace
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=self._kill_grace)

    def _go_away(self) -> NoReturn:
        self.close()
        raise StepAbortedError(
            f"{self._cancellation.reason}\n"
            f"the server did not stop within {self._kill_grace:g} s; the connection"
            " was closed, and the statement may still be running"
        )


def message(result: pq.abc.PGresult) -> str:
    """Give an error or a notice as psql shows it."""
    return result.error_message.decode(errors="backslashreplace")
