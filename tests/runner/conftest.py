"""The parts of a runner, each on a real catalogue."""

from contextlib import closing, contextmanager

import psycopg
import pytest
from pgagent_runner.catalog import Claims, Ledger, Registration
from pgagent_runner.model import Run
from pgagent_runner.steps import Nursery, SessionPool, StepExecutor

from .in_loop import LoopThread


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
def loop():
    """A loop in a thread of its own."""
    with LoopThread() as loop:
        yield loop


@pytest.fixture
def nursery(loop):
    """What starts scripts in the loop."""
    nursery = Nursery()
    yield nursery
    loop.call(nursery.close)


@pytest.fixture
def executor_of(loop, nursery):
    """Make executors that can be used in this thread: `with executor_of(settings)`."""

    @contextmanager
    def open_executor(settings, run=None, pool=None):
        own = SessionPool() if pool is None else pool
        executor = loop.holding(
            StepExecutor(settings, run or Run(1, 1, "", ()), own, nursery)
        )
        loop.call(executor.itself.__enter__)
        try:
            yield executor
        finally:
            loop.call(executor.itself.__exit__, None, None, None)
            if pool is None:
                loop.call(own.close_idle, 0)

    return open_executor


@pytest.fixture
def catalog(dsn):
    """The session of an agent that is registered."""
    with Registration(dsn, "here", 20) as catalog:
        catalog.register()
        yield catalog


@pytest.fixture
def claims(dsn, catalog, loop):
    """The session through which that agent claims."""
    claims = loop.holding(Claims(dsn, catalog.agent_id))
    claims.open()
    yield claims
    claims.close()


@pytest.fixture
def ledger(dsn, catalog, loop):
    """Where that agent records runs."""
    ledger = loop.holding(loop.call(Ledger, dsn, catalog.agent_id, lambda _: None))
    ledger.open()
    yield ledger
    ledger.close()
