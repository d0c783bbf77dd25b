"""Taking over the jobs of pg_cron, into a file or as jobs."""

import tomllib
from contextlib import closing

import psycopg
import pytest
from cluster import Cluster
from pgagent_runner.cli import main

pytestmark = pytest.mark.needs("pg_cron")

SETTINGS = {
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": "postgres",
    "cron.launch_active_jobs": "off",
    "cron.timezone": "Europe/Berlin",
}


@pytest.fixture(scope="module")
def server():
    with Cluster(SETTINGS) as cluster:
        with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn:
            conn.execute("CREATE EXTENSION pg_cron; CREATE EXTENSION pgagent")
            conn.execute("CREATE ROLE somebody LOGIN")
        yield cluster


@pytest.fixture
def both(server):
    """A session with a database that has both schedulers, and no jobs."""
    with closing(psycopg.connect(server.conninfo(), autocommit=True)) as conn:
        conn.execute("TRUNCATE cron.job; DELETE FROM pgagent.pga_job")
        yield conn


@pytest.fixture
def take_over(server, capsys):
    def call(*arguments):
        status = main(["import", "pg_cron", *arguments, "-d", server.conninfo()])
        assert status == 0
        return capsys.readouterr()

    return call


def add(conn, name, schedule="@daily", **columns):
    row = {
        "jobname": name,
        "schedule": schedule,
        "command": "SELECT 1",
        "nodename": "localhost",
        "nodeport": 5432,
        "username": "postgres",
    } | columns
    values = ", ".join(["%s"] * len(row))
    conn.execute(
        f"INSERT INTO cron.job ({', '.join(row)}) VALUES ({values})", [*row.values()]
    )


def test_each_job_is_taken_over_and_each_difference_is_said(both, take_over):
    add(both, "nightly", "30 2 * * *", database="other")
    add(both, "often", "5 seconds")
    add(both, "off", active=False)
    add(both, "somebody's", username="somebody")
    add(both, "gone's", username="gone")
    add(both, "elsewhere", nodename="db.example.org", username="u", database="it's")
    add(both, "nightly", username="somebody")
    add(both, None)

    out, err = take_over()

    jobs = {job["name"]: job for job in tomllib.loads(out)["jobs"]}
    assert jobs["nightly"] == {
        "name": "nightly",
        "steps": [{"name": "command", "command": "SELECT 1", "database": "other"}],
        "schedules": [
            {
                "name": "30 2 * * *",
                "schedule": "30 2 * * *",
                "timezone": "Europe/Berlin",
            }
        ],
    }
    assert jobs["off"]["enabled"] is False
    assert jobs["somebody's"]["owner"] == "somebody"
    assert "owner" not in jobs["gone's"]
    (step,) = jobs["elsewhere"]["steps"]
    assert step["conninfo"] == "host=db.example.org port=5432 dbname='it\\'s' user=u"
    assert "nightly (somebody)" in jobs
    assert any(name.startswith("pg_cron job ") for name in jobs)
    for note in (
        "often: its interval counts from",
        "off: disabled, as it was",
        "somebody's: runs as its owner somebody",
        "elsewhere: connects to db.example.org as u",
        "nightly: runs with the login of the runner",
        "all jobs: a time that passes",
    ):
        assert note in err


def test_jobs_run_when_they_would_have_run(both, take_over):
    add(both, "nightly", "30 2 * * *")
    take_over("--apply", "--yes")
    runs = both.execute(
        "SELECT to_char(run_at AT TIME ZONE 'Europe/Berlin', 'HH24:MI')"
        " FROM pgagent.next_runs('nightly'::text, max_rows => 100)"
    ).fetchall()
    assert runs.count(("02:30",)) >= 99


def test_the_jobs_of_one_user_can_be_taken_over(both, take_over):
    add(both, "a")
    add(both, "b", username="somebody")
    out, err = take_over("--user", "somebody")
    assert [job["name"] for job in tomllib.loads(out)["jobs"]] == ["b"]
    assert "a: left out: it runs as postgres" in err


def test_a_table_that_only_looks_like_pg_crons_is_not_read(conn, dsn, capsys):
    conn.execute("CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint)")
    assert main(["import", "pg_cron", "-d", dsn]) == 1
    assert "of the extension pg_cron" in capsys.readouterr().err
