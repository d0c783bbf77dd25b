"""As much of HTTP/1.1 as probes and scrapers need, for whoever may connect.

Whatever is sent here, the runner has better things to do: connections are few, begin
one after the other with a pause, live for seconds, and take no more than what they may
send. When there are as many as there may be, the oldest that has not asked yet makes
room. So those who hold connections can't keep probes out, and nobody can drive up what
all of it costs.
"""

import asyncio
import contextlib
import errno
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

log = logging.getLogger(__name__)

BACKLOG = 128  # connections that the kernel keeps for us
SEND_BUFFER = 128 * 1024  # bytes of each, of which the kernel has twice as many
RECEIVE_BUFFER = 16 * 1024
_MOST_AT_ONCE = 32
_PACE = 0.005  # seconds from one connection to the next
_REFUSED_PAUSE = 1.0  # the same, if there is no room for one
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_MOST_TIME = 20.0  # seconds that a connection lives
_READ_TIME = 5.0  # seconds in which a request has to come
_LINGER = 1.0  # seconds for the rest of what was sent
_MOST_BYTES = 8192  # of a request, and of its rest
_MOST_READS = 32

_REQUEST = re.compile(rb"([A-Z]{1,16}) (\S{1,2048}) HTTP/1\.[01]\r?\n")
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
TEXT = "text/plain; charset=utf-8"


class Response(NamedTuple):
    """What is answered; `parts` follow each other."""

    status: int
    parts: Sequence[bytes]
    kind: str = TEXT


Page = Callable[[], Awaitable[Response]]


class HttpServer:
    """Serves pages by their paths, in the loop: `start`, and in the end `close`."""

    def __init__(
        self, sockets: Iterable[socket.socket], pages: Mapping[str, Page]
    ) -> None:
        """Take sockets that are bound and do not block."""
        self._sockets = list(sockets)
        self._pages = pages
        self._accepting: list[asyncio.Task[None]] = []
        self._talks: dict[asyncio.Task[None], bool] = {}  # whether it has asked

    def start(self) -> None:
        """Serve from now on."""
        self._accepting = [
            asyncio.create_task(self._accept(listener)) for listener in self._sockets
        ]

    async def close(self) -> None:
        """Listen no more, and break off what is being answered."""
        tasks = [*self._accepting, *self._talks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener in self._sockets:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as e:
                log.debug("a connection could not be had: %s", e)
                lacks_room = e.errno in _NO_ROOM
                await asyncio.sleep(_REFUSED_PAUSE if lacks_room else _PACE)
                continue
            if len(self._talks) >= _MOST_AT_ONCE:
                self._make_room()
            talk = loop.create_task(self._talk(connection))
            self._talks[talk] = False
            talk.add_done_callback(partial(self._note_end, connection))
            await asyncio.sleep(_PACE)

    def _make_room(self) -> None:
        """End the oldest connection that has not asked; if all have, the oldest."""
        silent = (talk for talk, has_asked in self._talks.items() if not has_asked)
        oldest = next(silent, None) or next(iter(self._talks))
        del self._talks[oldest]
        oldest.cancel()

    def _note_end(self, connection: socket.socket, talk: "asyncio.Task[None]") -> None:
        # Here, for a task that is cancelled at once does not even begin.
        self._talks.pop(talk, None)
        connection.close()

    async def _talk(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(_MOST_TIME):
                await self._answer(connection)
        except (OSError, TimeoutError) as e:
            log.debug("a connection has ended: %s", e or "it took too long")
        except Exception:
            log.exception("an error in the runner itself")

    async def _answer(self, connection: socket.socket) -> None:
        """Answer one request; then the connection is over."""
        async with asyncio.timeout(_READ_TIME):
            head = await _read(connection)
        if head is None:
            return
        if (talk := asyncio.current_task()) in self._talks:
            self._talks[talk] = True
        request = _REQUEST.match(head)
        if request is None:
            await _send(connection, _told(400, "this is no request of HTTP/1.1"))
        else:
            method, target = request[1].decode(), request[2].decode("latin-1")
            response = await self._response(method, target)
            await _send(connection, response, with_body=method != "HEAD")
        await _linger(connection)

    async def _response(self, method: str, target: str) -> Response:
        path = _ABSOLUTE.sub("", target, count=1).partition("?")[0]
        page = self._pages.get(path)
        if page is None:
            *others, last = self._pages
            return _told(404, f"there is {', '.join(others)} and {last}")
        if method not in {"GET", "HEAD"}:
            return _told(405, "there is GET and HEAD")
        return await page()


async def _read(connection: socket.socket) -> bytes | None:
    """Return what has come until a request is complete, or can't be one.

    None if nothing has come at all.
    """
    loop = asyncio.get_running_loop()
    connection.setblocking(False)  # noqa: FBT003
    head = b""
    for _ in range(_MOST_READS):
        data = await loop.sock_recv(connection, _MOST_BYTES - len(head))
        head += data
        if not data:
            return head or None
        if _END.search(head) or not head[:1].isalpha():
            return head
        if len(head) >= _MOST_BYTES:
            break
    return b""


async def _send(
    connection: socket.socket, response: Response, *, with_body: bool = True
) -> None:
    loop = asyncio.get_running_loop()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    length = sum(map(len, response.parts))
    head = [
        f"HTTP/1.1 {response.status} {_REASONS[response.status]}",
        f"Content-Type: {response.kind}",
        f"Content-Length: {length}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Allow: GET, HEAD"] if response.status == 405 else []),  # noqa: PLR2004
    ]
    first, *others = response.parts if with_body else (b"",)
    await loop.sock_sendall(connection, "\r\n".join([*head, "", ""]).encode() + first)
    for part in others:
        await loop.sock_sendall(connection, part)


async def _linger(connection: socket.socket) -> None:
    """Take in what else was sent: the kernel would take the answer back otherwise."""
    loop = asyncio.get_running_loop()
    connection.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            for _ in range(_MOST_READS):
                if not await loop.sock_recv(connection, _MOST_BYTES):
                    return


def _told(status: int, text: str) -> Response:
    return Response(status, [f"{text}\n".encode()])
