"""One private server per session, one database per test.

`conn` and `dsn` lead to a database with the extension as it is built here,
`conn_42` and `dsn_42` to one with pgAgent 4.2's; `asking` is for questions. With PLAIN=1
in the environment the former has no extension: an ordinary role has called `pgagent init`.
"""

import os
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


def pytest_itemcollected(item):
    features.mark(item)


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
        with Cluster({"max_connections": "100", "autovacuum": "off"}) as server:
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


template = factories.postgresql_noproc(dbname="test", load=[create_pgagent])
template_42 = factories.postgresql_noproc(dbname="test_42", load=[create_pgagent_42])
database = factories.postgresql("template")
database_42 = factories.postgresql("template_42")


@pytest.fixture
def dsn(cluster, database):
    return cluster.conninfo(database.info.dbname)


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
def dsn_42(cluster, database_42):
    return cluster.conninfo(database_42.info.dbname)


@pytest.fixture
def conn_42(dsn_42):
    with closing(psycopg.connect(dsn_42, autocommit=True)) as connection:
        yield connection


@pytest.fixture(scope="session")
def asking(cluster, template):
    """A connection that many tests share: what they store, they roll back."""
    with psycopg.connect(cluster.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE asking TEMPLATE {template.template_dbname}")
    with psycopg.connect(cluster.conninfo("asking"), autocommit=True) as connection:
        yield connection
