"""`pgagent check` looks at all channels of pgagent.toml, and sends nothing."""

import socket
from contextlib import ExitStack, contextmanager

import pytest
from receivers import (
    Hook,
    Mailbox,
    Post,
    address,
    context_of,
    hook,
    made_certificates,
    serving,
    speaking_tls,
    starting_tls,
)


@pytest.fixture(scope="module")
def certificates():
    with made_certificates() as folder:
        yield folder


@pytest.fixture
def hooks():
    with serving(Hook) as server:
        yield server


@pytest.fixture
def checked(conn, pgagent, tmp_path, certificates):
    """Call the verb with such a file; return what is wrong, and its exit code."""

    def call(text, mode=0o600):
        file = tmp_path / "pgagent.toml"
        file.write_text(text)
        file.chmod(mode)
        trust = {"SSL_CERT_FILE": str(certificates / "trusted")}
        done = pgagent("check", "-q", "--json", "--config", file, **trust)
        assert done.stderr == ""
        return pgagent.parsed(done.stdout), done.returncode

    return call


def smtp(server, security="starttls", name="mail"):
    host, _, port = address(server).partition(":")
    return (
        f'[channels.{name}]\ntype = "smtp"\nhost = "{host}"\nport = {port}\n'
        f'security = "{security}"\nfrom = "a@example.org"\nto = "b@example.org"\n'
    )


class Full(Mailbox):
    greet = False

    def handle(self):
        self.wfile.write(b"554 no room\r\n")


def web(rest, name="ops"):
    return f'[channels.{name}]\ntype = "webhook"\nurl = "{rest}"\n'


@pytest.mark.needs("openssl")
def test_channels_that_work_are_not_told_and_nothing_is_sent(
    checked, certificates, hooks, conn
):
    here = context_of(certificates, "here")
    with ExitStack() as stack:
        plain = stack.enter_context(serving(Post))
        starting = stack.enter_context(serving(starting_tls(here)))
        secure = stack.enter_context(serving(speaking_tls(Post, here)))
        conn.execute("SELECT pgagent.add_alert('night', 'ops')")
        conn.execute("SELECT pgagent.add_alert('told', 'notify')")
        conn.execute("SELECT pgagent.add_alert('old', 'gone', enabled => false)")
        file = "".join(
            (
                hook(hooks),
                smtp(plain, "none", "plain"),
                smtp(starting, "starttls", "starting"),
                smtp(secure, "tls", "secure"),
                web(f"https://{address(secure)}/x", "https"),
                '[channels.page]\ntype = "command"\ncommand = ["sh", "-c", "exit 9"]\n',
                '[channels.chat]\ntype = "apprise"\nurl = "json://127.0.0.1"\n',
                f'[alive]\nurl = "http://{address(hooks)}/ping"\n',
            )
        )
        assert checked(file) == ([], 0)
        assert hooks.heard == []
        for server in (plain, starting, secure):
            assert not any(line.upper().startswith("MAIL") for line in server.heard)


def of_no_type():
    return '[channels.ops]\ntype = "pigeon"\n'


def with_an_unknown_key():
    return web("http://127.0.0.1/") + "colour = 3\n"


def without_an_address():
    return '[channels.ops]\ntype = "webhook"\n'


def where_nobody_listens():
    return web("http://127.0.0.1:1/SECRETPATH")


def without_a_host():
    return web("http://nowhere.invalid/SECRETPATH")


def whose_program_is_not_there():
    return '[channels.ops]\ntype = "command"\ncommand = ["/nowhere/page"]\n'


def an_address_of_no_ping():
    return '[alive]\nurl = "example.org"\n'


@contextmanager
def whose_mail_server_refuses():
    with serving(Full) as server:
        yield smtp(server)


@contextmanager
def whose_mail_server_offers_no_tls():
    with serving(Post) as server:
        yield smtp(server)


@contextmanager
def whose_mail_server_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield (
            f'[channels.mail]\ntype = "smtp"\nhost = "127.0.0.1"\nport = {port}\n'
            'from = "a@example.org"\nto = "b@example.org"\n'
        )


FAULTS = {
    of_no_type: ("[channels.ops] type: ", "docs/alerts.md"),
    with_an_unknown_key: ("has the unknown key 'colour'", "docs/alerts.md"),
    without_an_address: ("lacks url", "docs/alerts.md"),
    where_nobody_listens: ('channel "ops": Connection refused', "check host and port"),
    without_a_host: ('channel "ops": its host has no address', "the name of the host"),
    whose_program_is_not_there: ("no program '/nowhere/page'", "install it"),
    an_address_of_no_ping: ("[alive] url", "docs/alerts.md"),
    whose_mail_server_refuses: ("the mail server says 554 no room", "the server there"),
    whose_mail_server_offers_no_tls: ("offers no TLS", "have it offer STARTTLS"),
    whose_mail_server_says_nothing: ('"mail": ', "the firewalls on the way"),
}


@pytest.mark.parametrize("channel", FAULTS, ids=lambda channel: channel.__name__)
def test_a_channel_that_does_not_work_is_told(checked, channel):
    made = channel()
    with ExitStack() as stack:
        text = made if isinstance(made, str) else stack.enter_context(made)
        found, status = checked(text)
    assert len(found) == 1, found
    detail, remedy = FAULTS[channel]
    assert (found[0]["check"], found[0]["state"], status) == ("channels", "fault", 1)
    assert detail in found[0]["detail"]
    assert remedy in found[0]["remedy"]
    assert "SECRETPATH" not in found[0]["detail"]


@pytest.mark.needs("openssl")
def test_a_certificate_of_somebody_else_is_told(checked, certificates):
    elsewhere = context_of(certificates, "elsewhere")
    with serving(speaking_tls(Post, elsewhere)) as server:
        found, _ = checked(web(f"https://{address(server)}/x") + smtp(server, "tls"))
    assert len(found) == 2
    for one in found:
        assert "its certificate is not to be trusted" in one["detail"]
        assert "one that fits its name" in one["remedy"]


def test_a_secret_that_others_can_read_is_told(checked, hooks):
    found, status = checked(hook(hooks), mode=0o644)
    assert len(found) == 1, found
    assert (found[0]["check"], status) == ("channels", 1)
    assert found[0]["remedy"].startswith("chmod 06")


def test_an_alert_to_a_channel_of_no_file_is_told(checked, conn, hooks):
    conn.execute("SELECT pgagent.add_alert('night', 'dba')")
    (found,), status = checked(hook(hooks))
    assert (found["state"], status) == ("warning", 0)
    assert 'alert "night" goes to channel "dba"' in found["detail"]
    assert "add [channels.dba]" in found["remedy"]


def test_a_hundred_channels_that_hang_take_no_longer_than_some(checked):
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        port = server.getsockname()[1]
        text = "".join(
            f'[channels.m{number}]\ntype = "smtp"\nhost = "127.0.0.1"\nport = {port}\n'
            'from = "a@example.org"\nto = "b@example.org"\n'
            for number in range(60)
        )
        found, _ = checked(text)
    assert len(found) == 60
