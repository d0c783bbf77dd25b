"""A throw-away server with three jobs and a runner, to look at and to play with.

On a terminal it goes on until Ctrl-C; otherwise it ends when every job has run. Ctrl-C
and its kin are heeded between two steps, so that nothing is left of what was begun.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from cluster import Cluster
from farm import pg_config
from psycopg.conninfo import conninfo_to_dict

SQL = Path(__file__).with_suffix(".sql")
DEADLINE_SECONDS = 30.0
EXIT_INTERRUPTED = 130

RUNS = """
SELECT job, status, step, step_status,
       round(extract(epoch FROM step_duration) * 1000) AS ms,
       split_part(output, E'\\n', 1) AS output
  FROM pgagent.run_history
 ORDER BY run_id, step_log_id
"""
UNFINISHED = """
SELECT count(*) FROM pgagent.job_status
 WHERE last_status IS NULL OR last_status = 'running'
"""


class InterruptedDemo(Exception):  # noqa: N818  # it is no error
    """Somebody wants the demo to end."""


class Interruption:
    """Tells when somebody has pressed Ctrl-C, closed the terminal or said `kill`."""

    def __init__(self) -> None:
        """Take note of it from now on, instead of ending on the spot."""
        self.is_wanted = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.is_wanted = True

    def check(self) -> None:
        """Raise InterruptedDemo if it is wanted."""
        if self.is_wanted:
            raise InterruptedDemo

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Return as soon as something is done; raise TimeoutError if it never is."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError("the jobs did not run")
            time.sleep(0.05)

    def wait(self) -> None:
        """Return when it is wanted."""
        while not self.is_wanted:
            time.sleep(0.05)


def main() -> int:
    """Show the demo; return the exit code."""
    interruption = Interruption()
    try:
        demonstrate(interruption)
    except Exception:
        # Ctrl-C reaches initdb and psql as well: that they fail is no news then.
        if not interruption.is_wanted:
            raise
        return EXIT_INTERRUPTED
    return 0


def demonstrate(interruption: Interruption) -> None:
    """Start everything, show the first runs, and tell where to look further."""
    version = pg_config("--version").split()[1]
    say(f"Creating a private PostgreSQL {version} in a temporary folder ...")
    with (
        Cluster(tcp=True) as cluster,
        closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn,
    ):
        interruption.check()
        say("Creating the extension pgagent, and starting a runner ...")
        conn.execute("CREATE EXTENSION pgagent")
        with runner(cluster):
            say(f"Defining jobs:\n\n{SQL.read_text()}")
            conn.execute(SQL.read_bytes())
            say("The runner's log:\n")
            interruption.wait_for(lambda: conn.execute(UNFINISHED).fetchone() == (0,))
            show(cluster, "What has run, from the view pgagent.run_history:", RUNS)
            say("\nThe same by verbs, and what comes next:")
            for words in (("list",), ("logs", "fail"), ("next", "-n", "3")):
                interruption.check()
                pgagent(cluster, *words)
            if sys.stdout.isatty():
                say(where_to_look(cluster))
                interruption.wait()
            interruption.check()


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


def say(text: str) -> None:
    """Print at once, amid what other programs print."""
    print(text, flush=True)


def show(cluster: Cluster, title: str, query: str) -> None:
    """Print a query's result as psql does."""
    options = ("--no-psqlrc", "--pset=footer=off", "--pset=pager=off")
    command = ["psql", *options, f"--command={query}"]
    say(f"\n{title}\n")
    subprocess.run(command, check=True, env=cluster.client_environ())


def pgagent(cluster: Cluster, *words: str) -> None:
    """Show a verb, as somebody would type it, and what it prints."""
    say(f"\n$ pgagent {' '.join(words)}\n")
    command = [sys.executable, "-m", "pgagent_runner", *words]
    # As for the runner; while it loads, Python tells of Ctrl-C in many lines.
    subprocess.run(
        command, check=True, env=cluster.client_environ(), start_new_session=True
    )


def where_to_look(cluster: Cluster) -> str:
    """Tell how to reach the server, and what to try."""
    where = conninfo_to_dict(cluster.conninfo(tcp=True))
    names = ("host", "port", "user", "password")
    settings = " ".join(f"PG{name.upper()}={where[name]}" for name in names)
    return f"""\

"count visits" goes on every minute. To look at it with pgAdmin, DBeaver or psql, until
Ctrl-C is pressed here:

  psql '{cluster.conninfo(tcp=True)}'

Start a job now:        SELECT pgagent.run_job('fail');
Look at what has run:   SELECT * FROM pgagent.run_history ORDER BY run_id DESC LIMIT 5;
Why, when, or why not:  SELECT * FROM pgagent.explain_job('count visits');
What is wrong now:      SELECT * FROM pgagent.problems;  (docs/monitoring.md has more)

Or by verbs, in another terminal:

  export {settings} PGDATABASE=postgres PATH="{Path(sys.executable).parent}:$PATH"
  pgagent start fail --wait
  pgagent runs
  pgagent explain 'count visits'
  pgagent --help
"""


if __name__ == "__main__":
    sys.exit(main())
