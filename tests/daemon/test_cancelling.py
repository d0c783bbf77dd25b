"""cancel_run(): whatever a run is doing, it ends at once and leaves nothing."""

from jobs import add_job, batch, job, runs, step_runs
from support import poll

from .runner_process import Runner, ended_runs, running_step
from .stubborn import (
    busy_sessions,
    seconds_of_run,
    silent_server,
    stubborn_steps,
)

CANCELLED = 'aborted in step "step 01": cancelled by postgres at '


def cancel(conn):
    """Cancel all runs; return when, as an SQL expression."""
    ((now,), *_) = conn.execute(
        "SELECT clock_timestamp() FROM pgagent.pga_joblog"
        " WHERE jlgstatus = 'r' AND pgagent.cancel_run(jlgid)"
    )
    return f"'{now}'"


def test_runs_are_ended_whatever_they_are_doing(conn, runner, leash):
    jobs = {
        add_job(conn, step, "SELECT 1"): what
        for what, step in stubborn_steps(leash).items()
    }
    poll(lambda: len(busy_sessions(conn)) == 3, what="the statements to run")
    poll(leash.is_held, what="the scripts to run")
    for job_id in jobs:
        running_step(conn, job_id)

    cancelled = cancel(conn)

    assert ended_runs(conn, count=len(jobs)) == "d" * len(jobs)
    assert busy_sessions(conn) == []
    assert not leash.is_held()
    for job_id, what in jobs.items():
        assert seconds_of_run(conn, job_id, cancelled) < 2, what
        ((_, message),) = runs(conn, job_id)
        assert message.startswith(CANCELLED), what
        ((_, status, _, output),) = step_runs(conn, job_id)
        assert (status, "cancelled by postgres at " in output) == ("d", True), what
        assert job(conn, job_id, "jobagentid") is None


def test_a_run_that_is_being_connected_is_ended(conn, runner):
    with silent_server() as server:
        add_job(conn, {"jstcode": "SELECT 1", "jstconnstr": server.conninfo})
        server.accept()

        cancelled = cancel(conn)

        assert ended_runs(conn) == "d"
        assert server.has_been_left()
    assert seconds_of_run(conn, since=cancelled) < 2


def test_a_run_that_waits_for_its_turn_at_the_target_is_ended(conn, dsn, gate):
    code, open_gate = gate
    with Runner("--target-sessions", "1", dsn) as runner:
        runner.ready()
        first = add_job(conn, "SELECT 1", batch(code), "SELECT 1")
        poll(lambda: len(step_runs(conn, first)) == 2)
        second = add_job(conn, "SELECT 1")
        running_step(conn, second)

        conn.execute(
            "SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = %s",
            [second],
        )

        assert ended_runs(conn, second) == "d"
        assert seconds_of_run(conn) < 5
        open_gate()
        assert ended_runs(conn, first) == "s"


def test_a_job_whose_run_was_cancelled_runs_again(conn, runner):
    job_id = add_job(conn, "SELECT pg_sleep(600)")
    running_step(conn)
    cancel(conn)
    ended_runs(conn)
    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1'")

    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    assert ended_runs(conn, job_id, count=2) == "ds"


def test_who_cancels_first_is_told(conn, runner):
    add_job(conn, "SELECT pg_sleep(600)")
    running_step(conn)
    conn.execute("CREATE ROLE late_comer")
    try:
        conn.execute("GRANT USAGE ON SCHEMA pgagent TO late_comer")
        conn.execute("GRANT ALL ON ALL TABLES IN SCHEMA pgagent TO late_comer")
        with conn.transaction():
            cancel(conn)
            conn.execute("SET LOCAL ROLE late_comer")
            cancel(conn)
        assert ended_runs(conn) == "d"
    finally:
        conn.execute("DROP OWNED BY late_comer; DROP ROLE late_comer")

    ((_, message),) = runs(conn)
    assert message.startswith(CANCELLED)


def test_a_promised_run_that_is_cancelled_never_begins(conn, dsn):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute("SET client_min_messages = error")
    ((run_id,),) = conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])

    assert conn.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone() == (True,)

    with Runner(dsn) as runner:
        runner.ready()
        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
    assert runs(conn, job_id) == []
