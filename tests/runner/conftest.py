"""The parts of a runner, each on a real catalogue."""

from concurrent.futures import Future
from contextlib import closing

import psycopg
import pytest
from pgagent_runner.catalog import Claims, Ledger, Registration
from pgagent_runner.tasks import TaskLoop


@pytest.fixture
def server(cluster):
    """The conninfo of a database in which the tests leave nothing."""
    return cluster.conninfo()


@pytest.fixture
def watcher(server):
    """A session there, to look at those of steps."""
    with closing(psycopg.connect(server, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def catalog(dsn):
    """The session of an agent that is registered."""
    with Registration(dsn, "here", 20) as catalog:
        catalog.register()
        yield catalog


@pytest.fixture
def claims(dsn, catalog):
    """The session through which that agent claims."""
    with closing(Claims(dsn, catalog.agent_id, "here")) as claims:
        yield claims


@pytest.fixture
def tasks():
    """A loop that executes tasks."""
    with TaskLoop() as tasks:
        yield tasks


@pytest.fixture
def result_of(tasks):
    """Execute a function as a task; return a future of its result."""

    def start(function):
        future: Future[object] = Future()

        def work():
            try:
                future.set_result(function())
            except Exception as e:  # noqa: BLE001 (raised where it is waited for)
                future.set_exception(e)

        tasks.start(work)
        return future

    return start


@pytest.fixture
def ledger(dsn, tasks):
    """Where runs are recorded."""
    with closing(Ledger(dsn, tasks)) as ledger:
        yield ledger
