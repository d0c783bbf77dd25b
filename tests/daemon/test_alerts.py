"""The runner has a child send what waits, and ping: it is held up by neither."""

import json
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from jobs import add_job
from psycopg.conninfo import make_conninfo
from receivers import (
    Pinged,
    add_alert,
    address,
    bodies,
    hanging,
    hook,
    serving,
    web_server,
)
from support import poll

from .runner_process import Runner, ended_runs

__all__ = ["hanging", "web_server"]  # fixtures

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")


@pytest.fixture
def runner(tmp_path):
    """Start a runner with a file."""

    def runner(text, *arguments, **environ):
        file = tmp_path / "pgagent.toml"
        file.write_text(text)
        file.chmod(0o600)
        return Runner("--config", file, *arguments, environ=environ)

    return runner


def children():
    """Return the ids of all children that send alerts, or ping."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"pgagent_runner.sending\0" in _read(path)
    ]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def of(runner):
    """Return its child's id."""
    return poll(
        lambda: next((pid for pid in children() if _parent(pid) == runner.pid), None),
        what="a child",
    )


def _parent(pid):
    return int(_read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[1] or 0)


def is_gone(pid):
    return pid not in children()


def test_a_job_that_fails_is_told_by_itself(conn, dsn, web_server, runner):
    add_alert(conn)
    with runner(hook(web_server), dsn) as it:
        it.ready()
        job = add_job(conn, "SELECT 1 / 0")
        assert ended_runs(conn, job) == "f"
        poll(lambda: web_server.heard, 20)
        assert it.stop() == 0
    (told,) = bodies(web_server)
    assert "division by zero" in told["text"]
    assert "pgagent logs " in told["text"]
    assert conn.execute("SELECT state FROM pgagent.alert_log").fetchall() == [("sent",)]


def test_a_test_is_sent_at_once(conn, dsn, web_server, runner):
    add_alert(conn)
    with runner(hook(web_server), dsn) as it:
        it.ready()
        conn.execute("SELECT pgagent.test_alert('night')")
        poll(lambda: web_server.heard, 10)
        it.stop()


def test_what_needs_no_sender_is_delivered_without_a_file(conn, dsn):
    add_alert(conn, channel="notify")
    add_alert(conn, "other", channel="ops")
    with Runner(dsn) as it, closing(psycopg.connect(dsn, autocommit=True)) as listening:
        listening.execute("LISTEN pgagent_event")
        it.ready()
        job = add_job(conn, "SELECT 1 / 0")
        (told,) = listening.notifies(timeout=20, stop_after=1)
        it.stop()
        log = it.log
    event = json.loads(told.payload)
    assert (event["event"], event["job_id"]) == ("failed", job)
    states = dict(conn.execute("SELECT alert, state FROM pgagent.alert_log"))
    assert states == {"night": "sent", "other": "pending"}
    assert "WARNING" not in log


