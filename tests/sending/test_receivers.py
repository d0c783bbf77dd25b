"""Each kind of channel delivers to a real receiver, and is not held up by any."""

import base64
import email
import email.policy
import hmac
import json
import os
import socket
import socketserver
import sys
import threading
import time
import uuid
from contextlib import closing
from typing import Any

import pytest
from pgagent_runner.sending import deliveries
from pgagent_runner.sending.deliveries import attempt
from pgagent_runner.sending.failures import NotSentError
from pgagent_runner.sending.messages import Message, subject, text
from receivers import (
    Hook,
    Listener,
    Mailbox,
    Post,
    address,
    serving,
    speaking_tls,
    starting_tls,
)
from support import poll

ID = str(uuid.UUID(int=7))
EVENT = {
    "event": "failed",
    "event_id": ID,
    "job": "nächtlich",
    "job_id": 3,
    "run_id": 47,
}
MESSAGE = Message(ID, 1, "night", "ops", [EVENT], "db1/app")

openssl = pytest.mark.needs("openssl")


def smtp(server, more=""):
    host, port = server.server_address
    return (
        f'type = "smtp"\nhost = "{host}"\nport = {port}\nfrom = "pgAgent <pgagent@example.org>"\n'
        f'to = ["dba@example.org", "other@example.org"]\n{more}\n'
    )


LOGIN = 'login = "me"\npassword = "hush: hush"'


def hook(server, path="200", scheme="http", more=""):
    return f'type = "webhook"\nurl = "{scheme}://{address(server)}/{path}"\n{more}\n'


def mail_in(server):
    """Return the one mail that a server has got."""
    lines = server.heard
    begin, end = lines.index("data"), lines.index(".")
    raw = "\n".join(lines[begin + 1 : end]).encode()
    return email.message_from_bytes(raw, policy=email.policy.default)


def heard(server, word):
    return [line for line in server.heard if line.lower().startswith(word)]


@openssl
def test_mail_goes_through_tls_that_is_begun(channel, trusted):
    with serving(starting_tls(trusted("here"))) as server:
        assert attempt(channel(smtp(server, LOGIN)), MESSAGE) == ""
    mail = mail_in(server)
    assert mail["Subject"] == subject(MESSAGE)
    assert mail["From"] == "pgAgent <pgagent@example.org>"
    assert mail["To"] == "dba@example.org, other@example.org"
    assert mail["Message-ID"] == f"<{ID}@pgagent.invalid>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().rstrip("\n") == text(MESSAGE).rstrip("\n")
    assert len(heard(server, "rcpt to")) == 2
    (login,) = heard(server, "auth plain")
    assert base64.b64decode(login.split()[2]) == b"\0me\0hush: hush"
    assert server.heard.index("STARTTLS") < server.heard.index(login)


@openssl
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_login_may_have_any_characters(channel, trusted, mechanism):
    base: Any = starting_tls(trusted("here"))

    class Asking(base):  # type: ignore[misc]
        def answer(self, line):
            command = line.split()[0].upper()
            if command == b"EHLO":
                return (
                    super()
                    .answer(line)
                    .replace(b"AUTH PLAIN", f"AUTH {mechanism}".encode())
                )
            if command == b"AUTH" and mechanism != "PLAIN":
                return b"334 eA==\r\n"
            if command not in (b"AUTH", b"MAIL", b"RCPT"):
                return b"235 welcome\r\n"
            return super().answer(line)

    with serving(Asking) as server:
        login = 'login = "müller"\npassword = "pässwörd…"'
        assert attempt(channel(smtp(server, login)), MESSAGE) == ""
    (asked,) = heard(server, "auth")
    last = server.heard[server.heard.index(asked) + (mechanism != "PLAIN")].split()[-1]
    told = base64.b64decode(last)
    digest = hmac.new("pässwörd…".encode(), b"x", "md5").hexdigest()
    assert (
        told.decode()
        == {
            "PLAIN": "\0müller\0pässwörd…",
            "LOGIN": "pässwörd…",
            "CRAM-MD5": f"müller {digest}",
        }[mechanism]
    )


@openssl
def test_mail_goes_through_tls_from_the_beginning(channel, trusted):
    with serving(speaking_tls(Post, trusted("here"))) as server:
        assert (
            attempt(channel(smtp(server, f'security = "tls"\n{LOGIN}')), MESSAGE) == ""
        )
    assert heard(server, "auth plain")
    assert mail_in(server)["Subject"] == subject(MESSAGE)


def test_mail_goes_without_tls_if_that_is_wanted(channel):
    with serving(Mailbox) as server:
        assert attempt(channel(smtp(server, 'security = "none"')), MESSAGE) == ""
    assert mail_in(server)["Subject"] == subject(MESSAGE)


