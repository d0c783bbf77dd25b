"""pgAdmin's pages stay fast when 100,000 runs have been logged."""

import pytest
from jobs import add_job, add_step

from .client import GRID, JOB_STATISTICS, STEP_STATISTICS


@pytest.fixture
def busy(conn):
    """The id of one of 200 jobs with 500 runs each, and that of its step."""
    jobs = [add_job(conn, due=None) for _ in range(200)]
    step_id = add_step(conn, jobs[0], "SELECT 1")
    conn.execute(
        # Without triggers: the foreign keys' would take as long as all else.
        "SET session_replication_role = replica;"
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)"
        f" SELECT n, {jobs[0]} + n % 200, 's' FROM generate_series(1, 100000) n;"
        "INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)"
        f" SELECT jlgid, {step_id}, 's' FROM pgagent.pga_joblog WHERE jlgjobid = {jobs[0]};"
    )
    conn.execute("VACUUM ANALYZE pgagent.pga_joblog, pgagent.pga_jobsteplog")
    return jobs[0], step_id


def test_pages_are_read_from_indexes(conn, busy):
    job_id, step_id = busy

    grid = _plan(conn, GRID)
    assert "Index Only Scan using pga_joblog_jobid" in grid
    assert "Seq Scan on pga_joblog" not in grid
    assert "pga_joblog_jobid" in _plan(conn, JOB_STATISTICS.format(job_id))
    assert "pga_jobsteplog_jstid" in _plan(conn, STEP_STATISTICS.format(step_id))


def _plan(conn, query):
    return "\n".join(line for (line,) in conn.execute(f"EXPLAIN {query}"))