def test_a_channel_that_makes_no_sense_is_said_when_a_runner_starts(
    conn, dsn, web_server, runner
):
    add_alert(conn)
    with runner('[channels.bad]\ntype = "pager"\n' + hook(web_server), dsn) as it:
        it.says('[channels.bad] type: "pager" is not one of smtp, ')
        conn.execute("SELECT pgagent.test_alert('night')")
        poll(lambda: web_server.heard, 10)
        it.stop()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("channels = 7", "channels has to be a table"),
        (
            '[alive]\nevery = "5 minutes"',
            "[alive] url: wanted is an address as https://",
        ),
        ('[alive]\nurl = "http://me:x@host/"', "[alive] url: that is not an address"),
        ('[alive]\nurl = "http://h/"\nevery = "often"', 'every: "often" is not a span'),
        ('[alive]\nurl = "http://h/"\nevery = 0', "every: 0 is not a span of time"),
        ('[alive]\nurl = "http://h/"\nevry = 5', "[alive] has the unknown key 'evry'"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(dsn, runner, text, complaint):
    with runner(text, dsn) as it:
        assert it.ended() == 2
        assert complaint in it.log


@linux
def test_a_child_that_hangs_delays_no_job_and_no_stop(conn, dsn, hanging, runner):
    add_alert(conn)
    with runner(hook(hanging), dsn) as it:
        it.ready()
        conn.execute("SELECT pgagent.test_alert('night')")
        poll(lambda: hanging.heard)
        child = of(it)
        assert ended_runs(conn, add_job(conn, "SELECT 1"), deadline=3) == "s"
        began = time.monotonic()
        assert it.stop() == 0
        assert time.monotonic() - began < 4
        poll(lambda: is_gone(child), 2)


@linux
def test_a_child_outlives_a_runner_that_is_killed_for_its_attempt_only(
    conn, dsn, hanging, runner
):
    add_alert(conn)
    with runner(hook(hanging), dsn) as it:
        it.ready()
        conn.execute("SELECT pgagent.test_alert('night')")
        poll(lambda: hanging.heard)
        child = of(it)
        it.kill()
        assert not is_gone(child)
        poll(lambda: is_gone(child), 20)
    ((state, error),) = conn.execute("SELECT state, last_error FROM pgagent.alert_log")
    assert state == "pending"
    assert "timed out" in error


@linux
def test_no_command_line_and_no_environment_has_a_secret(
    frail, frail_dsn, hanging, runner
):
    target = make_conninfo(frail_dsn, host="127.0.0.1", port=frail.port)
    secrets = (b"hush-url", b"hush-header", frail.password.encode())
    more = 'headers = { X = "hush-header" }\n'
    with (
        closing(psycopg.connect(frail_dsn, autocommit=True)) as conn,
        runner(
            hook(hanging, path="hush-url") + more, target, PGPASSWORD=frail.password
        ) as it,
    ):
        add_alert(conn)
        it.ready()
        conn.execute("SELECT pgagent.test_alert('night')")
        poll(lambda: hanging.heard)
        child = of(it)
        seen = _read(Path(f"/proc/{child}/cmdline")) + _read(
            Path(f"/proc/{child}/environ")
        )
        poll(lambda: "was not sent" in it.log, 15)
        ((error,),) = conn.execute("SELECT last_error FROM pgagent.alert_log")
        it.stop()
        told = seen + it.log.encode() + error.encode()
    assert b"PATH=" in seen or os.geteuid() != 0  # others may not look
    assert not [secret for secret in secrets if secret in told]


def test_a_runner_pings_while_it_claims_and_records(conn, dsn, runner):
    with serving(Pinged) as server:
        text = f'[alive]\nurl = "http://{address(server)}/hush"\nevery = "1 second"\n'
        with runner(text, "--poll", "1", dsn) as it:
            it.ready()
            poll(lambda: len(server.heard) >= 2, 20)
            it.send(signal.SIGSTOP)
            quiet(server)
            it.send(signal.SIGCONT)
            poll(lambda: len(server.heard) >= 3, 20)
            it.stop()
    assert set(server.heard) == {"GET /hush"}


def quiet(server, seconds=4.0):
    """Expect that no ping comes any more, once those under way have come."""
    poll(lambda: not children())
    before = len(server.heard)
    end = time.monotonic() + seconds
    poll(lambda: time.monotonic() > end, seconds + 1)
    assert len(server.heard) == before


def test_a_runner_without_a_database_does_not_ping(frail, frail_dsn, runner):
    with serving(Pinged) as server:
        text = f'[alive]\nurl = "http://{address(server)}/"\nevery = 1\n'
        with runner(text, "--poll", "1", frail_dsn) as it:
            it.ready()
            poll(lambda: server.heard, 20)
            frail.stop()
            try:
                it.says("next attempt in")
                quiet(server)
                it.stop()
            finally:
                frail.start()


def test_a_url_that_cannot_be_told_is_logged_without_it(conn, dsn, runner):
    text = '[alive]\nurl = "http://127.0.0.1:1/hush-hush"\n'
    with runner(text, dsn) as it:
        it.says("the URL of [alive] could not be told: ")
        it.stop()
        assert "hush" not in it.log


SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(40); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE UPDATE OF jlgstatus ON pgagent.pga_joblog
        FOR EACH ROW EXECUTE FUNCTION slow()
"""


@pytest.mark.parametrize("what", ["claimed", "recorded"])
def test_a_runner_for_which_nothing_can_be_done_does_not_ping(conn, dsn, runner, what):
    with serving(Pinged) as server:
        text = f'[alive]\nurl = "http://{address(server)}/"\nevery = 1\n'
        with (
            closing(psycopg.connect(dsn)) as blocking,
            runner(text, "--poll", "1", dsn) as it,
        ):
            it.ready()
            poll(lambda: server.heard, 20)
            if what == "claimed":
                blocking.execute("LOCK TABLE pgagent.pga_job")
            else:
                conn.execute(SLOW)
                add_job(conn, "SELECT 1")
                poll(lambda: conn.execute(IN_TRIGGER).fetchone()[0], 10)
            # What it takes to be noticed.
            end = time.monotonic() + 12
            poll(lambda: time.monotonic() > end, 15)
            quiet(server)
            blocking.rollback()
            it.kill()


IN_TRIGGER = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
