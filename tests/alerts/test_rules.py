"""Alerts and silences are made, changed and taken away as other things are."""

import psycopg
import pytest
from alerts.telling import fail, later, names, run, send_all, watch
from jobs import add_job

ROW = """
    SELECT channel, events, job, class, after_failures, repeat_every::text, enabled
    FROM pgagent.alerts WHERE alert = 'a'
"""
DEFAULT = [
    "failed",
    "recovered",
    "aborted",
    "late",
    "long",
    "disabled",
    "no_runner",
    "unarmed",
    "set_aside",
]


@pytest.fixture
def told(conn):
    """What the server has told, with its details."""
    told = []
    conn.add_notice_handler(
        lambda said: told.append((said.message_primary, said.message_detail))
    )
    return told


@pytest.fixture
def etl(conn):
    return add_job(conn, "SELECT 1", due=None, name="etl")


def call(conn, function, *arguments, **named):
    places = ["%s"] * len(arguments) + [f"{name} => %s" for name in named]
    query = f"SELECT pgagent.{function}({', '.join(places)})"
    return conn.execute(query, [*arguments, *named.values()]).fetchone()[0]


def row(conn):
    return conn.execute(ROW).fetchone()


def test_an_alert_is_of_all_jobs_and_of_all_events_but_skipped_by_default(conn):
    call(conn, "add_alert", "a", "mail")
    assert row(conn) == ("mail", DEFAULT, None, None, 1, None, True)


@pytest.mark.usefixtures("etl")
def test_an_alert_is_what_it_is_said_to_be(conn, etl):
    given = {
        "job": "etl",
        "events": ["late"],
        "after_failures": 3,
        "repeat_every": "1 hour",
        "enabled": False,
    }
    call(conn, "add_alert", "a", "mail", **given)
    assert row(conn) == ("mail", ["late"], "etl", None, 3, "01:00:00", False)
    call(conn, "add_alert", "b", "mail", job_id=etl)
    query = "SELECT job_id FROM pgagent.alerts WHERE alert = 'b'"
    assert conn.execute(query).fetchone() == (etl,)


@pytest.mark.usefixtures("etl")
def test_an_alert_is_changed_in_parts_and_zero_or_nothing_takes_a_limit_away(conn):
    call(conn, "add_alert", "a", "mail", job="etl", repeat_every="1 hour")
    call(conn, "alter_alert", "a", events=["failed"], after_failures=2)
    assert row(conn) == ("mail", ["failed"], "etl", None, 2, "01:00:00", True)
    call(conn, "alter_alert", "a", job="", repeat_every="0", channel="notify")
    assert row(conn) == ("notify", ["failed"], None, None, 2, None, True)
    call(conn, "alter_alert", "a", **{"class": "Data Import"})
    call(conn, "alter_alert", "a", job="etl")
    assert row(conn)[2:4] == ("etl", "Data Import")
    call(conn, "alter_alert", "a", **{"class": ""})
    assert row(conn)[2:4] == ("etl", None)
    call(conn, "alter_alert", "a", name="b")
    assert row(conn) is None


def test_if_there_is_one_already_on_conflict_says_what_to_do(conn):
    call(conn, "add_alert", "a", "mail", events=["late"])
    with pytest.raises(
        psycopg.errors.DuplicateObject, match='pgagent: there is an alert "a" already'
    ):
        call(conn, "add_alert", "a", "hook")
    call(conn, "add_alert", "a", "hook", on_conflict="nothing")
    assert row(conn)[0] == "mail"
    call(conn, "add_alert", "a", "hook", on_conflict="replace")
    assert row(conn) == ("hook", DEFAULT, None, None, 1, None, True)
    before = conn.execute("SELECT xmin FROM pgagent.pga_alert").fetchone()
    call(conn, "add_alert", "a", "hook", on_conflict="replace")
    call(conn, "alter_alert", "a", channel="hook")
    assert conn.execute("SELECT xmin FROM pgagent.pga_alert").fetchone() == before


def test_an_alert_is_dropped(conn, told):
    call(conn, "add_alert", "a", "mail")
    call(conn, "drop_alert", "a")
    assert row(conn) is None
    call(conn, "drop_alert", "a", if_exists=True)
    assert told == [('pgagent: there is no alert "a", skipping', None)]


