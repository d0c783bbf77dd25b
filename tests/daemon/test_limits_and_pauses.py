"""Runners keep to the limits of classes and to pauses, and go on at once after them."""

import sys
import zipfile
from contextlib import ExitStack

import pytest
from jobs import add_job, batch, runs
from support import ROOT, poll

from chaos.checker import Run, crowded

from .runner_process import Daemon42, Program, Runner, add_jobs, ended_runs

ONE = "UPDATE pgagent.pga_jobclass SET jcllimit = %s WHERE jclid = 1"
GAP = """
    SELECT extract(epoch FROM b.jlgstart - (a.jlgstart + a.jlgduration))
    FROM pgagent.pga_joblog AS a, pgagent.pga_joblog AS b
    WHERE a.jlgjobid = %s AND b.jlgjobid = %s
"""
HISTORY = """
    SELECT jlgid, jlgjobid, extract(epoch FROM jlgstart), jlgstatus,
           extract(epoch FROM jlgstart + jlgduration)
    FROM pgagent.pga_joblog
"""


def limit(conn, count):
    conn.execute(ONE, [count])


def wait_for_class(conn, job_id):
    query = "SELECT state FROM pgagent.job_status WHERE job_id = %s"
    poll(
        lambda: conn.execute(query, [job_id]).fetchone() == ("class full",),
        what="the class to be full",
    )


def running(conn, job_id):
    poll(lambda: runs(conn, job_id) == [("r", None)], what="the job to run")


def test_a_place_in_a_class_is_taken_at_once_by_a_runner_elsewhere(conn, dsn, gate):
    code, open_gate = gate
    limit(conn, 1)
    with (
        Runner("--station", "here", dsn) as here,
        Runner("--station", "there", dsn) as there,
    ):
        here.ready()
        there.ready()
        first = add_job(conn, batch(code), jobhostagent="here")
        running(conn, first)
        second = add_job(conn, "SELECT 1", jobhostagent="there")
        wait_for_class(conn, second)
        open_gate()

        assert ended_runs(conn, second) == "s"
    ((gap,),) = conn.execute(GAP, [first, second]).fetchall()
    assert 0 <= gap < 0.5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pgagent.pga_jobclass SET jcllimit = 2",
        "UPDATE pgagent.pga_job SET jobjclid = 2 WHERE jobagentid IS NULL",
    ],
)
def test_what_makes_room_wakes_the_runner(conn, runner, gate, statement):
    code, open_gate = gate
    limit(conn, 1)
    first = add_job(conn, batch(code))
    running(conn, first)
    second = add_job(conn, "SELECT 1")
    wait_for_class(conn, second)

    conn.execute(statement)

    assert ended_runs(conn, second, deadline=3) == "s"
    open_gate()
    assert ended_runs(conn, first) == "s"


def test_runners_that_compete_never_exceed_a_limit_and_finish(conn, dsn):
    limit(conn, 2)
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(Runner("--station", f"r{number}", dsn)).ready()
        add_jobs(conn, 40, "SELECT pg_sleep(0.05)")
        assert ended_runs(conn, count=40, deadline=40) == "s" * 40
    history = [Run(*row) for row in conn.execute(HISTORY)]
    assert crowded(history, {run.job: 1 for run in history}, {1: 2}) == []
    # Two at a time: 20 times 50 ms, and what lies between.
    query = "SELECT extract(epoch FROM max(jlgstart) - min(jlgstart)) FROM pgagent.pga_joblog"
    assert conn.execute(query).fetchone()[0] < 10


@pytest.mark.needs("pgagent_4_2")
def test_the_daemon_of_4_2_counts_and_is_counted(conn, cluster, dsn, gate):
    code, open_gate = gate
    limit(conn, 1)
    first = add_job(conn, batch(code))
    with Daemon42(cluster, dsn):
        running(conn, first)
        second = add_job(conn, "SELECT 1")
        with Runner(dsn) as runner:
            runner.ready()
            wait_for_class(conn, second)
            assert runs(conn, second) == []
            open_gate()
            assert ended_runs(conn, second) == "s"
    ((gap,),) = conn.execute(GAP, [first, second]).fetchall()
    assert gap >= 0


