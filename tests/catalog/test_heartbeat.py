"""Signs of life, and who counts as dead: under locks, triggers, poolers, wrong clocks."""

import psycopg
import pytest
from jobs import add_job, job, runs, step_runs
from support import end_session, poll
from transitions import (
    claim,
    finish_run,
    finish_step,
    heartbeat,
    register,
    sweep,
    swept,
)

FAIL = """
    CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'not on a Sunday'; END$$
"""
ON_AGENTS = """
    CREATE TRIGGER t BEFORE UPDATE ON pgagent.pga_jobagent
    FOR EACH ROW EXECUTE FUNCTION public.fail()
"""
# Of job 1 only.
ON_RUNS = """
    CREATE TRIGGER t BEFORE UPDATE ON pgagent.pga_joblog
    FOR EACH ROW WHEN (OLD.jlgjobid = 1) EXECUTE FUNCTION public.fail()
"""


def end_lease(conn):
    conn.execute("UPDATE pgagent.pga_jobagent SET jaglease = now() - interval '1 h'")


def agents(conn):
    query = "SELECT jagpid FROM pgagent.pga_jobagent ORDER BY 1"
    return [pid for (pid,) in conn.execute(query)]


def test_a_heartbeat_that_a_trigger_refuses_is_a_sign_of_life(conn, agent, other):
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    end_lease(conn)
    conn.execute(FAIL + ";" + ON_AGENTS)
    conn.execute("SELECT pgagent.cancel_run(%s)", [run_id])

    heard = heartbeat(agent, [run_id])

    assert heard["refused"] == "not on a Sunday"
    assert heard["lost"] == [run_id]
    assert heard["seen"]
    assert sweep(other) == 0
    assert agents(conn) == sorted([agent.info.backend_pid, other.info.backend_pid])


