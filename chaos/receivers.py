"""Receivers of alerts, of each kind that needs no other program: they take time."""

import json
import random
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import psycopg

from chaos.server import Connection
from chaos.telling import Delivery

HEARD = "pgagent_event"

COMMAND = """\
#!/bin/sh
# Keep the message, all of it or nothing.
sleep 0.$(($$ % 10))
cat >"$0.$$.part" && mv "$0.$$.part" "$0.$(date +%s.%N).$$.json" && sleep 0.$(($$ % 7))
"""


def delivered(document: Mapping[str, Any]) -> Delivery:
    """Return what a message says, which is JSON of any channel but notify."""
    events = tuple(event["event_id"] for event in document["events"])
    return Delivery(document["alert"], document["event_id"], events)


class Hook:
    """A web server that takes messages: slowly, and sometimes it refuses one."""

    def __init__(
        self, rng: random.Random, refuses: float = 0.1, slow: float = 0.4
    ) -> None:
        """Refuse this share of what comes; take `slow` seconds twice at most."""
        self.bodies: list[dict[str, Any]] = []
        self.refused = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(rng.uniform(0, slow))
                is_taken = rng.random() >= refuses
                if is_taken:
                    hook.bodies.append(json.loads(body))
                else:
                    hook.refused += 1
                time.sleep(rng.uniform(0, slow))
                self.send_response(204 if is_taken else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def deliveries(self) -> list[Delivery]:
        """What has been taken so far."""
        return [delivered(body) for body in self.bodies]

    def __enter__(self) -> Self:
        """Begin to serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Serve nobody any more."""
        self._server.shutdown()
        self._server.server_close()


class Command:
    """A program that keeps each message in a file."""

    def __init__(self, directory: Path) -> None:
        """Write the program."""
        directory.mkdir()
        self.program = directory / "keep"
        self.program.write_text(COMMAND)
        self.program.chmod(0o755)

    @property
    def deliveries(self) -> list[Delivery]:
        """What has come so far."""
        files = sorted(self.program.parent.glob("keep.*.json"))
        return [delivered(json.loads(file.read_text())) for file in files]


class Listener:
    """A session that hears NOTIFY."""

    def __init__(self, dsn: str, alert: str) -> None:
        """Take what it hears for this alert's."""
        self._dsn = dsn
        self._alert = alert
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._listens = threading.Event()
        self.deliveries: list[Delivery] = []

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        if not self._listens.wait(20):
            raise TimeoutError("there is nobody to listen to")
        return self

    def __exit__(self, *_: object) -> None:
        """Hear nothing any more."""
        self._ended.set()
        self._thread.join()

    def _listen(self) -> None:
        with closing(psycopg.connect(self._dsn, autocommit=True)) as conn:
            conn.add_notify_handler(self._hear)
            conn.execute(f"LISTEN {HEARD}")
            self._listens.set()
            while not self._ended.wait(0.1):
                conn.execute("SELECT 1")
            conn.execute("SELECT 1")

    def _hear(self, heard: psycopg.Notify) -> None:
        event = json.loads(heard.payload)["event_id"]
        self.deliveries.append(Delivery(self._alert, event, (event,)))


def kept_by_job(conn: Connection) -> list[Delivery]:
    """Return what a job has kept in the table `chaos.told` of its inputs."""
    rows = conn.execute("SELECT input FROM chaos.told ORDER BY at").fetchall()
    return [delivered(document) for (document,) in rows]
