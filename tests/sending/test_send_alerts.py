"""`pgagent send-alerts`: what waits in the database is sent, once."""

import re
import threading
import time
from argparse import Namespace

import psycopg
import pytest
from alerts.telling import fail, later, watch
from cluster import Cluster
from pgagent_runner.verbs import alerting
from receivers import add_alert, bodies, hanging, hook, web_server
from support import poll

__all__ = ["hanging", "web_server"]  # fixtures


@pytest.fixture
def nightly(conn):
    """The id of a job."""
    return conn.execute("SELECT pgagent.create_job('nightly')").fetchone()[0]


def log(conn, columns="event, state, attempts, last_error"):
    return conn.execute(
        f"SELECT {columns} FROM pgagent.alert_log ORDER BY at, event"
    ).fetchall()


def test_a_failure_is_sent_once(conn, agent, nightly, web_server, senders):
    add_alert(conn)
    fail(agent, nightly, message="disk full")
    later(conn)
    done = senders(hook(web_server))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (told,) = bodies(web_server)
    assert told["subject"].startswith("[pgagent] FAILED: nightly on ")
    assert told["subject"].endswith(f"/{conn.info.dbname}")
    assert "why           disk full\n" in told["text"]
    assert log(conn) == [("failed", "sent", 1, None)]
    assert senders(hook(web_server)).returncode == 0
    assert len(web_server.heard) == 1


def test_it_decides_before_it_sends(conn, web_server, senders):
    add_alert(conn)
    conn.execute("SELECT pgagent.test_alert('night')")
    assert log(conn) == []
    done = senders(hook(web_server), "--verbose")
    assert re.search("channel ops: message .* was sent\n.* sent: 1;", done.stderr)
    (told,) = bodies(web_server)
    assert told["text"].startswith("This is a test: alerts arrive here.\n")


