"""alerts, test-alert, silence and unsilence: who is told of what."""

import pytest
from jobs import add_job

ADD = "SELECT pgagent.add_alert('on call', 'mail', job => 'nightly')"


@pytest.fixture
def told(conn, nightly):
    conn.execute(ADD)
    return nightly


def test_alerts_are_listed(pgagent, told):
    (alert,) = pgagent.json("alerts")
    assert (alert["alert"], alert["channel"]) == ("on call", "mail")
    assert (alert["job"], alert["enabled"]) == ("nightly", True)
    assert "failed recovered" in pgagent.prints("alerts")


def test_without_alerts_it_says_how_to_make_one(pgagent, nightly):
    assert (
        pgagent.prints("alerts")
        == "There are no alerts: pgagent.add_alert() makes one.\n"
    )
    assert pgagent.prints("alerts", "--log") == "No alert has told anything.\n"


def test_what_was_told_is_listed(conn, pgagent, told):
    conn.execute("SELECT pgagent.test_alert('on call')")
    conn.execute("SELECT pgagent.pga_alert_watch()")
    (event,) = pgagent.json("alerts", "--log")
    assert (event["event"], event["state"]) == ("test", "pending")
    assert pgagent.json("alerts", "--failed") == []


def test_what_no_sender_asks_for_is_told_as_such(conn, pgagent, told):
    conn.execute("SELECT pgagent.test_alert('on call')")
    conn.execute("SELECT pgagent.pga_alert_watch()")
    conn.execute(
        "UPDATE pgagent.pga_alertevent SET aledue = aledue - interval '1 minute'"
    )
    (event,) = pgagent.json("alerts", "--failed")
    why = "no sender that knows this channel has asked for it"
    assert (event["state"], event["last_error"]) == ("pending", why)


def test_a_test_says_by_which_id_it_is_found(conn, pgagent, told):
    (tried,) = pgagent.json("test-alert", "on call")
    conn.execute("SELECT pgagent.pga_alert_watch()")
    (event,) = pgagent.json("alerts", "--log")
    assert event["event_id"] == tried["event_id"]
    refusal = pgagent.refuses("test-alert", "nobody")
    assert 'there is no alert "nobody"' in refusal


def test_jobs_are_silenced_and_told_of_again(conn, pgagent, told):
    said = pgagent.prints("silence", "nightly", "--for", "2 hours", "--reason", "x")
    assert said.startswith('nobody is told of job "nightly" until ')
    query = (
        "SELECT jsireason, jsiuntil - now() BETWEEN '119 minutes' AND '2 hours'"
        " FROM pgagent.pga_jobsilence WHERE jsiuntil > now()"
    )
    assert conn.execute(query).fetchall() == [("x", True)]
    assert (
        pgagent.prints("unsilence", "nightly") == 'job "nightly" is silenced no more\n'
    )
    assert conn.execute(query).fetchall() == []
    assert pgagent.prints("silence", "--all") == (
        "nobody is told of anything; runs go on as ever\n"
    )


def test_several_jobs_are_silenced_or_none(conn, pgagent, told):
    add_job(conn, name="other", due=None)
    assert "no job" in pgagent.refuses("silence", "other", "missing")
    assert conn.execute("SELECT FROM pgagent.pga_jobsilence").rowcount == 0
    rows = pgagent.json("silence", "nightly", "other")
    assert [row["job"] for row in rows] == ["nightly", "other"]


def test_all_are_silenced(conn, pgagent, told):
    pgagent.prints("silence", "--all", "--until", "2099-07-01")
    query = (
        "SELECT jsijobid, extract(year FROM jsiuntil)::int FROM pgagent.pga_jobsilence"
    )
    assert conn.execute(query).fetchall() == [(None, 2099)]
    said = pgagent.prints("unsilence", "--all")
    assert said == "there is no silence of all jobs any more\n"


def test_whoever_is_silenced_is_named(pgagent, told):
    assert "name a job" in pgagent.refuses("silence", status=2)
    assert "name none" in pgagent.refuses("silence", "--all", "nightly", status=2)


def test_no_level_is_named_where_none_would_help(conn, dsn, pgagent, nightly):
    conn.execute("CREATE ROLE pga_one LOGIN; SELECT pgagent.isolate()")
    try:
        conn.execute("SELECT pgagent.grant_access('editor', 'pga_one')")
        told = pgagent.refuses("silence", "--all", "-d", f"{dsn} user=pga_one")
    finally:
        conn.execute("SELECT pgagent.isolate(false)")
        conn.execute("DROP OWNED BY pga_one; DROP ROLE pga_one")
    assert "pga_may_edit_all()" in told
    assert "grant_access" not in told
