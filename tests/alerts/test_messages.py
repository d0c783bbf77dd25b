"""A message is one sender's at a time, and is sent at least once, by one name."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from alerts.telling import claim, fail, later, log, send_all, sent, watch
from jobs import add_job

pytestmark = pytest.mark.usefixtures("alert")


@pytest.fixture
def message(conn, agent, alert):
    """A message that is due, and has not been claimed."""
    fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn)


def row(conn, columns):
    return conn.execute(f"SELECT {columns} FROM pgagent.pga_alertevent").fetchone()


def test_an_event_is_not_due_before_others_may_have_come(conn, agent, sender):
    fail(agent, add_job(conn, "SELECT 1", due=None))
    claimable, look_again = watch(sender)
    assert claimable == 0
    assert 3 < look_again <= 5
    assert claim(sender) is None
    later(conn, "4 seconds")
    fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn, "1 second")
    assert watch(sender)[0] == 1
    assert len(claim(sender)[-1]) == 2


@pytest.mark.usefixtures("message")
def test_a_message_that_is_claimed_is_nobody_elses(conn, sender):
    message, attempt, alert, channel, (event,) = claim(sender)
    assert (attempt, alert, channel) == (1, "all", "mail")
    assert event["event_id"] == str(message)
    assert claim(conn) is None
    assert watch(conn)[0] == 0
    assert log(conn) == [("failed", "sending")]
    assert sent(sender, message)
    assert log(conn) == [("failed", "sent")]
    assert not sent(sender, message)
    later(conn, "1 day")
    assert claim(conn) is None


@pytest.mark.usefixtures("message")
def test_a_message_goes_to_who_knows_its_channel(conn, sender):
    assert claim(sender, ["hook"]) is None
    assert claim(sender, []) is None
    assert claim(sender, ["notify", "job"]) is None
    assert log(conn) == [("failed", "pending")]
    assert claim(sender, ["hook", "mail"]) is not None


@pytest.mark.usefixtures("message")
def test_a_claim_whose_lease_ran_out_is_another_senders_by_the_same_name(conn, sender):
    first, *_ = claim(sender)
    assert 58 < watch(conn)[1] <= 60
    later(conn, "61 seconds")
    assert watch(conn)[0] == 1
    second, attempt, *_, (event,) = claim(conn)
    assert (second, attempt, event["event_id"]) == (first, 2, str(first))
    assert row(conn, "aleerror") == ("its sender has not said what became of it",)


@pytest.mark.usefixtures("message")
def test_what_a_late_sender_has_sent_is_sent(conn, sender):
    message, *_ = claim(sender)
    later(conn, "61 seconds")
    claim(conn)
    assert sent(sender, message, 1)
    assert log(conn) == [("failed", "sent")]
    assert not sent(conn, message, 2, "too late")
    assert log(conn) == [("failed", "sent")]


@pytest.mark.usefixtures("message")
def test_what_a_late_sender_has_failed_at_is_still_another_ones(conn, sender):
    message, *_ = claim(sender)
    later(conn, "61 seconds")
    claim(conn)
    assert not sent(sender, message, 1, "no route to host")
    assert log(conn) == [("failed", "sending")]
    assert sent(conn, message, 2)


@pytest.mark.usefixtures("message")
def test_an_attempt_nobody_has_made_counts_for_nothing(sender):
    message, *_ = claim(sender)
    assert not sent(sender, message, 0)
    assert not sent(sender, message, 2)
    assert not sent(sender, "00000000-0000-0000-0000-000000000000", 1)
    assert not sent(sender, message, None)


@pytest.mark.usefixtures("message")
def test_attempts_come_at_ever_longer_intervals_up_to_an_hour(conn, sender):
    waits = []
    for attempt in range(1, 13):
        message, number, *_ = claim(sender)
        assert number == attempt
        assert sent(sender, message, attempt, f"no {attempt}")
        assert log(conn) == [("failed", "pending")]
        waits.append(row(conn, "round(extract(epoch FROM aledue - now()))")[0])
        assert claim(conn) is None
        later(conn, f"{waits[-1]} seconds")
    assert waits[:4] == pytest.approx([10, 20, 40, 80], abs=1)
    assert waits[-3:] == pytest.approx([3600] * 3, abs=1)
    assert row(conn, "aleattempts, aleerror") == (12, "no 12")


@pytest.mark.usefixtures("message")
def test_three_days_after_the_event_it_is_given_up(conn, sender):
    message, *_ = claim(sender)
    later(conn, "73 hours")
    claim(sender)
    assert sent(sender, message, 2, "no route to host")
    assert log(conn) == [("failed", "failed")]
    assert claim(sender) is None


@pytest.mark.usefixtures("message")
def test_what_no_sender_asks_for_is_given_up_as_well(conn):
    later(conn, "71 hours")
    assert watch(conn)[0] == 1
    later(conn, "2 hours")
    assert watch(conn)[0] == 0
    query = "SELECT state, last_error FROM pgagent.alert_log"
    assert conn.execute(query).fetchall() == [
        ("failed", "given up after three days: no sender knows its channel")
    ]


@pytest.mark.usefixtures("message")
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("drop_alert('all')", "its alert was dropped"),
        ("alter_alert('all', enabled => false)", "its alert was disabled"),
    ],
)
def test_what_an_alert_has_not_told_it_does_not_tell_when_it_is_gone(
    conn, sender, call, error
):
    conn.execute(f"SELECT pgagent.{call}")
    assert claim(sender) is None
    assert watch(sender) == (0, 60)
    query = "SELECT alert, state, last_error FROM pgagent.alert_log"
    assert conn.execute(query).fetchall() == [("all", "failed", error)]


@pytest.mark.usefixtures("message")
def test_a_message_keeps_its_events_in_all_attempts(conn, agent, sender):
    message, *_ = claim(sender)
    sent(sender, message, 1, "no")
    fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn, "11 seconds")
    assert watch(conn)[0] == 2
    lengths = {claimed[0]: len(claimed[-1]) for claimed in (claim(conn), claim(conn))}
    assert len(lengths) == 2
    assert set(lengths.values()) == {1}
    assert message in lengths


def test_of_many_senders_at_once_each_message_has_one(dsn, conn, agent):
    for n in range(10):
        conn.execute(f"SELECT pgagent.add_alert('a{n}', 'mail')")
    for _ in range(5):
        fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn)

    def send(_):
        claimed = []
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            while found := claim(session):
                claimed.append((found[0], len(found[-1])))
                assert sent(session, found[0])
        return claimed

    with ThreadPoolExecutor(8) as pool:
        claimed = [one for some in pool.map(send, range(8)) for one in some]
    assert len(claimed) == len(set(claimed)) == 11
    assert {events for _, events in claimed} == {5}
    assert {state for _, state in log(conn)} == {"sent"}


def test_of_what_senders_have_not_sent_in_time_each_message_has_one_again(
    dsn, conn, agent
):
    for n in range(10):
        conn.execute(f"SELECT pgagent.add_alert('a{n}', 'mail')")
    fail(agent, add_job(conn, "SELECT 1", due=None))
    later(conn)
    while claim(conn):
        pass
    later(conn, "61 seconds")

    def take(_):
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            return [found[:2] for found in iter(lambda: claim(session), None)]

    with ThreadPoolExecutor(8) as pool:
        claimed = [one for some in pool.map(take, range(8)) for one in some]
    assert len(claimed) == len(set(claimed)) == 11
    assert {attempt for _, attempt in claimed} == {2}


def test_very_many_events_are_several_messages(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id)
    conn.execute(
        """
        INSERT INTO pgagent.pga_alertevent (aleevent, alealtid, alealert, alejobid, aledue)
        SELECT 'failed', altid, altname, %s, now() FROM pgagent.pga_alert, generate_series(1, 1500)
        """,
        [job_id],
    )
    sizes = []
    while found := claim(sender):
        sizes.append(len(found[-1]))
        sent(sender, found[0])
    assert sizes == [1000, 501]


@pytest.mark.parametrize("lease", ["0", "-1 second", "25 hours"])
def test_a_lease_is_longer_than_nothing_and_no_longer_than_a_day(sender, lease):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is out of range"):
        claim(sender, lease=lease)


def test_a_test_is_sent_at_once_and_once(conn, sender):
    call = "SELECT pgagent.test_alert('all')"
    (event_id,) = conn.execute(call).fetchone()
    assert conn.execute(call).fetchone() == (event_id,)
    assert watch(sender)[0] == 1
    message, *_, (event,) = claim(sender)
    assert (message, event["event"]) == (event_id, "test")
    assert sent(sender, message)
    assert watch(sender)[0] == 0
    assert conn.execute(call).fetchone() != (event_id,)


def test_where_there_are_no_alerts_there_is_nothing_to_do(conn, sender):
    conn.execute("SELECT pgagent.drop_alert('all')")
    assert watch(sender) == (0, 60)


@pytest.mark.parametrize("is_with_sender", [True, False])
def test_what_is_young_is_not_given_up_with_what_is_old(
    conn, agent, sender, alert, is_with_sender
):
    old, young = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    fail(agent, old)
    later(conn, "71 hours")
    fail(agent, young)
    later(conn)
    watch(sender)
    message, attempt, *_ = claim(sender)
    if is_with_sender:
        later(conn, "2 hours")
    assert sent(sender, message, attempt, "421 come back later")
    later(conn, "2 hours")
    watch(sender)
    *_, events = claim(sender)
    assert [event["job_id"] for event in events] == [old, young]
    assert sent(sender, message, attempt + 1, "421 come back later")
    later(conn, "72 hours")
    watch(sender)
    assert log(conn) == [("failed", "failed")] * 2


@pytest.mark.parametrize("attempts", [0, 1, 2, 20])
def test_a_clock_that_is_set_back_delays_no_message(
    conn, agent, sender, alert, attempts
):
    fail(agent, add_job(conn, "SELECT 1", due=None))
    for attempt in range(1, attempts + 1):
        later(conn, "2 hours")
        watch(sender)
        message, *_ = claim(sender)
        if attempt < attempts or attempts > 1:
            assert sent(sender, message, attempt, "421 come back later")
    later(conn, "-1 day")
    watch(sender)
    assert claim(sender)[1] == attempts + 1


def test_what_waits_as_long_as_it_should_is_not_hurried(conn, agent, sender, alert):
    fail(agent, add_job(conn, "SELECT 1", due=None))
    for attempt in range(1, 20):
        watch(sender)
        assert claim(sender) is None
        later(conn, "61 minutes")
        watch(sender)
        message, *_ = claim(sender)
        assert claim(sender) is None
        assert sent(sender, message, attempt, "421 come back later")


def test_a_message_names_the_job_that_was_dropped(conn, agent, sender, alert):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    fail(agent, job_id)
    conn.execute("DELETE FROM pgagent.pga_job")
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["job"], event["job_id"]) == ("etl", job_id)
    query = "SELECT job, job_id FROM pgagent.alert_log"
    assert conn.execute(query).fetchall() == [("etl", job_id)]


def test_what_a_receiver_does_not_take_comes_after_what_is_new(
    conn, agent, sender, alert
):
    odd, even = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    fail(agent, odd)
    later(conn)
    watch(sender)
    message, *_ = claim(sender)
    assert sent(sender, message, error="400 too long")
    later(conn, "1 hour")
    fail(agent, even)
    later(conn)
    watch(sender)
    new, attempt, *_, events = claim(sender)
    assert (attempt, [event["job_id"] for event in events]) == (1, [even])
    assert sent(sender, new)
    assert claim(sender)[:2] == (message, 2)
