"""SQL steps in mode autocommit and atomic."""

import random
import signal
from functools import partial

import pytest
from jobs import add_job, runs, step_runs
from support import poll

from .runner_process import Runner, ended_runs, running_step


def step(code, mode, **columns):
    return {"jstkind": "s", "jstcode": code, "jstmode": mode} | columns


@pytest.fixture
def table(conn):
    conn.execute("CREATE TABLE effect (n integer)")
    return lambda: [n for (n,) in conn.execute("SELECT n FROM effect ORDER BY n")]


def test_statements_that_want_no_transaction_run_in_autocommit(conn, runner, table):
    code = """
        VACUUM effect;
        CREATE INDEX CONCURRENTLY ON effect (n);
        CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO effect VALUES (1); COMMIT; INSERT INTO effect VALUES (2); END $$;
        CALL twice();
    """
    assert ended_runs(conn, add_job(conn, step(code, "autocommit"))) == "s"
    assert table() == [1, 2]


def test_autocommit_stops_at_the_first_error_and_keeps_what_was_before(
    conn, runner, table
):
    code = "INSERT INTO effect VALUES (1); SELECT 1/0; INSERT INTO effect VALUES (2)"
    assert ended_runs(conn, add_job(conn, step(code, "autocommit"))) == "f"
    assert table() == [1]
    assert "in statement 2" in step_runs(conn)[0][3]


def test_the_same_in_mode_single_leaves_nothing(conn, runner, table):
    code = "INSERT INTO effect VALUES (1); SELECT 1/0; INSERT INTO effect VALUES (2)"
    assert ended_runs(conn, add_job(conn, step(code, "single"))) == "f"
    assert table() == []


def test_an_atomic_step_succeeds_with_its_log_row(conn, runner, table):
    code = "INSERT INTO effect VALUES (1); DO $$ BEGIN RAISE NOTICE 'hello'; END $$"
    job_id = add_job(
        conn, step(code, "atomic"), step("INSERT INTO effect VALUES (2)", "atomic")
    )

    assert ended_runs(conn, job_id) == "s"
    assert table() == [1, 2]
    (first, second) = step_runs(conn)
    assert first[1] == second[1] == "s"
    assert "hello" in first[3]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("INSERT INTO effect VALUES (1); SELECT 1/0", "division by zero"),
        ("INSERT INTO effect VALUES (1); COMMIT", "can't end its own transaction"),
        ("INSERT INTO effect VALUES (1); ROLLBACK", "can't end its own transaction"),
    ],
)
def test_an_atomic_step_that_fails_says_why(conn, runner, table, code, reason):
    assert ended_runs(conn, add_job(conn, step(code, "atomic"))) == "f"
    assert reason in step_runs(conn)[0][3]
    assert table() == ([1] if "COMMIT" in code else [])


def test_an_atomic_step_may_change_its_role_and_search_path(conn, runner, table):
    conn.execute("DROP ROLE IF EXISTS nobody_much; CREATE ROLE nobody_much")
    conn.execute("GRANT INSERT ON effect TO nobody_much")
    code = (
        "SET ROLE nobody_much; SET search_path = public; INSERT INTO effect VALUES (1)"
    )
    assert ended_runs(conn, add_job(conn, step(code, "atomic"))) == "s"
    assert table() == [1]
    conn.execute("DROP TABLE effect; DROP ROLE nobody_much")


def test_a_run_that_was_closed_takes_the_effect_of_its_atomic_step_back(
    conn, runner, table
):
    code = "INSERT INTO effect VALUES (1); SELECT pg_sleep(0.5)"
    add_job(conn, step(code, "atomic"))
    running_step(conn)

    conn.execute(
        "SELECT pgagent.pga_run_abort(jlgid, 'by hand') FROM pgagent.pga_joblog"
    )

    runner.says("was closed by somebody else")
    assert table() == []
    assert runs(conn) == [("d", "by hand")]


def test_whenever_the_runner_is_killed_effect_and_log_agree(conn, dsn, table):
    rng = random.Random(1)
    for trial in range(8):
        with Runner("--lease", "4", dsn) as runner:
            runner.ready()
            code = f"INSERT INTO effect VALUES ({trial})"
            job_id = add_job(conn, step(code, "atomic"))
            poll(partial(runs, conn, job_id))
            delay = rng.uniform(0, 0.02)
            conn.execute("SELECT pg_sleep(%s)", [delay])
            runner.send(signal.SIGKILL)
            runner.ended()
    with Runner(dsn) as runner:
        runner.ready()
        ended_runs(conn, count=8)
    succeeded = conn.execute(
        "SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 's'"
    ).fetchone()[0]
    assert len(table()) == succeeded
