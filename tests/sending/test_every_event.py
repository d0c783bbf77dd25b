"""Every event is delivered by every channel that needs nothing else, to a real receiver."""

import json
import signal
from contextlib import closing

import psycopg
import pytest
from alerts.telling import claim, fail, later, run, send_all, watch
from jobs import add_job, add_schedule
from pgagent_runner.sending.channels import read_channels
from pgagent_runner.sending.errand import send_waiting
from receivers import (
    Hook,
    address,
    bodies,
    serving,
    speaking_tls,
    starting_tls,
)
from support import poll
from transitions import claim as claim_runs


def make_recovered(conn, agent, job_id):
    fail(agent, job_id)
    later(conn)
    send_all(conn, CHANNELS)
    run(agent, job_id)


def make_flapping(conn, agent, job_id):
    for status in "fsfs":
        run(agent, job_id, status)
        later(conn)
        send_all(conn, CHANNELS)
    later(conn, "61 minutes")


def make_late(conn, _, job_id):
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() - interval '1 hour' WHERE jobid = %s",
        [job_id],
    )


def make_no_runner(conn, agent, job_id):
    agent.close()
    poll(lambda: not conn.execute("DELETE FROM pgagent.pga_jobagent").rowcount)
    make_late(conn, agent, job_id)


def make_long(conn, agent, job_id):
    conn.execute(
        "UPDATE pgagent.pga_job SET joblongafter = '1 minute', jobnextrun = now()"
        " WHERE jobid = %s",
        [job_id],
    )
    claim_runs(agent)
    later(conn, "2 minutes")


def make_disabled(conn, agent, job_id):
    conn.execute(
        "UPDATE pgagent.pga_job SET jobdeaths = 2, jobnextrun = now() WHERE jobid = %s",
        [job_id],
    )
    claim_runs(agent)
    conn.execute("SELECT pgagent.pga_agent_bury_run(%s, true, 'killed')", [job_id])


def make_skipped(conn, agent, job_id):
    conn.execute(
        "UPDATE pgagent.pga_job SET jobmissed = 'skip' WHERE jobid = %s", [job_id]
    )
    add_schedule(conn, job_id, jscstart="2020-01-01")
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = date_trunc('minute', now())"
        " - interval '10 minutes' WHERE jobid = %s",
        [job_id],
    )
    claim_runs(agent)


def make_unarmed(conn, agent, job_id):
    make_late(conn, agent, job_id)
    conn.execute(
        "UPDATE pgagent.pga_arming SET armdatabaseid = 1, armdatabase = 'elsewhere'"
    )


def make_set_aside(conn, _, job_id):
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [job_id]
    )
    conn.execute(
        "SELECT pgagent.pga_job_set_aside(%s, 'a trigger refuses it')", [job_id]
    )


MAKERS = {
    "failed": lambda _, agent, job_id: fail(agent, job_id),
    "aborted": lambda _, agent, job_id: run(agent, job_id, "d"),
    "recovered": make_recovered,
    "late": make_late,
    "skipped": make_skipped,
    "long": make_long,
    "disabled": make_disabled,
    "no_runner": make_no_runner,
    "unarmed": make_unarmed,
    "set_aside": make_set_aside,
    "flapping": make_flapping,
    "test": lambda conn, *_: conn.execute(
        "SELECT pgagent.test_alert(alert) FROM pgagent.alerts"
    ),
}
WANTED = {"recovered": ["failed", "recovered"], "flapping": ["failed", "recovered"]}
HEADS = {
    "long": "RUNS LONG",
    "set_aside": "SET ASIDE",
    "no_runner": "NO RUNNER",
    "unarmed": "NOT ARMED",
}


CHANNELS = ["mail", "hook", "program", "service"]


@pytest.fixture
def make(conn, agent):
    """Have an event happen of which an alert for each channel tells."""

    def make(word):
        add_job(conn, "SELECT 1", due=None, name="pager")
        job_id = add_job(conn, "SELECT 1", due=None, name="nightly")
        wanted = WANTED.get(word, ["failed"] if word == "test" else [word])
        for channel in (*CHANNELS, "notify", "job:pager"):
            conn.execute(
                "SELECT pgagent.add_alert(%s, %s, %s)", [channel, channel, wanted]
            )
        MAKERS[word](conn, agent, job_id)
        watch(conn)
        later(conn)

    return make


@pytest.mark.needs("openssl")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of apprise's own
@pytest.mark.parametrize("word", MAKERS)
def test_an_event_is_delivered_by_every_channel(
    dsn, conn, make, trusted, written, tmp_path, word
):
    """Mail with STARTTLS and a login, a webhook with TLS, a command, apprise; then NOTIFY and a job."""
    context = trusted("here")
    script = f"cat >{tmp_path}/json; printf %s $PGAGENT_EVENT >{tmp_path}/word"
    with (
        serving(starting_tls(context)) as mail,
        serving(speaking_tls(Hook, context)) as web,
        serving(Hook) as service,
        closing(psycopg.connect(dsn, autocommit=True)) as listening,
    ):
        listening.execute("LISTEN pgagent_event")
        make(word)
        host, port = mail.server_address
        sent_by(
            dsn,
            written(
                f'[channels.mail]\ntype = "smtp"\nhost = "{host}"\nport = {port}\n'
                'from = "a@b"\nto = "c@d"\nlogin = "me"\npassword = "hush"\n'
                f'[channels.hook]\ntype = "webhook"\nurl = "https://{address(web)}/200"\n'
                f'[channels.program]\ntype = "command"\ncommand = {json.dumps(["sh", "-c", script])}\n'
                f'[channels.service]\ntype = "apprise"\nurl = "json://{address(service)}/200"\n'
            ),
        )
        notified = [json.loads(one.payload) for one in listening.notifies(timeout=0)]

    head = f"[pgagent] {HEADS.get(word, word.upper())}"
    (line,) = (line for line in mail.heard if line.startswith("Subject: "))
    assert line.startswith(f"Subject: {head}")
    (told,) = bodies(web)
    assert_told(told["events"], word)
    assert_told(json.loads((tmp_path / "json").read_text())["events"], word)
    assert (tmp_path / "word").read_text() == word
    (told,) = bodies(service)
    assert told["title"].startswith(head)
    assert_told([one for one in notified if one["event"] == word], word)
    assert_told([one for one in wished(conn) if one["event"] == word], word)
    assert claim(conn, CHANNELS) is None


def sent_by(dsn, file):
    """Send all that waits for the channels of a file."""
    said: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    try:
        outcome = send_waiting(dsn, read_channels(file), said.append, lambda _: None)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (outcome.sent, outcome.left, said) == (len(CHANNELS), 0, [])


def wished(conn):
    """Return the events that a job was started with."""
    wishes = conn.execute(
        "SELECT jrqinput FROM pgagent.pga_jobrequest WHERE jrqvia = 'alert' ORDER BY jrqid"
    )
    return [event for (wish,) in wishes for event in wish["events"]]


def assert_told(told, word):
    (event,) = told
    assert event["event"] == word
    concerns_all = word in ("no_runner", "unarmed", "test")
    assert event.get("job") == (None if concerns_all else "nightly")
