"""NOTIFY and jobs are channels that take no sender."""

import json

import pytest
import transitions
from alerts.telling import fail, later, log, names, run, send_all, watch
from jobs import add_job, job

LONG = '\u2028"ü\x01' * 5000


@pytest.fixture
def listener(sender):
    sender.execute("LISTEN pgagent_event")
    return sender


def heard(listener, stop_after=1):
    notes = listener.notifies(timeout=5, stop_after=stop_after)
    return [json.loads(note.payload) for note in notes]


def test_notify_tells_each_event_as_json(conn, agent, listener):
    conn.execute("SELECT pgagent.add_alert('all', 'notify')")
    jobs = [add_job(conn, "SELECT 1", due=None, name=f"job {n}") for n in range(2)]
    ids = [fail(agent, job_id, "no disk") for job_id in jobs]
    later(conn)
    assert watch(conn)[0] == 0
    events = heard(listener, 2)
    assert [event["run_id"] for event in events] == ids
    assert {(e["event"], e["alert"], e["message"]) for e in events} == {
        ("failed", "all", "no disk")
    }
    assert log(conn) == [("failed", "sent")] * 2
    assert watch(conn) == (0, 60)


def test_what_is_too_long_to_be_notified_of_is_shortened(conn, agent, listener):
    conn.execute("SELECT pgagent.add_alert('all', 'notify')")
    job_id = add_job(conn, "SELECT 1", name=LONG)
    ((run_id, _),) = transitions.claim(agent)
    (row,) = conn.execute("SELECT max(jslid) FROM pgagent.pga_jobsteplog").fetchone()
    transitions.record(
        agent,
        run_id,
        step_log_id=row,
        step_status="f",
        output=LONG,
        run_status="f",
        message=LONG,
    )
    later(conn)
    watch(conn)
    (note,) = listener.notifies(timeout=5, stop_after=1)
    assert len(note.payload.encode()) <= 7900
    event = json.loads(note.payload)
    assert (event["event"], event["job_id"], event["run_id"]) == (
        "failed",
        job_id,
        run_id,
    )
    assert LONG.startswith(event["job"])
    assert LONG.startswith(event["message"])
    assert LONG.endswith(event["output"])
    assert len(event["output"]) > 50


def test_where_the_catalogue_is_isolated_everybody_hears_ids_only(
    conn, agent, listener
):
    conn.execute("SELECT pgagent.add_alert('all', 'notify')")
    fail(agent, add_job(conn, "SELECT 1", due=None, name="secret"), "secret")
    conn.execute("SELECT FROM pgagent.isolate()")
    later(conn)
    watch(conn)
    (event,) = heard(listener)
    assert set(event) == {"event", "event_id", "job_id", "run_id", "at"}


def test_a_job_is_started_with_what_is_told(conn, agent):
    told = add_job(conn, "SELECT 1", due=None, name="tell somebody")
    failing = add_job(conn, "SELECT 1", due=None, name="etl")
    conn.execute("SELECT pgagent.add_alert('all', 'job:tell somebody')")
    query = "SELECT channel, pending FROM pgagent.alerts"
    assert conn.execute(query).fetchall() == [("job:tell somebody", 0)]
    fail(agent, failing, "no disk")
    assert conn.execute(query).fetchall() == [("job:tell somebody", 1)]
    later(conn)
    watch(conn)
    query = "SELECT jrqjobid, jrqvia, jrqinput FROM pgagent.pga_jobrequest"
    ((job_id, via, message),) = conn.execute(query).fetchall()
    assert (job_id, via) == (told, "alert")
    assert (message["event"], message["alert"]) == ("failed", "all")
    (event,) = message["events"]
    assert message["event_id"] == event["event_id"]
    assert (event["job"], event["message"]) == ("etl", "no disk")
    assert log(conn) == [("failed", "sent")]
    assert [job_id for _, job_id in transitions.claim(agent)] == [told]
    query = "SELECT started_via FROM pgagent.run_history WHERE job_id = %s"
    assert conn.execute(query, [told]).fetchall() == [("alert",)]


def test_a_job_is_not_started_for_its_own_sake(conn, agent):
    add_job(conn, "SELECT 1", due=None, name="tell")
    add_job(conn, "SELECT 1", due=None, name="too")
    failing = add_job(conn, "SELECT 1", due=None)
    conn.execute("SELECT pgagent.add_alert('one', 'job:tell')")
    conn.execute("SELECT pgagent.add_alert('two', 'job:too')")
    conn.execute("SELECT pgagent.add_alert('mail', 'mail')")
    fail(agent, failing)
    for _ in range(3):
        later(conn)
        watch(conn)
        for run_id, _ in transitions.claim(agent):
            transitions.finish_run(agent, run_id, "f")
    query = (
        "SELECT alert, count(*) FROM pgagent.alert_log GROUP BY alert ORDER BY alert"
    )
    # That these jobs fail is told by other channels.
    assert conn.execute(query).fetchall() == [("mail", 3), ("one", 1), ("two", 1)]


def test_a_job_that_was_dropped_is_not_started_and_the_log_says_so(conn, agent):
    conn.execute("SELECT pgagent.create_job('tell')")
    conn.execute("SELECT pgagent.add_alert('all', 'job:tell')")
    conn.execute("SELECT pgagent.drop_job('tell')")
    fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn)
    watch(conn)
    query = "SELECT state, attempts, last_error FROM pgagent.alert_log"
    assert conn.execute(query).fetchall() == [
        ("pending", 1, 'pgagent: the job that alert "all" starts was dropped')
    ]
    conn.execute("SELECT pgagent.create_job('another')")
    conn.execute("SELECT pgagent.alter_alert('all', channel => 'job:another')")
    later(conn, "11 seconds")
    watch(conn)
    assert log(conn) == [("failed", "sent")]


def test_the_message_of_very_many_events_still_starts_the_job(conn, agent):
    told = add_job(conn, "SELECT 1", due=None, name="tell")
    conn.execute("SELECT pgagent.add_alert('all', 'job:tell')")
    fail(agent, add_job(conn, "SELECT 1", due=None), LONG)
    conn.execute(
        """
        INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, aledue, aledata)
        SELECT 'failed', alealtid, alealert, aledue, aledata FROM pgagent.pga_alertevent, generate_series(1, 999)
        """
    )
    later(conn)
    watch(conn)
    assert {state for _, state in log(conn)} == {"sent"}
    assert job(conn, told, "jobrunid IS NOT NULL")


def test_channels_without_a_sender_are_nobodys_to_claim(conn, sender):
    conn.execute("SELECT pgagent.add_alert('all', 'notify')")
    conn.execute("SELECT pgagent.test_alert('all')")
    assert names(send_all(sender, ["notify"])) == []
    assert log(conn) == [("test", "sent")]


def test_each_event_can_be_told_by_notify(conn, agent, listener):
    """Those that this file does not show are the same way through."""
    conn.execute("SELECT pgagent.add_alert('all', 'notify')")
    job_id = add_job(conn, "SELECT 1", due=None)
    run(agent, job_id, "d")
    run(agent, job_id)
    later(conn)
    watch(conn)
    assert sorted(event["event"] for event in heard(listener, 2)) == [
        "aborted",
        "recovered",
    ]
