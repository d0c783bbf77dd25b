"""Servers that talk too long, and callers who ask for too much."""

import contextlib
import re
import socket
import socketserver
import time

import psycopg
import pytest
from receivers import Listener, Mailbox, address, serving

from .test_messages import secret_file

pytestmark = pytest.mark.needs("plpython")

__all__ = ["secret_file"]  # a fixture


def speaks(greeting, pause):
    """Make a handler that says this, byte by byte, for ever."""

    class Talker(socketserver.StreamRequestHandler):
        server: Listener

        def handle(self):
            self.server.heard.append(True)
            try:
                self.wfile.write(greeting)
                while True:
                    self.wfile.write(b"x" if pause else greeting)
                    time.sleep(pause)
            except OSError:
                pass

    return Talker


@pytest.mark.parametrize(
    ("scheme", "greeting"),
    [
        ("smtp", b"220-"),
        ("http", b"HTTP/1.1 200 "),
        ("http", b"HTTP/1.1 200 OK\r\nX: "),
    ],
)
def test_a_server_that_drips_is_given_up(refused, scheme, greeting):
    with serving(speaks(greeting, 0.05)) as server:
        begin = time.monotonic()
        message = refused("08000", call(scheme, server))
    assert time.monotonic() - begin < 5
    assert "timed out" in message


@pytest.mark.parametrize(
    ("scheme", "greeting"),
    [
        ("smtp", b"220-hello\r\n" * 1000),
        ("http", b"HTTP/1.1 100 C\r\nX: %b\r\n\r\n" % (b"x" * 60_000)),
    ],
)
def test_a_server_that_does_not_stop_is_given_up(refused, scheme, greeting):
    with serving(speaks(greeting, 0)) as server:
        assert "longer than 262144 bytes" in refused("08000", call(scheme, server, 20))


def test_a_server_that_only_promises_an_answer_is_given_up(refused):
    with serving(speaks(b"HTTP/1.1 100 C\r\n\r\n" * 1000, 0)) as server:
        message = refused("08000", call("http", server, 20))
    # Python from 3.14 on counts such promises itself.
    assert re.search("longer than 262144 bytes|interim responses", message)


class Slow(socketserver.StreamRequestHandler):
    """Takes what it is sent little by little."""

    rbufsize = 0
    server: Listener

    def handle(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            while self.request.recv(65536):
                time.sleep(0.05)


def test_a_server_that_takes_little_by_little_is_given_up(refused):
    with serving(Slow) as server:
        begin = time.monotonic()
        message = refused(
            "08000",
            "pgagent.post_webhook(%s, to_jsonb(repeat('x', 50000000)), timeout => 0.6)",
            f"http://{address(server)}",
        )
    assert time.monotonic() - begin < 10
    assert "timed out" in message


def call(scheme, server, timeout=0.6):
    url = f"{scheme}://{address(server)}"
    if scheme == "smtp":
        return f"pgagent.send_mail('{{a@b}}', 'x', 'y', server => '{url}', timeout => {timeout})"
    return f"pgagent.post_webhook('{url}', '{{}}', timeout => {timeout})"


class Choosy(Mailbox):
    """Refuses one recipient."""

    def answer(self, line):
        return b"550 never\r\n" if b"nobody" in line else b"250 fine\r\n"


def test_a_recipient_that_is_refused_is_an_error(refused):
    with serving(Choosy) as server:
        message = refused(
            "08000",
            "pgagent.send_mail('{a@example.org,nobody@example.org}', 'x', 'y', server => %s)",
            f"smtp://{address(server)}",
        )
    assert "nobody@example.org" in message


@pytest.mark.parametrize("timeout", ["0", "-1", "'nan'", "'inf'", "NULL", "3601"])
def test_a_time_limit_that_is_none_is_refused(refused, timeout):
    for query in (
        f"send_mail('{{a@b}}', 'x', 'y', timeout => {timeout})",
        f"post_webhook('http://127.0.0.1/', '{{}}', timeout => {timeout})",
    ):
        assert "out of range" in refused("22023", f"pgagent.{query}")


@pytest.mark.parametrize("recipient", ["<", "@", "a@b, ", "\\", '"', "(", "a@[", "é@"])
def test_an_odd_recipient_is_an_error_in_words(conn, recipient):
    query = (
        "SELECT pgagent.send_mail(ARRAY[%s], 'x', 'y', server => 'smtp://127.0.0.1:1')"
    )
    with pytest.raises(psycopg.Error) as e:
        conn.execute(query, [recipient])
    assert e.value.sqlstate in {"22023", "08000"}, e.value
    assert e.value.diag.message_detail


def test_a_pipe_holds_no_secret(refused, cluster, conn):
    conn.execute(
        f"COPY (SELECT 1) TO PROGRAM 'cat >&2; mkfifo -m 600 {cluster.data}/pipe'"
    )
    try:
        message = refused(
            "22023",
            "pgagent.send_mail('{a@b}', 'x', 'y', credentials => %s)",
            f"file:{cluster.data}/pipe",
        )
    finally:
        conn.execute(f"COPY (SELECT 1) TO PROGRAM 'cat >&2; rm {cluster.data}/pipe'")
    assert "is no file" in message


def test_who_may_not_read_files_names_no_credentials(refused, conn, secret_file):
    conn.execute("DROP ROLE IF EXISTS mailer; CREATE ROLE mailer")
    conn.execute("GRANT USAGE ON SCHEMA pgagent TO mailer")
    conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO mailer")
    conn.execute("SET ROLE mailer")
    for source in (f"file:{secret_file}", "env:PATH"):
        for query in (
            "send_mail('{a@b}', 'x', 'y', credentials => %s)",
            "post_webhook('https://127.0.0.1/', '{}', %s)",
        ):
            message = refused("22023", f"pgagent.{query}", source)
            assert "members of pg_read_server_files" in message
    conn.execute("RESET ROLE; DROP OWNED BY mailer; DROP ROLE mailer")
