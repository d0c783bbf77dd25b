"""A throw-away server with three jobs and a runner, to look at and to play with.

On a terminal it goes on until Ctrl-C; otherwise it ends when every job has run.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from cluster import Cluster

DEV = Path(__file__).resolve().parent
DEADLINE_SECONDS = 30.0

RESULTS = """
SELECT jobname AS job, jstname AS step, jstkind AS kind, jslstatus AS status,
       round(extract(epoch FROM jslduration) * 1000) AS ms,
       btrim(jsloutput, E'\\n') AS output
  FROM pgagent.pga_jobsteplog
  JOIN pgagent.pga_joblog ON jlgid = jsljlgid
  JOIN pgagent.pga_job ON jobid = jlgjobid
  JOIN pgagent.pga_jobstep ON jstid = jsljstid
 ORDER BY jslid
"""
UNFINISHED = """
SELECT count(*) FROM pgagent.pga_job
 WHERE NOT EXISTS (SELECT FROM pgagent.pga_joblog
                    WHERE jlgjobid = jobid AND jlgstatus <> 'r')
"""


def main() -> None:
    """Start everything, show the first runs, and tell where to look further."""
    with (
        Cluster(tcp=True) as cluster,
        psycopg.connect(cluster.conninfo(), autocommit=True) as conn,
    ):
        conn.execute("CREATE EXTENSION pgagent")
        print("A private PostgreSQL is up. Its runner says:\n", flush=True)
        with runner(cluster):
            conn.execute((DEV / "demo.sql").read_bytes())
            wait_for_all_jobs(conn)
            show(cluster, RESULTS)
            tell_where(cluster)
            if sys.stdout.isatty():
                signal.pause()


@contextmanager
def runner(cluster: Cluster) -> Iterator[None]:
    """Run jobs while the block lasts."""
    command = [sys.executable, "-m", "pgagent_runner", "run", cluster.conninfo()]
    command = ["setpriv", "--pdeathsig=TERM", *command]
    # In a session of its own, Ctrl-C reaches it only by way of this program.
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            yield
        finally:
            process.terminate()


def wait_for_all_jobs(conn: psycopg.Connection) -> None:
    """Return when every job has run; raise TimeoutError if that takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while conn.execute(UNFINISHED).fetchone() != (0,):
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs did not run")
        time.sleep(0.05)


def show(cluster: Cluster, query: str) -> None:
    """Print a query's result as psql does."""
    options = ("--no-psqlrc", "--pset=footer=off", "--pset=pager=off")
    command = ["psql", *options, f"--command={query}"]
    print(flush=True)
    subprocess.run(command, check=True, env=cluster.client_environ())


def tell_where(cluster: Cluster) -> None:
    """Print how to reach the server, and what to try."""
    print(f"""\
The first job runs every minute. To look at it with pgAdmin, DBeaver or psql, until
Ctrl-C is pressed here:

  psql '{cluster.conninfo(tcp=True)}'

Start a job now:      UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = 2;
Look at what has run: SELECT * FROM pgagent.pga_joblog;
""")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
