"""The end of agents: their runs are aborted, with a reason, by whoever finds them."""

from contextlib import closing, contextmanager

import psycopg
import pytest
from jobs import add_job, add_schedule, job, runs, step_runs
from support import poll
from transitions import (
    RefusedError,
    claim,
    claim_rows,
    finish_run,
    heartbeat,
    leave,
    register,
    start_step,
    sweep,
)


def agents(conn):
    return [row[0] for row in conn.execute("SELECT jagpid FROM pgagent.pga_jobagent")]


def hold_a_run(conn, session):
    """Have an agent hold a run with a step under way; return the job's id."""
    job_id = add_job(conn, "SELECT 1")
    add_schedule(conn, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    ((run_id, _, _, step_id, *_),) = claim_rows(session)
    start_step(session, run_id, step_id)
    return job_id


def close(conn, session):
    """End a session, and wait until the server knows."""
    pid = session.info.backend_pid
    session.close()
    poll(
        lambda: conn.execute(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", [pid]
        ).fetchone()[0]
    )


def let_the_lease_run_out(conn, session):
    conn.execute(
        "UPDATE pgagent.pga_jobagent SET jaglease = now() - interval '1 s'"
        " WHERE jagpid = %s",
        [session.info.backend_pid],
    )


def lease_left(session):
    """Return until when the agent of this session counts as alive."""
    query = "SELECT jaglease FROM pgagent.pga_jobagent WHERE jagpid = pg_backend_pid()"
    return session.execute(query).fetchone()[0]


def free_by_force(conn):
    """Free all jobs as an older version, or a restore, may have left them."""
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute("UPDATE pgagent.pga_job SET jobagentid = NULL")


def test_what_a_dead_agent_held_is_aborted_with_the_reason(conn, agent, other):
    job_id = hold_a_run(conn, agent)
    pid = agent.info.backend_pid
    close(conn, agent)

    assert heartbeat(other)["dead"] == 1
    assert sweep(other) == 1

    reason = (
        f"aborted: agent {pid} on here is gone: its connection to the database ended"
    )
    assert runs(conn) == [("d", reason)]
    assert step_runs(conn) == [("step 01", "d", -1, reason)]
    assert job(conn, job_id, "jobagentid") is None
    assert job(conn, job_id, "jobnextrun > now()")
    assert agents(conn) == [other.info.backend_pid]


def test_an_agent_that_lives_is_not_swept(conn, agent, other):
    hold_a_run(conn, agent)

    assert sweep(other) == 0
    assert [status for status, _ in runs(conn)] == ["r"]


def test_an_agent_whose_lease_has_run_out_is_dead(conn, agent, other):
    hold_a_run(conn, agent)
    let_the_lease_run_out(conn, agent)

    assert sweep(other) == 1

    ((status, message),) = runs(conn)
    assert status == "d"
    assert message.endswith("it has not shown a sign of life for too long")


def test_an_agent_that_was_declared_dead_can_do_nothing_more(conn, agent, other):
    hold_a_run(conn, agent)
    ((run_id,),) = conn.execute("SELECT jlgid FROM pgagent.pga_joblog")
    let_the_lease_run_out(conn, agent)
    sweep(other)

    for deed in (heartbeat, claim):
        with pytest.raises(psycopg.Error, match="is not registered") as e:
            deed(agent)
        assert e.value.sqlstate == "PGA03"
    with pytest.raises(RefusedError, match="is not running"):
        finish_run(agent, run_id)
    assert [status for status, _ in runs(conn)] == ["d"]


def test_a_process_id_that_came_again_is_not_the_agent(conn, agent, other):
    """A session with the dead agent's process id, begun later."""
    hold_a_run(conn, agent)
    conn.execute(
        "UPDATE pgagent.pga_jobagent SET jagbackendstart = jagbackendstart - interval '1 h'"
        " WHERE jagpid = %s",
        [agent.info.backend_pid],
    )

    assert sweep(other) == 1


def test_registering_under_the_process_id_of_a_dead_agent_buries_it(conn, agent):
    job_id = hold_a_run(conn, agent)

    register(agent)

    assert agents(conn) == [agent.info.backend_pid]
    assert [status for status, _ in runs(conn)] == ["d"]
    assert job(conn, job_id, "jobagentid") is None


@pytest.fixture
def step(dsn):
    """A session in which an agent executes a step."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        yield session


def note(agent, step, *, pooled, began="backend_start"):
    """Have the agent note a session, as the runner does."""
    agent.execute(
        f"SELECT pgagent.pga_agent_session(pg_backend_pid(), pid, {began}, %s)"
        " FROM pg_stat_activity WHERE pid = %s",
        [pooled, step.info.backend_pid],
    )


def is_alive(session):
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_session_is_ended_before_its_process_id_registers(agent, step):
    """A pooler gives the next agent the session of one that was killed."""
    note(agent, step, pooled=False)

    with pytest.raises(
        psycopg.errors.ObjectInUse,
        match="steps of the agent that had this session before are still being ended",
    ):
        register(agent)

    assert not is_alive(step)
    poll(lambda: has_registered(agent))


def has_registered(agent):
    try:
        register(agent)
    except psycopg.errors.ObjectInUse:
        return False
    return True


@pytest.mark.parametrize(
    ("sign", "ends"),
    [
        ("SELECT pg_advisory_lock_shared(742199025, 1)", True),
        ("SET application_name = 'pgagent job 1 run 23'", True),
        ("SELECT 1", False),
        ("SET application_name = 'pgagent'", False),
        ("SELECT pg_advisory_lock(742199025, 2)", False),
    ],
)
def test_a_pooled_session_is_ended_only_while_it_is_the_agents(
    conn, agent, other, step, sign, ends
):
    note(agent, step, pooled=True)
    step.execute(sign)
    let_the_lease_run_out(conn, agent)

    sweep(other)

    assert is_alive(step) is not ends


@pytest.mark.parametrize("right", ["", "pg_signal_backend", "stranger"])
def test_only_a_session_that_may_be_ended_is_noted(conn, dsn, agent, right):
    """One that can't be ended would keep others from being so."""
    with (
        roles(conn, "ours", "stranger"),
        closing(psycopg.connect(dsn, user="stranger", autocommit=True)) as step,
    ):
        conn.execute("GRANT pg_read_all_stats TO ours")
        conn.execute("GRANT ALL ON SCHEMA pgagent TO ours")
        conn.execute("GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO ours")
        conn.execute("GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgagent TO ours")
        if right:
            conn.execute(f"GRANT {right} TO ours")
        agent.execute("SET ROLE ours")
        note(agent, step, pooled=False)
        agent.execute("RESET ROLE")
        query = "SELECT count(*) FROM pgagent.pga_jobsession"
        assert conn.execute(query).fetchone() == (int(right != ""),)


@contextmanager
def roles(conn, *names):
    for name in names:
        conn.execute(f"DROP ROLE IF EXISTS {name}")
        conn.execute(f"CREATE ROLE {name} LOGIN")
    try:
        yield
    finally:
        for name in names:
            conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_a_session_of_another_server_with_the_same_process_id_is_not_noted(
    conn, agent, step
):
    note(agent, step, pooled=False, began="backend_start - interval '1 us'")

    query = "SELECT count(*) FROM pgagent.pga_jobsession"
    assert conn.execute(query).fetchone() == (0,)


def test_a_daemon_of_pgagent_4_counts_as_alive_while_it_is_connected(conn, dsn, other):
    with psycopg.connect(dsn, autocommit=True) as daemon:
        daemon.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation)"
            " VALUES (pg_backend_pid(), 'old')"
        )
        assert sweep(other) == 0
        assert len(agents(conn)) == 2
    poll(lambda: sweep(other) == 0 and len(agents(conn)) == 1)


