"""A go-between of runner and server that notes when something passes it."""

import re
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.conninfo import conninfo_to_dict, make_conninfo

CHUNK = 1 << 16


class Proxy:
    """A Unix socket beside the server's, through which sessions can go.

    It notes when a mark, such as `mark-17.`, comes from the server for the first time,
    and when from the runner: as close to the runner as can be without looking into it.
    """

    def __init__(self, server: str, directory: str) -> None:
        """Stand before the server's socket."""
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/.s.PGSQL.5432")
        self._listener.listen(64)
        self._other: dict[socket.socket, socket.socket] = {}
        self._from_server: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._is_over = False
        self.to_runner: dict[int, float] = {}
        self.from_runner: dict[int, float] = {}

    def run(self) -> None:
        """Pass on what comes, until told to stop."""
        while not self._is_over:
            for key, _ in self._selector.select(0.2):
                place = key.fileobj
                if place is self._listener:
                    self._accept()
                elif isinstance(place, socket.socket) and place in self._other:
                    self._pass_on(place)

    def stop(self) -> None:
        """End it soon."""
        self._is_over = True

    def close(self) -> None:
        """Close all sockets, when it has ended."""
        for place in (self._listener, *self._other):
            place.close()
        self._selector.close()

    def _accept(self) -> None:
        runner, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        self._from_server.add(server)
        for place, other in ((runner, server), (server, runner)):
            self._other[place] = other
            self._selector.register(place, selectors.EVENT_READ)

    def _pass_on(self, place: socket.socket) -> None:
        now = time.monotonic()
        try:
            chunk = place.recv(CHUNK)
            self._other[place].sendall(chunk)
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(place)
            return
        seen = self.to_runner if place in self._from_server else self.from_runner
        for mark in re.findall(rb"mark-(\d+)\.", chunk):
            seen.setdefault(int(mark), now)

    def _drop(self, place: socket.socket) -> None:
        for end in (place, self._other[place]):
            self._selector.unregister(end)
            self._from_server.discard(end)
            del self._other[end]
            end.close()


@contextmanager
def between(conninfo: str) -> Iterator[tuple[Proxy, str]]:
    """Yield a go-between, and the connection string that leads through it."""
    host = conninfo_to_dict(conninfo)["host"]
    with tempfile.TemporaryDirectory(prefix="pgagent-") as directory:
        proxy = Proxy(f"{host}/.s.PGSQL.5432", directory)
        thread = threading.Thread(target=proxy.run)
        thread.start()
        try:
            yield proxy, make_conninfo(conninfo, host=directory)
        finally:
            proxy.stop()
            thread.join()
            proxy.close()
