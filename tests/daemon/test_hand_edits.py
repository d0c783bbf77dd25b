"""Rows of runs under way that people change: the runner hears of it, and tidies up."""

import pytest
from documents import inline
from jobs import add_job, batch, job, runs
from support import poll

from .runner_process import Runner, ended_runs, running_step

FREE = inline("docs/operating.md", "UPDATE pgagent.pga_job SET jobagentid = NULL")
LEASE = 4
CONCURRENT = """
    SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'SELECT pg_sleep(%' AND state = 'active' AND pid <> pg_backend_pid()"""


@pytest.fixture
def hasty(dsn):
    """A runner with a short lease."""
    with Runner("--lease", LEASE, dsn) as process:
        yield process.ready()


def sleeping(conn):
    return conn.execute(CONCURRENT).fetchone()[0]


def test_a_job_that_is_freed_by_hand_does_not_overlap_with_itself(conn, runner):
    job_id = add_job(conn, "SELECT pg_sleep(600)", "SELECT 1")
    poll(lambda: sleeping(conn) == 1)

    conn.execute(f"{FREE}, jobnextrun = now()")

    # The next run comes after the end of the first one.
    poll(lambda: len(runs(conn)) == 2 and sleeping(conn) == 1)
    assert runs(conn)[0][0] == "d"
    assert 'aborted in step "step 01": its job was freed by ' in runs(conn)[0][1]
    query = """
        SELECT a.jlgstart + a.jlgduration <= b.jlgstart
        FROM pgagent.pga_joblog AS a, pgagent.pga_joblog AS b WHERE a.jlgid < b.jlgid"""
    assert conn.execute(query).fetchone()[0]
    conn.execute("SELECT pgagent.cancel_run(run_id) FROM pgagent.running")
    assert ended_runs(conn, job_id, count=2) == "dd"


def test_a_run_that_somebody_closes_is_stopped_and_its_job_is_freed(conn, hasty):
    job_id = add_job(conn, "SELECT pg_sleep(600)")
    poll(lambda: sleeping(conn) == 1)

    conn.execute(
        "UPDATE pgagent.pga_joblog SET jlgstatus = 'd', jlgmessage = 'by hand'"
    )

    poll(lambda: sleeping(conn) == 0, deadline=3, what="the end of the step")
    poll(lambda: job(conn, job_id, "jobagentid") is None, deadline=3 * LEASE)
    assert runs(conn) == [("d", "by hand")]
    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT 1'")
    conn.execute("SELECT pgagent.run_job(%s)", [job_id])
    assert ended_runs(conn, job_id, count=2) == "ds"


def test_runs_whose_rows_are_purged_end_with_their_step(conn, hasty, gate, tmp_path):
    code, open_gate = gate
    job_id = add_job(conn, batch(f"{code}; touch {tmp_path}/done"), "SELECT 1")
    running_step(conn)

    conn.execute("TRUNCATE pgagent.pga_joblog CASCADE")

    hasty.says("its row in the log was deleted; it ends with its step")
    open_gate()
    poll((tmp_path / "done").exists)
    poll(lambda: job(conn, job_id, "jobagentid") is None, deadline=3 * LEASE)
    assert runs(conn) == []
    assert hasty.log.count("its row in the log was deleted") == 1
