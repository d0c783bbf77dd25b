"""pgAdmin's pages stay fast when 100,000 runs have been logged."""

import pytest

from .client import GRID, JOB_STATISTICS, STEP_STATISTICS

# The foreign keys' triggers would take longer than all else.
LOG = """
SET session_replication_role = replica;
INSERT INTO pgagent.pga_job (jobid, jobjclid, jobname)
    SELECT n, 1, 'job' FROM generate_series(1, 200) n;
INSERT INTO pgagent.pga_jobstep (jstid, jstjobid, jstname, jstkind, jstcode)
    SELECT n, n, 'step', 'b', 'true' FROM generate_series(1, 200) n;
INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)
    SELECT n, 1 + n % 200, 's' FROM generate_series(1, 100000) n;
INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid, jslstatus)
    SELECT n, 1 + n % 200, 's' FROM generate_series(1, 100000) n;
RESET session_replication_role;
"""


@pytest.fixture
def log(conn):
    """Log 500 runs of each of 200 jobs with a step, ids from 1 on."""
    conn.execute(LOG)
    conn.execute("VACUUM ANALYZE pgagent.pga_joblog, pgagent.pga_jobsteplog")
    yield
    conn.execute("TRUNCATE pgagent.pga_joblog CASCADE")


@pytest.mark.usefixtures("log")
def test_pages_are_read_from_indexes(conn):
    grid = _plan(conn, GRID)
    assert "Index Only Scan using pga_joblog_jobid" in grid
    assert "Seq Scan on pga_joblog" not in grid
    assert "pga_joblog_jobid" in _plan(conn, JOB_STATISTICS.format(1))
    assert "pga_jobsteplog_jstid" in _plan(conn, STEP_STATISTICS.format(1))


def _plan(conn, query):
    return "\n".join(line for (line,) in conn.execute(f"EXPLAIN {query}"))
