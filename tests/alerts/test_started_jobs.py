"""An alert whose channel is a job has that run, with what is told as its input."""

import json

import pytest
from alerts.telling import fail, later, log, watch
from jobs import add_job

CLAIMED = "SELECT run_input FROM pgagent.pga_run_claim(pg_backend_pid(), 9, 60)"


@pytest.fixture
def started(conn):
    """The job that an alert of all failures starts."""
    job_id = add_job(conn, "SELECT 1", due=None, name="on call")
    conn.execute("SELECT pgagent.add_alert('all', 'job:on call')")
    return job_id


def given(agent):
    """Claim the job that is started; return what it is told."""
    return json.loads(agent.execute(CLAIMED).fetchone()[0])


def test_the_job_is_told_what_has_happened(conn, agent, sender, started):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    fail(agent, job_id, message="division by zero")
    later(conn)

    assert watch(sender)[0] == 0

    told = given(agent)
    (event,) = told["events"]
    assert (told["event"], told["alert"]) == ("failed", "all")
    assert told["event_id"] == event["event_id"]
    assert (event["job"], event["message"]) == ("etl", "division by zero")
    assert "events_left_out" not in told
    assert log(conn) == [("failed", "sent")]


@pytest.mark.parametrize(
    ("count", "name", "all_told"), [(30, "etl", True), (60, "é" * 900, False)]
)
def test_more_than_a_wish_can_take_along_is_shortened(
    conn, agent, sender, started, count, name, all_told
):
    for number in range(count):
        job_id = add_job(conn, "SELECT 1", due=None, name=f"{number} {name}")
        fail(agent, job_id, message='\\"€' * 600)
    later(conn)

    watch(sender)

    told = given(agent)
    assert len(told["events"]) + told.get("events_left_out", 0) == count
    assert bool(told.get("events_left_out")) is not all_told
    assert len(told["events"]) > count // 3
    assert len(json.dumps(told, ensure_ascii=False).encode()) < 100_000
    assert log(conn) == [("failed", "sent")] * count
