"""The server that is measured on, and the jobs in it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from cluster import Cluster

DATABASE = "bench"
STEP = "INSERT INTO effect VALUES ({job})"
EVERY = 1_000_000  # no job has a greater number


@dataclass
class Bench:
    """A durable server of its own, a session on it, and what has been measured."""

    cluster: Cluster
    quick: bool = False
    results: dict[str, Any] = field(default_factory=dict)

    def create(self) -> None:
        """Create the database to measure in."""
        with psycopg.connect(self.cluster.conninfo(), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {DATABASE}")
        self.connect()
        self.conn.execute(
            "CREATE EXTENSION pgagent; CREATE TABLE effect"
            " (job integer, at timestamptz DEFAULT clock_timestamp())"
        )

    def connect(self) -> None:
        """Open the harness's session."""
        self.conn = psycopg.connect(
            self.cluster.conninfo(DATABASE),
            autocommit=True,
            application_name="bench",
            prepare_threshold=None,
        )

    def restart(self, **settings: str) -> None:
        """Start the server anew with these settings instead of the earlier ones."""
        self.conn.close()
        self.cluster.settings.clear()
        self.cluster.settings.update(settings)
        self.cluster.restart()
        self.connect()

    def one(self, query: str) -> Any:  # noqa: ANN401
        """Return the only value of a query's only row."""
        row = self.conn.execute(query).fetchone()
        assert row
        return row[0]

    def clear(self) -> None:
        """Leave no job, log or agent, and a table of jobs as small as a new one."""
        self.conn.execute(
            "TRUNCATE pgagent.pga_job, effect CASCADE;"
            " DELETE FROM pgagent.pga_jobagent;"
        )
        self.conn.execute("VACUUM ANALYZE")
        self.conn.execute("CHECKPOINT")

    def reset(self) -> None:
        """Empty the log, and have the table of jobs as small as a new one."""
        self.conn.execute("TRUNCATE pgagent.pga_joblog, effect CASCADE")
        self.conn.execute("VACUUM FULL ANALYZE pgagent.pga_job")
        self.conn.execute("CHECKPOINT")

    def add_jobs(
        self,
        count: int,
        due: str | None = None,
        *,
        first: int = 1,
        script: str | None = None,
    ) -> None:
        """Create jobs with a step and a daily schedule, due at SQL of their number i.

        Their step is `STEP`, or a script; in both, {job} stands for the number. The
        schedule's time is far from now: it is there to be computed, not met.
        """
        numbers = f"generate_series({first}, {first + count - 1}) AS i"
        kind, dbname, code = "s", DATABASE, STEP
        if script is not None:
            kind, dbname, code = "b", "", script
        with self.conn.transaction():
            self.conn.execute(
                "INSERT INTO pgagent.pga_job (jobid, jobjclid, jobname)"
                f" SELECT i, 1, i FROM {numbers}"
            )
            self.conn.execute(
                "INSERT INTO pgagent.pga_jobstep"
                " (jstid, jstjobid, jstname, jstkind, jstdbname, jstcode)"
                f" SELECT i, i, 'step', '{kind}', '{dbname}',"
                f" replace(%s, '{{job}}', i::text) FROM {numbers}",
                [code],
            )
            self.conn.execute(
                "INSERT INTO pgagent.pga_schedule"
                " (jscjobid, jscname, jscminutes, jschours)"
                " SELECT i, 'daily', array_fill(false, ARRAY[59]) || true,"
                " (SELECT array_agg(h = extract(hour FROM now() + interval '12 h')"
                " ORDER BY h) FROM generate_series(0, 23) AS h)"
                f" FROM {numbers}"
            )
            if due:
                self.make_due(due)
        self.conn.execute("VACUUM ANALYZE")

    def make_due(self, due: str, count: int = EVERY) -> None:
        """Make the jobs up to a number due at SQL of their number i."""
        self.conn.execute(
            f"UPDATE pgagent.pga_job SET jobnextrun = {due} FROM"
            f" (SELECT jobid AS i FROM pgagent.pga_job WHERE jobid <= {count}) AS n"
            " WHERE jobid = i"
        )

    def rearm(self, last: int = EVERY) -> None:
        """Make the jobs up to a number due that have finished, and are not due yet."""
        self.conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now()"
            f" WHERE jobagentid IS NULL AND jobnextrun > now() AND jobid <= {last}"
        )

    def settle(self) -> None:
        """Wait until nothing is due or held; raise TimeoutError if that takes long."""
        query = (
            "SELECT count(*) = 0 FROM pgagent.pga_job"
            " WHERE jobagentid IS NOT NULL OR jobnextrun <= now()"
        )
        if not wait_until(lambda: bool(self.one(query))):
            raise TimeoutError("the jobs do not end")

    def count(self, status: str, last: int = EVERY) -> int:
        """Return how many runs of the jobs up to a number have ended so."""
        return int(
            self.one(
                "SELECT count(*) FROM pgagent.pga_joblog"
                f" WHERE jlgstatus = '{status}' AND jlgjobid <= {last}"
            )
        )

    def sessions(self) -> int:
        """Return how many sessions others have on the database."""
        return int(
            self.one(
                "SELECT count(*) FROM pg_stat_activity"
                f" WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
        )

    def ended(self, count: int) -> Callable[[], bool]:
        """Return whether so many runs have ended, to be asked again and again."""
        query = (
            f"SELECT count(*) >= {count} FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'"
        )
        return lambda: bool(self.one(query))


def wait_until(
    condition: Callable[[], bool], seconds: float = 120, poll: float = 0.05
) -> bool:
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(poll)
    return True


def timestamp() -> str:
    """Return the time, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")
