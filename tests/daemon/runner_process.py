"""The runner, and the daemon of pgAgent 4.2, as processes of their own."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import forking
from cluster import LIBPQ, Cluster
from forking import PGAGENT, Forked
from jobs import runs
from support import peer, poll

__all__ = ["PGAGENT"]


class Program:
    """A running program: `with Program([...]) as program: ... program.log`."""

    def __init__(
        self, command: Sequence[object], environ: Mapping[str, str] | None = None
    ) -> None:
        """Prepare to start it; of libpq's variables it sees those in `environ` only."""
        self._command = command
        inherited = {k: v for k, v in os.environ.items() if not LIBPQ.match(k)}
        # Nor does it see what this machine has for its own runner.
        nothing = {"PGAGENT_CONFIG": os.devnull}
        self._environ = inherited | nothing | dict(environ or {})

    def __enter__(self) -> Self:
        self._log = tempfile.NamedTemporaryFile()
        self.process = self._start()
        return self

    def _start(self) -> "subprocess.Popen[bytes] | Forked":
        if not forking.is_forkable(self._command, self._environ):
            return subprocess.Popen(
                [str(word) for word in self._command],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        with Path(os.devnull).open("rb") as nothing:
            number = self._log.fileno()
            files = (nothing.fileno(), number, number)
            return forking.start(self._command, self._environ, files, new_session=True)

    def __exit__(self, *_: object) -> None:
        """Stop it in good order, so that it leaves no step behind."""
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            self.kill()
            self._log.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return Path(self._log.name).read_text(errors="backslashreplace")

    def says(self, text: str, deadline: float = 10) -> None:
        """Wait until the text stands in the log."""
        poll(lambda: self._says(text), deadline, repr(text))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(
        self, number: signal.Signals = signal.SIGTERM, deadline: float = 15
    ) -> int:
        """Ask it to stop; return its exit code."""
        self.send(number)
        return self.ended(deadline)

    def ended(self, deadline: float = 15) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(deadline)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _says(self, text: str) -> bool:
        log = self.log
        assert text in log or self.process.poll() is None, log
        return text in log


class Runner(Program):
    """`pgagent run`, with options under which only a test's own event wakes it."""

    def __init__(
        self, *arguments: object, environ: Mapping[str, str] | None = None
    ) -> None:
        """Take further options and the connection string."""
        options = ["--poll", "600", "--grace", "0.2", "--log-level", "debug"]
        super().__init__([PGAGENT, "run", *options, *arguments], environ)

    def ready(self) -> Self:
        """Wait until it is registered and listens."""
        self.says(" serves database ")
        return self


class Daemon42(Program):
    """The daemon of pgAgent 4.2, which looks for due jobs once a second."""

    def __init__(self, cluster: Cluster, conninfo: str) -> None:
        command = [peer("usr/bin/pgagent"), "-f", "-t", "1", "-l", "2", conninfo]
        super().__init__(command, {"LD_LIBRARY_PATH": cluster.libraries})


def ended_runs(conn, job_id=None, count=1, deadline=10):
    """Wait until so many runs have ended and none goes on; return their letters."""

    def letters():
        found = "".join(status for status, _ in runs(conn, job_id))
        return found if len(found) >= count and "r" not in found else None

    return poll(letters, deadline, f"{count} runs to end")


def agents(conn):
    """Return the process ids of the registered agents' sessions."""
    return [pid for (pid,) in conn.execute("SELECT jagpid FROM pgagent.pga_jobagent")]


def running_step(conn, job_id=None):
    """Wait until a step of the job runs."""
    query = (
        "SELECT jslid FROM pgagent.pga_jobsteplog"
        " JOIN pgagent.pga_joblog ON jlgid = jsljlgid"
        " WHERE jslstatus = 'r' AND jlgjobid = COALESCE(%s, jlgjobid)"
    )
    poll(lambda: conn.execute(query, [job_id]).fetchone(), what="a step to run")


def add_jobs(conn, count, code):
    """Add that many due jobs, each with this SQL step, in a single transaction."""
    with conn.transaction():
        conn.execute(
            "INSERT INTO pgagent.pga_job (jobjclid, jobname)"
            " SELECT 1, 'job ' || n FROM generate_series(1, %s) AS n",
            [count],
        )
        conn.execute(
            "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)"
            " SELECT jobid, 'step', 's', %s, current_database()"
            " FROM pgagent.pga_job",
            [code],
        )
        conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
