"""What happens to a run whose job is changed or deleted meanwhile."""

from documents import inline
from jobs import add_job, add_schedule, add_step, batch, job, runs, step_runs

from .runner_process import ended_runs, running_step


def test_a_step_edited_while_the_job_runs_keeps_the_claimed_text(conn, runner, gate):
    code, open_gate = gate
    add_job(conn, batch(code), "SELECT 'claimed'::text FROM generate_series(1, 2)")
    running_step(conn)

    conn.execute(
        "UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1/0' WHERE jstkind = 's'"
    )
    open_gate()

    assert ended_runs(conn) == "s"
    assert step_runs(conn)[1][1:3] == ("s", 2)


def test_a_step_added_while_the_job_runs_waits_for_the_next_run(conn, runner, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code))
    running_step(conn)

    add_step(conn, job_id, "SELECT 1", name="zz")
    open_gate()

    assert ended_runs(conn) == "s"
    assert len(step_runs(conn)) == 1


def test_a_later_step_deleted_while_the_job_runs_is_passed_over(conn, runner, gate):
    code, open_gate = gate
    add_job(conn, batch(code), "SELECT 1 / 0", "SELECT 1")
    running_step(conn)

    conn.execute("DELETE FROM pgagent.pga_jobstep WHERE jstname = 'step 02'")
    open_gate()

    assert ended_runs(conn) == "s"
    assert [row[:2] for row in step_runs(conn)] == [("step 01", "s"), ("step 03", "s")]


def test_the_running_step_may_be_deleted(conn, runner, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code), "SELECT 1")
    running_step(conn)

    conn.execute("DELETE FROM pgagent.pga_jobstep WHERE jstname = 'step 01'")
    open_gate()

    assert ended_runs(conn) == "s"
    assert job(conn, job_id, "jobagentid") is None


def test_a_job_may_be_deleted_while_it_runs(conn, runner, gate):
    code, open_gate = gate
    add_job(conn, batch(code), "SELECT 1")
    running_step(conn)

    conn.execute("DELETE FROM pgagent.pga_job")
    open_gate()

    runner.says("was closed by somebody else")
    add_job(conn, "SELECT 1")
    assert ended_runs(conn) == "s"


def test_a_job_disabled_while_it_runs_ends_and_stays_quiet(conn, runner, gate):
    code, open_gate = gate
    job_id = add_job(conn, batch(code), "SELECT 1", due=None)
    add_schedule(conn, job_id)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    running_step(conn)

    conn.execute(inline("docs/operating.md", "UPDATE pgagent.pga_job SET jobenabled"))
    open_gate()

    assert ended_runs(conn) == "s"
    assert job(conn, job_id, "jobnextrun") is None


def test_temporary_tables_pass_from_step_to_step_but_not_to_the_next_run(conn, runner):
    job_id = add_job(
        conn,
        "CREATE TEMP TABLE t AS SELECT 5 AS x",
        batch("true"),
        "DO $$ BEGIN ASSERT (SELECT x FROM t) = 5; END $$",
    )
    assert ended_runs(conn) == "s"

    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    assert ended_runs(conn, job_id, count=2) == "ss"
    assert runs(conn) == [("s", None)] * 2