def test_a_run_that_nobody_holds_is_aborted(conn, agent, other):
    hold_a_run(conn, agent)
    free_by_force(conn)

    assert heartbeat(other)["dead"] == 1
    assert sweep(other) == 1
    assert runs(conn) == [("d", "aborted: no agent held it any more")]


def test_an_agent_that_leaves_takes_its_row_along(conn, agent):
    hold_a_run(conn, agent)

    leave(agent)

    assert agents(conn) == []
    ((status, message),) = runs(conn)
    assert (status, message.rpartition(": ")[2]) == ("d", "it was stopped")


def test_a_lock_on_the_jobs_does_not_stop_the_heart(conn, agent, other):
    hold_a_run(conn, agent)
    close(conn, agent)
    other.execute("SET lock_timeout = '50ms'")
    with conn.transaction():
        conn.execute("LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE")
        before = lease_left(other)
        heartbeat(other)
        assert lease_left(other) > before
    assert sweep(other) == 1


def test_a_lock_that_holds_up_the_sweep_keeps_no_run_from_being_cancelled(
    conn, dsn, agent, other
):
    hold_a_run(conn, other)
    ((run_id,),) = conn.execute("SELECT jlgid FROM pgagent.pga_joblog")
    hold_a_run(conn, agent)
    close(conn, agent)
    conn.execute("SELECT pgagent.cancel_run(%s)", [run_id])
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE pgagent.pga_job IN EXCLUSIVE MODE")

        assert heartbeat(other, [run_id])["lost"] == [run_id]


def test_a_long_reason_for_a_cancellation_is_told_in_short(conn, agent):
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    conn.execute("UPDATE pgagent.pga_joblog SET jlgcancel = repeat('x', 1000000)")
    heard = heartbeat(agent, [run_id])
    assert (heard["lost"], heard["reasons"]) == ([run_id], ["x" * 1000])
