"""What the table is tried on: this tree, an older commit, or pgAgent 4.2's daemon."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from older import ROOT, built, git

from chaos.fleet import Runner, daemon_42
from chaos.server import MARKS, Connection, Server

SETTINGS = {"max_connections": "600", "autovacuum": "off", "log_min_messages": "fatal"}
BEATS = """
CREATE TABLE chaos.beat (job integer, pid integer, at timestamptz);
CREATE PROCEDURE chaos.beats(job integer, seconds double precision) LANGUAGE plpgsql AS $$
DECLARE
    v_end CONSTANT timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    WHILE clock_timestamp() < v_end LOOP
        INSERT INTO chaos.beat VALUES (job, pg_backend_pid(), clock_timestamp());
        COMMIT;
        PERFORM pg_sleep(0.2);
    END LOOP;
END;
$$;
CREATE TABLE chaos.switch (is_on boolean);
INSERT INTO chaos.switch VALUES (true);
"""


@dataclass(frozen=True)
class Subject:
    """A scheduler: the directory of its extension, and how its agent is started.

    every: seconds between two times of the bystander; a daemon that knows whole minutes
    only is told by hand each time.
    epsilon: how late, in seconds, one of its runs may start.
    """

    name: str
    extension: Path
    program: Path
    version: str = ""
    every: float = 1.0
    epsilon: float = 2.0

    @property
    def is_daemon(self) -> bool:
        """Whether it is pgAgent 4.2's daemon, on 4.2's catalogue."""
        return self.version == "4.2"

    def agent(self, cluster: Server, dsn: str, name: str) -> Runner:
        """Prepare one of its agents."""
        if self.is_daemon:
            return daemon_42(cluster, dsn, name)
        command = [self.program, "run", "--station", name, dsn]
        return Runner(command, {"PGAGENT_CONFIG": "/dev/null"}, name)

    @contextmanager
    def server(self, environ: dict[str, str] | None = None) -> Iterator[Server]:
        """Give a server that has the extension's files, and no database with it yet."""
        with Server(SETTINGS, environ or {}, extension=self.extension) as server:
            yield server

    def fill(self, conn: Connection) -> None:
        """Make the catalogue in a new database, and what the steps leave marks in."""
        wanted = f" VERSION '{self.version}'" if self.version else ""
        conn.execute(f"CREATE EXTENSION pgagent{wanted}".encode())
        conn.execute(MARKS)
        conn.execute(BEATS)


def this_tree() -> Subject:
    """Return what is built here."""
    program = Path(sys.executable).with_name("pgagent")
    return Subject("this tree", ROOT / "extension", program)


def commit_of(revision: str) -> Subject:
    """Return an older commit, built beside this one."""
    commit = git("rev-parse", "--short", f"{revision}^{{commit}}")
    tree = built(commit)
    program = tree / "build/venv/bin/pgagent"
    return Subject(f"commit {commit}", tree / "extension", program)


def pgagent_42() -> Subject:
    """Return pgAgent 4.2."""
    return Subject(
        "pgAgent 4.2", ROOT / "extension", Path("pgagent"), "4.2", every=3, epsilon=6
    )


@contextmanager
def new_database(cluster: Server, subject: Subject, name: str) -> Iterator[str]:
    """Give the connection string of a new database with the catalogue."""
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn:
        conn.execute(f'CREATE DATABASE "{name}"'.encode())
    dsn = cluster.conninfo(name)
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        subject.fill(conn)
    yield dsn
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn:
        conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
