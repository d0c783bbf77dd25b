"""One private server per session, one database per test.

`conn` and `dsn` lead to a database with the extension as it is built here,
`conn_42` and `dsn_42` to one with pgAgent 4.2's; `asking` is for questions. With PLAIN=1
in the environment the former has no extension: an ordinary role has called `pgagent init`.
"""

import gc
import os
import signal
import subprocess
from contextlib import closing
from functools import cache

import features
import psycopg
import pytest
from cluster import LIBPQ, Cluster
from pgagent_runner.catalog.install import init
from psycopg.conninfo import make_conninfo
from pytest_postgresql import factories
from support import database


def pytest_configure():
    """Let Ctrl-C be sent to children also where a shell has started this behind its back."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Have the collector pass by thousands of tests, which stay: they are a lot to look at."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


def pytest_itemcollected(item):
    features.mark(item)


# Where tests wait more than they compute, those that take longest first; and the others.
WAITING = ("daemon", "runner", "security", "docs", "monitoring", "chaos", "dev")
COMPUTING = ("extension",)


def pytest_collection_modifyitems(items):
    """Mix files that wait with files that compute: then processors are never idle.

    The former end a little earlier, for they take longer, and all processes are to end
    together.
    """
    files = list(dict.fromkeys(item.path for item in items))
    waiting = _in_order(WAITING, (f for f in files if f.parent.name in WAITING))
    computing = _in_order(COMPUTING, (f for f in files if f.parent.name not in WAITING))
    places = {file: 0.9 * n / len(waiting) for n, file in enumerate(waiting)}
    places |= {file: n / len(computing) for n, file in enumerate(computing)}
    items.sort(key=lambda item: places[item.path])


def _in_order(rooms, files):
    of = {room: place for place, room in enumerate(rooms)}
    return sorted(files, key=lambda file: of.get(file.parent.name, len(of)))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable():
    """Let reports of bytes that are no text be sent from one process to another."""
    return _encodable((yield))


def _encodable(part):
    if isinstance(part, str):
        return part.encode(errors="backslashreplace").decode()
    if isinstance(part, dict):
        return {_encodable(key): _encodable(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return type(part)(map(_encodable, part))
    return part


@pytest.fixture(scope="session")
def cluster(request):
    """The session's server; a test that stops or reconfigures one makes its own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in filter(LIBPQ.match, list(os.environ)):
            monkeypatch.delenv(name)
        # Settings that this machine has for its own runner are not for ours.
        monkeypatch.setenv("PGAGENT_CONFIG", os.devnull)
        # A worker of autovacuum in the template would delay the next test.
        settings = {"max_connections": "100", "autovacuum": "off"}
        with Cluster(settings, is_twin=True) as server:
            request.config.option.postgresql_host = server.host
            request.config.option.postgresql_port = server.port
            yield server


@pytest.fixture(scope="session")
def has(cluster):
    """Tell whether a feature of tests/features.py is there."""
    return cache(lambda name: features.FEATURES[name].is_there(cluster))


@pytest.fixture
def needed(request, has):
    """What the test is marked to need; comes before its other fixtures."""
    for name in features.needs_of(request.node):
        if not has(name):
            features.lack(name)


@pytest.fixture(scope="session")
def maker(cluster):
    """The superuser's session that makes and drops the databases of tests."""
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as session:
        yield session


def create_pgagent(*, host, port, user, dbname, **_):
    with psycopg.connect(host=host, port=port, user=user, dbname=dbname) as conn:
        if os.environ.get("PLAIN"):
            conn.execute("CREATE ROLE plain LOGIN")
            conn.execute(f"GRANT CREATE ON DATABASE {dbname} TO plain")
        else:
            conn.execute("CREATE EXTENSION pgagent")
    if os.environ.get("PLAIN"):
        init(make_conninfo(host=host, port=port, user="plain", dbname=dbname))


def create_pgagent_42(*, host, port, user, dbname, **_):
    with psycopg.connect(host=host, port=port, user=user, dbname=dbname) as conn:
        conn.execute("CREATE EXTENSION pgagent VERSION '4.2'")


with_pgagent = factories.postgresql_noproc(dbname="test", load=[create_pgagent])
with_42 = factories.postgresql_noproc(dbname="test_42", load=[create_pgagent_42])


# Copied by `database` below, and not by pytest-postgresql: it has the server log each page,
# and waits 0.1 s for each to be dropped.
@pytest.fixture(scope="session")
def template(cluster, request):
    """The name of a database with the catalogue, which others are copied from."""
    return request.getfixturevalue("with_pgagent").template_dbname


@pytest.fixture(scope="session")
def template_42(cluster, request):
    """The same with pgAgent 4.2's."""
    return request.getfixturevalue("with_42").template_dbname


@pytest.fixture
def dsn(cluster, maker, template):
    with database(maker, "test", template) as name:
        yield cluster.conninfo(name)


@pytest.fixture
def conn(dsn):
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def shell(cluster):
    """Execute a command of the documents, with words replaced; return the process."""

    def run(command, **words):
        for word, value in words.items():
            command = command.replace(word, str(value))
        return subprocess.run(
            ["/bin/sh", "-c", command],
            env=cluster.client_environ(),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def dsn_42(cluster, maker, template_42):
    with database(maker, "test_42", template_42) as name:
        yield cluster.conninfo(name)


@pytest.fixture
def conn_42(dsn_42):
    with closing(psycopg.connect(dsn_42, autocommit=True)) as connection:
        yield connection


@pytest.fixture(scope="session")
def asking(cluster, maker, template):
    """A connection that many tests share: what they store, they roll back."""
    with (
        database(maker, "asking", template) as name,
        closing(psycopg.connect(cluster.conninfo(name), autocommit=True)) as connection,
    ):
        yield connection