def test_a_disabled_alert_can_be_tried_later(conn, told, sender):
    call(conn, "add_alert", "a", "mail", enabled=False)
    event_id = call(conn, "test_alert", "a")
    assert told == [
        ('pgagent: alert "a" is disabled: nothing is sent before it is enabled', None)
    ]
    assert names(send_all(sender)) == []
    call(conn, "alter_alert", "a", enabled=True)
    ((event,),) = send_all(sender)
    assert event["event_id"] == str(event_id)


REFUSED = {
    "add_alert('', 'mail')": ("22023", "add_alert(name): is empty"),
    "add_alert(NULL, 'mail')": ("22023", "add_alert(name): is empty"),
    "add_alert(repeat('x', 501), 'mail')": (
        "22023",
        "add_alert(name): has 501 characters",
    ),
    "add_alert('b', NULL)": ("22023", 'add_alert(channel): "" is no channel'),
    "add_alert('b', 'me@example.com')": (
        "22023",
        'add_alert(channel): "me@example.com" is no channel',
    ),
    "add_alert('b', 'job')": ("22023", "add_alert(channel): says of no job"),
    "add_alert('b', 'job:')": ("22023", 'add_alert(channel): "job:" is no channel'),
    "add_alert('b', 'job:nothing')": ("42704", 'there is no job "nothing"'),
    "add_alert('b', 'mail', events => '{}')": ("22023", "add_alert(events): is empty"),
    "add_alert('b', 'mail', events => '{failed,lost}')": (
        "22023",
        'add_alert(events): "lost" is not known',
    ),
    "add_alert('b', 'mail', events => '{NULL}')": (
        "22023",
        'add_alert(events): "NULL" is not known',
    ),
    "add_alert('b', 'mail', job => 'nothing')": ("42704", 'there is no job "nothing"'),
    "add_alert('b', 'mail', job_id => 77)": ("42704", "there is no job with the id 77"),
    "add_alert('b', 'mail', job => 'etl', job_id => 2)": (
        "22023",
        'add_alert(job, job_id): two jobs: "etl" and 2',
    ),
    "add_alert('b', 'mail', class => 'nothing')": (
        "42704",
        'there is no job class "nothing"',
    ),
    "add_alert('b', 'mail', after_failures => 0)": (
        "22023",
        "add_alert(after_failures): 0 is out of range",
    ),
    "add_alert('b', 'mail', repeat_every => '-1 h')": (
        "22023",
        'add_alert(repeat_every): "-01:00:00" is not a span of time',
    ),
    "add_alert('b', 'job:etl', job => 'etl')": (
        "22023",
        "pga_alert.altstartjobid: is the job that it is of",
    ),
    "add_alert('b', 'mail', on_conflict => 'maybe')": (
        "22023",
        'add_alert(on_conflict): "maybe" is not known',
    ),
    "alter_alert('b')": ("42704", 'there is no alert "b"'),
    "alter_alert('a', name => 'taken')": (
        "42710",
        'alter_alert(name): there is another "taken" already',
    ),
    "alter_alert('a', name => '')": ("22023", "alter_alert(name): is empty"),
    "alter_alert('a', channel => 'job:nothing')": (
        "42704",
        'there is no job "nothing"',
    ),
    "drop_alert('b')": ("42704", 'there is no alert "b"'),
    "test_alert('b')": ("42704", 'there is no alert "b"'),
    "silence('nothing')": ("42704", 'there is no job "nothing"'),
    "silence(77)": ("42704", "there is no job with the id 77"),
    "silence('etl', until => '2001-01-01')": ("22023", "silence(until): 2001-01-01"),
    "silence_all(until => '2001-01-01')": ("22023", "silence_all(until): 2001-01-01"),
    "silence_all(reason => repeat('x', 10001))": (
        "22023",
        "pga_jobsilence.jsireason: has 10001 characters",
    ),
    "unsilence('nothing')": ("42704", 'there is no job "nothing"'),
}


@pytest.mark.usefixtures("etl")
@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_allowed_is_refused_in_words(conn, text):
    sqlstate, message = REFUSED[text]
    add_job(conn, "SELECT 1", due=None, name="other")
    for name in ("a", "taken"):
        call(conn, "add_alert", name, "mail")
    with pytest.raises(psycopg.Error) as refused:
        conn.execute(f"SELECT pgagent.{text}")
    assert refused.value.sqlstate == sqlstate
    assert message in str(refused.value)
    assert refused.value.diag.message_detail