def test_what_fails_is_said_and_tried_again_with_the_same_id(
    conn, agent, nightly, web_server, senders
):
    add_alert(conn)
    fail(agent, nightly)
    later(conn)
    done = senders(hook(web_server, path=500))
    assert done.returncode == 0
    assert "channel ops: message " in done.stderr
    assert done.stderr.endswith(" was not sent: the answer is 500\n")
    assert log(conn) == [("failed", "pending", 1, "the answer is 500")]

    senders(hook(web_server))  # not yet
    assert len(web_server.heard) == 1
    later(conn, "11 seconds")
    senders(hook(web_server))
    first, second = bodies(web_server)
    assert first["event_id"] == second["event_id"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    keys = {headers["Idempotency-Key"] for headers, _ in web_server.heard}
    assert keys == {first["event_id"]}
    assert log(conn) == [("failed", "sent", 2, None)]


def test_messages_for_channels_that_it_does_not_have_are_left_to_others(
    conn, agent, nightly, web_server, senders
):
    add_alert(conn, "a", "theirs")
    add_alert(conn, "b", "ops")
    fail(agent, nightly)
    later(conn)
    done = senders(hook(web_server))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(web_server.heard) == 1
    assert {state for (state,) in log(conn, "state")} == {"sent", "pending"}
    done = senders(hook(web_server), "--verbose")
    assert re.search(r"does not have, or that have just failed: 1\n", done.stderr)


def test_a_channel_that_makes_no_sense_is_no_obstacle_for_others(
    conn, agent, nightly, web_server, senders
):
    add_alert(conn)
    fail(agent, nightly)
    later(conn)
    done = senders('[channels.bad]\ntype = "pager"\n' + hook(web_server))
    assert done.returncode == 2
    assert '[channels.bad] type: "pager" is not one of' in done.stderr
    assert len(web_server.heard) == 1


def test_a_receiver_that_hangs_delays_nothing_but_its_own(
    conn, agent, nightly, web_server, hanging, senders
):
    """What comes for another channel meanwhile is sent meanwhile."""
    add_alert(conn, "a", "hung")
    add_alert(conn, "b", "ops")
    fail(agent, nightly)
    later(conn)
    done = []
    channels = hook(hanging, "hung") + hook(web_server)
    began = time.monotonic()
    thread = threading.Thread(target=lambda: done.append(senders(channels)))
    thread.start()
    poll(lambda: web_server.heard and hanging.heard)
    conn.execute("SELECT pgagent.test_alert('b')")
    watch(conn)
    poll(lambda: len(web_server.heard) == 2, 4)
    assert not done
    thread.join()
    assert 9 < time.monotonic() - began < 20
    assert len(hanging.heard) == 1
    assert "channel hung: " in done[0].stderr
    states = dict(conn.execute("SELECT alert, state FROM pgagent.alert_log"))
    assert states == {"a": "pending", "b": "sent"}


def test_a_channel_that_has_failed_is_not_tried_again_by_the_same_process(
    conn, agent, nightly, web_server, senders
):
    for name in "abc":
        add_alert(conn, name)
    fail(agent, nightly)
    later(conn)
    senders(hook(web_server, path=500))
    assert len(web_server.heard) == 1
    assert sorted(state for (state,) in log(conn, "state")) == ["pending"] * 3


def test_secrets_are_told_to_nobody(conn, agent, nightly, senders):
    """Nor by receivers that quote them."""
    add_alert(conn)
    add_alert(conn, "too", "program")
    fail(agent, nightly)
    later(conn)
    done = senders(
        '[channels.ops]\ntype = "webhook"\nurl = "http://127.0.0.1:1/hush/quiet?key=silence"\n'
        'headers = { Authorization = "Bearer discretion" }\n'
        '[channels.program]\ntype = "command"\ncommand = ["sh", "-c",'
        ' "echo not hush, quiet, silence nor Bearer discretion >&2; exit 1"]\n',
        "--verbose",
    )
    errors = " ".join(error for (error,) in log(conn, "last_error"))
    assert "refused" in errors
    assert "exit code 1: not ***, ***, *** nor ***" in errors
    for secret in ("hush", "quiet", "silence", "discretion"):
        assert secret not in done.stderr + errors


def test_there_has_to_be_a_database(senders):
    done = senders("", PGHOST="/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("pgagent send-alerts: ")
    assert done.stderr.count("\n") == 1


def test_without_alerts_in_the_catalogue_it_says_so(conn, senders):
    conn.execute("DROP EXTENSION pgagent CASCADE")
    done = senders("")
    assert done.returncode == 1
    assert "there is no pgagent in this database, or an older version" in done.stderr


def test_the_level_runner_is_enough(conn, agent, nightly, web_server, senders):
    conn.execute("CREATE ROLE telling LOGIN")
    try:
        done = senders(hook(web_server), PGUSER="telling")
        assert done.returncode == 1
        assert "SELECT pgagent.grant_access('runner', …) would permit it" in done.stderr
        conn.execute("SELECT pgagent.grant_access('runner', 'telling')")
        add_alert(conn)
        add_alert(conn, "too", "notify")
        fail(agent, nightly)
        conn.execute("SELECT pgagent.test_alert('night')")
        later(conn)
        done = senders(hook(web_server), PGUSER="telling")
        assert (done.returncode, done.stderr) == (0, "")
        assert {state for (state,) in log(conn, "state")} == {"sent"}
    finally:
        conn.execute("DROP OWNED BY telling; DROP ROLE telling")


def test_a_file_is_read_although_the_database_is_named(
    conn, agent, nightly, web_server, senders
):
    add_alert(conn)
    fail(agent, nightly)
    later(conn)
    assert senders(hook(web_server), "-d", conn.info.dbname).returncode == 0
    assert len(web_server.heard) == 1


def test_senders_at_the_same_time_send_each_message_once(
    conn, agent, nightly, web_server, senders
):
    for number in range(20):
        add_alert(conn, f"alert {number}")
    fail(agent, nightly)
    later(conn)
    threads = [
        threading.Thread(
            target=senders, args=[hook(web_server)], kwargs={"name": f"{n}.toml"}
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [told["event_id"] for told in bodies(web_server)]
    assert len(ids) == len(set(ids)) == 20
    assert {state for (state,) in log(conn, "state")} == {"sent"}


def test_what_can_not_be_decided_is_said(conn, agent, nightly, web_server, senders):
    add_alert(conn)
    conn.execute(
        "ALTER TABLE pgagent.pga_alertevent ADD CHECK (aleevent <> 'failed') NOT VALID"
    )
    fail(agent, nightly)
    done = senders(hook(web_server))
    assert "what alerts are to tell can't be decided: new row" in done.stderr


def test_a_standby_can_neither_decide_nor_send_and_says_so(web_server, senders):
    with Cluster({"hot_standby": "on"}, is_twin=True) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
            add_alert(conn)
        server.stop()
        server.settings["restore_command"] = "false"
        (server.data / "standby.signal").touch()
        server.start()
        done = senders(hook(web_server), "-d", server.conninfo())
    assert done.returncode == 1
    assert (
        "pgagent: this server is a standby: it can decide nothing about alerts"
        in done.stderr
    )


def test_its_time_begins_before_it_reads_a_file_that_may_never_end(monkeypatch):
    done = []

    def reads(_):
        done.append("file")
        raise ZeroDivisionError

    monkeypatch.setattr(alerting, "live_shortly", lambda _: done.append("time"))
    monkeypatch.setattr(alerting, "database", lambda _: ("", None))
    monkeypatch.setattr(alerting, "_file", reads)
    with pytest.raises(ZeroDivisionError):
        alerting.send_alerts(Namespace())
    assert done == ["time", "file"]
