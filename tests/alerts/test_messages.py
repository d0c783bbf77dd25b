"""A message is claimed by one sender, and sent at least once, by one name."""

from alerts.telling import claim, fail, later, log, sent, succeed, watch
from jobs import add_job


def test_a_failure_and_the_end_of_it_are_a_message_each(conn, sender):
    conn.execute("SELECT pgagent.add_alert('all', 'mail')")
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")

    fail(conn, job_id, message="division by zero")
    assert watch(sender)[0] == 0
    later(conn)
    assert watch(sender)[0] == 1
    message, attempt, alert, channel, (event,) = claim(sender)
    assert (attempt, alert, channel) == (1, "all", "mail")
    assert event["event_id"] == str(message)
    told = {key: event[key] for key in ("event", "job_id", "job", "failures", "message")}
    assert told == {
        "event": "failed",
        "job_id": job_id,
        "job": "etl",
        "failures": 1,
        "message": "division by zero",
    }
    assert claim(sender) is None
    assert sent(sender, message)

    fail(conn, job_id)
    succeed(conn, job_id)
    later(conn)
    message, *_, (event,) = claim(sender)
    assert (event["event"], event["ended"]) == ("recovered", "failed")
    assert sent(sender, message)
    assert log(conn) == [("failed", "sent"), ("recovered", "sent")]
    assert claim(sender) is None
