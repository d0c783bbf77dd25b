"""The daemon of pgAgent 4.2 on our schema: alone, after ours, and beside ours."""

from contextlib import closing

import psycopg
import pytest
from cluster import Cluster
from jobs import add_job, batch, step_runs
from support import poll

from .runner_process import Daemon42, Runner, add_jobs, agents, ended_runs

JOBS = 500


@pytest.fixture
def daemon_42(cluster, dsn):
    with Daemon42(cluster, dsn) as process:
        yield process


def test_the_daemon_of_4_2_runs_jobs_on_our_schema(conn, daemon_42):
    job_id = add_job(conn, "SELECT 1", batch("echo hello"))

    assert ended_runs(conn) == "s"

    assert [row[1:3] for row in step_runs(conn, job_id)] == [("s", 1), ("s", 0)]
    assert step_runs(conn, job_id)[1][3] == "hello\n"


def test_that_a_job_fails_under_the_daemon_of_4_2_is_told(conn, daemon_42):
    conn.execute("SELECT pgagent.add_alert('all', 'mail')")
    job_id = add_job(conn, "SELECT 1/0")

    assert ended_runs(conn) == "f"

    told = "SELECT event, job_id, run_id IS NOT NULL FROM pgagent.alert_log"
    poll(lambda: conn.execute(told).fetchall() == [("failed", job_id, True)])


@pytest.mark.needs("pgagent_4_2")
def test_the_daemon_of_4_2_takes_over_from_our_runner(conn, cluster, dsn):
    with Runner(dsn):
        job_id = add_job(conn, "SELECT 1", batch("true"))
        assert ended_runs(conn) == "s"

    with Daemon42(cluster, dsn):
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
        assert ended_runs(conn, job_id, count=2) == "ss"


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        ("@every 7 minutes", "every 420 seconds"),
        ("@at 2091-05-01 09:00", "2091-05-01 09:00:00+00"),
        ("@reboot", None),
    ],
)
def test_the_daemon_of_4_2_leaves_a_job_the_next_run_of_its_schedule(
    conn, daemon_42, schedule, after
):
    job_id = add_job(conn, "SELECT 1", due=None)
    conn.execute(
        "SELECT pgagent.add_schedule(%s::bigint, %s, timezone => 'UTC', start_at => '2020-01-01 00:00:30Z')",
        [job_id, schedule],
    )
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    assert ended_runs(conn) == "s"

    (due,) = conn.execute(
        "SELECT CASE WHEN extract(epoch FROM jobnextrun - '2020-01-01 00:00:30Z') %% 420 = 0"
        " THEN 'every 420 seconds' ELSE (jobnextrun AT TIME ZONE 'UTC')::text || '+00' END"
        " FROM pgagent.pga_job WHERE jobid = %s AND jobagentid IS NULL",
        [job_id],
    ).fetchone()
    assert due == after


@pytest.fixture
def roomy():
    """A server with room for a daemon that opens two sessions for every due job."""
    with Cluster({"max_connections": "1200"}, is_twin=True) as server:
        with psycopg.connect(server.conninfo()) as conn:
            conn.execute("CREATE EXTENSION pgagent")
        yield server


@pytest.mark.needs("pgagent_4_2")
def test_beside_the_daemon_of_4_2_every_job_runs_once(roomy):
    dsn = roomy.conninfo()
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as conn,
        Daemon42(roomy, dsn) as theirs,
        Runner("--workers", "4", dsn),
        Runner("--workers", "4", dsn),
    ):
        poll(lambda: len(agents(conn)) == 3)

        add_jobs(conn, JOBS, "SELECT pg_sleep(0.02)")

        assert ended_runs(conn, count=JOBS, deadline=30) == "s" * JOBS
        assert conn.execute(
            "SELECT count(DISTINCT jlgjobid) FROM pgagent.pga_joblog"
        ).fetchone() == (JOBS,)
        assert "Starting job" in theirs.log
