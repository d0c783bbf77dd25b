"""How long is kept what alerts have told."""

import pytest
from alerts.telling import fail, later, run, send_all, sent, watch
from jobs import add_job

pytestmark = pytest.mark.usefixtures("alert")


def count(conn, table, condition="true"):
    query = f"SELECT count(*) FROM pgagent.{table} WHERE {condition}"
    return conn.execute(query).fetchone()[0]


def prune(conn):
    # As after the last job.
    conn.execute("SELECT pgagent.pga_log_prune(2000000000, 1000, 100)")


def test_events_are_kept_for_thirty_days(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id)
    later(conn)
    send_all(sender)
    later(conn, "29 days")
    prune(conn)
    assert count(conn, "pga_alertevent") == 1
    later(conn, "1 day")
    prune(conn)
    assert count(conn, "pga_alertevent") == 0
    # It still fails, and that is not told anew.
    assert count(conn, "pga_alertstate") == 1
    fail(agent, job_id)
    later(conn)
    assert send_all(sender) == []


def test_of_very_many_events_the_latest_are_kept(conn):
    conn.execute(
        """
        INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, alestate, aleat)
        SELECT 'late', altid, altname, 'sent', now() - n * interval '1 second'
        FROM pgagent.pga_alert, generate_series(1, 100500) AS n
        """
    )
    prune(conn)
    assert count(conn, "pga_alertevent") == 100000
    assert (
        count(conn, "pga_alertevent", "aleat < now() - interval '100100 seconds'") == 0
    )


def test_what_is_over_is_forgotten_after_an_hour(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id)
    run(agent, job_id)
    prune(conn)
    assert count(conn, "pga_alertstate") == 1
    later(conn, "61 minutes")
    prune(conn)
    assert count(conn, "pga_alertstate") == 0


def test_what_is_to_be_summed_up_is_not_forgotten(conn, agent):
    job_id = add_job(conn, "SELECT 1", due=None)
    for status in "fsfs":
        run(agent, job_id, status)
    later(conn, "2 hours")
    prune(conn)
    assert count(conn, "pga_alertstate") == 1
    watch(conn)
    prune(conn)
    assert count(conn, "pga_alertstate") == 1
    later(conn, "2 hours")
    prune(conn)
    assert count(conn, "pga_alertstate") == 0


def test_a_silence_that_is_over_is_forgotten_after_a_day(conn):
    add_job(conn, "SELECT 1", due=None, name="etl")
    conn.execute("SELECT pgagent.silence('etl'), pgagent.silence_all()")
    conn.execute("SELECT pgagent.unsilence('etl')")
    prune(conn)
    assert count(conn, "pga_jobsilence") == 2
    conn.execute(
        "UPDATE pgagent.pga_jobsilence SET jsiuntil = now() - interval '25 hours'"
        " WHERE isfinite(jsiuntil)"
    )
    prune(conn)
    assert count(conn, "pga_jobsilence") == 1


def test_what_has_not_been_sent_for_five_minutes_is_a_problem(conn, agent, sender):
    query = (
        "SELECT job_id, problem, detail FROM pgagent.problems WHERE problem = 'alert'"
    )
    fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn, "4 minutes")
    assert conn.execute(query).fetchall() == []
    later(conn, "2 minutes")
    ((job_id, _, detail),) = conn.execute(query).fetchall()
    assert job_id is None
    assert 'of alert "all" has not been sent by channel "mail"' in detail
    assert detail.endswith("no sender that knows this channel has asked for it")
    message = sender.execute(
        "SELECT message FROM pgagent.pga_alert_claim('{mail}')"
    ).fetchone()[0]
    sent(sender, message, 1, "no route to host")
    ((_, _, detail),) = conn.execute(query).fetchall()
    assert detail.endswith("no route to host")
    later(conn, "1 minute")
    send_all(sender)
    assert conn.execute(query).fetchall() == []