def test_a_mail_server_without_tls_gets_nothing(channel):
    with serving(Mailbox) as server:
        assert "offers no TLS" in refused(channel(smtp(server)))
    assert not heard(server, "mail from")


def refused(channel, seconds=10.0):
    """Return why a message is not sent."""
    with pytest.raises(NotSentError) as e:
        attempt(channel, MESSAGE, seconds)
    told = channel.hidden(str(e.value))
    assert "hush" not in told
    return told


@openssl
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_server_with_the_certificate_of_another_host_gets_nothing(
    channel, trusted, security
):
    context = trusted("elsewhere")
    handler = (
        starting_tls(context) if security == "starttls" else speaking_tls(Post, context)
    )
    with serving(handler) as server:
        server.handle_error = lambda *_: None
        told = refused(channel(smtp(server, f'security = "{security}"\n{LOGIN}')))
    assert "its certificate is not to be trusted" in told
    assert not heard(server, "auth")


@openssl
def test_a_certificate_that_nobody_vouches_for_is_refused(
    channel, certificates, trusted, monkeypatch
):
    monkeypatch.delenv("SSL_CERT_FILE")
    with serving(speaking_tls(Hook, trusted("here"))) as server:
        server.handle_error = lambda *_: None
        assert "its certificate is not to be trusted" in refused(
            channel(hook(server, scheme="https"))
        )
    assert server.heard == []


class Choosy(Mailbox):
    """A mail server that takes nothing for one of two recipients."""

    answer_to = b"550 no such user"

    def answer(self, line):
        is_other = line.upper().startswith(b"RCPT") and b"other" in line
        return b"550 no such user\r\n" if is_other else super().answer(line)


class Refusing(Mailbox):
    def answer(self, line):
        is_rcpt = line.upper().startswith(b"RCPT")
        return b"550 no\x1b[2J such user\r\n" if is_rcpt else super().answer(line)


def test_a_mail_that_one_recipient_gets_is_sent(channel):
    with serving(Choosy) as server:
        told = attempt(channel(smtp(server, 'security = "none"')), MESSAGE)
    assert told == "not to all: other@example.org (550 no such user)"


def test_a_mail_that_nobody_gets_is_not_sent(channel):
    with serving(Refusing) as server:
        assert "(550 no" in refused(channel(smtp(server, 'security = "none"')))


class BusyOnes(Mailbox):
    def handle(self):
        self.wfile.write(b"421 too busy\r\n")


def test_what_a_busy_mail_server_says_is_told(channel):
    with serving(BusyOnes) as server:
        assert "421 too busy" in refused(channel(smtp(server)))


