"""A way to the server that loses a message, or hangs, when it is told to."""

import select
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self


class LossyProxy:
    """Passes sessions on from one Unix socket to another: `with LossyProxy(…)`."""

    def __init__(self, directory: Path, server: str, port: int) -> None:
        """Listen in `directory` for sessions with the server in directory `server`."""
        self._server = f"{server}/.s.PGSQL.{port}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{directory}/.s.PGSQL.{port}")
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._clients: list[socket.socket] = []
        self._lose: str | None = None
        self._lose_at = b""
        self._sessions = 0
        self._ended = threading.Event()
        self._hanging: tuple[int, ...] | range = ()
        self._hang_at: bytes | None = None
        self._holds_ends = False
        self._last_answer = b""

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    def close(self) -> None:
        """Take no more sessions."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def lose(self, what: str, at: bytes = b"") -> None:
        """Break the session that next sends a "question" or gets an "answer", unheard.

        The question must contain `at`.
        """
        self._lose_at = at
        self._lose = what

    def hang(self, *sessions: int) -> None:
        """Pass on nothing more, of the sessions of these numbers or of any."""
        self._hanging = sessions or range(1 << 62)

    def hang_at(self, text: bytes) -> None:
        """Pass on nothing more of a session from the question that contains this."""
        self._hang_at = text

    def hold_ends(self) -> None:
        """Pass on everything but that one side has hung up."""
        self._holds_ends = True

    @property
    def sessions(self) -> int:
        """How many there have been."""
        return self._sessions

    def drop(self) -> None:
        """Break all sessions."""
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def has_lost(self) -> bool:
        return self._lose is None

    def has_answered(self, text: bytes) -> bool:
        """Tell whether this was in the last answer that was passed on."""
        return text in self._last_answer

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._clients.append(client)
                server = socket.socket(socket.AF_UNIX)
                self._start(self._pass_on, self._sessions, client, server)
                self._sessions += 1

    def _pass_on(self, number, client, server):
        targets = {client: server, server: client}
        question = b""
        with client, server, suppress(OSError):
            server.connect(self._server)
            while True:
                for source in select.select(targets, [], [])[0]:
                    what = "question" if source is client else "answer"
                    data = source.recv(65536)
                    if not data:
                        if self._holds_ends or number in self._hanging:
                            self._ended.wait()
                        return
                    if number in self._hanging:
                        continue
                    if source is client:
                        question = data
                        if self._hang_at is not None and self._hang_at in data:
                            self._hanging = (*self._hanging, number)
                            continue
                    if self._lose == what and self._lose_at in question:
                        self._lose = None
                        return
                    targets[source].sendall(data)
                    if source is server:
                        self._last_answer = data
