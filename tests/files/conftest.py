import json
from contextlib import closing

import forking
import psycopg
import pytest
from daemon.runner_process import PGAGENT
from support import database as new_database


@pytest.fixture
def elsewhere(cluster, maker, template):
    """A connection with another database, which has no jobs."""
    with (
        new_database(maker, "elsewhere", template) as name,
        closing(psycopg.connect(cluster.conninfo(name), autocommit=True)) as connection,
    ):
        yield connection


class Pgagent:
    """The command, in a folder of its own, for one database."""

    def __init__(self, environ, folder):
        self.environ = environ
        self.folder = folder

    def __call__(self, *words):
        return forking.run(
            [PGAGENT, *words], cwd=self.folder, env=self.environ, text=False, timeout=60
        )

    def prints(self, *words, status=0):
        """Return what it prints; nothing may be said beside."""
        done = self(*words)
        assert (done.returncode, done.stderr.decode()) == (status, "")
        return done.stdout.decode()

    def refuses(self, *words):
        """Return the sentence that it says instead of doing anything."""
        done = self(*words)
        assert (done.returncode, done.stdout.decode()) == (1, ""), done.stderr
        return done.stderr.decode().strip()


@pytest.fixture
def pgagent(cluster, conn, tmp_path):
    return Pgagent(cluster.client_environ(conn.info.dbname), tmp_path)


@pytest.fixture
def pgagent_elsewhere(cluster, elsewhere, tmp_path):
    return Pgagent(cluster.client_environ(elsewhere.info.dbname), tmp_path)


@pytest.fixture
def export(conn):
    def export(*jobs):
        return conn.execute(
            "SELECT pgagent.export_jobs(%s)", [list(jobs) or None]
        ).fetchone()[0]

    return export


@pytest.fixture
def apply(conn):
    """Apply a document, given as its jobs or as a whole; return what was done."""

    def apply(*jobs, prune=False, dry_run=False, **document):
        text = json.dumps({"format": 1, "jobs": jobs} | document)
        return conn.execute(
            "SELECT * FROM pgagent.apply_jobs(%s, %s, %s)", [text, prune, dry_run]
        ).fetchall()

    return apply
