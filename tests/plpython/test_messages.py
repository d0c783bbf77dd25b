"""Mail and webhooks, to real servers on this machine."""

import socket
from contextlib import closing

import pytest
from receivers import Hook, Mailbox, address, serving

pytestmark = pytest.mark.needs("plpython")


@pytest.fixture
def mailbox():
    with serving(Mailbox) as server:
        yield server


@pytest.fixture
def hook():
    with serving(Hook) as server:
        yield server


@pytest.fixture
def silent():
    """A port that accepts and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_a_mail_arrives(ask, mailbox):
    ask(
        "pgagent.send_mail('{a@example.org,b@example.org}', 'Grüße', E'two\\nlines',"
        " server => %s)",
        f"smtp://{address(mailbox)}",
    )
    heard = "\n".join(mailbox.heard)
    assert "rcpt to:<a@example.org>" in heard.lower()
    assert "rcpt to:<b@example.org>" in heard.lower()
    assert "Subject: =?utf-8?" in heard


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("'{a@b}', E'x\\nBcc: c@d', 'y'", "a header is not allowed"),
        ("'{a@b}', 'x', 'y', sender => E'a@b\\nX: y'", "a header is not allowed"),
        ("'{}', 'x', 'y'", "there is no recipient"),
        ("'{a@b}', 'x', 'y', server => 'http://x'", "is no mail server"),
        (
            "'{a@b}', 'x', 'y', credentials => 'me:secret'",
            "from a file or the environment",
        ),
        ("'{a@b}', 'x', 'y', credentials => 'env:NO_SUCH'", "has no variable"),
        ("'{a@b}', 'x', 'y', credentials => 'file:/no/such'", "can't be read"),
    ],
)
def test_a_mail_that_is_not_allowed_is_refused(refused, arguments, problem):
    message = refused("22023", f"pgagent.send_mail({arguments})")
    assert problem in message
    assert "secret" not in message.replace("the secret itself", "")


def test_a_password_is_told_to_nobody_without_tls(refused, mailbox, secret_file):
    message = refused(
        "22023",
        "pgagent.send_mail('{a@b}', 'x', 'y', server => %s, credentials => %s)",
        f"smtp://{address(mailbox)}",
        f"file:{secret_file}",
    )
    assert "offers no TLS" in message
    assert "hush" not in "".join([*mailbox.heard, message])


@pytest.fixture
def secret_file(cluster, conn):
    """A file that only the server's user can read."""
    path = f"{cluster.data}/secret"
    conn.execute(f"COPY (SELECT 'user:hush') TO '{path}'")
    conn.execute(f"COPY (SELECT 1) TO PROGRAM 'cat >&2; chmod 600 {path}'")
    return path


def test_a_secret_that_others_can_read_is_refused(refused, conn, secret_file):
    conn.execute(f"COPY (SELECT 1) TO PROGRAM 'cat >&2; chmod 640 {secret_file}'")
    message = refused(
        "22023",
        "pgagent.send_mail('{a@b}', 'x', 'y', credentials => %s)",
        f"file:{secret_file}",
    )
    assert "can be read by others" in message


@pytest.mark.parametrize(
    "call",
    [
        "send_mail('{{a@b}}', 'x', 'y', server => 'smtp://127.0.0.1:{}', timeout => 0.2)",
        "post_webhook('http://127.0.0.1:{}/', '{{}}', timeout => 0.2)",
    ],
)
def test_a_server_that_never_answers_is_given_up(refused, silent, call):
    message = refused("08000", f"pgagent.{call.format(silent)}")
    assert "time limit is 0.2 s" in message or "0.2 s" in message


def test_json_is_posted(ask, hook):
    url = f"http://{address(hook)}/204"
    assert ask('pgagent.post_webhook(%s, \'{"job": "etl"}\')', url) == 204
    ((headers, body),) = hook.heard
    assert headers["Content-Type"] == "application/json"
    assert body == '{"job": "etl"}'


@pytest.mark.parametrize(("status", "detail"), [(302, "not followed"), (500, "fails")])
def test_an_answer_that_is_no_success_is_an_error(refused, hook, status, detail):
    message = refused(
        "08000", "pgagent.post_webhook(%s, '{}')", f"http://{address(hook)}/{status}"
    )
    assert f"the answer is {status}" in message
    assert detail in message
    assert len(hook.heard) == 1


@pytest.mark.parametrize(
    ("url", "more", "problem"),
    [
        ("ftp://x/", "", "the URL is not allowed"),
        ("file:///etc/passwd", "", "the URL is not allowed"),
        ("https://user:hush@x/", "", "A user or a password has no place in it"),
        ("http:///x", "", "the URL is not allowed"),
        ("http://[x/", "", "the request is not allowed"),
        ("http://x/", ", 'file:/etc/hostname'", ""),
        ("http://x:port/", "", "the request is not allowed"),
    ],
)
def test_a_request_that_is_not_allowed_is_refused(refused, url, more, problem):
    assert problem in refused("22023", f"pgagent.post_webhook(%s, '{{}}'{more})", url)


def test_a_token_is_sent_to_https_only(refused, hook, secret_file):
    message = refused(
        "22023",
        "pgagent.post_webhook(%s, '{}', %s)",
        *(f"http://{address(hook)}/200", f"file:{secret_file}"),
    )
    assert "https only" in message
    assert hook.heard == []