def test_a_heartbeat_that_waits_for_a_lock_is_a_sign_of_life(conn, agent, other):
    end_lease(conn)
    agent.execute("SET lock_timeout = '50ms'")
    with conn.transaction():
        conn.execute("LOCK TABLE pgagent.pga_jobagent IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            heartbeat(agent)

    sweep(other)
    assert agent.info.backend_pid in agents(conn)


def test_signs_of_life_are_no_older_than_a_lease(conn, agent, other):
    conn.execute(FAIL)
    heartbeat(agent, lease="0.3 s")
    conn.execute(ON_AGENTS)
    heartbeat(agent, lease="0.3 s")
    conn.execute("DROP TRIGGER t ON pgagent.pga_jobagent")
    poll(lambda: (sweep(other), agents(conn))[1] == [other.info.backend_pid])


def test_whatever_else_a_session_does_is_no_sign_of_its_agents_life(conn, agent, other):
    """A pooler may hand the session of a dead agent on."""
    heartbeat(agent)
    end_lease(conn)
    agent.execute("SELECT 1")
    sweep(other)
    assert agents(conn) == [other.info.backend_pid]


def test_a_session_that_was_exchanged_is_not_that_of_the_agent(conn, agent, other):
    query = "SELECT pgagent.pga_agent_heartbeat(%s, '20 s', '{}')"
    with pytest.raises(
        psycopg.Error, match="is not the session that shows its sign of life"
    ) as refusal:
        other.execute(query, [agent.info.backend_pid])
    assert refusal.value.sqlstate == "PGA03"


def test_an_agent_whose_statements_others_may_not_see_is_told_so(conn, dsn, agent):
    assert heartbeat(agent)["seen"]
    conn.execute("CREATE ROLE bob LOGIN SUPERUSER; CREATE ROLE eve LOGIN")
    try:
        conn.execute("GRANT USAGE ON SCHEMA pgagent TO eve")
        conn.execute("GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO eve")
        conn.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent TO eve")
        conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgagent TO eve")
        with psycopg.connect(dsn, user="bob", autocommit=True) as bob:
            register(bob)
            assert heartbeat(agent)["seen"]
        with psycopg.connect(dsn, user="eve", autocommit=True) as eve:
            register(eve)
            assert not heartbeat(agent)["seen"]
    finally:
        conn.execute("DROP OWNED BY eve; DROP ROLE eve; DROP ROLE bob")


def test_leases_are_not_judged_by_whoever_can_not(conn, agent, other):
    end_lease(conn)
    assert (sweep(other, judges=False), len(agents(conn))) == (0, 2)
    end_session(conn, agent)
    assert (sweep(other, judges=False), len(agents(conn))) == (0, 1)


def test_a_lease_whose_process_has_registered_anew_needs_no_judge(conn, agent, other):
    conn.execute("UPDATE pgagent.pga_jobagent SET jagrunner = gen_random_uuid()")
    query = "SELECT jagrunner FROM pgagent.pga_jobagent WHERE jagpid = %s"
    ((runner,),) = conn.execute(query, [agent.info.backend_pid])
    end_lease(conn)
    anew = "SELECT pgagent.pga_agent_register('there', '20 s', false, %s)"
    other.execute(anew, [runner])

    sweep(other, judges=False)

    assert agents(conn) == [other.info.backend_pid]


def test_nobody_buries_himself(conn, agent):
    end_lease(conn)
    sweep(agent)
    assert agents(conn) == [agent.info.backend_pid]


def test_a_lease_that_ends_later_than_it_can_is_shortened(conn, agent, other):
    conn.execute(
        "UPDATE pgagent.pga_jobagent SET jaglease = jaglease + interval '1 h'"
        " WHERE jagpid = %s",
        [agent.info.backend_pid],
    )
    assert heartbeat(other)["dead"] == 1
    assert swept(other) == (0, 1, [])
    query = "SELECT max(jaglease) <= clock_timestamp() + interval '20 s' FROM pgagent.pga_jobagent"
    assert conn.execute(query).fetchone()[0]
    assert heartbeat(other)["dead"] == 0


def test_agents_that_live_are_counted(conn, agent, other):
    assert heartbeat(agent)["agents"] == 2
    end_session(conn, other)
    assert heartbeat(agent)["agents"] == 1


def test_a_session_of_another_database_is_no_agents(conn, dsn, agent, cluster):
    with psycopg.connect(cluster.conninfo("postgres"), autocommit=True) as elsewhere:
        pid = elsewhere.info.backend_pid
        conn.execute(
            "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation) VALUES (%s, 'copy')",
            [pid],
        )
        assert pid in agents(conn)
        sweep(agent)
        assert pid not in agents(conn)


def test_a_run_that_can_not_be_aborted_keeps_nothing_else_from_being_buried(
    conn, agent, other
):
    for _ in range(3):
        add_job(conn, "SELECT 1")
    claim(agent)
    conn.execute(FAIL + ";" + ON_RUNS)
    end_session(conn, agent)

    aborted, again, told = swept(other)

    assert "r" not in "".join(status for status, _ in runs(conn))[1:]
    assert (aborted >= 2, again) == (True, 0)
    assert agents(conn) == [other.info.backend_pid]
    assert [job(conn, n, "jobagentid") for n in (1, 2, 3)] == [None] * 3
    assert any("not on a Sunday" in text for text in told)
    conn.execute("DROP TRIGGER t ON pgagent.pga_joblog")
    sweep(other)
    assert [status for status, _ in runs(conn)] == ["d"] * 3


def test_a_locked_job_is_left_for_the_next_sweep(conn, dsn, agent, other):
    for _ in range(2):
        add_job(conn, "SELECT 1")
    claim(agent)
    end_session(conn, agent)
    other.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT FROM pgagent.pga_job WHERE jobid = 1 FOR UPDATE")
        assert swept(other)[0] == 1
        assert [status for status, _ in runs(conn)] == ["r", "d"]
    assert swept(other)[0] == 1
    assert agents(conn) == [other.info.backend_pid]


def test_an_agent_does_not_take_a_process_id_before_its_last_one_is_buried(
    conn, dsn, agent
):
    add_job(conn, "SELECT 1")
    claim(agent)
    agent.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT FROM pgagent.pga_job FOR UPDATE")
        with pytest.raises(
            psycopg.errors.LockNotAvailable,
            match="which had this process id before, can't be buried yet",
        ):
            register(agent)
    register(agent)
    assert [status for status, _ in runs(conn)] == ["d"]


@pytest.mark.parametrize("way", ["recorded", "aborted"])
def test_no_duration_is_negative(conn, agent, other, way):
    """The clock was set back while they ran."""
    add_job(conn, "SELECT 1")
    ((run_id, _),) = claim(agent)
    conn.execute("UPDATE pgagent.pga_joblog SET jlgstart = now() + interval '1 h'")
    conn.execute("UPDATE pgagent.pga_jobsteplog SET jslstart = now() + interval '1 h'")
    ((step,),) = conn.execute("SELECT jslid FROM pgagent.pga_jobsteplog")
    if way == "recorded":
        finish_step(agent, run_id, step)
        finish_run(agent, run_id)
    else:
        end_session(conn, agent)
        sweep(other)
    query = "SELECT jlgduration = '0', jslduration = '0' FROM pgagent.pga_joblog JOIN pgagent.pga_jobsteplog ON jsljlgid = jlgid"
    assert conn.execute(query).fetchall() == [(True, True)]
    assert [status for _, status, *_ in step_runs(conn)] != ["r"]
