"""A runner at a standby waits, and works as soon as that is promoted."""

from contextlib import contextmanager

import psycopg
from cluster import Cluster
from jobs import add_job
from support import poll

from .runner_process import Runner, ended_runs


@contextmanager
def standby(*statements):
    """A server that recovers without end is a standby, whoever it might follow."""
    with Cluster({"wal_level": "replica", "hot_standby": "on"}, is_twin=True) as server:
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            for statement in ("CREATE EXTENSION pgagent", *statements):
                conn.execute(statement)
        server.stop()
        server.settings["restore_command"] = "false"
        (server.data / "standby.signal").touch()
        server.start()
        yield server


def test_a_runner_at_a_standby_waits_for_its_promotion():
    with standby() as server, Runner("--retry", "0.2", server.conninfo()) as runner:
        runner.says("this server is a standby: jobs run where it can be written to")
        with psycopg.connect(server.conninfo(), autocommit=True) as conn:
            assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
            conn.execute("SELECT pg_promote()")
            poll(lambda: conn.execute("SELECT FROM pgagent.pga_jobagent").rowcount)
            assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"


def test_a_standby_believes_the_leases_of_runners_that_it_can_not_see():
    job = """
        INSERT INTO pgagent.pga_job (jobjclid, jobname, jobnextrun)
        VALUES (1, 'nightly', now() - interval '1 h')"""
    agents = """
        INSERT INTO pgagent.pga_jobagent (jagpid, jagstation, jaglease, jagleasefor)
        SELECT n, format('host %s', n), now() + n * interval '2 h', '1 h'
        FROM generate_series(-1, 1, 2) AS n"""
    with standby(job, agents) as server, psycopg.connect(server.conninfo()) as conn:
        alive = "SELECT station, alive FROM pgagent.agents ORDER BY agent_id"
        assert conn.execute(alive).fetchall() == [("host -1", False), ("host 1", True)]
        problems = "SELECT problem FROM pgagent.problems"
        assert conn.execute(problems).fetchall() == [("late",)]
