"""A class can limit how many of its jobs run at once, over all agents."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise

import psycopg
import pytest
from documents import block
from jobs import add_job, job, runs
from transitions import claim, finish_run, register, seconds_until_due

DUE = "SELECT job_id FROM pgagent.pga_run_due(pg_backend_pid(), 99, NULL, NULL)"
CLASSES = 'SELECT "limit", running, due FROM pgagent.classes WHERE class_id = 1'
LOOK_AGAIN = (
    "SELECT max(look_again) FROM pgagent.pga_run_claim(pg_backend_pid(), %s, 60)"
)


FREED = """
    UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = NULL WHERE jobagentid IS NOT NULL;
    UPDATE pgagent.pga_joblog SET jlgstatus = 's'
"""
FULL = 'of class "Routine Maintenance", 1 of 1 jobs at once are under way'


def set_limit(conn, limit, class_id=1):
    conn.execute(
        "UPDATE pgagent.pga_jobclass SET jcllimit = %s WHERE jclid = %s",
        [limit, class_id],
    )


def add_jobs(conn, count, **columns):
    """Add jobs that fell due one after the other."""
    return [
        add_job(conn, "SELECT 1", due=f"now() - interval '{count - n} s'", **columns)
        for n in range(count)
    ]


def claimed(session, limit=10):
    return [job_id for _, job_id in claim(session, limit)]


def gates(conn, job_id):
    query = "SELECT gate, ok, detail FROM pgagent.explain_job(%s)"
    return {gate: told for gate, *told in conn.execute(query, [job_id])}


def state(conn, job_id):
    query = "SELECT state FROM pgagent.job_status WHERE job_id = %s"
    return conn.execute(query, [job_id]).fetchone()[0]


def notified(conn):
    return len(list(conn.notifies(timeout=0.2)))


def test_a_class_is_limited_as_the_page_says(conn):
    classes = conn.execute(block("docs/operating.md", "SELECT pgagent.alter_class"))
    while classes.nextset():
        pass
    assert ("Data Import", 2, 0, 0) in classes.fetchall()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_a_number_of_jobs(conn, limit):
    with pytest.raises(psycopg.errors.CheckViolation):
        set_limit(conn, limit)


def test_no_more_are_claimed_than_the_class_allows_the_longest_due_first(
    conn, agent, other
):
    ids = add_jobs(conn, 5)
    set_limit(conn, 2)

    assert claimed(agent) == ids[:2]
    assert claimed(other) == []
    assert conn.execute(CLASSES).fetchone() == (2, 2, 3)
    assert agent.execute(DUE).fetchall() == []


def test_each_run_that_ends_makes_room_for_one(conn, agent, other):
    ids = add_jobs(conn, 4)
    set_limit(conn, 2)
    first, second = claim(agent)
    finish_run(agent, first[0])

    assert claimed(other) == [ids[2]]
    assert claimed(agent) == []
    finish_run(agent, second[0])
    assert claimed(agent) == [ids[3]]


def test_other_jobs_are_not_held_up(conn, agent):
    """Nor if more than an agent has workers wait for their class before them."""
    ids = add_jobs(conn, 20)
    free = add_jobs(conn, 2, jobjclid=2)
    set_limit(conn, 1)

    assert claimed(agent, 3) == ids[:1]
    assert agent.execute(LOOK_AGAIN, [0]).fetchone() == (0,)
    assert claimed(agent, 3) == free
    ((look_again,),) = agent.execute(LOOK_AGAIN, [3])
    assert 0.9 < look_again <= 1


def test_classes_are_counted_apart(conn, agent):
    one = add_jobs(conn, 3, jobjclid=1)
    two = add_jobs(conn, 3, jobjclid=2)
    three = add_jobs(conn, 3, jobjclid=3)
    set_limit(conn, 1, 1)
    set_limit(conn, 2, 2)

    assert sorted(claimed(agent, 20)) == sorted(one[:1] + two[:2] + three)


def test_a_class_that_is_locked_holds_up_no_other(conn, agent, other):
    limited = add_jobs(conn, 2)
    free = add_jobs(conn, 1, jobjclid=2)
    set_limit(conn, 1)
    with other.transaction():
        other.execute("UPDATE pgagent.pga_jobclass SET jclname = 'x' WHERE jclid = 1")

        assert claimed(agent) == free
        assert seconds_until_due(agent) == 0
    assert claimed(agent) == limited[:1]


def test_a_job_that_is_locked_holds_up_none_of_its_class(conn, agent, other):
    first, second = add_jobs(conn, 2)
    set_limit(conn, 1)
    with other.transaction():
        other.execute(
            "SELECT FROM pgagent.pga_job WHERE jobid = %s FOR UPDATE", [first]
        )
        assert claimed(agent) == [second]


def test_a_job_that_is_put_off_takes_no_place(conn, agent):
    late = add_job(conn, "SELECT 1", due=None, jobmissed="skip")
    start = "date_trunc('second', now()) - interval '90 minutes'"
    conn.execute(
        f"SELECT pgagent.add_schedule(%s::bigint, '@every 1 hour', start_at => {start})",
        [late],
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = jscstart + interval '1 hour'"
        " FROM pgagent.pga_schedule"
    )
    other = add_job(conn, "SELECT 1")
    set_limit(conn, 1)

    assert claimed(agent) + claimed(agent) == [other]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pgagent.pga_jobclass SET jcllimit = 2 WHERE jclid = 1",
        "UPDATE pgagent.pga_jobclass SET jcllimit = NULL WHERE jclid = 1",
        "DELETE FROM pgagent.pga_job WHERE jobagentid IS NOT NULL",
        "UPDATE pgagent.pga_job SET jobjclid = 2 WHERE jobagentid IS NOT NULL",
        "UPDATE pgagent.pga_job SET jobjclid = 2 WHERE jobagentid IS NULL",
        FREED,
    ],
)
def test_whatever_makes_room_is_told_to_runners(conn, agent, other, statement):
    ids = add_jobs(conn, 2)
    set_limit(conn, 1)
    conn.execute("LISTEN pgagent")
    assert claimed(agent) == ids[:1]
    notified(conn)
    # As the daemon of 4.2, which has no lease, holds a job.
    conn.execute("UPDATE pgagent.pga_jobagent SET jaglease = NULL")

    other.execute(statement)

    assert notified(conn) > 0
    assert claimed(other) == ids[1:]


def test_the_end_of_a_run_is_told_only_if_others_wait(conn, agent):
    set_limit(conn, 1)
    add_jobs(conn, 1)
    add_job(conn, "SELECT 1", due="now() + interval '1 minute'")
    ((run_id, _),) = claim(agent)
    conn.execute("LISTEN pgagent")
    finish_run(agent, run_id)
    assert notified(conn) == 0

    add_jobs(conn, 1)
    ((run_id, _),) = claim(agent)
    # It falls due while others still see the class full, perhaps.
    add_job(conn, "SELECT 1", due="now() + interval '2 s'")
    notified(conn)
    finish_run(agent, run_id)
    assert notified(conn) > 0


def test_a_run_without_a_limit_tells_nothing(conn, agent):
    add_jobs(conn, 1)
    ((run_id, _),) = claim(agent)
    add_jobs(conn, 1)
    conn.execute("LISTEN pgagent")
    finish_run(agent, run_id)

    assert notified(conn) == 0


def test_who_waits_for_a_place_looks_again_when_another_job_is_due(conn, agent, other):
    add_jobs(conn, 2)
    set_limit(conn, 1)
    claim(agent)
    # It may have missed the notification.
    assert 0.9 < seconds_until_due(other) <= 1
    assert seconds_until_due(other, "elsewhere") <= 1

    add_job(conn, "SELECT 1", due="now() + interval '0.5 s'")
    assert 0 < seconds_until_due(other) <= 0.5


def test_a_place_that_is_for_others_is_no_reason_to_look_again(conn, agent, other):
    add_job(conn, "SELECT 1")
    set_limit(conn, 1)
    claim(agent)
    add_job(conn, "SELECT 1", jobhostagent="elsewhere")
    assert seconds_until_due(other, "there") is None


def test_a_run_that_nobody_holds_any_more_counts_until_it_is_closed(conn, agent, other):
    ids = add_jobs(conn, 2)
    set_limit(conn, 1)
    claim(agent)
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute("UPDATE pgagent.pga_job SET jobagentid = NULL")

    assert claimed(other) == []
    assert conn.execute(CLASSES).fetchone()[1] == 1
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstatus = 'd'")
    assert len(claimed(other)) == 1
    assert len(ids) == 2


DAEMONS_CLAIM = """
    UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()
    WHERE jobagentid IS NULL AND jobid = %s
