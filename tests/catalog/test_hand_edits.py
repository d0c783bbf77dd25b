"""What people change in the rows of runs under way, and what is left behind."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, job, runs, step_runs
from support import end_session
from transitions import claim, finish_run, heartbeat, register, sweep, swept

FREE = "UPDATE pgagent.pga_job SET jobagentid = NULL"
OPEN = "SELECT jlgid FROM pgagent.pga_joblog WHERE jlgstatus = 'r' ORDER BY jlgid"


def claimed(conn, session):
    """Have an agent claim a new job; return the ids of job and run."""
    job_id = add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(session)
    return job_id, run_id


def make_old(conn):
    """Have all that was claimed been so for longer than a lease."""
    conn.execute("UPDATE pgagent.pga_job SET joblastrun = joblastrun - interval '1 h'")
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstart = jlgstart - interval '1 h'")


@pytest.fixture
def heard(conn):
    """What the server says to this session beside its answers."""
    said = []
    conn.add_notice_handler(lambda d: said.append(f"{d.severity}: {d.message_primary}"))
    return said


@pytest.mark.parametrize("other_id", ["NULL", "other"])
def test_a_job_that_is_taken_from_a_runner_stays_held_until_its_run_has_ended(
    conn, agent, other, heard, other_id
):
    job_id, run_id = claimed(conn, agent)
    conn.execute("LISTEN pgagent")
    taker = "NULL" if other_id == "NULL" else other.info.backend_pid

    conn.execute(f"UPDATE pgagent.pga_job SET jobagentid = {taker}")

    assert job(conn, job_id, "jobagentid") == agent.info.backend_pid
    assert heard == [
        f"NOTICE: pgagent: job {job_id} is being executed: its run is stopped first"
    ]
    assert [n.payload for n in conn.notifies(timeout=5, stop_after=1)] == ["cancel"]
    told = heartbeat(agent, [run_id])
    assert told["lost"] == [run_id]
    assert told["reasons"][0].startswith("its job was freed by postgres at ")
    finish_run(agent, run_id, "d", "stopped")
    assert job(conn, job_id, "jobagentid") is None


def test_a_job_of_a_dead_runner_can_be_freed_by_hand(conn, agent, other, heard):
    job_id, _ = claimed(conn, agent)
    end_session(conn, agent)

    conn.execute(FREE)

    assert job(conn, job_id, "jobagentid") is None
    assert heard == []
    assert sweep(other) == 1


def test_a_job_of_pgagents_own_daemon_can_be_freed_by_hand(conn, dsn, heard):
    with closing(psycopg.connect(dsn, autocommit=True)) as daemon:
        daemon.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation)"
            " VALUES (pg_backend_pid(), 'old')"
        )
        job_id, _ = claimed(conn, daemon)
        conn.execute(FREE)
        assert job(conn, job_id, "jobagentid") is None
        assert heard == []


def test_the_row_of_a_runner_that_is_alive_can_not_be_deleted(
    conn, agent, other, heard
):
    end_session(conn, other)

    conn.execute("DELETE FROM pgagent.pga_jobagent")

    left = conn.execute("SELECT jagpid FROM pgagent.pga_jobagent").fetchall()
    assert left == [(agent.info.backend_pid,)]
    assert heard == [
        f'WARNING: pgagent: agent {left[0][0]} on host "here" is alive: its row stays'
    ]
    agent.execute("DELETE FROM pgagent.pga_jobagent")
    assert conn.execute("TABLE pgagent.pga_jobagent").fetchall() == []


def test_a_runner_hears_that_its_run_was_closed_or_deleted(conn, agent):
    _, closed = claimed(conn, agent)
    _, deleted = claimed(conn, agent)
    _, open_run = claimed(conn, agent)
    conn.execute("LISTEN pgagent")

    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'd' WHERE jlgid = %s", [closed]
    )
    conn.execute("DELETE FROM pgagent.pga_joblog WHERE jlgid = %s", [deleted])

    assert [n.payload for n in conn.notifies(timeout=5, stop_after=1)] == ["cancel"]
    told = heartbeat(agent, [closed, deleted, open_run])
    assert dict(zip(told["lost"], told["reasons"], strict=True)) == {
        closed: "somebody else has closed its row in the log, with status d",
        deleted: None,
    }


def test_no_runner_is_called_for_a_run_that_it_has_closed_itself(conn, agent):
    _, run_id = claimed(conn, agent)
    conn.execute("LISTEN pgagent")
    finish_run(agent, run_id)
    conn.execute("NOTIFY pgagent, 'last'")
    heard = [n.payload for n in conn.notifies(timeout=5, stop_after=1)]
    assert heard == ["last"]


def test_a_job_whose_run_was_deleted_is_freed_when_nobody_executes_it(conn, agent):
    job_id, run_id = claimed(conn, agent)
    conn.execute("TRUNCATE pgagent.pga_joblog CASCADE")
    assert swept(agent, runs=[], jobs=[])[2] == []
    make_old(conn)
    assert swept(agent, runs=[run_id], jobs=[job_id])[2] == []
    assert swept(agent, runs=[], jobs=[], judges=False)[2] == []
    assert job(conn, job_id, "jobagentid") is not None

    assert heartbeat(agent)["dead"] == 1
    told = swept(agent, runs=[], jobs=[])

    assert told == (0, 0, ["freed: no run of it was under way"])
    assert job(conn, job_id, "jobagentid, jobnextrun") is None
    assert heartbeat(agent)["dead"] == 0


def test_a_wish_to_run_outlives_the_freeing_of_a_job(conn, agent):
    job_id, _ = claimed(conn, agent)
    conn.execute("TRUNCATE pgagent.pga_joblog CASCADE")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    make_old(conn)

    swept(agent, runs=[], jobs=[])

    assert job(conn, job_id, "jobnextrun <= now()")


def test_a_run_that_its_runner_does_not_know_is_closed(conn, agent):
    job_id, run_id = claimed(conn, agent)
    make_old(conn)
    assert sweep(agent, runs=[run_id], jobs=[job_id]) == 0
    assert heartbeat(agent)["dead"] == 1

    assert sweep(agent, runs=[], jobs=[]) == 1

    assert runs(conn) == [("d", "aborted: no agent held it any more")]
    assert job(conn, job_id, "jobagentid") is None


def test_a_row_that_somebody_added_is_closed_beside_the_run_under_way(conn, agent):
    job_id, run_id = claimed(conn, agent)
    conn.execute("INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [job_id])
    make_old(conn)

    assert sweep(agent, runs=[run_id], jobs=[job_id]) == 1

    assert conn.execute(OPEN).fetchall() == [(run_id,)]
    assert [status for status, _ in runs(conn)] == ["r", "d"]
    assert job(conn, job_id, "jobagentid") == agent.info.backend_pid
    assert [status for _, status, *_ in step_runs(conn)] == ["r"]


def test_a_running_row_without_an_agent_is_closed(conn, other):
    """As an update from 4.2 may leave it, whose daemon was killed long ago."""
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute("INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [job_id])
    conn.execute("UPDATE pgagent.pga_joblog SET jlgagentid = NULL")

    assert heartbeat(other)["dead"] == 1
    assert sweep(other) == 1

    assert runs(conn) == [("d", "aborted: no agent held it any more")]
    assert heartbeat(other)["dead"] == 0


def test_a_job_that_is_held_by_nobody_who_is_registered_is_freed(conn, agent, other):
    job_id, _ = claimed(conn, agent)
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute("TRUNCATE pgagent.pga_joblog CASCADE")
        conn.execute(
            "DELETE FROM pgagent.pga_jobagent WHERE jagpid = %s",
            [agent.info.backend_pid],
        )

    assert swept(other)[2] == ["freed: no run of it was under way"]
    assert job(conn, job_id, "jobagentid") is None


def test_an_agent_that_is_not_registered_is_told_so_when_it_claims(conn, dsn, other):
    add_job(conn)
    with closing(psycopg.connect(dsn, autocommit=True)) as stranger:
        pid = register(stranger, "elsewhere")
        end_session(conn, stranger)
    sweep(other)

    with pytest.raises(
        psycopg.Error, match=f"agent {pid} is not registered"
    ) as refusal:
        conn.execute("UPDATE pgagent.pga_job SET jobagentid = %s", [pid])

    assert refusal.value.sqlstate == "PGA03"
