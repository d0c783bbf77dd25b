import subprocess
from contextlib import ExitStack, closing

import psycopg
import pytest
from support import database, poll

from .contents import BUSY_42


@pytest.fixture
def agent_42(dsn_42):
    """The session of an agent of pgAgent 4.2, in the midst of a busy installation."""
    with closing(psycopg.connect(dsn_42, autocommit=True)) as session:
        session.execute(BUSY_42)
        yield session


@pytest.fixture
def administration(cluster):
    """A superuser's session elsewhere."""
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as session:
        yield session


@pytest.fixture
def alice(administration):
    """An ordinary role."""
    administration.execute("CREATE ROLE alice LOGIN")
    yield "alice"
    administration.execute("DROP ROLE alice")


@pytest.fixture
def new_database(cluster, maker):
    """Make databases: `new_database("name", owner)` gives the owner's session.

    They are empty, if they are not copies of `template`.
    """
    with ExitStack() as stack:

        def make(name, owner="postgres", template="template1"):
            stack.enter_context(database(maker, name, template, f"OWNER {owner}"))
            session = psycopg.connect(
                cluster.conninfo(name), user=owner, autocommit=True
            )
            return stack.enter_context(closing(session))

        yield make


@pytest.fixture
def pg(cluster):
    """Run a client program of PostgreSQL, with these arguments; return the process."""

    def run(program, *arguments):
        return subprocess.run(
            [cluster.bindir / program, *map(str, arguments)],
            env=cluster.client_environ(),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def dump(pg, tmp_path):
    """Dump a session's database; return the archive."""

    def run(session, *options):
        archive = tmp_path / "dump"
        done = pg("pg_dump", *options, f"--file={archive}", session.info.dbname)
        assert (done.returncode, done.stderr) == (0, "")
        return archive

    return run


@pytest.fixture
def restore(pg):
    """Restore an archive into a session's database, without a single error."""

    def run(archive, session, *options):
        database = f"--dbname={session.info.dbname}"
        if archive.is_file() and archive.read_bytes().startswith(b"--"):
            command = ["psql", "-Xq", "-vON_ERROR_STOP=1", "-f", archive]
        else:
            command = ["pg_restore", archive]
        done = pg(*command, database, *options)
        assert (done.returncode, done.stderr) == (0, "")
        # Its session ends a moment later than it, and until then nothing is started.
        others = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name IN ('pg_restore', 'psql')"
        )
        poll(lambda: session.execute(others).fetchone() is None)

    return run
