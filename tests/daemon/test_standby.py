"""A runner at a standby waits, and works as soon as that is promoted."""

import psycopg
from cluster import Cluster
from jobs import add_job
from support import poll

from .listener import Listener
from .runner_process import ended_runs


def test_a_runner_at_a_standby_waits_for_its_promotion(tmp_path):
    with Cluster(
        {"wal_level": "replica", "hot_standby": "on"}, is_twin=True
    ) as standby:
        with psycopg.connect(standby.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent")
        # A server that recovers without end is a standby, whoever it might follow.
        standby.stop()
        standby.settings["restore_command"] = "false"
        (standby.data / "standby.signal").touch()
        standby.start()
        with Listener("--retry", "0.2", standby.conninfo()) as runner:
            told = "this server is a standby: jobs run where it can be written to"
            runner.says(told)
            runner.listens().becomes(503, told)
            assert runner.ask("/livez") == (200, "alive\n")
            with psycopg.connect(standby.conninfo(), autocommit=True) as conn:
                assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
                conn.execute("SELECT pg_promote()")
                poll(lambda: conn.execute("SELECT FROM pgagent.pga_jobagent").rowcount)
                assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
                assert runner.ask("/readyz") == (200, "ready\n")
