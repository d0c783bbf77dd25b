"""Servers of the tests that take mail and JSON, with and without TLS."""

import http.server
import json
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

LOGIN = "me:hush: hush"


class Listener(socketserver.ThreadingTCPServer):
    """A server that remembers what it has heard."""

    daemon_threads = True
    heard: list[object]
    is_over: threading.Event


class Mailbox(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as it takes, without TLS."""

    server: Listener
    greet = True

    def handle(self):
        if self.greet:
            self.wfile.write(b"220 here\r\n")
        data = False
        for line in self.rfile:
            self.server.heard.append(line.decode().rstrip("\r\n"))
            command = line[:4].upper()
            if data:
                data = line != b".\r\n"
                if not data:
                    self.wfile.write(b"250 taken\r\n")
            elif command == b"DATA":
                data = True
                self.wfile.write(b"354 go on\r\n")
            elif command == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(self.answer(line))

    def answer(self, line):  # noqa: ARG002
        return b"250 fine\r\n"


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    server: Listener

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        self.server.heard.append((self.headers, self.rfile.read(size).decode()))
        status = int(self.path.strip("/"))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.end_headers()
        self.wfile.write(b"x" * 1_000_000)

    def log_message(self, *_):
        pass


class Hanging(Hook):
    """Never answers."""

    def do_POST(self):
        self.server.heard.append(time.monotonic())
        self.server.is_over.wait(30)


class Pinged(Hook):
    """Is asked, too."""

    def do_GET(self):
        self.server.heard.append(f"GET {self.path}")
        self.send_response(200)
        self.end_headers()


@contextmanager
def serving(handler):
    with Listener(("127.0.0.1", 0), handler) as server:
        server.heard = []
        server.is_over = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.is_over.set()
        server.shutdown()


def address(server):
    return f"127.0.0.1:{server.server_address[1]}"


@contextmanager
def made_certificates():
    """Make certificates of 127.0.0.1 (here) and of another host (elsewhere)."""
    with tempfile.TemporaryDirectory(prefix="pgagent-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # the server may run as another user
        for host, known in (("here", "IP:127.0.0.1"), ("elsewhere", "DNS:elsewhere")):
            command = [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-days", "2", "-subj", f"/CN={host}"),
                *("-addext", f"subjectAltName={known}"),
                *("-keyout", f"{host}.key", "-out", f"{host}.crt"),
            ]
            subprocess.run(command, cwd=directory, check=True, capture_output=True)
        trusted = "".join(
            (directory / f"{host}.crt").read_text() for host in ("here", "elsewhere")
        )
        (directory / "trusted").write_text(trusted)
        yield directory


def speaking_tls(handler, context):
    """Return a handler's kin that speaks TLS from the first byte."""

    class Wrapped(handler):  # type: ignore[misc,valid-type]
        request: ssl.SSLSocket

        def setup(self):
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self):
            super().finish()
            self.request.close()

    return Wrapped


def context_of(certificates, host):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{host}.crt", certificates / f"{host}.key")
    return context


class Post(Mailbox):
    """A mail server that knows logins, and begins TLS when asked."""

    server: Listener
    context: "ssl.SSLContext | None" = None

    def answer(self, line):
        command = line.split()[0].upper()
        if command == b"EHLO":
            more = b"250-STARTTLS\r\n" if self.context else b""
            return b"250-here\r\n" + more + b"250 AUTH PLAIN\r\n"
        if command == b"AUTH":
            return b"235 welcome\r\n"
        return super().answer(line)


def starting_tls(context):
    class Starting(Post):
        def handle(self):
            self.context = context
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                self.server.heard.append(line.decode().rstrip("\r\n"))
                if line.upper().startswith(b"STARTTLS"):
                    break
                self.wfile.write(self.answer(line))
            else:
                return
            self.wfile.write(b"220 go on\r\n")
            self.request = context.wrap_socket(self.request, server_side=True)
            self.context = None
            self.setup()
            self.greet = False
            super().handle()

        def finish(self):
            super().finish()
            self.request.close()

    return Starting


def hook(server, name="ops", path=200):
    """Return the lines of pgagent.toml for a channel to a server."""
    return f'[channels.{name}]\ntype = "webhook"\nurl = "http://{address(server)}/{path}"\n'


def bodies(server):
    """Return what was posted to a server."""
    return [json.loads(body) for _, body in server.heard]


def add_alert(conn, name="night", channel="ops"):
    conn.execute("SELECT pgagent.add_alert(%s, %s)", [name, channel])


@pytest.fixture
def web_server():
    with serving(Hook) as server:
        yield server


@pytest.fixture
def hanging():
    """A web server that never answers."""
    with serving(Hanging) as server:
        yield server
