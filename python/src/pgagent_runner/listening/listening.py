"""What is to be seen of a runner: whether it lives and is ready, and its figures."""

import asyncio
import platform
import socket
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

import psycopg

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.declaring import Address
from pgagent_runner.exposition import CONTENT_TYPE, Family, text
from pgagent_runner.listening import process
from pgagent_runner.listening.figures import Figures
from pgagent_runner.listening.scrape import Scrape
from pgagent_runner.listening.server import (
    BACKLOG,
    RECEIVE_BUFFER,
    SEND_BUFFER,
    HttpServer,
    Response,
)
from pgagent_runner.model import Standing

_LOOK = 0.5  # seconds from one look at the loop's lag to the next


class Listening:
    """Answers whoever asks for /livez, /readyz or /metrics: `start`, then `close`."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        """Take sockets that are bound and do not block."""
        pages = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }
        self._server = HttpServer(sockets, pages)
        self.where = ", ".join(map(_shown, sockets))
        self.figures = Figures()
        self._scrape = Scrape()
        self._about = _build_info()

    def start(self, standing: Callable[[], Standing]) -> None:
        """Serve from now on; `standing` says at any time how the agent stands."""
        self._standing = standing
        self._server.start()
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Listen no more."""
        self._looking.cancel()
        await self._server.close()
        await self._scrape.close()

    async def _look(self) -> None:
        """Note how late the loop is, and close a session that nobody needs."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LOOK)
            self.figures.note_lag(max(time.monotonic() - began - _LOOK, 0.0))
            self._scrape.let_go(self._standing().conninfo)

    async def _livez(self) -> Response:
        return _page(200, "alive")

    async def _readyz(self) -> Response:
        standing = self._standing()
        if standing.trouble is not None:
            return _page(503, f"not ready: {standing.trouble}")
        if standing.unarmed is not None:
            return _page(200, f"ready, but no job starts: {standing.unarmed}")
        return _page(200, "ready")

    async def _metrics(self) -> Response:
        began = time.monotonic()
        of_database = await self._scrape.body(self._standing().conninfo)
        families = [
            *(self._about, *_standing_families(self._standing())),
            *(*self.figures.families(), *process.families()),
            _gauge(
                *("pgagent_scrape_error", int(of_database is None)),
                "1 if the database's own metrics are missing here, because it could not"
                " be asked; else 0.",
            ),
            _gauge(
                *("pgagent_scrape_duration_seconds", time.monotonic() - began),
                "How long this answer has waited for the database.",
            ),
        ]
        own = text(families).encode()
        return Response(200, [own, *(of_database or ())], CONTENT_TYPE)


def open_listening(address: Address) -> Listening:
    """Bind an address, all of a host's name; raises ConfigurationError."""
    host, port = address
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            *(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
        )
        for family, kind, protocol, _, where in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            # At once after another runner has ended, too.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Connections have the same, so that the kernel keeps little for each.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            listener.setblocking(False)  # noqa: FBT003
            listener.bind(where)
            listener.listen(BACKLOG)
    except (OSError, UnicodeError) as e:
        for listener in sockets:
            listener.close()
        reason = e.strerror if isinstance(e, OSError) and e.strerror else e
        raise ConfigurationError(f"can't listen on {address}: {reason}") from None
    return Listening(sockets)


def _page(status: int, told: str) -> Response:
    return Response(status, [f"{' '.join(told.split())}\n".encode(errors="replace")])


def _shown(listener: socket.socket) -> str:
    return str(Address(*listener.getsockname()[:2]))


def _build_info() -> Family:
    family = Family("pgagent_build_info", "gauge", "What this runner is made of; 1.")
    libpq = psycopg.pq.version()
    labels = {
        "version": version("pgagent-runner"),
        "python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "libpq": f"{libpq // 10000}.{libpq % 10000}",
    }
    family.add(1, labels)
    return family


def _standing_families(standing: Standing) -> Iterator[Family]:
    yield _gauge(
        *("pgagent_ready", int(standing.trouble is None)),
        "1 while this runner is registered and connected; else 0.",
    )
    help_ = "Jobs that this runner executes at the same time, at most."
    yield _gauge("pgagent_workers", standing.workers, help_)
    help_ = "Jobs that this runner executes now."
    yield _gauge("pgagent_workers_busy", standing.busy, help_)
    help_ = "Runs of this runner that are under way, or not recorded yet."
    yield _gauge("pgagent_runs_unrecorded", standing.unrecorded, help_)
    help_ = "Scripts of batch steps that this runner executes now."
    yield _gauge("pgagent_scripts", standing.scripts, help_)
    help_ = "Sessions of this runner for SQL steps."
    sessions = Family("pgagent_sessions", "gauge", help_)
    sessions.add(standing.sessions - standing.idle_sessions, {"state": "busy"})
    sessions.add(standing.idle_sessions, {"state": "idle"})
    yield sessions
    help_ = "Databases, with the login used there, in which those sessions are."
    yield _gauge("pgagent_targets", standing.targets, help_)


def _gauge(name: str, value: float, help_: str) -> Family:
    family = Family(name, "gauge", help_)
    family.add(value)
    return family
