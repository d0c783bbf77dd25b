"""Connections in the loop: several hosts, names that can't be looked up, and stops."""

import asyncio
import socket
import struct
import threading
import tracemalloc
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pgagent_runner import libpq
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps import StepSettings
from pgagent_runner.waiting import in_thread
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from support import poll

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())
PATIENCE = 5  # seconds


def sql_step(conninfo, code="SELECT 1"):
    return Step(5, "step", "s", code, "", conninfo, "f")


@pytest.fixture
def executors(executor_of, server):
    """Open so many executors of a runner: `with executors(6) as …`."""

    @contextmanager
    def open_executors(count):
        with ExitStack() as stack:
            yield [
                stack.enter_context(executor_of(StepSettings(server), RUN))
                for _ in range(count)
            ]

    return open_executors


def parameters(conninfo, **others):
    return {"connect_timeout": 10} | conninfo_to_dict(conninfo, **others)


@contextmanager
def refusing_hosts(count):
    """Give the ports of hosts that refuse every connection."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in sockets]


# --- several hosts


@contextmanager
def hosts_that_hang_up(count):
    """Give the ports of hosts that take every connection, and close it when asked."""
    with ExitStack() as stack:
        listening = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]

        def serve(one):
            while True:
                try:
                    client, _ = one.accept()
                except OSError:
                    return
                with client:
                    client.recv(1)

        for one in listening:
            threading.Thread(target=serve, args=[one], daemon=True).start()
        try:
            yield [one.getsockname()[1] for one in listening]
        finally:
            for one in listening:
                one.shutdown(socket.SHUT_RDWR)


async def answer(
    pgconn: pq.abc.PGconn, wire: libpq.Wire, number: int, before: bytes = b""
) -> list[int]:
    """Have the server do something and answer with this number; return it."""
    pgconn.send_query(b"%b; SELECT %d, pg_sleep(0.01)" % (before, number))
    pgconn.flush()
    results: list[bytes] = []
    while True:
        while pgconn.is_busy():
            assert not wire.is_broken
            await asyncio.wait_for(wire.waiter(), PATIENCE)
        if (result := pgconn.get_result()) is None:
            return [int(result) for result in results]
        if result.ntuples:
            results.append(result.get_value(0, 0) or b"")


@pytest.mark.parametrize("others", [refusing_hosts, hosts_that_hang_up])
def test_descriptors_that_libpq_closes_and_reuses_are_taken_for_nobody_elses(
    server, loop, others
):
    """Of forty at a time, each fails at two hosts before it is connected."""
    where = conninfo_to_dict(server)

    async def visit(ports, number):
        hosts = {
            "host": f"127.0.0.1,127.0.0.1,{where['host']}",
            "port": f"{ports[0]},{ports[1]},{where['port']}",
            "sslmode": "prefer",
        }
        connecting = libpq.connect(parameters(server, **hosts))
        pgconn = await asyncio.wait_for(connecting, PATIENCE)
        wire = libpq.Wire(pgconn)
        try:
            return await answer(pgconn, wire, number)
        finally:
            wire.close()
            pgconn.finish()

    async def visits(ports):
        found = []
        for _ in range(5):
            found += await asyncio.gather(*(visit(ports, n) for n in range(40)))
        return found

    with others(2) as ports:
        assert loop.started(visits, ports).result(60) == [[n] for n in range(40)] * 5


def test_a_lost_connection_does_not_keep_others_from_being_read(server, watcher, loop):
    """One of them has got the number of its descriptor."""

    async def opened():
        pgconn = await libpq.connect(parameters(server))
        return pgconn, libpq.Wire(pgconn)

    async def work():
        lost, lost_wire = await opened()
        terminate = "SELECT pg_terminate_backend(%s)"
        await in_thread(watcher.execute, terminate, [lost.backend_pid])
        while not lost_wire.is_broken:
            await asyncio.wait_for(lost_wire.waiter(), PATIENCE)
        others = [await opened() for _ in range(5)]
        lost_wire.close()
        lost.finish()
        asked = [
            answer(pgconn, wire, number) for number, (pgconn, wire) in enumerate(others)
        ]
        try:
            return await asyncio.gather(*asked)
        finally:
            for other, other_wire in others:
                other_wire.close()
                other.finish()

    assert loop.call(work) == [[number] for number in range(5)]


def test_of_thousands_of_long_refusals_few_are_kept(loop):
    def refuse(listening):
        refusal = b"SFATAL\0C28000\0M" + b"x" * 25_000 + b"\0\0"
        with suppress(OSError):
            while True:
                with listening.accept()[0] as client:
                    client.recv(4096)
                    client.sendall(b"E" + struct.pack("!i", 4 + len(refusal)) + refusal)
                    client.shutdown(socket.SHUT_WR)
                    client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=refuse, args=[listening], daemon=True).start()
        port = listening.getsockname()[1]
        hosts = ",".join(["127.0.0.1"] * 1500)
        one = parameters(f"port={port} user=u sslmode=disable gssencmode=disable")
        tracemalloc.start()
        try:
            with pytest.raises(psycopg.OperationalError, match="1400 more failures"):
                loop.call(libpq.connect, one | {"host": hosts})
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()
            listening.shutdown(socket.SHUT_RDWR)


# --- stops


@contextmanager
def mute_server():
    """Give a connection string of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        yield f"host=127.0.0.1 port={port} user=u dbname=d", listening