ROWS_REFUSED = {
    "('b', 'job:etl', DEFAULT)": 'pga_alert.altchannel: "job:etl" is no channel',
    "('b', 'job', DEFAULT)": "pga_alert.altstartjobid: is NULL",
    "('b', 'http://example.com', DEFAULT)": 'pga_alert(channel): "http://example.com" is no channel',
    "('b', 'mail', '{lost}')": 'pga_alert(events): "lost" is not known',
}


@pytest.mark.parametrize("values", ROWS_REFUSED)
def test_so_is_a_row_that_somebody_writes_by_hand(conn, values):
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        conn.execute(
            f"INSERT INTO pgagent.pga_alert (altname, altchannel, altevents) VALUES {values}"
        )
    assert ROWS_REFUSED[values] in str(refused.value)


def test_a_row_says_who_has_written_it_and_when(conn):
    conn.execute(
        "INSERT INTO pgagent.pga_alert (altname, altchannel, altby, altcreated)"
        " VALUES ('a', 'mail', 'nobody', '2001-01-01')"
    )
    conn.execute(
        "UPDATE pgagent.pga_alert SET altby = 'nobody', altcreated = 'infinity'"
    )
    query = "SELECT changed_by = current_user, created > now() - interval '1 h', isfinite(created) FROM pgagent.alerts"
    assert conn.execute(query).fetchone() == (True, True, True)


def test_what_lasts_and_was_told_is_over_for_an_alert_that_is_made_anew(
    conn, agent, sender, etl
):
    call(conn, "add_alert", "a", "mail")
    fail(agent, etl)
    call(conn, "drop_alert", "a")
    call(conn, "add_alert", "a", "mail")
    run(agent, etl)
    later(conn)
    assert names(send_all(sender)) == []


def test_an_alert_goes_with_its_job_and_with_its_class(conn, agent, sender, etl):
    call(conn, "create_class", "Reports")
    call(conn, "add_alert", "of a job", "mail", job="etl")
    call(conn, "add_alert", "of a class", "mail", **{"class": "Reports"})
    call(conn, "add_alert", "a", "mail")
    fail(agent, etl, "no disk")
    call(conn, "drop_job", "etl")
    call(conn, "drop_class", "Reports")
    assert conn.execute("SELECT alert FROM pgagent.alerts").fetchall() == [("a",)]
    watch(sender)
    later(conn)
    # That it has failed is told all the same, by the alert of all jobs.
    ((event,),) = send_all(sender)
    assert (event["job"], event["message"], event["job_id"]) == ("etl", "no disk", etl)
    assert conn.execute(
        "SELECT alert, state FROM pgagent.alert_log ORDER BY 1"
    ).fetchall() == [
        ("a", "sent"),
        ("of a job", "failed"),
    ]


def test_to_end_a_silence_that_is_none_is_said(conn, told, etl):
    call(conn, "unsilence", etl)
    call(conn, "unsilence_all")
    call(conn, "silence_all")
    call(conn, "unsilence", "etl")
    assert told == [
        ('pgagent: job "etl" is not silenced', "Nothing was changed."),
        (
            "pgagent: not all jobs are silenced",
            "Nothing was changed. Jobs that are silenced by themselves: 0; unsilence() ends that.",
        ),
        (
            'pgagent: job "etl" is not silenced',
            "Nothing was changed. All jobs are: unsilence_all() ends that.",
        ),
    ]


def test_to_silence_again_replaces_until_and_reason_and_keeps_since(conn, etl):
    silence = """
        SELECT jsisince, isfinite(jsiuntil), jsireason, jsiby = current_user
        FROM pgagent.pga_jobsilence WHERE jsijobid IS NOT DISTINCT FROM %s
    """
    for target in (etl, None):
        start = "silence_all(" if target is None else f"silence({etl}, "
        conn.execute(f"SELECT pgagent.{start}reason => 'disk')")
        since, *told = conn.execute(silence, [target]).fetchone()
        assert told == [False, "disk", True]
        conn.execute(f"SELECT pgagent.{start}until => now() + interval '1 h')")
        assert conn.execute(silence, [target]).fetchall() == [(since, True, "", True)]
