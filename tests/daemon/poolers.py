"""Poolers before a test's server: PgBouncer and pgpool-II, as Debian has them."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from cluster import Cluster, server_user
from psycopg.conninfo import make_conninfo
from support import PEERS, peer, poll

_START_SECONDS = 10.0


class Pooler:
    """A pooler on a free port of 127.0.0.1: `with PgBouncer(...) as pooler: ...`."""

    program: str

    def __init__(
        self, cluster: Cluster, port: int | None = None, **settings: object
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self.port = port or _free_port()

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="pgagent-pooler-"))
        self._write()
        # Whoever it runs as may not be able to look into the checkout.
        self._program = shutil.copy(peer(f"usr/sbin/{self.program}"), self._folder)
        for library in PEERS.glob("root/usr/lib/*-linux-*/*.so.*"):
            shutil.copy(library, self._folder)
        owner = server_user()  # as root, neither would start
        self._drop = []
        if os.geteuid() == 0:
            uid, gid = owner.pw_uid, owner.pw_gid
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, uid, gid)
            ids = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
            self._drop = ["setpriv", "--pdeathsig=KILL", *ids]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._drop, *map(str, self._command())],
                cwd=self._folder,
                env={
                    "PATH": os.environ["PATH"],
                    "LD_LIBRARY_PATH": str(self._folder),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_for_start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def conninfo(self, dsn: str) -> str:
        """Return how to reach the same database through the pooler."""
        return make_conninfo(dsn, host="127.0.0.1", port=self.port)

    def _command(self) -> list[object]:
        raise NotImplementedError

    def _write(self) -> None:
        raise NotImplementedError

    def _wait_for_start(self) -> None:
        poll(self._listens, _START_SECONDS, "the pooler to listen")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder)


class PgBouncer(Pooler):
    """PgBouncer; settings are those of its section [pgbouncer]."""

    program = "pgbouncer"

    def set(self, **settings: object) -> None:
        """Change settings while it runs."""
        self._settings |= settings
        self._write()
        self._process.send_signal(signal.SIGHUP)

    def _command(self) -> list[object]:
        return [self._program, "-q", self._folder / "ini"]

    def _write(self) -> None:
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": self._folder / "users",
            **self._settings,
        }
        host, port = self._cluster.host, self._cluster.port
        lines = [
            *("[databases]", f"* = host={host} port={port}"),
            *("[pgbouncer]", *(f"{k} = {v}" for k, v in settings.items())),
        ]
        (self._folder / "ini").write_text("\n".join(lines))
        (self._folder / "users").write_text(f'"{self._cluster.user}" ""\n')


class Pgpool(Pooler):
    """pgpool-II in raw mode; settings are those of pgpool.conf."""

    program = "pgpool"

    def _command(self) -> list[object]:
        hba, conf = self._folder / "pool_hba.conf", self._folder / "pgpool.conf"
        return [self._program, "-n", "-f", conf, "-a", hba]

    def _write(self) -> None:
        settings = {
            "backend_clustering_mode": "raw",
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "pcp_port": _free_port(),
            "pcp_listen_addresses": "",
            "socket_dir": self._folder,
            "unix_socket_directories": self._folder,
            "pcp_socket_dir": self._folder,
            "wd_ipc_socket_dir": self._folder,
            "pid_file_name": self._folder / "pid",
            "logdir": self._folder,
            "work_dir": self._folder,
            "backend_hostname0": self._cluster.host,
            "backend_port0": self._cluster.port,
            "num_init_children": 16,
            "max_pool": 2,
            "sr_check_period": 0,
            # Else it takes a session that we terminate for the end of the server.
            "failover_on_backend_error": "off",
            **self._settings,
        }
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        (self._folder / "pgpool.conf").write_text("\n".join(lines) + "\n")
        (self._folder / "pool_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
