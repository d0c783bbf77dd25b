"""Alerts of teams that share a catalogue."""

import psycopg
import pytest
from alerts.telling import later, send_all, watch


def test_an_owner_has_himself_told_of_his_own_job_and_sees_those_events_only(
    jobs, isolated, login
):
    alice = login("alice")
    isolated.execute("DELETE FROM pgagent.pga_alertevent")
    alice.execute(
        "SELECT pgagent.add_alert('mine', 'mail', job => 'job of iso_team_a')"
    )
    isolated.execute("SELECT pgagent.add_alert('all', 'mail')")
    isolated.execute(
        "UPDATE pgagent.pga_job SET jobfailures = 1 WHERE jobid = ANY (%s)",
        [list(jobs.values())],
    )
    query = "SELECT alert, job_id FROM pgagent.alert_log ORDER BY alert, job_id"
    assert len(isolated.execute(query).fetchall()) == 3 + 3 + 1
    seen = alice.execute(query).fetchall()
    assert {job_id for _, job_id in seen} == {jobs["iso_team_a"]}
    assert {alert for alert, _ in seen} == {
        f"alert {jobs['iso_team_a']}",
        "all",
        "mine",
    }
    query = "SELECT alert FROM pgagent.alerts ORDER BY alert"
    assert alice.execute(query).fetchall() == [
        (f"alert {jobs['iso_team_a']}",),
        ("mine",),
    ]


def test_an_owner_sees_what_becomes_of_a_test(jobs, isolated, login):
    alice = login("alice")
    alice.execute(
        "SELECT pgagent.add_alert('mine', 'mail', job => 'job of iso_team_a')"
    )
    (event,) = alice.execute("SELECT pgagent.test_alert('mine')").fetchone()
    watch(isolated)
    query = "SELECT event_id, state FROM pgagent.alert_log WHERE event = 'test'"
    assert alice.execute(query).fetchall() == [(event, "pending")]
    assert login("bob").execute(query).fetchall() == []


REFUSED = [
    "add_alert('x', 'mail')",
    "add_alert('x', 'mail', class => 'Data Import')",
    "alter_alert('mine', job => '')",
    "silence_all()",
    "unsilence_all()",
]


@pytest.mark.parametrize("call", REFUSED)
def test_what_concerns_all_jobs_is_for_who_may_edit_all(jobs, isolated, login, call):
    alice = login("alice")
    alice.execute(
        "SELECT pgagent.add_alert('mine', 'mail', job => 'job of iso_team_a')"
    )
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege,
        match="may not write alerts of all jobs, nor silence all",
    ):
        alice.execute(f"SELECT pgagent.{call}")


FOREIGN = [
    "add_alert('x', 'mail', job => 'job of iso_team_b')",
    "add_alert('x', 'job:job of iso_team_b', job => 'job of iso_team_a')",
    "alter_alert('mine', channel => 'job:job of iso_team_b')",
    "alter_alert('mine', job => 'job of iso_team_b')",
    "drop_alert('all')",
    "test_alert('all')",
    "silence('job of iso_team_b')",
]


@pytest.mark.parametrize("call", FOREIGN)
def test_others_jobs_and_alerts_are_not_there(jobs, isolated, login, call):
    alice = login("alice")
    alice.execute(
        "SELECT pgagent.add_alert('mine', 'mail', job => 'job of iso_team_a')"
    )
    isolated.execute("SELECT pgagent.add_alert('all', 'mail')")
    with pytest.raises(psycopg.errors.UndefinedObject):
        alice.execute(f"SELECT pgagent.{call}")


def test_nor_can_a_row_by_hand_start_a_job_of_others(jobs, login):
    alice = login("alice")
    insert = """
        INSERT INTO pgagent.pga_alert (altname, altchannel, altjobid, altstartjobid)
        VALUES ('x', 'job', %s, %s)
    """
    with pytest.raises(psycopg.errors.UndefinedObject):
        alice.execute(insert, [jobs["iso_team_a"], jobs["iso_team_b"]])


def test_a_name_that_is_taken_is_refused_without_a_word_of_whose_it_is(
    jobs, isolated, login
):
    isolated.execute(
        "SELECT pgagent.add_alert('secret', 'mail', job => 'job of iso_team_b')"
    )
    for conflict in ("error", "replace"):
        with pytest.raises(psycopg.Error) as refused:
            login("alice").execute(
                "SELECT pgagent.add_alert('secret', 'hook', job => 'job of iso_team_a', on_conflict => %s)",
                [conflict],
            )
        assert "iso_team_b" not in str(refused.value)
    query = "SELECT channel FROM pgagent.alerts WHERE alert = 'secret'"
    assert isolated.execute(query).fetchall() == [("mail",)]


def test_a_job_that_has_become_anothers_is_not_started_any_more(jobs, isolated, login):
    alice = login("alice")
    alice.execute("SELECT pgagent.create_job('tell', owner => 'iso_team_a')")
    alice.execute(
        "SELECT pgagent.add_alert('mine', 'job:tell', job => 'job of iso_team_a')"
    )
    alice.execute("SELECT pgagent.test_alert('mine')")
    isolated.execute(
        "UPDATE pgagent.pga_job SET jobowner = 'iso_team_b' WHERE jobname = 'tell'"
    )
    isolated.execute("DELETE FROM pgagent.pga_jobrequest")
    watch(isolated)
    assert isolated.execute("SELECT FROM pgagent.pga_jobrequest").fetchall() == []
    query = "SELECT state, last_error FROM pgagent.alert_log WHERE event = 'test'"
    ((state, error),) = isolated.execute(query).fetchall()
    assert state == "pending"
    assert 'who has last changed alert "mine", may not start job "tell"' in error


def test_a_runner_decides_and_sends_for_all(jobs, isolated, login):
    runner = login("runner")
    isolated.execute("DELETE FROM pgagent.pga_alert")
    isolated.execute("SELECT pgagent.add_alert('all', 'mail')")
    runner.execute("UPDATE pgagent.pga_job SET jobfailures = 1")
    later(isolated)
    (events,) = send_all(runner)
    assert {event["job_id"] for event in events if event["event"] == "failed"} == set(
        jobs.values()
    )


def test_who_takes_the_id_of_a_dropped_job_sees_nothing_of_what_was_told_of_it(
    jobs, isolated, login
):
    dropped = jobs["iso_team_b"]
    isolated.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [dropped])
    alice = login("alice")
    alice.execute(
        "INSERT INTO pgagent.pga_job (jobid, jobname, jobjclid, jobowner)"
        " VALUES (%s, 'mine', 1, 'iso_team_a')",
        [dropped],
    )
    for view in ("alert_log", "pga_alertevent"):
        query = f"SELECT FROM pgagent.{view} AS v WHERE v::text LIKE '%%secret%%'"
        assert len(alice.execute(query).fetchall()) == 1  # of her own job
        assert len(isolated.execute(query).fetchall()) == 3
