import os
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from cluster import Cluster

from .runner_process import Runner


@pytest.fixture
def runner(dsn):
    """A runner that waits for jobs."""
    with Runner(dsn) as process:
        yield process.ready()


@pytest.fixture
def gate(tmp_path):
    """The code of a batch step that runs until the gate is opened, and the opener."""
    path = tmp_path / "gate"
    code = f"until test -e {path}; do sleep 0.02; done"
    return code, path.touch


class Leash:
    """A named pipe that shows whether any process still holds its other end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_held(self) -> bool:
        try:
            return os.read(self._reader, 1) != b""
        except BlockingIOError:
            return True

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def leash(tmp_path):
    with closing(Leash(tmp_path / "leash")) as leash:
        yield leash


@pytest.fixture(scope="session")
def frail(cluster):
    """A server that tests stop, start and reconfigure."""
    with Cluster({"autovacuum": "off"}, tcp=True, is_twin=True) as server:
        with psycopg.connect(server.conninfo("template1")) as conn:
            conn.execute("CREATE EXTENSION pgagent")
        yield server


@pytest.fixture
def frail_dsn(frail):
    """A new database of that server, reached by its socket."""
    with psycopg.connect(frail.conninfo(), autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS frail WITH (FORCE)")
        conn.execute("CREATE DATABASE frail")
    return frail.conninfo("frail")


@pytest.fixture
def frail_conn(frail_dsn):
    with closing(psycopg.connect(frail_dsn, autocommit=True)) as connection:
        yield connection
