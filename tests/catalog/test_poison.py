"""Jobs whose runners die: three deaths in a row are the job's fault."""

from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
from jobs import add_job, job, runs
from support import poll
from transitions import claim, register, sweep


@pytest.fixture
def die(conn, dsn, other):
    """Have an agent die while it runs what is due; `other` finds it."""

    def die(before=""):
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            register(session)
            assert claim(session)
            conn.execute(
                f"UPDATE pgagent.pga_jobagent SET {before or 'jagpid = jagpid'}"
                " WHERE jagpid = %s",
                [session.info.backend_pid],
            )
        poll(lambda: sweep(other))

    return die


def test_a_restart_of_the_server_is_not_the_jobs_fault(conn, die):
    job_id = add_job(conn, "SELECT 1")

    for _ in range(3):
        die(before="jagbackendstart = pg_postmaster_start_time() - interval '1 s'")

    assert job(conn, job_id, "(jobenabled, jobdeaths)") == ("t", "0")


def test_a_lease_that_ran_out_is_not_the_jobs_fault(conn, dsn, other):
    job_id = add_job(conn, "SELECT 1")
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        for _ in range(3):
            conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
            register(session, lease="0 s")
            claim(session)
            assert sweep(other) == 1

    assert job(conn, job_id, "(jobenabled, jobdeaths)") == ("t", "0")
    assert [status for status, _ in runs(conn)] == ["d"] * 3


def test_a_lost_connection_of_a_runner_that_comes_back_is_not_the_jobs_fault(
    conn, dsn, other
):
    job_id = add_job(conn, "SELECT 1")
    register_again = "SELECT pgagent.pga_agent_register('here', '20 s', false, %s)"
    name = uuid4()
    for _ in range(4):
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        with closing(psycopg.connect(dsn, autocommit=True)) as session:
            session.execute(register_again, [name])
            sweep(session)
            assert claim(session)
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.execute(register_again, [name])
        poll(lambda: sweep(other) or not job(conn, job_id, "jobagentid"))

    assert job(conn, job_id, "(jobenabled, jobdeaths)") == ("t", "0")
    assert [status for status, _ in runs(conn)] == ["d"] * 4


def test_the_third_death_says_why_the_job_is_disabled(conn, die):
    job_id = add_job(conn, "SELECT 1")
    for _ in range(2):
        die()
    assert job(conn, job_id, "jobenabled")

    die()

    assert not job(conn, job_id, "jobenabled")
    assert runs(conn)[-1][1].endswith(
        "its runner has died 3 times in a row while it was running:"
        " the job has been disabled"
    )


def test_wishes_do_not_outlive_the_third_death(conn, die):
    """Each would kill one more runner; whoever waits for one finds it in the log."""
    job_id = add_job(conn, "SELECT 1", "SELECT 2")
    for _ in range(2):
        die()
    wishes = [
        conn.execute(
            "SELECT pgagent.run_job(%s::bigint, %s)", [job_id, step]
        ).fetchone()[0]
        for step in ("step 01", "step 02", None)
    ]

    die()

    columns = "(jobenabled, jobnextrun, jobrunid)"
    assert job(conn, job_id, columns) == ("f", None, None)
    told = conn.execute(
        "SELECT jlgid, jlgstatus, jlgmessage LIKE 'aborted before it began%%',"
        " jlgstartedby, jlgstartedvia FROM pgagent.pga_joblog WHERE jlgid = ANY (%s)"
        " ORDER BY jlgid",
        [wishes[1:]],
    ).fetchall()
    assert told == [(run, "d", True, "postgres", "run_job") for run in wishes[1:]]
    assert conn.execute("SELECT count(*) FROM pgagent.pga_jobrequest").fetchone() == (
        0,
    )
