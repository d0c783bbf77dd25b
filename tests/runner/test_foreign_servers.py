"""What a server gets that the author of a step has named, and what he may ask for."""

import os
import socket
import struct
import threading
from contextlib import contextmanager

import pytest
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps import StepSettings
from psycopg import pq
from psycopg.conninfo import make_conninfo
from support import poll

SECRET = "open sesame"
RUN = Run(id=7, job_id=3, job_name="nightly", steps=())
CLEAR, MD5 = 3, 5


class FakeServer:
    """Asks for a password, and keeps what the client says next."""

    def __init__(self, asks_for):
        self._asks_for = asks_for
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.answers = []  # one for each client that was asked
        threading.Thread(target=self._serve, daemon=True).start()

    def first_answer(self):
        """Wait for the first client that was asked; None: it went away instead."""
        poll(lambda: self.answers, what="a client")
        return self.answers[0]

    def close(self):
        self._listening.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client:
                self._ask(client)

    def _ask(self, client):
        while True:
            (length,) = struct.unpack("!i", client.recv(4, socket.MSG_WAITALL))
            start = client.recv(length - 4, socket.MSG_WAITALL)
            (code,) = struct.unpack_from("!i", start)
            if code >> 16 == 3:
                break
            client.sendall(b"N")  # neither TLS nor GSSAPI
        salt = b"salt" if self._asks_for == MD5 else b""
        request = struct.pack("!ii", 8 + len(salt), self._asks_for)
        client.sendall(b"R" + request + salt)
        kind = client.recv(1)
        self.answers.append(client.recv(4096) if kind == b"p" else None)


@contextmanager
def fake_server(asks_for):
    server = FakeServer(asks_for)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def thief():
    """A server that asks for the password in clear."""
    with fake_server(CLEAR) as server:
        yield server


@pytest.fixture
def execute(executor_of, server):
    """Execute a trifle at a connection string, with these settings."""

    def execute(conninfo, **settings):
        with executor_of(StepSettings(server, **settings), RUN) as executor:
            return executor.execute(Step(5, "step", "s", "SELECT 1", "", conninfo, "f"))

    return execute


def at(server, **parameters):
    where = {"host": "127.0.0.1", "port": server.port, "dbname": "d", "user": "u"}
    return make_conninfo("", **(where | parameters))


def test_no_password_goes_in_clear_to_a_server_that_a_step_names(execute, thief):
    outcome = execute(at(thief, password=SECRET))

    assert thief.first_answer() is None
    assert outcome.ending is Ending.FAILED
    assert "password" in outcome.reason
    assert "the runner's option --allow-clear-password allows it" in outcome.output


def test_no_password_of_the_runners_file_goes_there_in_clear(
    execute, thief, tmp_path, monkeypatch
):
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:*:{SECRET}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))

    execute(at(thief))

    assert thief.first_answer() is None


def test_none_of_several_servers_gets_it(execute, thief):
    with fake_server(CLEAR) as another:
        execute(
            f"host=127.0.0.1,127.0.0.1 port={thief.port},{another.port} user=u"
            f" dbname=d password='{SECRET}'"
        )
        assert thief.first_answer() is None
        assert another.first_answer() is None


def test_a_user_can_allow_it(execute, thief):
    execute(at(thief, password=SECRET), clear_password=True)

    assert thief.first_answer().endswith(SECRET.encode() + b"\0")


def test_other_ways_to_show_who_one_is_are_open(execute):
    with fake_server(MD5) as server:
        execute(at(server, password=SECRET))

        assert b"md5" in server.first_answer()


@pytest.mark.parametrize(
    "methods", ["", "password", "password,md5", "!md5", "!password", "!password,!md5"]
)
def test_the_environment_of_the_runner_can_only_narrow_that(
    execute, thief, monkeypatch, methods
):
    monkeypatch.setenv("PGREQUIREAUTH", methods)
    outcome = execute(at(thief, password=SECRET))

    assert thief.first_answer() is None
    assert "requirement" in outcome.reason

    with fake_server(MD5) as server:
        execute(at(server, password=SECRET))
        assert (server.first_answer() is None) == ("!md5" in methods)


def test_with_a_libpq_that_cannot_refuse_to_the_step_is_refused(
    execute, thief, monkeypatch
):
    monkeypatch.setattr(pq, "version", lambda: 150018)

    outcome = execute(at(thief, password=SECRET))

    assert thief.answers == []
    assert outcome.reason.startswith("libpq 15.18, which this runner uses, would send")
    assert "--allow-clear-password" in outcome.reason


@pytest.mark.parametrize(
    "parameter",
    [
        "hostaddr=127.0.0.1",
        "passfile=/etc/passwd",
        "service=mine",
        "options=-E",
        "replication=database",
        "require_auth=password",
        "sslcert=/etc/ssl/mine.crt",
        "sslkey=/etc/ssl/mine.key",
        "sslpassword=x",
        "sslrootcert=/etc/ssl/root.crt",
        "sslrootcert=System",
        "sslcrl=/etc/passwd",
        "sslcrldir=/etc",
        "krbsrvname=http",
        "gsslib=gssapi",
    ],
)
def test_a_parameter_that_could_do_harm_fails_the_step(execute, thief, parameter):
    name = parameter.partition("=")[0]
    for conninfo in (
        f"{at(thief)} {parameter}",
        f"postgresql://u:{SECRET.replace(' ', '')}@127.0.0.1:{thief.port}/d?{parameter}",
    ):
        outcome = execute(conninfo)

        assert outcome.ending is Ending.FAILED
        assert outcome.reason.startswith(
            f"the connection string sets {name}, which it may not: "
        )
        assert f"--allow-parameter {name} allows it" in outcome.reason
        assert "sesame" not in outcome.output
    assert thief.answers == []


def test_a_pipe_as_a_file_of_certificates_stops_nothing(execute, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        listening.settimeout(0)  # nobody comes
        outcome = execute(f"host=127.0.0.1 port={port} sslrootcert={pipe}")
        with pytest.raises(BlockingIOError):
            listening.accept()

    assert "a pipe among those would stop the whole runner" in outcome.reason


def test_the_root_certificates_of_the_system_are_permitted(execute):
    outcome = execute("host=127.0.0.1 port=1 sslmode=verify-full sslrootcert=system")

    assert "Connection refused" in outcome.reason


def test_every_parameter_of_this_libpq_has_been_thought_of(execute, server):
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name in known:
        outcome = execute(f"{server} {name}=''")
        assert "does not know what it would do" not in outcome.output, name


def test_a_user_can_allow_a_parameter(execute, server):
    conninfo = make_conninfo(server, options="-cwork_mem=1MB")

    outcome = execute(conninfo, allowed_parameters=frozenset({"options"}))

    assert outcome.ending is Ending.SUCCEEDED


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PGHOSTADDR", "127.0.0.1"), ("PGOPTIONS", "-cx.secret=1")],
)
def test_what_the_environment_says_is_meant_for_the_runners_own_server(
    execute, executor_of, thief, monkeypatch, server, variable, value
):
    monkeypatch.setenv(variable, value)
    if variable == "PGHOSTADDR":
        outcome = execute(
            make_conninfo(at(thief, password=SECRET), host="no.such.invalid")
        )
        assert thief.answers == []
        assert "failed to resolve host" in outcome.reason
    else:
        code = "DO $$ BEGIN ASSERT current_setting('x.secret', true) IS NULL; END $$"
        step = Step(5, "step", "s", code, "", server, "f")
        with executor_of(StepSettings(server), RUN) as executor:
            assert executor.execute(step).ending is Ending.SUCCEEDED
