"""The servers of a scenario, with the extension and a schema for marks."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from cluster import Cluster
from psycopg import sql

Connection = psycopg.Connection[Any]
DATABASE = "chaos"

# Steps leave these behind. The run is the one that is open at that time: a black box
# need not tell its steps which run they belong to.
MARKS = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.effect (
    job integer, run bigint, at timestamptz DEFAULT clock_timestamp(),
    pid integer DEFAULT pg_backend_pid()
);
CREATE TABLE chaos.mark (run bigint, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION chaos.open_run(job integer) RETURNS bigint LANGUAGE sql AS
$$SELECT max(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = job AND jlgstatus = 'r'$$;
CREATE FUNCTION chaos.effect(job integer, seconds double precision) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_sleep(seconds / 2);
    INSERT INTO chaos.effect (job, run) VALUES (job, chaos.open_run(job));
    SELECT pg_sleep(seconds / 2);
$$;
CREATE PROCEDURE chaos.marks(job integer) LANGUAGE plpgsql AS $$
DECLARE
    v_run CONSTANT bigint := chaos.open_run(job);
BEGIN
    LOOP
        INSERT INTO chaos.mark (run) VALUES (v_run);
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
END;
$$;
"""


class Server(Cluster):
    """A private server that can be killed in every way."""

    dsn: str

    @property
    def socket(self) -> str:
        """The path of the server's Unix socket."""
        return f"{self.host}/.s.PGSQL.{self.port}"

    def postmaster(self) -> int:
        """Return the process id of the server's first process."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def kill_postmaster(self) -> None:
        """Kill it without a chance to tell anybody."""
        os.kill(self.postmaster(), signal.SIGKILL)
        self._server.wait()

    def start_after_crash(self, seconds: float = 30) -> None:
        """Start; what the dead server left needs a moment to go away."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.start()
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def restart_by(self, mode: str, down: float = 0) -> None:
        """Restart: "fast", "immediate" or "kill", with a pause before the start."""
        if mode == "kill":
            self.kill_postmaster()
        else:
            self.stop("fast" if mode == "fast" else "immediate")
        time.sleep(down)
        self.start_after_crash()

    def add_hba(self, line: str) -> None:
        """Let more clients in."""
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write(line + "\n")
        os.kill(self.postmaster(), signal.SIGHUP)

    def connect(self) -> Connection:
        """Open a session that commits each statement."""
        return psycopg.connect(self.conninfo(DATABASE), autocommit=True)

    def wait_to_connect(self, seconds: float = 30) -> Connection:
        """Open a session as soon as the server takes one."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.connect()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        with closing(psycopg.connect(self.conninfo(), autocommit=True)) as conn:
            conn.execute("SELECT pg_promote(true, 60)")

    def owner_id(self) -> int:
        """Return the user id of the server's processes."""
        return self._owner.pw_uid


class Standby(Server):
    """A copy of another server that follows it until it is promoted."""

    primary: Server
    primary_conninfo: str

    def _create(self) -> None:
        super()._create()
        with suppress(FileNotFoundError):
            self._remove_data()
        command = [
            *(
                "pg_basebackup",
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
            ),
            f"--pgdata={self.data}",
            f"--dbname={self.primary.conninfo()} application_name=standby",
        ]
        subprocess.run(
            self._as_server(*command),
            check=True,
            cwd=self.directory,
            env=self._server_environ(),
        )
        # By whatever way the scenario wants it to follow.
        with (self.data / "postgresql.auto.conf").open("a") as file:
            quoted = self.primary_conninfo.replace("'", "''")
            file.write(f"primary_conninfo = '{quoted}'\n")

    def _remove_data(self) -> None:
        subprocess.run(["rm", "-rf", str(self.data)], check=True)


@contextmanager
def server(
    settings: dict[str, str] | None = None,
    *,
    version: str | None = None,
    tcp: bool = False,
) -> Iterator[Server]:
    """Give a server with a database that has the extension, ours or another version."""
    with Server({"max_connections": "200", **(settings or {})}, tcp=tcp) as it:
        with closing(psycopg.connect(it.conninfo(), autocommit=True)) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        it.dsn = it.conninfo(DATABASE)
        with closing(it.connect()) as conn:
            wanted = f" VERSION '{version}'" if version else ""
            conn.execute(f"CREATE EXTENSION pgagent{wanted}")
            conn.execute(MARKS)
        yield it


@contextmanager
def standby_of(primary: Server, conninfo: str | None = None) -> Iterator[Standby]:
    """Give a standby that follows `primary`, by the way that `conninfo` names."""
    standby = Standby({"max_connections": "200", "hot_standby": "on"})
    standby.primary = primary
    standby.primary_conninfo = conninfo or (
        f"host={primary.host} port={primary.port} user={primary.user}"
        " application_name=standby"
    )
    with standby:
        standby.dsn = standby.conninfo(DATABASE)
        yield standby


def log_of(path: Path) -> str:
    """Return a log whatever bytes it holds."""
    return path.read_text(errors="backslashreplace")
