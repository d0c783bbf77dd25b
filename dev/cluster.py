"""A private PostgreSQL server in a temporary directory.

It needs no privileges, and as root only the server drops to another user. Its
socket lies in a directory that only this user (and root) can enter, so that the
socket itself needs no password; TCP, if wanted, does.
"""

import hashlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import farm
from psycopg.conninfo import make_conninfo

StopMode = Literal["smart", "fast", "immediate"]

LIBPQ = re.compile("PG[A-Z]")  # names of libpq's environment variables

_STOP = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_SCRATCH = {"fsync": "off", "full_page_writes": "off"}
_MEMORY = "/dev/shm"  # creating a database there takes a quarter of the time
_MEMORY_NEEDED = 4 << 30  # bytes
_TWINS = farm.ROOT / "build/twins"
_INITDB = (
    *("--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"),
    *("--auth-local=trust", "--auth-host=scram-sha-256"),
)
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


@dataclass
class Cluster:
    """A server of its own: `with Cluster() as cluster: ... cluster.conninfo()`.

    settings: postgresql.conf in full, read again by every `start`.
    environ: additions to the server's environment, such as LD_PRELOAD; libraries
        of build/peers/root are found there by name.
    durable: whether commits wait for the disk.
    tcp: whether to listen on a free port of 127.0.0.1 as well.
    extension: the directory of our extension's files.
    is_twin: whether its system identifier and password may be those of others: then it
        is a copy of the first of them, which is kept in build/, and takes less time.
    """

    settings: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    durable: bool = False
    tcp: bool = False
    user: str = "postgres"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    port: int = 5432
    extension: Path = farm.EXTENSION
    is_twin: bool = False

    def __enter__(self) -> Self:
        """Create the cluster's files and start its server."""
        self.directory = Path(tempfile.mkdtemp(prefix="pgagent-"))
        memory = None if self.durable else _memory()
        self._data_parent = Path(tempfile.mkdtemp(prefix="pgagent-", dir=memory))
        try:
            self._create()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its files."""
        self._remove()

    @property
    def host(self) -> str:
        """The directory of the server's socket."""
        return str(self.directory)

    @property
    def bindir(self) -> Path:
        """The directory of PostgreSQL's programs, those for clients included."""
        return self._farm.bindir

    @property
    def libraries(self) -> str:
        """The LD_LIBRARY_PATH with which the programs of build/peers/root run."""
        return self._farm.libraries

    @property
    def data(self) -> Path:
        """The data directory: in memory, where nothing has to last."""
        return self._data_parent / "data"

    @property
    def log(self) -> Path:
        """The file of the server's messages."""
        return self.directory / "log"

    def conninfo(self, dbname: str = "postgres", *, tcp: bool = False) -> str:
        """Return the connection string of a database, as the superuser."""
        if tcp:
            way = {"host": "127.0.0.1", "password": self.password}
        else:
            way = {"host": self.host}
        return make_conninfo("", **way, port=self.port, user=self.user, dbname=dbname)

    def client_environ(self, dbname: str = "postgres") -> dict[str, str]:
        """Return an environment in which psql and others speak to this server."""
        inherited = {k: v for k, v in os.environ.items() if not LIBPQ.match(k)}
        return inherited | {
            "PATH": f"{self.bindir}:{os.environ['PATH']}",
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": dbname,
        }

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        It ends with the thread that called this, even if that is killed.
        Raises RuntimeError with the server's messages if it does not come up.
        """
        if self.tcp and not hasattr(self, "_server"):
            self.port = _free_port()
        (self.data / "postgresql.conf").write_text(self._postgresql_conf())
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                self._as_server("postgres", f"-D{self.data}", environ=self.environ),
                cwd=self.directory,
                env=self._server_environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._accepts_connections():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server, in the sense of pg_ctl's modes, and wait for its end."""
        if self._server.poll() is None:
            self._server.send_signal(_STOP[mode])
            self._server.wait(_STOP_SECONDS)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    def _create(self) -> None:
        self._owner = server_user()
        self._farm = farm.plant(self.directory / "server", self.extension)
        first = _TWINS / self._kind()
        if self.is_twin and first.is_dir():
            self.password = (first / "password").read_text()
            _copy(first / "data", self.data)
            self._give_to_owner()
        else:
            self._initdb()
            if self.is_twin:
                self._keep_as(first)

    def _initdb(self) -> None:
        (self.directory / "password").write_text(self.password)
        self._give_to_owner()
        command = [
            *("initdb", f"--pgdata={self.data}", f"--username={self.user}", *_INITDB),
            f"--pwfile={self.directory / 'password'}",
        ]
        initdb = subprocess.run(
            self._as_server(*command),
            check=False,
            cwd=self.directory,
            # Or it would compare the system's time zone with all that there are.
            env=self._server_environ() | {"TZ": "UTC"},
            capture_output=True,
            text=True,
        )
        if initdb.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{initdb.stderr}")

    def _kind(self) -> str:
        """Name what twins have in common: their server, and whose files they are."""
        server = Path(farm.pg_config("--bindir"), "postgres").resolve()
        parts = (server, server.stat().st_mtime_ns, self._owner.pw_uid, self.user)
        words = "\n".join(map(str, (*parts, *_INITDB)))
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    def _keep_as(self, first: Path) -> None:
        """Keep the new files for others, all or none; nobody else can read them."""
        _TWINS.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=_TWINS))
        _copy(self.data, new / "data")
        (new / "password").write_text(self.password)
        try:
            new.rename(first)
        except OSError:  # another process was faster
            shutil.rmtree(new)

    def _remove(self) -> None:
        if hasattr(self, "_server"):
            self.stop("immediate")
        shutil.rmtree(self.directory)
        shutil.rmtree(self._data_parent)

    def _give_to_owner(self) -> None:
        if os.geteuid() == 0:
            owner = f"{self._owner.pw_uid}:{self._owner.pw_gid}"
            directories = [self.host, str(self._data_parent)]
            command = ["chown", "--recursive", "--no-dereference", owner, *directories]
            subprocess.run(command, check=True)

    def _as_server(
        self, program: str, *arguments: str, environ: Mapping[str, str] = {}
    ) -> list[str]:
        drop = ["setpriv", "--pdeathsig=INT"]
        if os.geteuid() == 0:
            uid, gid = self._owner.pw_uid, self._owner.pw_gid
            drop += [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
        # Anything that a preloaded library creates before the drop would stay root's.
        then = ["env", *(f"{name}={value}" for name, value in environ.items())]
        return [*drop, *then, str(self.bindir / program), *arguments]

    def _server_environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "LD_LIBRARY_PATH": self.libraries,
            **self._farm.environ,
        }

    def _postgresql_conf(self) -> str:
        settings = {
            "unix_socket_directories": self.host,
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "port": str(self.port),
            "timezone": "UTC",
            "password_encryption": "scram-sha-256",  # PostgreSQL 13 has another default
            **({} if self.durable else _SCRATCH),
            **self.settings,
        }
        quoted = ((name, value.replace("'", "''")) for name, value in settings.items())
        return "".join(f"{name} = '{value}'\n" for name, value in quoted)

    def _accepts_connections(self) -> bool:
        try:
            status = (self.data / "postmaster.pid").read_text().splitlines()[7]
        except (FileNotFoundError, IndexError):
            return False
        return status.strip() in {"ready", "standby"}


def server_user() -> pwd.struct_passwd:
    """Return the user to run the server as: this one, but never root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _copy(origin: Path, target: Path) -> None:
    subprocess.run(["cp", "--archive", str(origin), str(target)], check=True)


def _memory() -> str | None:
    """Return a directory in memory with room for some clusters, if there is one."""
    try:
        room = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if room >= _MEMORY_NEEDED and os.access(_MEMORY, os.W_OK) else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
