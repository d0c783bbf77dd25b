"""Hundreds of jobs due at once, more than the server has connections for.

JOBS_AT_ONCE=1000 in the environment for as many as `make gates` has.
"""

import os
import resource
from contextlib import closing

import psycopg
import pytest
from cluster import Cluster
from jobs import runs

from .runner_process import Runner, add_jobs, ended_runs

JOBS = int(os.environ.get("JOBS_AT_ONCE", "300"))


@pytest.fixture
def conn():
    """A database of a server that admits few sessions."""
    with Cluster({"max_connections": "40"}, is_twin=True) as server:
        dsn = server.conninfo()
        with closing(psycopg.connect(dsn, autocommit=True)) as conn:
            conn.execute("CREATE EXTENSION pgagent")
            yield conn


def test_a_runner_says_how_many_jobs_it_runs_at_a_time(conn):
    with Runner(conn.info.dsn) as runner:
        runner.ready()
        assert ", 13 jobs at a time" in runner.log


def test_many_jobs_due_at_once_all_succeed(conn):
    add_jobs(conn, JOBS, "SELECT 1")
    with Runner("--workers", "100", "--log-level", "error", conn.info.dsn) as runner:
        ended_runs(conn, count=JOBS, deadline=50)
        assert runner.log == ""

    assert runs(conn) == [("s", None)] * JOBS
    assert conn.execute(
        "SELECT count(*), count(DISTINCT jlgjobid) FROM pgagent.pga_joblog"
    ).fetchone() == (JOBS, JOBS)


def test_more_workers_than_there_may_be_descriptors_by_default(dsn, cluster):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        runner = Runner("--workers", "60", "--log-level", "error", dsn)
        with runner:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            with closing(psycopg.connect(dsn, autocommit=True)) as conn:
                add_jobs(conn, 60, "SELECT pg_sleep(1)")
                ended_runs(conn, count=60)
                assert runs(conn) == [("s", None)] * 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
