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
def sender(dsn):
    """The session of one who sends."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        yield session
