"""Claiming: who gets which run, and who gets none."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step, batch, job, runs
from support import poll
from transitions import (
    RefusedError,
    claim,
    claim_rows,
    finish_run,
    register,
    seconds_until_due,
)


def test_a_due_job_is_claimed_once(conn, agent, other):
    job_id = add_job(conn, "SELECT 1")

    ((run_id, claimed),) = claim(agent)

    assert claimed == job_id
    assert claim(other) == []
    assert job(conn, job_id, "jobagentid") == agent.info.backend_pid
    assert conn.execute(
        "SELECT jlgid, jlgstatus, jlgstation, jlgagentid, jlgscheduled <= jlgstart"
        " FROM pgagent.pga_joblog"
    ).fetchall() == [(run_id, "r", "here", agent.info.backend_pid, True)]


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"due": "now() + interval '1 minute'"}, id="not yet due"),
        pytest.param({"due": None}, id="never due"),
        pytest.param({"due": "'infinity'"}, id="due in eternity"),
        pytest.param({"jobhostagent": "elsewhere"}, id="for another host"),
        pytest.param({"jobhostagent": "HERE"}, id="for a host of another spelling"),
        pytest.param({"due": None, "jobenabled": False}, id="disabled"),
    ],
)
def test_a_job_is_left_alone(conn, agent, columns):
    add_job(conn, "SELECT 1", **columns)

    assert claim(agent) == []
    assert runs(conn) == []


def test_a_job_bound_to_a_host_is_claimed_there(conn, agent, other):
    job_id = add_job(conn, "SELECT 1", jobhostagent="there")

    assert claim(agent) == []
    assert [job_id] == [claimed for _, claimed in claim(other)]


def test_a_disabled_job_runs_once_when_asked_to(conn, agent):
    job_id = add_job(conn, "SELECT 1", jobenabled=False)
    add_schedule(conn, job_id)

    ((run_id, _),) = claim(agent)
    finish_run(agent, run_id)

    assert job(conn, job_id, "jobnextrun") is None
    assert claim(agent) == []


def test_disabling_a_job_takes_its_next_run_away(conn, agent):
    job_id = add_job(conn, "SELECT 1")

    conn.execute("UPDATE pgagent.pga_job SET jobenabled = false")

    assert job(conn, job_id, "jobnextrun") is None
    assert claim(agent) == []


def test_the_longest_due_are_claimed_first(conn, agent):
    late = add_job(conn, "SELECT 1", due="now() - interval '1 minute'")
    later = add_job(conn, "SELECT 1", due="now() - interval '1 hour'")
    latest = add_job(conn, "SELECT 1", due="'-infinity'")

    assert [job_id for _, job_id in claim(agent, 2)] == [latest, later]
    assert [job_id for _, job_id in claim(agent, 2)] == [late]


def test_a_claim_brings_the_enabled_steps_in_the_order_of_names_then_ids(conn, agent):
    job_id = add_job(conn, due=None)
    add_step(conn, job_id, "SELECT 2", name="b")
    add_step(conn, job_id, batch("exit 3", jstonerror="i"), name="b")
    add_step(conn, job_id, {"jstcode": "x", "jstenabled": False}, name="aa")
    add_step(conn, job_id, {"jstcode": "SELECT 1", "jstconnstr": "host=x"}, name="a")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    assert [row[4:10] for row in claim_rows(agent)] == [
        ("a", "s", "SELECT 1", "", "host=x", "f"),
        ("b", "s", "SELECT 2", conn.info.dbname, "", "f"),
        ("b", "b", "exit 3", "", "", "i"),
    ]


def test_a_job_without_steps_is_claimed_as_well(conn, agent):
    add_job(conn)

    ((*_, step_id, _, _, _, _, _, _),) = claim_rows(agent)

    assert step_id is None


def test_a_job_that_somebody_has_locked_is_passed_over(conn, agent, other):
    add_job(conn, "SELECT 1")
    free = add_job(conn, "SELECT 1")
    with other.transaction():
        other.execute("SELECT FROM pgagent.pga_job ORDER BY jobid LIMIT 1 FOR UPDATE")

        assert [job_id for _, job_id in claim(agent)] == [free]


def test_nobody_claims_without_being_registered(conn):
    add_job(conn, "SELECT 1")

    with pytest.raises(psycopg.Error, match="is not registered") as e:
        claim(conn)

    assert e.value.sqlstate == "PGA03"


def test_a_claim_off_an_old_list_is_refused(conn, agent, other):
    """What pgAgent's daemon does: it claims by id, without asking if still due."""
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    finish_run(agent, run_id)

    daemons_claim = other.execute(
        "UPDATE pgagent.pga_job SET jobagentid = pg_backend_pid(), joblastrun = now()"
        " WHERE jobagentid IS NULL AND jobid = %s",
        [job_id],
    )

    assert daemons_claim.rowcount == 0


def test_the_row_that_the_daemon_logs_after_losing_a_race_is_dropped(conn, agent):
    job_id = add_job(conn, "SELECT 1")
    lost = "INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES (%s, 'i')"
    claim(agent)

    conn.execute(lost, [job_id])
    assert [status for status, _ in runs(conn)] == ["r"]

    stuck = add_job(conn, "SELECT 1")  # due, and nobody has it: it could not connect
    conn.execute(lost, [stuck])
    assert [status for status, _ in runs(conn, stuck)] == ["i"]


def test_eight_agents_on_one_heap_of_jobs_run_each_once(conn, dsn):
    for _ in range(200):
        add_job(conn, "SELECT 1")

    def work(_):
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            register(session)
            while claimed := claim(session, 3):
                for run_id, _ in claimed:
                    poll(partial(finished, session, run_id))

    def finished(session, run_id):
        try:
            finish_run(session, run_id)
        except RefusedError as e:
            if e.sqlstate != "55P03":
                raise
            return False  # somebody else looks at the job right now
        return True

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))

    assert runs(conn) == [("s", None)] * 200
    assert conn.execute(
        "SELECT count(DISTINCT jlgjobid) FROM pgagent.pga_joblog"
    ).fetchone() == (200,)


@pytest.mark.parametrize(
    ("due", "seconds"),
    [
        ("now() + interval '1 hour'", pytest.approx(3600, abs=60)),
        ("now() - interval '1 hour'", 0),
        ("'-infinity'", 0),
        ("'infinity'", None),
        (None, None),
    ],
)
def test_the_time_until_the_next_run_is_told(conn, due, seconds):
    add_job(conn, "SELECT 1", due=due)
    add_job(conn, "SELECT 1", due="now() + interval '1 s'", jobhostagent="elsewhere")

    assert seconds_until_due(conn) == seconds


def test_a_run_from_a_step_that_was_deleted_fails_and_executes_none_of_the_earlier_ones(
    conn, agent
):
    job_id = add_job(conn, "SELECT 1", "SELECT 2", due=None)
    conn.execute("SELECT pgagent.run_job(%s::bigint, 'step 02')", [job_id])
    conn.execute("DELETE FROM pgagent.pga_jobstep WHERE jstname = 'step 02'")

    assert claim_rows(agent) == []
    assert runs(conn, job_id) == [
        ("f", "failed: the step from which it was to begin has been deleted")
    ]
    assert job(conn, job_id, "jobagentid") is None