"""


def test_those_that_claim_by_themselves_are_bound_by_the_limit(conn, agent, other):
    first, second = add_jobs(conn, 2)
    set_limit(conn, 1)

    assert other.execute(DAEMONS_CLAIM, [first]).rowcount == 1
    assert other.execute(DAEMONS_CLAIM, [second]).rowcount == 0
    assert claimed(agent) == []
    # What 4.2's daemon writes then is not a run.
    other.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) VALUES (1000, %s, 'i')",
        [second],
    )
    assert runs(conn, second) == []


def test_those_that_claim_by_themselves_wait_for_no_class(conn, agent, other):
    (job_id,) = add_jobs(conn, 1)
    set_limit(conn, 1)
    with agent.transaction():
        agent.execute("SELECT FROM pgagent.pga_jobclass FOR UPDATE")
        assert other.execute(DAEMONS_CLAIM, [job_id]).rowcount == 0


def test_with_one_snapshot_for_all_nobody_can_count(conn, agent, other):
    ids = add_jobs(conn, 2)
    set_limit(conn, 1)
    other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    other.execute("SELECT FROM pgagent.pga_job")
    ((run_id, _),) = claim(agent)

    assert claimed(other) == []
    other.execute("ROLLBACK")
    finish_run(agent, run_id)
    assert claimed(other) == ids[1:]


def test_a_run_does_not_seem_to_begin_before_the_one_whose_place_it_takes_has_ended(
    conn, agent, other
):
    """As two claims wait for each other: the second counts when the first is done."""
    add_jobs(conn, 2)
    set_limit(conn, 1)
    ((first, _),) = claim(agent)
    with agent.transaction():
        agent.execute("SELECT FROM pgagent.pga_jobclass WHERE jclid = 1 FOR UPDATE")
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(claim, other)
            finish_run(agent, first)
            waiting.result()
    claim(other)

    ((overlaps,),) = conn.execute(
        "SELECT bool_or(b.jlgstart < a.jlgstart + a.jlgduration) FROM pgagent.pga_joblog AS a"
        " JOIN pgagent.pga_joblog AS b ON b.jlgid > a.jlgid"
    ).fetchall()
    assert overlaps is False
    assert conn.execute(
        "SELECT count(*) FROM pgagent.pga_jobsteplog AS s JOIN pgagent.pga_joblog AS l"
        " ON jlgid = jsljlgid WHERE jslstart < jlgstart"
    ).fetchone() == (0,)


def test_many_sessions_at_once_never_exceed_a_limit(conn, dsn):
    add_jobs(conn, 60)
    set_limit(conn, 3)
    seen = []

    def work(session):
        for _ in range(40):
            for run_id, _ in claim(session, 5):
                seen.append(conn_count(session))
                finish_run(session, run_id)

    def conn_count(session):
        query = "SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NOT NULL"
        return session.execute(query).fetchone()[0]

    with ExitStack() as stack:
        sessions = []
        for number in range(4):
            session = psycopg.connect(dsn, autocommit=True)
            sessions.append(stack.enter_context(closing(session)))
            register(session, f"host {number}")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, sessions))

    assert len(seen) == 60
    assert max(seen) <= 3


def test_what_waits_for_its_class_is_told(conn, agent):
    first, second = add_jobs(conn, 2)
    assert "class" not in gates(conn, second)
    set_limit(conn, 1)
    assert gates(conn, second)["class"] == [
        True,
        'of class "Routine Maintenance", 0 of 1 jobs at once are under way',
    ]
    claim(agent)

    told = gates(conn, second)
    assert told["class"] == [
        False,
        f"{FULL}; it starts when one of them has ended",
    ]
    assert told["due"][1].endswith("; it waits for a place in its class")
    assert gates(conn, first)["class"][0] is True
    assert state(conn, second) == "class full"
    assert state(conn, first) == "running"


def test_limits_are_set_for_all_at_any_time(conn, agent):
    """A limit below what is under way stops nothing."""
    ids = add_jobs(conn, 3)
    set_limit(conn, 2)
    first, second = claim(agent)
    set_limit(conn, 1)
    finish_run(agent, first[0])
    assert claimed(agent) == []
    finish_run(agent, second[0])
    assert claimed(agent) == ids[2:]
    assert [a < b for a, b in pairwise(ids)] == [True, True]
    assert job(conn, ids[2], "jobagentid") == agent.info.backend_pid
