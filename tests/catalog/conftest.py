from contextlib import closing

import psycopg
import pytest
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
