"""A job that is due runs: at once, once, and never twice at the same time."""

import time
from contextlib import contextmanager

from jobs import add_job, add_schedule, batch, job, runs, step_runs
from support import poll

from .runner_process import Runner, add_jobs, ended_runs


@contextmanager
def within(seconds):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def test_a_due_job_runs_its_steps_and_logs_them(conn, runner):
    code = "SELECT 1; SELECT * FROM generate_series(1, 3)"

    job_id = add_job(conn, code, batch("echo hello; echo there >&2"))

    assert ended_runs(conn) == "s"
    sql, script = step_runs(conn, job_id)
    assert sql[:3] == ("step 01", "s", 3)
    assert "SELECT 3" in sql[3]
    assert script == ("step 02", "s", 0, "hello\nthere\n")


def test_the_next_run_is_computed_from_the_schedules(conn, runner):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id)

    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    assert ended_runs(conn) == "s"
    ((next_minute,),) = conn.execute(
        "SELECT jobnextrun = date_trunc('minute', jlgstart + jlgduration) + '1 min'"
        " FROM pgagent.pga_job JOIN pgagent.pga_joblog ON jlgjobid = jobid"
    )
    assert next_minute


def test_a_change_wakes_the_runner(conn, runner):
    job_id = add_job(conn, "SELECT 1", due=None)

    with within(2):
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        assert ended_runs(conn, job_id) == "s"


def test_a_job_is_found_by_polling_if_no_notification_came(conn, dsn):
    add_job(conn, "SELECT 1", due=None)
    with Runner("--poll", "0.5", dsn) as runner:
        runner.ready()

        conn.execute("SET session_replication_role = replica")
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

        assert ended_runs(conn) == "s"


def test_a_job_starts_at_its_time_and_never_earlier(conn, runner):
    due = "clock_timestamp() + interval '1.5 s'"

    add_job(conn, "SELECT 1", due=due)

    assert ended_runs(conn) == "s"
    ((late,),) = conn.execute(
        "SELECT extract(epoch FROM jlgstart - jlgscheduled) FROM pgagent.pga_joblog"
    )
    assert 0 <= late < 0.5


def test_jobs_that_fell_due_before_the_runner_came_run_once(conn, dsn):
    job_id = add_job(conn, "SELECT 1", due=None)
    add_schedule(conn, job_id, jscstart="2020-01-01")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = '2020-01-01'")

    with Runner(dsn) as runner:
        assert ended_runs(conn) == "s"
        assert runner.stop() == 0

    assert job(conn, job_id, "jobnextrun > now()")
    assert runs(conn) == [("s", None)]


def test_a_job_that_is_due_again_while_it_runs_runs_again_afterwards(conn, runner):
    job_id = add_job(conn, batch("sleep 0.5"))
    poll(lambda: runs(conn) == [("r", None)])

    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")

    assert ended_runs(conn, job_id, count=2) == "ss"
    assert conn.execute(
        "SELECT a.jlgstart + a.jlgduration <= b.jlgstart"
        " FROM pgagent.pga_joblog AS a JOIN pgagent.pga_joblog AS b ON a.jlgid < b.jlgid"
    ).fetchall() == [(True,)]


def test_a_job_bound_to_another_station_is_left_alone(conn, runner):
    other = add_job(conn, "SELECT 1", jobhostagent="elsewhere")

    mine = add_job(conn, "SELECT 1")

    assert ended_runs(conn, mine) == "s"
    assert runs(conn, other) == []


def test_a_job_bound_to_the_runners_station_runs(conn, dsn):
    add_job(conn, "SELECT 1", jobhostagent="the Ätna")

    with Runner("--station", "the Ätna", dsn):
        assert ended_runs(conn) == "s"
    assert conn.execute("SELECT jlgstation FROM pgagent.pga_joblog").fetchone() == (
        "the Ätna",
    )


def test_a_few_free_workers_take_job_after_job_while_the_others_are_busy(conn, dsn):
    """They do not wait for half of all workers to be free, nor for the next look."""
    with Runner("--workers", "4", dsn) as runner:
        runner.ready()
        for _ in range(3):
            add_job(conn, "SELECT pg_sleep(600)")
        poll(lambda: [status for status, _ in runs(conn)] == ["r"] * 3)

        add_jobs(conn, 40, "SELECT 1")

        done = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 's'"
        poll(lambda: conn.execute(done).fetchone() == (40,))