@pytest.mark.needs("pgagent_4_2")
def test_the_daemon_of_4_2_waits_for_a_place(conn, cluster, dsn, gate):
    code, open_gate = gate
    limit(conn, 1)
    with Runner("--station", "here", dsn) as runner:
        runner.ready()
        first = add_job(conn, batch(code), jobhostagent="here")
        running(conn, first)
        with Daemon42(cluster, dsn):
            # Which is refused, looks again, and takes it in the end.
            second = add_job(conn, "SELECT 1", jobhostagent="localhost")
            conn.execute("UPDATE pgagent.pga_jobagent SET jagstation = 'localhost'")
            third = add_job(conn, "SELECT 1", jobjclid=2, jobhostagent="localhost")
            assert ended_runs(conn, third) == "s"
            assert runs(conn, second) == []
            open_gate()
            assert ended_runs(conn, first) == "s"


@pytest.fixture
def runner_of_5_0(dsn, tmp_path):
    """A runner of the version before, on the catalogue of this one."""
    (wheel,) = (ROOT / "tests/baseline").glob("*-5.0.0-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    command = [sys.executable, "-m", "pgagent_runner", "run", "--poll", "600", dsn]
    with Program(command, {"PYTHONPATH": str(tmp_path)}) as process:
        yield process


def test_a_runner_of_5_0_keeps_to_both(conn, runner_of_5_0, gate):
    code, open_gate = gate
    limit(conn, 1)
    first = add_job(conn, batch(code))
    running(conn, first)
    second = add_job(conn, "SELECT 1")
    paused = add_job(conn, "SELECT 1", due=None, jobjclid=2, name="paused")
    other = add_job(conn, "SELECT 1", due=None, jobjclid=2)
    conn.execute("SELECT pgagent.pause_job('paused')")
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY (%s)",
        [[paused, other]],
    )

    assert ended_runs(conn, other) == "s"
    assert runs(conn, second) == runs(conn, paused) == []
    open_gate()
    conn.execute("SELECT pgagent.unpause_job('paused')")
    assert ended_runs(conn, second) == "s"
    assert ended_runs(conn, paused) == "s"


def test_the_end_of_a_pause_wakes_the_runner_by_itself(conn, runner):
    until = "SELECT now() + interval '1.5 s'"
    (until,) = conn.execute(until).fetchone()
    conn.execute("SELECT pgagent.pause_all(until => %s)", [until])
    add_job(conn, "SELECT 1")
    single = add_job(conn, "SELECT 1", due=None, name="single")
    conn.execute(
        "SELECT pgagent.pause_job('single', until => %s + interval '1 s')", [until]
    )
    conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [single]
    )

    assert ended_runs(conn, count=2) == "ss"
    starts = conn.execute(
        "SELECT extract(epoch FROM jlgstart - %s) FROM pgagent.pga_joblog ORDER BY jlgid",
        [until],
    ).fetchall()
    assert 0 <= starts[0][0] < 0.5
    assert 1 <= starts[1][0] < 1.5


def test_nothing_starts_in_a_pause_and_at_once_after_it(conn, runner):
    add_job(conn, "SELECT 1", due=None, name="etl")
    conn.execute("SELECT pgagent.schedule('tick', '@every 1 second', 'SELECT 1')")
    tick = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstart > %s"
    ended_runs(conn, count=2)
    conn.execute("SELECT pgagent.pause_all()")
    (paused,) = conn.execute("SELECT clock_timestamp()").fetchone()
    (run_id,) = conn.execute("SELECT pgagent.run_job('etl')").fetchone()
    late = "SELECT FROM pgagent.pga_job WHERE jobnextrun < now() - interval '1.5 s'"
    poll(lambda: conn.execute(late).rowcount == 1, what="two ticks to pass")

    assert conn.execute(tick, [paused]).fetchone() == (0,)
    (ended,) = conn.execute(
        "SELECT pgagent.unpause_all(), clock_timestamp()"
    ).fetchone()[1:]
    begun = "SELECT extract(epoch FROM jlgstart - %s) FROM pgagent.pga_joblog WHERE jlgid = %s"
    (after,) = poll(lambda: conn.execute(begun, [ended, run_id]).fetchone())
    assert after < 0.5


def test_a_run_under_way_goes_on_with_its_retries(conn, runner):
    step = {
        "jstcode": "DO $$ BEGIN IF (SELECT count(*) FROM pgagent.pga_jobsteplog) < 3"
        " THEN RAISE 'again'; END IF; END $$",
        "jstretries": 3,
        "jstretrydelay": "0.3 s",
        "jstretryon": ["any"],
    }
    job_id = add_job(conn, step)
    running(conn, job_id)
    conn.execute("SELECT pgagent.pause_all()")

    assert ended_runs(conn, job_id) == "s"
