"""What comes with time is decided once, however many watch."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import psycopg
import pytest
from alerts.telling import fail, later, log, names, run, send_all, watch
from jobs import add_job
from transitions import claim, finish_run

pytestmark = pytest.mark.usefixtures("alert")


def told(conn, sender):
    """Watch, and return the events that are sent then, in no order."""
    watch(sender)
    later(conn)
    return sorted(name for message in names(send_all(sender)) for name in message)


def set_due(conn, job_id, due="now() - interval '1 hour'"):
    conn.execute(
        f"UPDATE pgagent.pga_job SET jobnextrun = {due} WHERE jobid = %s", [job_id]
    )


@pytest.mark.usefixtures("agent")
def test_a_job_that_is_late_is_told_and_that_it_is_not_any_more(conn, sender):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    assert told(conn, sender) == []
    set_due(conn, job_id)
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["job"]) == ("late", "etl")
    assert event["message"].startswith("due since ")
    assert told(conn, sender) == []
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["ended"]) == ("recovered", "late")


def test_a_long_run_is_told_with_its_run(conn, agent, sender):
    add_job(conn, "SELECT 1", joblongafter="1 minute")
    ((run_id, _),) = claim(agent)
    assert told(conn, sender) == []
    later(conn, "2 minutes")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["run_id"]) == ("long", run_id)
    finish_run(agent, run_id)
    assert told(conn, sender) == ["recovered"]


def test_that_there_is_no_runner_is_told_by_whoever_watches(conn, sender):
    set_due(conn, add_job(conn, "SELECT 1", due=None))
    assert told(conn, sender) == ["late", "no_runner"]
    query = "SELECT job_id FROM pgagent.alert_log WHERE event = 'no_runner'"
    assert conn.execute(query).fetchall() == [(None,)]
    assert told(conn, sender) == []
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
    assert told(conn, sender) == ["recovered", "recovered"]


@pytest.mark.usefixtures("agent")
def test_a_job_that_is_set_aside_is_told(conn, sender):
    job_id = add_job(conn, "SELECT 1")
    conn.execute(
        "SELECT pgagent.pga_job_set_aside(%s, 'a trigger refuses it')", [job_id]
    )
    assert told(conn, sender) == ["set_aside"]
    conn.execute("DELETE FROM pgagent.pga_jobaside")
    assert told(conn, sender) == ["recovered"]


def test_of_an_alert_of_one_job_only_that_is_told(conn, sender):
    mine, other = (
        add_job(conn, "SELECT 1", due=None, name=n) for n in ("mine", "other")
    )
    conn.execute("SELECT pgagent.alter_alert('all', job => 'mine')")
    for job_id in (mine, other):
        set_due(conn, job_id)
    assert told(conn, sender) == ["late"]
    query = "SELECT job FROM pgagent.alert_log"
    assert conn.execute(query).fetchall() == [("mine",)]


def test_an_unarmed_copy_tells_that_it_is_one_and_nothing_else(conn, agent, sender):
    failing = add_job(conn, "SELECT 1", due=None)
    late = add_job(conn, "SELECT 1", due=None)
    fail(agent, failing)
    set_due(conn, late)
    watch(sender)
    later(conn)
    # As in a copy of the database.
    conn.execute(
        "UPDATE pgagent.pga_arming SET armdatabaseid = 1, armdatabase = 'elsewhere'"
    )
    assert told(conn, sender) == ["unarmed"]
    assert log(conn).count(("failed", "silenced")) == 1
    assert log(conn).count(("late", "silenced")) == 1
    later(conn, "4 days")
    assert told(conn, sender) == []
    conn.execute("SELECT pgagent.arm()")
    assert told(conn, sender) == ["recovered"]


def test_a_test_can_be_sent_from_a_copy(conn, sender):
    conn.execute(
        "UPDATE pgagent.pga_arming SET armdatabaseid = 1, armdatabase = 'elsewhere'"
    )
    conn.execute("SELECT pgagent.test_alert('all')")
    assert names(send_all(sender)) == [["test"]]


def test_twenty_watchers_and_as_many_who_close_runs_decide_each_event_once(
    dsn, conn, agent
):
    conn.execute("SELECT pgagent.add_alert('too', 'hook')")
    late = [add_job(conn, "SELECT 1", due=None) for _ in range(10)]
    for job_id in late:
        set_due(conn, job_id)
    failing = [add_job(conn, "SELECT 1") for _ in range(20)]
    conn.execute(
        "UPDATE pgagent.pga_job SET jobhostagent = 'nowhere' WHERE jobid = ANY (%s)",
        [late],
    )
    ids = [run_id for run_id, _ in claim(agent, 50)]
    assert len(ids) == len(failing)
    close = """
        WITH run AS (SELECT pgagent.pga_run_close(ARRAY[%(id)s::bigint], ARRAY[%(id)s::bigint], ARRAY['f'], ARRAY['no'])) SELECT FROM run
    """

    def work(n):
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            if n % 2:
                session.execute(close, {"id": ids[n // 2]})
            for _ in range(3):
                watch(session)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(work, range(40)))
    watch(conn)
    assert counted(conn) == [("failed", 40, 40), ("late", 20, 20)]


def counted(conn):
    """Return of each event how often there was it, and of how many things."""
    query = """
        SELECT event, count(*), count(DISTINCT (alert, job_id)) FROM pgagent.alert_log
        GROUP BY event ORDER BY event
    """
    return conn.execute(query).fetchall()


def watch_all_at_once(dsn):
    """Have twenty sessions watch, which all begin when the last of them is there."""
    all_are_there = Barrier(20)

    def work(_):
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            all_are_there.wait()
            watch(session)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))


def test_twenty_watchers_tell_an_end_once_and_again_once_and_sum_up_once(
    dsn, conn, agent
):
    conn.execute("SELECT pgagent.alter_alert('all', repeat_every => '2 hours')")
    late = [
        add_job(conn, "SELECT 1", due=None, jobhostagent="nowhere") for _ in range(10)
    ]
    failing = [add_job(conn, "SELECT 1", due=None) for _ in range(10)]
    flapping = [add_job(conn, "SELECT 1", due=None) for _ in range(10)]
    for job_id in failing:
        fail(agent, job_id)
    for job_id in flapping:
        for status in "fsfs":
            run(agent, job_id, status)
    for job_id in late:
        set_due(conn, job_id)
    conn.execute("SELECT pgagent.silence(%s)", [failing[0]])
    watch(conn)
    assert counted(conn) == [
        ("failed", 20, 20),
        ("late", 10, 10),
        ("recovered", 10, 10),
    ]
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobid = ANY (%s)", [late]
    )
    later(conn, "121 minutes")
    watch_all_at_once(dsn)
    assert counted(conn) == [
        ("failed", 29, 20),
        ("flapping", 10, 10),
        ("late", 10, 10),
        ("recovered", 20, 20),
    ]
    # What was told in a silence begins anew for those who were not.
    conn.execute("SELECT pgagent.silence(%s)", [failing[1]])
    fail(agent, failing[1])
    later(conn, "121 minutes")
    conn.execute("UPDATE pgagent.pga_jobsilence SET jsiuntil = now()")
    watch_all_at_once(dsn)
    assert counted(conn)[0] == ("failed", 39, 20)


def test_twenty_watchers_sum_up_once(dsn, conn, agent):
    jobs = [add_job(conn, "SELECT 1", due=None) for _ in range(20)]
    for job_id in jobs:
        for status in "fsfs":
            run(agent, job_id, status)
    later(conn, "61 minutes")
    watch_all_at_once(dsn)
    assert counted(conn) == [
        ("failed", 20, 20),
        ("flapping", 20, 20),
        ("recovered", 20, 20),
    ]


def test_twenty_watchers_make_up_once_for_what_was_refused(dsn, conn, agent):
    conn.execute(
        "ALTER TABLE pgagent.pga_alertevent ADD CONSTRAINT x CHECK (false) NOT VALID"
    )
    jobs = [add_job(conn, "SELECT 1", due=None) for _ in range(10)]
    for job_id in jobs:
        fail(agent, job_id)
    conn.execute("ALTER TABLE pgagent.pga_alertevent DROP CONSTRAINT x")
    watch_all_at_once(dsn)
    assert counted(conn) == [("failed", 10, 10)]
    conn.execute(
        "ALTER TABLE pgagent.pga_alertevent ADD CONSTRAINT x CHECK (false) NOT VALID"
    )
    for job_id in jobs:
        run(agent, job_id)
    conn.execute("ALTER TABLE pgagent.pga_alertevent DROP CONSTRAINT x")
    watch_all_at_once(dsn)
    assert counted(conn) == [("failed", 10, 10), ("recovered", 10, 10)]


def test_what_happens_in_a_silence_is_logged_and_not_sent(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    conn.execute("SELECT pgagent.silence('etl', reason => 'new disk')")
    fail(agent, job_id)
    run(agent, job_id)
    assert told(conn, sender) == []
    assert log(conn) == [("failed", "silenced")]
    conn.execute("SELECT pgagent.unsilence('etl')")
    assert told(conn, sender) == []


@pytest.mark.parametrize("whose", ["('etl'", "_all("])
def test_what_still_lasts_when_a_silence_ends_is_told_then(conn, agent, sender, whose):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    comma = ", " if "etl" in whose else ""
    conn.execute(
        f"SELECT pgagent.silence{whose}{comma}until => now() + interval '30 seconds')"
    )
    fail(agent, job_id, "no disk")
    assert 28 < watch(sender)[1] <= 30
    assert log(conn) == [("failed", "silenced")]
    conn.execute("UPDATE pgagent.pga_jobsilence SET jsiuntil = now()")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["event"], event["message"]) == ("failed", "no disk")
    run(agent, job_id)
    assert told(conn, sender) == ["recovered"]


def test_an_end_in_a_silence_is_not_sent_either(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None, name="etl")
    fail(agent, job_id)
    assert told(conn, sender) == ["failed"]
    conn.execute("SELECT pgagent.silence('etl')")
    run(agent, job_id)
    assert told(conn, sender) == []
    assert log(conn) == [("failed", "sent"), ("recovered", "silenced")]


def test_other_jobs_are_told_of_meanwhile_and_silenced_ones_are_not_repeated(
    conn, agent, sender
):
    conn.execute("SELECT pgagent.alter_alert('all', repeat_every => '10 minutes')")
    mine, other = (
        add_job(conn, "SELECT 1", due=None, name=n) for n in ("mine", "other")
    )
    for job_id in (mine, other):
        fail(agent, job_id)
    assert told(conn, sender) == ["failed", "failed"]
    conn.execute("SELECT pgagent.silence('mine')")
    later(conn, "11 minutes")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["job"], event["repeats"]) == ("other", 1)
    conn.execute("SELECT pgagent.unsilence('mine')")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["job"], event["repeats"]) == ("mine", 1)


def test_what_was_so_before_there_was_an_alert_is_not_told(conn, agent, sender):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute("SELECT pgagent.drop_alert('all')")
    fail(agent, job_id)
    conn.execute("SELECT pgagent.add_alert('all', 'mail')")
    assert told(conn, sender) == []
    fail(agent, job_id)
    assert told(conn, sender) == ["failed"]


def test_an_alert_that_is_of_another_job_now_repeats_nothing_of_the_former(
    conn, agent, sender
):
    conn.execute("SELECT pgagent.alter_alert('all', repeat_every => '10 minutes')")
    mine, other = (
        add_job(conn, "SELECT 1", due=None, name=name) for name in ("mine", "other")
    )
    for job_id in (mine, other):
        fail(agent, job_id)
    assert told(conn, sender) == ["failed", "failed"]
    conn.execute("SELECT pgagent.alter_alert('all', job => 'mine')")
    later(conn, "11 minutes")
    watch(sender)
    later(conn)
    ((event,),) = send_all(sender)
    assert (event["job"], event["repeats"]) == ("mine", 1)


@pytest.mark.usefixtures("agent")
def test_when_to_look_again_is_when_something_is_to_be_told(conn, agent, sender):
    assert watch(sender) == (0, 60)
    conn.execute("SELECT pgagent.alter_alert('all', repeat_every => '2 minutes')")
    job_id = add_job(conn, "SELECT 1", due=None)
    fail(agent, job_id)
    assert 3 < watch(sender)[1] <= 5
    later(conn)
    send_all(sender)
    later(conn, "90 seconds")
    assert 20 < watch(sender)[1] <= 24
    run(agent, job_id)
    for status in "fsf":
        run(agent, job_id, status)
    later(conn, "58.5 minutes")
    assert watch(sender)[0] == 1
    send_all(sender)
    watch(sender)
    assert watch(sender)[1] <= 60


@pytest.mark.usefixtures("agent")
def test_a_watch_hears_that_it_is_wanted(conn, sender):
    sender.execute("LISTEN pgagent")
    conn.execute("SELECT pgagent.alter_alert('all', events => '{failed}')")
    conn.execute("SELECT pgagent.test_alert('all')")
    conn.execute("SELECT pgagent.silence_all()")
    conn.execute("SELECT pgagent.unsilence_all()")
    heard = [note.payload for note in sender.notifies(timeout=5, stop_after=4)]
    assert heard == ["alert"] * 4


def fail_untold(conn, count, status="f"):
    """Have many jobs fail, or be aborted, while nothing can be told of it."""
    with conn.transaction():
        conn.execute("SELECT set_config('pgagent.untold', 'on', true)")
        conn.execute(
            """
            WITH job AS (
                INSERT INTO pgagent.pga_job (jobjclid, jobname)
                SELECT 1, 'job ' || n FROM generate_series(1, %s) AS n RETURNING jobid
            )
            INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart)
            SELECT jobid, %s, clock_timestamp() FROM job
            """,
            [count, status],
        )
        conn.execute("UPDATE pgagent.pga_job SET jobfailures = 1")


def test_a_watch_that_finds_very_much_has_it_told_part_by_part(conn, sender):
    fail_untold(conn, 1200)
    assert watch(sender)[1] == 1
    assert len(log(conn)) == 1000
    assert watch(sender)[1] > 1
    assert log(conn) == [("failed", "pending")] * 1200


def test_many_that_the_alert_is_not_of_keep_out_none_that_it_is_of(conn, sender):
    conn.execute("SELECT pgagent.alter_alert('all', events => '{failed}')")
    fail_untold(conn, 1200, "d")
    fail_untold(conn, 1)
    watch(sender)
    assert log(conn) == [("failed", "pending")]


READ = """
    SELECT seq_tup_read + COALESCE(idx_tup_fetch, 0)
    FROM pg_stat_xact_user_tables WHERE relid = 'pgagent.pga_alertstate'::regclass
"""


def test_that_a_job_fails_is_told_as_quickly_while_thousands_of_others_do(conn, sender):
    fail_untold(conn, 1000)
    watch(sender)
    conn.execute("ANALYZE pgagent.pga_alertstate")
    job_id = add_job(conn, "SELECT 1", due=None)
    with conn.transaction():
        conn.execute(
            "UPDATE pgagent.pga_job SET jobfailures = 1 WHERE jobid = %s", [job_id]
        )
        assert conn.execute(READ).fetchone()[0] < 100
    assert len(log(conn)) == 1001
