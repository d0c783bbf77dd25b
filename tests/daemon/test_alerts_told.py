"""What a receiver is told of a job that fails a thousand times, or comes and goes."""

import json
import random

import pytest
from alerts.telling import later
from jobs import add_job
from support import poll

from chaos.receivers import Hook

from .runner_process import Runner, ended_runs

INPUT = "current_setting('pgagent.input')::int"


@pytest.fixture
def hook():
    """A web server that takes every message."""
    with Hook(random.Random(0), refuses=0, slow=0) as hook:
        yield hook


@pytest.fixture
def told(hook):
    """Return what the receiver has been told, in order."""
    return lambda: [one["event"] for body in hook.bodies for one in body["events"]]


@pytest.fixture
def telling_runner(conn, dsn, hook, tmp_path):
    """A runner whose senders know the web server, and an alert for it."""
    file = tmp_path / "pgagent.toml"
    file.touch(0o600)
    file.write_text(f'[channels.hook]\ntype = "webhook"\nurl = "{hook.url}"\n')
    conn.execute("SELECT pgagent.add_alert('all', 'hook')")
    with Runner("--config", file, dsn) as runner:
        yield runner.ready()


def run_with(conn, job_id, inputs):
    """Have a job run once with each of these inputs, in this order."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqinput)"
            " VALUES (%s, 'test', %s)",
            [(job_id, json.dumps(it)) for it in inputs],
        )


@pytest.mark.timeout(180)
def test_a_thousand_failures_are_one_message_and_their_end_another(
    conn, telling_runner, hook, told
):
    job_id = add_job(conn, f"SELECT 1 / {INPUT}", due=None)

    run_with(conn, job_id, [0] * 1000)
    poll(lambda: told() == ["failed"], 20)
    assert ended_runs(conn, count=1000, deadline=120) == "f" * 1000
    run_with(conn, job_id, [1])

    poll(lambda: told() == ["failed", "recovered"], 20)
    assert len(hook.bodies) == 2
    states = "SELECT DISTINCT state FROM pgagent.alert_log"
    assert conn.execute(states).fetchall() == [("sent",)]


@pytest.mark.timeout(180)
def test_a_job_that_comes_and_goes_is_two_messages_and_a_summary(
    conn, telling_runner, hook, told
):
    job_id = add_job(conn, f"SELECT 1 / {INPUT}", due=None)

    run_with(conn, job_id, [0, 1] * 200)
    assert ended_runs(conn, count=400, deadline=90) == "fs" * 200
    poll(lambda: told() == ["failed", "recovered"], 20)
    later(conn, "1 hour")
    conn.execute("SELECT pg_notify('pgagent', 'alert')")

    poll(lambda: told() == ["failed", "recovered", "flapping"], 20)
    assert len(hook.bodies) <= 3
    summary = hook.bodies[-1]["events"][0]
    assert summary["changes"] == {"failed": 199, "recovered": 199}
