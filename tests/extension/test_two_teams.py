"""Two teams are set up as docs/security.md says, and each runs its first job."""

import shlex
from contextlib import closing

import psycopg
import pytest
from daemon.runner_process import Runner
from documents import block, inline
from support import ROOT, poll

ROLES = ("ann", "ben", "billing", "sales", "pgagent_runner", "pgagent_owner")
SEEN = inline("docs/security.md", "SELECT * FROM pgagent.run_history").replace(
    "*", "status, output"
)


@pytest.fixture
def jobs(administration, new_database):
    """A database, whose roles are dropped in the end."""
    conn = new_database("jobs")
    yield conn
    conn.execute("SELECT pgagent.disallow_run_as(role) FROM pgagent.run_as_roles")
    conn.execute("DROP EXTENSION pgagent; DROP SCHEMA IF EXISTS pgagent")
    for role in ROLES:
        administration.execute(f"ALTER ROLE {role} IN DATABASE jobs RESET ALL")
        conn.execute(f"DROP OWNED BY {role}")
    administration.execute(f"DROP ROLE {', '.join(ROLES)}")


def test_two_teams_run_their_first_jobs(jobs, cluster, pg):
    jobs.execute(block("docs/security.md", "CREATE ROLE billing"))
    command = shlex.split(block("docs/security.md", "psql -d jobs -v run_as="))
    done = pg("psql", "-X", *command[1:-1], ROOT / command[-1])
    assert done.returncode == 0, done.stderr
    jobs.execute(block("docs/security.md", "SET ROLE pgagent_owner"))
    jobs.execute(block("docs/security.md", "SELECT pgagent.grant_access('editor', to"))
    jobs.execute("RESET ROLE")

    dsn = cluster.conninfo("jobs")
    with (
        Runner(f"{dsn} user=pgagent_runner") as runner,
        closing(psycopg.connect(dsn, user="ann", autocommit=True)) as ann,
        closing(psycopg.connect(dsn, user="ben", autocommit=True)) as ben,
    ):
        runner.ready()
        ann.execute(block("docs/security.md", "SELECT pgagent.schedule('invoices'"))
        poll(lambda: ann.execute(f"{SEEN} WHERE status <> 'running'").fetchone())

        assert ann.execute(SEEN).fetchall() == [
            ("succeeded", "role: billing\nSELECT 1\n")
        ]
        assert ben.execute(SEEN).fetchall() == []
        ben.execute(
            "SELECT pgagent.run_job(pgagent.schedule('x', '@daily', 'TABLE t'))"
        )
        poll(lambda: ben.execute(f"{SEEN} WHERE status = 'failed'").fetchone())
        ((_, output),) = ben.execute(SEEN).fetchall()
        assert "role: sales" in output
