"""Mail and webhooks through TLS: whose certificate is trusted, and what is told then."""

import base64
from contextlib import closing

import psycopg
import pytest
from cluster import Cluster
from receivers import (
    LOGIN,
    Hook,
    Post,
    address,
    context_of,
    made_certificates,
    serving,
    speaking_tls,
    starting_tls,
)

pytestmark = pytest.mark.needs("plpython", "openssl")


@pytest.fixture(scope="module")
def certificates():
    """Certificates of 127.0.0.1 and of another host; the first one is trusted."""
    with made_certificates() as directory:
        yield directory


@pytest.fixture(scope="module")
def session(certificates):
    """A session of a server that trusts both certificates, and has a secret."""
    environ = {
        "SSL_CERT_FILE": str(certificates / "trusted"),
        "LOGIN": LOGIN,
        "TOKEN": "Bearer hush",
        "SPLIT": "Bearer a\r\nX-Injected: b",
    }
    with (
        Cluster(environ=environ, is_twin=True) as cluster,
        closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn,
    ):
        conn.execute("CREATE EXTENSION pgagent_python CASCADE")
        yield conn


@pytest.fixture
def wrapped(certificates):
    """Return a handler's kin that speaks TLS from the first byte."""
    return lambda handler, host: speaking_tls(handler, context_of(certificates, host))


MAIL = "SELECT pgagent.send_mail('{a@b}', 'x', 'y', server => %s, credentials => 'env:LOGIN')"
HOOK = "SELECT pgagent.post_webhook(%s, '{}', 'env:TOKEN')"


def test_a_login_is_told_through_tls(session, wrapped):
    with serving(wrapped(Post, "here")) as server:
        session.execute(MAIL, [f"smtps://{address(server)}"])
    assert_login(server)


def test_tls_is_begun_where_it_is_offered(session, certificates):
    with serving(starting_tls(context_of(certificates, "here"))) as server:
        session.execute(MAIL, [f"smtp://{address(server)}"])
    assert "STARTTLS" in server.heard
    assert server.heard.index("STARTTLS") < assert_login(server)


def assert_login(server):
    (line,) = (line for line in server.heard if line.startswith("AUTH PLAIN"))
    assert (
        base64.b64decode(line.split()[2]).decode()
        == f"\0{LOGIN.replace(':', chr(0), 1)}"
    )
    assert "rcpt to:<a@b>" in map(str.lower, server.heard)
    return server.heard.index(line)


def test_a_token_is_told_through_tls(session, wrapped):
    with serving(wrapped(Hook, "here")) as server:
        assert session.execute(HOOK, [f"https://{address(server)}/200"]).fetchone() == (
            200,
        )
    ((headers, body),) = server.heard
    assert (headers["Authorization"], body) == ("Bearer hush", "{}")


def test_a_secret_cannot_bring_headers(session, wrapped):
    split = HOOK.replace("TOKEN", "SPLIT")
    with (
        serving(wrapped(Hook, "here")) as server,
        pytest.raises(psycopg.errors.InvalidParameterValue) as e,
    ):
        session.execute(split, [f"https://{address(server)}/200"])
    assert server.heard == []
    assert "Injected" not in str(e.value)


@pytest.mark.parametrize(("scheme", "call"), [("smtps", MAIL), ("https", HOOK)])
def test_the_certificate_of_another_host_is_refused(session, wrapped, scheme, call):
    handler = Post if scheme == "smtps" else Hook
    with serving(wrapped(handler, "elsewhere")) as server:
        server.handle_error = lambda *_: None
        with pytest.raises(psycopg.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            session.execute(call, [f"{scheme}://{address(server)}/200"])
    assert server.heard == []


def test_tls_that_is_begun_with_the_certificate_of_another_host_is_refused(
    session, certificates
):
    with serving(starting_tls(context_of(certificates, "elsewhere"))) as server:
        server.handle_error = lambda *_: None
        with pytest.raises(psycopg.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            session.execute(MAIL, [f"smtp://{address(server)}"])
    assert not [line for line in server.heard if line.startswith("AUTH")]


@pytest.mark.parametrize("call", [MAIL, HOOK])
def test_a_certificate_that_nobody_vouches_for_is_refused(conn, wrapped, call):
    mail = call == MAIL
    # Without credentials: the session's server has no such variables.
    call = call.replace(", credentials => 'env:LOGIN'", "").replace(", 'env:TOKEN'", "")
    with serving(wrapped(Post if mail else Hook, "here")) as server:
        server.handle_error = lambda *_: None
        scheme = "smtps" if mail else "https"
        with pytest.raises(psycopg.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            conn.execute(call, [f"{scheme}://{address(server)}/200"])
    assert server.heard == []