class LastWords(Mailbox):
    """A mail server that takes the mail, and does not care for good manners."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            self.server.heard.append(line.decode().rstrip("\r\n"))
            word = (line.split() or [b""])[0].upper()
            if word == b"QUIT":
                self.wfile.write(b"500 why\r\n")
                return
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
            elif word in {b"EHLO", b"MAIL", b"RCPT", b"."}:
                self.wfile.write(b"250 fine\r\n")


def test_a_mail_that_was_taken_is_sent_whatever_comes_then(channel):
    with serving(LastWords) as server:
        assert attempt(channel(smtp(server, 'security = "none"')), MESSAGE) == ""


def test_json_is_posted(channel):
    with serving(Hook) as server:
        more = 'headers = { Authorization = "Bearer hush" }'
        assert attempt(channel(hook(server, "204", more=more)), MESSAGE) == ""
    ((headers, body),) = server.heard
    assert headers["Idempotency-Key"] == ID
    assert headers["Authorization"] == "Bearer hush"
    assert headers["Content-Type"] == "application/json"
    told = json.loads(body)
    assert told["events"] == [EVENT]
    assert (told["event"], told["event_id"], told["alert"]) == ("failed", ID, "night")
    assert (told["subject"], told["text"]) == (subject(MESSAGE), text(MESSAGE))


@openssl
def test_json_is_posted_through_tls(channel, trusted):
    with serving(speaking_tls(Hook, trusted("here"))) as server:
        assert attempt(channel(hook(server, scheme="https")), MESSAGE) == ""
    assert len(server.heard) == 1


def test_own_json_is_posted(channel):
    with serving(Hook) as server:
        more = 'template = { content = "{event} \\"{job}\\"", tags = ["{alert}", 7] }'
        attempt(channel(hook(server, more=more)), MESSAGE)
    ((_, body),) = server.heard
    assert json.loads(body) == {"content": 'failed "nächtlich"', "tags": ["night", 7]}


def test_own_texts_are_sent(channel):
    with serving(Hook) as server:
        more = 'subject = "{job}\\n{event}"\ntext = "run {run_id}"'
        attempt(channel(hook(server, more=more)), MESSAGE)
    ((_, body),) = server.heard
    told = json.loads(body)
    assert (told["subject"], told["text"]) == ("nächtlich failed", "run 47")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("500", "the answer is 500"),
        ("404", "the answer is 404"),
        ("302", "the answer is 302, and redirections are not followed"),
    ],
)
def test_an_answer_that_is_no_success_is_a_failure(channel, status, expected):
    with serving(Hook) as server:
        assert refused(channel(hook(server, status))) == expected
    assert len(server.heard) == 1


@openssl
def test_a_web_server_with_the_certificate_of_another_host_gets_nothing(
    channel, trusted
):
    with serving(speaking_tls(Hook, trusted("elsewhere"))) as server:
        server.handle_error = lambda *_: None
        told = refused(channel(hook(server, "hush", scheme="https")))
    assert "its certificate is not to be trusted" in told
    assert server.heard == []


def test_nobody_at_home_is_a_failure(channel):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    told = refused(channel(f'type = "webhook"\nurl = "http://127.0.0.1:{port}/hush"'))
    assert "Connection refused" in told


def test_a_name_that_nobody_knows_is_a_failure(channel):
    told = refused(
        channel('type = "webhook"\nurl = "http://nowhere.invalid/hush-hush"')
    )
    assert "nowhere.invalid" not in told or "hush" not in told


class Mute(socketserver.BaseRequestHandler):
    """Says this much, and then nothing more, or a byte now and then; reads nothing."""

    server: Listener

    says = b""
    drips = False

    def handle(self):
        try:
            self.request.sendall(self.says)
            while not self.server.is_over.wait(0.05):
                if self.drips:
                    self.request.sendall(b"x")
        except OSError:
            pass


def mute(says, drips):
    return type("Mute", (Mute,), {"says": says, "drips": drips})


SMTP_STAGES = {
    "never greets": (b"", False),
    "greets, and is silent": (b"220 here\r\n", False),
    "never ends its greeting": (b"220-here\r\n220-", True),
    "drips": (b"", True),
    "is silent where TLS begins": (
        b"220 here\r\n250-here\r\n250 STARTTLS\r\n220 go on\r\n",
        False,
    ),
    "drips where TLS begins": (
        b"220 here\r\n250-here\r\n250 STARTTLS\r\n220 go on\r\n",
        True,
    ),
    "is silent when the mail has come": (
        b"220 here\r\n250 here\r\n250 fine\r\n250 fine\r\n250 fine\r\n354 go on\r\n",
        False,
    ),
}


@pytest.mark.parametrize("stage", SMTP_STAGES)
def test_a_mail_server_that_hangs_is_given_up(channel, stage):
    security = 'security = "none"' if "come" in stage else ""
    hangs(SMTP_STAGES[stage], lambda server: channel(smtp(server, security)))


HTTP_STAGES = {
    "never answers": (b"", False),
    "drips its answer": (b"HTTP/1.1 200 O", True),
    "drips its headers": (b"HTTP/1.1 200 OK\r\nX: ", True),
    "only promises an answer": (b"HTTP/1.1 100 Continue\r\n\r\n", False),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("stage", HTTP_STAGES)
def test_a_web_server_that_hangs_is_given_up(channel, stage, scheme):
    hangs(HTTP_STAGES[stage], lambda server: channel(hook(server, "hush", scheme)))


def hangs(stage, channel_to):
    """Expect that a server that hangs is given up when the time is over."""
    with serving(mute(*stage)) as server:
        try:
            began = time.monotonic()
            refused(channel_to(server), 0.5)
            assert time.monotonic() - began < 3
        finally:
            server.is_over.set()


def test_a_server_that_accepts_nobody_is_given_up(channel):
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # they fill the queue
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port))
        began = time.monotonic()
        refused(channel(f'type = "webhook"\nurl = "http://127.0.0.1:{port}/hush"'), 0.5)
        assert time.monotonic() - began < 3
        for one in waiting:
            one.close()


def test_what_hangs_where_nothing_can_be_limited_is_left_to_itself(
    channel, monkeypatch
):
    over = threading.Event()
    monkeypatch.setattr(deliveries, "_MARGIN", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) or [])
    began = time.monotonic()
    told = refused(channel('type = "webhook"\nurl = "http://example.org/hush"'), 0.3)
    assert told == "it has taken more than 0.3 s"
    assert time.monotonic() - began < 3
    over.set()


def command(*words):
    return f'type = "command"\ncommand = {json.dumps(words)}\n'


def sh(script):
    return command("/bin/sh", "-c", script)


def test_a_command_gets_json_and_words(channel, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hush")
    script = f"cat >{tmp_path}/json; env >{tmp_path}/env"
    assert attempt(channel(sh(script)), MESSAGE) == ""
    told = json.loads((tmp_path / "json").read_text())
    assert (told["event_id"], told["events"]) == (ID, [EVENT])
    seen = (tmp_path / "env").read_text()
    assert "PGAGENT_EVENT=failed\n" in seen
    assert "PGAGENT_JOB=nächtlich\n" in seen
    assert "PGAGENT_RUN_ID=47\n" in seen
    assert f"PGAGENT_SUBJECT={subject(MESSAGE)}\n" in seen
    assert "hush" not in seen


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 3", "exit code 3"),
        ("cat >&2; kill -9 $$", "signal 9"),
        ("seq 9 >&2; exit 1", "exit code 1: 5 / 6 / 7 / 8 / 9"),
        (
            "seq 1000000 >&2; exit 1",
            "exit code 1: 999996 / 999997 / 999998 / 999999 / 1000000",
        ),
        ("printf '\\033[2J\\n' >&2; exit 1", "exit code 1: \x1b[2J"),
    ],
)
def test_a_command_that_fails_is_told_with_its_last_words(channel, script, expected):
    assert refused(channel(sh(script))).startswith(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/no/such/program"], "can't be started: No such file or directory"),
        (["/etc/passwd"], "can't be started: Permission denied"),
        (["no-such-program"], "can't be started: No such file or directory"),
    ],
)
def test_a_command_that_is_not_there_is_a_failure(channel, words, expected):
    assert expected in refused(channel(command(*words)))


def test_a_command_need_not_read(channel, monkeypatch):
    huge = Message(ID, 1, "a", "ops", [EVENT | {"output": "x" * 500_000}], "db1/app")
    assert attempt(channel(sh("exec <&-; exit 0")), huge) == ""


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")


@needs_proc
def test_a_command_that_hangs_is_killed_with_all_that_it_has_started(channel, tmp_path):
    script = (
        f"trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ >{tmp_path}/far; sleep 600' &"
        f" sleep 600 & echo $! >{tmp_path}/near; echo $$ >{tmp_path}/self; wait"
    )
    told = refused(channel(sh(script)), 1.0)
    assert told.startswith("it has not ended in time, and was killed")
    for name in ("self", "near", "far"):
        pid = int((tmp_path / name).read_text())
        assert_ended(pid)


@needs_proc
def test_what_a_command_leaves_behind_has_the_same_time(channel, tmp_path):
    script = f"setsid sleep 600 >/dev/null 2>&1 & echo $! >{tmp_path}/left"
    began = time.monotonic()
    assert attempt(channel(sh(script)), MESSAGE, 1.0) == ""
    assert time.monotonic() - began < 0.9  # it is not waited for
    pid = int((tmp_path / "left").read_text())
    assert is_alive(pid)
    poll(lambda: not is_alive(pid))


def assert_ended(pid):
    poll(lambda: not is_alive(pid))


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("words", [["cat"], ["sh", "-c", "exec sleep 600 2>&-"]])
def test_a_command_that_says_nothing_holds_up_nobody(channel, words):
    began = time.monotonic()
    if words == ["cat"]:
        assert attempt(channel(command(*words)), MESSAGE, 1.0) == ""
    else:
        refused(channel(command(*words)), 1.0)
    assert time.monotonic() - began < 3


apprise = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own


@apprise
def test_apprise_delivers(channel):
    with serving(Hook) as server:
        url = f"json://{address(server)}/200"
        assert attempt(channel(f'type = "apprise"\nurl = "{url}"'), MESSAGE) == ""
    ((_, body),) = server.heard
    told = json.loads(body)
    assert told["title"] == subject(MESSAGE)
    assert "nächtlich has failed." in told["message"]


@apprise
def test_apprise_that_reaches_some_has_sent_it(channel):
    with serving(Hook) as server:
        urls = [f"json://{address(server)}/{path}" for path in (200, 500)]
        told = attempt(channel(f'type = "apprise"\nurls = {json.dumps(urls)}'), MESSAGE)
    assert told.startswith("not to all: URL 2 failed")


@pytest.mark.parametrize(
    "url", ["json://127.0.0.1:1/hush-hush", "nonsense://hush-hush"]
)
@apprise
def test_apprise_that_reaches_nobody_is_a_failure(channel, url):
    assert "URL 1" in refused(channel(f'type = "apprise"\nurl = "{url}"'))


def test_a_missing_apprise_is_told_in_a_sentence(channel, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    told = refused(channel('type = "apprise"\nurl = "json://127.0.0.1"'))
    assert "pip install 'pgagent-runner[alerts]'" in told
