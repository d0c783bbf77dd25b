from contextlib import closing

import psycopg
import pytest
from catalog.diagram import drawn, observe, observed
from transitions import register


@pytest.fixture
def agent(dsn):
    """A registered agent on host "here": its session."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        yield session


@pytest.fixture
def other(dsn):
    """A second agent, on host "there"."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session, "there")
        yield session


@pytest.fixture(autouse=True)
def nothing_happens_that_is_not_drawn(request):
    """Fail a test that sees a transition which docs/design.md does not show."""
    if "dsn" not in request.fixturenames:
        yield
        return
    with closing(psycopg.connect(request.getfixturevalue("dsn"))) as observer:
        observer.autocommit = True
        observe(observer)
        yield
        assert observed(observer) <= drawn()
