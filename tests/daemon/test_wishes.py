"""Promised runs take place, each once and under its id, whatever becomes of the runners."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest
from jobs import add_job, batch, runs, step_runs
from support import poll

from .runner_process import Daemon42, Runner, ended_runs, running_step

JOBS = 6
SECONDS = 6


def promise(conn, job_id, step=None):
    query = "SELECT pgagent.run_job(%s::bigint, %s)"
    return conn.execute(query, [job_id, step]).fetchone()[0]


def test_a_job_runs_again_right_after_the_run_that_was_under_way(conn, runner, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code), batch("echo again"))
    running_step(conn, job_id)

    run_id = promise(conn, job_id, "step 02")
    assert promise(conn, job_id, "step 02") == run_id
    open_gate()

    assert ended_runs(conn, count=2, deadline=5) == "ss"
    assert conn.execute(
        "SELECT step FROM pgagent.run_history WHERE run_id = %s", [run_id]
    ).fetchall() == [("step 02",)]


def test_a_cancelled_wish_does_not_begin(conn, runner, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code))
    running_step(conn, job_id)

    run_id = promise(conn, job_id)
    assert conn.execute("SELECT pgagent.cancel_run(%s)", [run_id]).fetchone() == (True,)
    open_gate()

    assert ended_runs(conn) == "s"
    (due,) = conn.execute("SELECT count(jobnextrun) FROM pgagent.pga_job").fetchone()
    assert due == 0


@pytest.mark.parametrize(
    "held",
    ["DELETE FROM pgagent.pga_jobrequest", "LOCK TABLE pgagent.pga_jobrequest"],
)
def test_a_lock_on_a_wish_holds_up_its_own_job_only(conn, dsn, gate, held):
    code, open_gate = gate
    job_id = add_job(conn, batch(code))
    other = add_job(conn, "SELECT 1", due=None)
    with (
        Runner("--poll", "0.2", dsn),
        closing(psycopg.connect(dsn)) as holder,
    ):
        running_step(conn, job_id)
        run_id = promise(conn, job_id)
        holder.execute(held)
        open_gate()
        poll(lambda: runs(conn, job_id) == [("s", None)])

        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [other]
        )

        assert ended_runs(conn, other, deadline=5) == "s"
        holder.rollback()
        assert ended_runs(conn, job_id, count=2, deadline=10) == "ss"
    query = "SELECT max(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = %s"
    assert conn.execute(query, [job_id]).fetchone() == (run_id,)


def test_a_trigger_that_refuses_a_wish_holds_up_its_own_job_only(conn, runner):
    job_id, other = (add_job(conn, "SELECT 1", due=None) for _ in range(2))
    conn.execute(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'not this wish'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON pgagent.pga_jobrequest"
        " FOR EACH ROW EXECUTE FUNCTION public.refuse()"
    )
    run_id = promise(conn, job_id)
    problem = "SELECT problem FROM pgagent.job_status WHERE job_id = %s"
    poll(
        lambda: "not this wish" in (conn.execute(problem, [job_id]).fetchone()[0] or "")
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [other]
    )
    assert ended_runs(conn, other) == "s"

    conn.execute("DROP TRIGGER refuse ON pgagent.pga_jobrequest")

    assert ended_runs(conn, job_id) == "s"
    query = "SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = %s"
    assert conn.execute(query, [job_id]).fetchall() == [(run_id,)]


def ask_for_a_while(dsn, seed, jobs, until):
    """Have jobs run, and return the ids that were promised."""
    chance = random.Random(seed)
    given = set()
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        while time.monotonic() < until:
            step = chance.choice([None, "step 01", "step 02"])
            given.add(promise(session, chance.choice(jobs), step))
    return given


def kill_for_a_while(dsn, until):
    """Have three runners, one of which is killed and replaced again and again."""
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner("--workers", "2", dsn)) for _ in range(3)]
        while time.monotonic() < until:
            victim = runners.pop(0).ready()
            victim.kill()
            runners.append(stack.enter_context(Runner("--workers", "2", dsn)))


def test_no_promise_is_lost_or_kept_twice_while_runners_are_killed(conn, dsn):
    jobs = [add_job(conn, "SELECT 1", "SELECT 2", due=None) for _ in range(JOBS)]
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor() as threads:
        asking = [
            threads.submit(ask_for_a_while, dsn, seed, jobs, until) for seed in range(3)
        ]
        kill_for_a_while(dsn, until)
        given = set.union(*(asked.result() for asked in asking))

    waiting = "SELECT count(*) FROM pgagent.pga_jobrequest"
    with Runner(dsn):
        poll(lambda: conn.execute(waiting).fetchone() == (0,), 30, "the last wish")
        ended_runs(conn, deadline=30)

    log = conn.execute("SELECT jlgid, jlgstartedvia FROM pgagent.pga_joblog").fetchall()
    assert {run_id for run_id, _ in log} == given
    assert {via for _, via in log} == {"run_job"}
    assert len(given) > JOBS, "too little happened"


@pytest.mark.needs("pgagent_4_2")
def test_beside_the_daemon_of_4_2_a_promise_is_kept_by_our_runner(conn, cluster, dsn):
    job_id = add_job(conn, "SELECT 1", batch("echo second"), due=None)
    plain = add_job(conn, "SELECT 1", due=None)
    with Daemon42(cluster, dsn) as daemon:
        run_id = promise(conn, job_id, "step 02")
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [plain]
        )
        assert ended_runs(conn, plain) == "s"
        tries = daemon.log.count("Checking for jobs to run")
        poll(lambda: daemon.log.count("Checking for jobs to run") > tries + 2)
        assert runs(conn, job_id) == []

        with Runner(dsn):
            assert ended_runs(conn, job_id) == "s"

    assert [row[0] for row in step_runs(conn, job_id)] == ["step 02"]
    assert conn.execute(
        "SELECT jlgid FROM pgagent.pga_joblog WHERE jlgjobid = %s", [job_id]
    ).fetchall() == [(run_id,)]
