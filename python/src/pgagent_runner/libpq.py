"""Connections of libpq in the loop: how they are opened and waited for."""

import asyncio
import contextlib
import ipaddress
import math
import os
import select
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_attempts, make_conninfo

from pgagent_runner.waiting import Waiter, in_thread, wait, wake

Parameters = Mapping[str, Any]
Wait = Callable[[Waiter, float], Awaitable[None]]

_MOST_FAILURES = 100  # of the hosts and addresses of a connection string, to be told
_LONGEST_MESSAGE = 32 * 1024  # bytes of what a server says instead of letting us in


async def connect(parameters: Parameters, wait_for: Wait = wait) -> pq.abc.PGconn:
    """Open a connection: each host and address in turn, each for its time at most.

    `wait_for` waits for a future, as `waiting.wait` does; what it raises breaks this
    off. Raises psycopg.Error when all have failed. (psycopg's own loop knows no wait
    of ours and looks names up in threads that are few, and libpq's knows no time-out.)
    """
    timeout = _timeout(parameters)
    failures: list[str] = []
    others = 0
    for attempt in await _attempts(parameters, wait_for):
        pgconn = pq.PGconn.connect_start(make_conninfo("", **attempt).encode())
        try:
            await _poll_until_connected(pgconn, timeout, wait_for)
        except psycopg.Error as error:
            pgconn.finish()
            if len(failures) < _MOST_FAILURES:
                failures.append(str(error).strip())
            else:
                others += 1
            # There may be thousands, each of which fails without a wait.
            await wait_for(asyncio.get_running_loop().create_future(), 0)
        except BaseException:
            pgconn.finish()
            raise
        else:
            pgconn.nonblocking = 1
            return pgconn
    told = [f"{others} more failures"] if others else []
    raise psycopg.OperationalError("\n".join([*failures, *told]))


class Wire:
    """The socket of an open connection: what comes is taken in, and ends a wait.

    It keeps a descriptor of its own for the same socket, because libpq may close its
    own within any call, and the loop must not look for another one of that number.
    """

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        """Begin to read. Raises OSError if there is no descriptor left."""
        self._pgconn = pgconn
        self._loop = asyncio.get_running_loop()
        self._waiter: Waiter | None = None
        self._descriptor = os.dup(pgconn.socket)
        self._loop.add_reader(self._descriptor, self._take_in)
        self.is_broken = False

    def waiter(self) -> Waiter:
        """Return a future that ends when something has come, or never will."""
        waiter = self._waiter = self._loop.create_future()
        if self.is_broken:
            wake(waiter)
        return waiter

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Have waits end as well when something can be sent."""
        self._loop.add_writer(self._descriptor, self._note_room)
        try:
            yield
        finally:
            if self._descriptor >= 0:  # it may have been closed meanwhile
                self._loop.remove_writer(self._descriptor)

    @contextlib.contextmanager
    def unread(self) -> Iterator[None]:
        """Let the server wait while nobody takes the rows that it sends.

        libpq would keep all of them.
        """
        self._loop.remove_reader(self._descriptor)
        try:
            yield
        finally:
            if not self.is_broken:  # or closed meanwhile
                self._loop.add_reader(self._descriptor, self._take_in)

    def break_off(self) -> None:
        """Have whatever waits for the server's answer fail: for any thread."""
        shut_down(self._descriptor)

    def close(self) -> None:
        """Read no more: before the connection is closed."""
        self.is_broken = True
        if self._descriptor >= 0:
            # Both, or the loop would never rest: a closed descriptor is always ready.
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        wake(self._waiter)

    def _take_in(self) -> None:
        try:
            self._pgconn.consume_input()
        except psycopg.Error:
            self.is_broken = True
            self._loop.remove_reader(self._descriptor)
        if self._waiter is None or self._waiter.done():
            self._pgconn.is_busy()  # which has the last words of the server heard
            while self._pgconn.notifies():
                pass  # of a LISTEN: libpq would keep them
        else:
            self._waiter.set_result(None)

    def _note_room(self) -> None:
        wake(self._waiter)


@contextlib.contextmanager
def watched(
    descriptor: int, waiter: Waiter, *, read: bool, write: bool
) -> Iterator[None]:
    """Wake the waiter when the descriptor is ready, while the block lasts.

    No call in the block may close the descriptor.
    """
    loop = waiter.get_loop()
    if read:
        loop.add_reader(descriptor, wake, waiter)
    if write:
        loop.add_writer(descriptor, wake, waiter)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)


def is_readable(descriptor: int) -> bool:
    """Tell whether there is something to read now, or the end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def shut_down(descriptor: int) -> None:
    """Have everything on a socket fail, for whoever waits, from any thread.

    A server that is alive and does not answer is no error to TCP.
    """
    with (
        contextlib.suppress(OSError),
        socket.socket(fileno=os.dup(descriptor)) as same,
    ):
        same.shutdown(socket.SHUT_RDWR)


def look_up(parameters: Parameters) -> list[dict[str, Any]]:
    """Look the names of the hosts up, each of which may have several addresses.

    Raises psycopg.OperationalError if none can be found.
    """
    try:
        return conninfo_attempts(parameters)
    except UnicodeError:  # of Python's codec for host names, which names none
        hosts = str(parameters.get("host")).split(",")
        wrong = next((host for host in hosts if not _can_be_a_name(host)), "")
        shown = "" if "@" in wrong else f' "{wrong}"'
        raise psycopg.OperationalError(
            f"the host name{shown} can't be looked up: between its dots there must"
            " be 1 to 63 characters that names may have"
        ) from None


async def _attempts(parameters: Parameters, wait_for: Wait) -> list[dict[str, Any]]:
    """Return what is to be tried; names are looked up in a thread, which may hang."""
    if not _has_names(parameters):
        return look_up(parameters)
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    found = loop.create_task(in_thread(look_up, parameters))
    found.add_done_callback(lambda _: wake(waiter))
    try:
        await wait_for(waiter, math.inf)
    finally:
        found.cancel()
    return found.result()


def _has_names(parameters: Parameters) -> bool:
    hosts = str(parameters.get("host") or os.environ.get("PGHOST") or "").split(",")
    return not parameters.get("hostaddr") and not all(map(_is_address, hosts))


def _is_address(host: str) -> bool:
    if not host or host.startswith(("/", "@")):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _can_be_a_name(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _timeout(parameters: Parameters) -> float:
    """Give the seconds per attempt; as in libpq, zero or less means no limit."""
    try:
        seconds = float(int(parameters["connect_timeout"] or 0))
    except (ValueError, OverflowError):
        raise psycopg.ProgrammingError("connect_timeout is not a number") from None
    return seconds if seconds > 0 else math.inf


async def _poll_until_connected(
    pgconn: pq.abc.PGconn, seconds: float, wait_for: Wait
) -> None:
    deadline = time.monotonic() + seconds
    loop = asyncio.get_running_loop()
    while pgconn.status != pq.ConnStatus.BAD:
        state = pgconn.connect_poll()
        if state == pq.PollingStatus.OK:
            return
        if state == pq.PollingStatus.FAILED:
            break
        if (left := deadline - time.monotonic()) <= 0:
            raise psycopg.OperationalError(f"no connection within {seconds:g} s")
        waiter = loop.create_future()
        reads = state == pq.PollingStatus.READING
        # The socket may be another one after the next call: see `watched`.
        with watched(pgconn.socket, waiter, read=reads, write=not reads):
            await wait_for(waiter, left)
    message = pgconn.error_message[:_LONGEST_MESSAGE]
    raise psycopg.OperationalError(message.decode(errors="backslashreplace"))