@pytest.mark.parametrize("several", [False, True])
def test_a_stop_ends_the_attempt_to_connect_to_a_server_that_says_nothing(
    executors, loop, several
):
    with (
        mute_server() as (conninfo, listening),
        refusing_hosts(1) as (port,),
        executors(1) as (executor,),
    ):
        step = sql_step(conninfo)
        if several:
            mute = listening.getsockname()[1]
            hosts = ["127.0.0.1"] * 3
            step = sql_step(f"host={','.join(hosts)} port={port},{mute},{mute} user=u")
        outcome = loop.started(executor.itself.execute, step)
        client, _ = listening.accept()
        executor.cancel("enough")
        assert outcome.result(2).ending is Ending.ABORTED
        with client:
            client.settimeout(PATIENCE)
            while client.recv(4096):
                pass  # and it is closed


class Stubborn:
    """A server that says nothing when it is asked to stop.

    It answers small statements; of a large one it does not read on, and what begins
    with SELECT has rows without an end.
    """

    def __init__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.conninfo = f"host=127.0.0.1 port={self._listening.getsockname()[1]} user=u"
        self.is_busy = threading.Event()
        self.sent = 0  # bytes of rows
        self._closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._closed.set()
        self._listening.close()

    def _serve(self):
        with suppress(OSError), self._listening.accept()[0] as client:
            self._let_in(client)
            while (message := self._next(client)) is not None:
                if message.startswith(b"SELECT x"):
                    self._send_rows(client)
                client.sendall(b"C\0\0\0\x08SET\0")
            self.is_busy.set()
            self._closed.wait()

    def _let_in(self, client):
        while self._receive(client)[:2] != b"\0\3":
            client.sendall(b"N")  # neither TLS nor GSSAPI
        client.sendall(b"R\0\0\0\x08\0\0\0\0" + b"K\0\0\0\x0c" + bytes(8))

    def _next(self, client):
        client.sendall(b"Z\0\0\0\5I")
        client.recv(1)
        return self._receive(client)

    def _receive(self, client):
        """Return a message without its letter and its length; None: it is too long."""
        (length,) = struct.unpack("!i", client.recv(4, socket.MSG_WAITALL))
        return client.recv(length - 4, socket.MSG_WAITALL) if length < 1 << 16 else None

    def _send_rows(self, client):
        client.sendall(
            b"T" + struct.pack("!ih2sihihih", 26, 1, b"x", 0, 0, 25, -1, -1, 0)
        )
        value = b"x" * 50_000
        row = b"D" + struct.pack("!ihi", 10 + len(value), 1, len(value)) + value
        self.is_busy.set()
        while True:
            client.sendall(row)
            self.sent += len(row)


def closed_descriptors(loop):
    """Return the descriptors for which the loop looks although they are closed."""

    def find():
        running: Any = asyncio.get_running_loop()
        watched = running._selector.get_map()  # noqa: SLF001
        return [fd for fd in watched if not Path(f"/dev/fd/{fd}").exists()]

    return loop.call(find)


def test_a_step_can_be_stopped_while_its_statement_is_being_sent(executors, loop):
    with closing(Stubborn()) as server, executors(1) as (executor,):
        large = sql_step(server.conninfo, f"SELECT '{'x' * (1 << 25)}'")
        outcome = loop.started(executor.itself.execute, large)
        assert server.is_busy.wait(PATIENCE)
        executor.cancel("enough")

        stopped = outcome.result(PATIENCE)
        assert stopped.ending is Ending.ABORTED
        assert "error in the runner" not in stopped.output
        assert closed_descriptors(loop) == []


def test_rows_that_nobody_takes_while_a_step_is_being_stopped_are_not_kept(
    executors, loop
):
    with closing(Stubborn()) as server, executors(1) as (executor,):
        outcome = loop.started(
            executor.itself.execute, sql_step(server.conninfo, "SELECT x")
        )
        assert server.is_busy.wait(PATIENCE)
        before = server.sent
        executor.cancel("enough")

        assert outcome.result(PATIENCE).ending is Ending.ABORTED
        assert server.sent - before < 50_000_000


def test_notifications_that_nobody_hears_are_not_kept(server, watcher, loop):
    """A session that listens may be idle for long: until the next step of its run."""

    async def work():
        pgconn = await libpq.connect(parameters(server))
        wire = libpq.Wire(pgconn)
        try:
            assert await answer(pgconn, wire, 1, b"LISTEN c") == [1]
            await in_thread(notify, 1000)
            assert await answer(pgconn, wire, 2) == [2]
            kept = 0
            while pgconn.notifies():
                kept += 1
            return kept
        finally:
            wire.close()
            pgconn.finish()

    def notify(times):
        watcher.execute(
            "SELECT pg_notify('c', n::text) FROM generate_series(1, %s) AS n", [times]
        )
        usage = "SELECT pg_notification_queue_usage() = 0"
        poll(lambda: watcher.execute(usage).fetchone() == (True,))

    assert loop.call(work) < 500


# --- names


@pytest.fixture
def dead_name_servers(monkeypatch):
    """Have no look-up of a name that begins with "dead" end before the test does."""
    end = threading.Event()
    looking_up = []
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host is not None and host.startswith("dead"):
            looking_up.append(host)
            end.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield looking_up
    end.set()


def test_dead_name_servers_stall_nobody_else(executors, loop, dead_name_servers):
    with executors(71) as (*waiting, other), refusing_hosts(1) as (port,):
        futures = [
            loop.started(executor.itself.execute, sql_step(f"host=dead{number} user=u"))
            for number, executor in enumerate(waiting)
        ]
        poll(lambda: len(dead_name_servers) == len(waiting))

        outcome = other.execute(sql_step(f"host=localhost port={port} user=u"))
        assert "Connection refused" in outcome.reason
        assert not any(future.done() for future in futures)
        for executor in waiting:
            executor.cancel("enough")
        for future in futures:
            assert future.result(2).ending is Ending.ABORTED
