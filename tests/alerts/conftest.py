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
    """The session of one who sends, and is warned of nothing."""
    warnings = []
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.add_notice_handler(lambda said: warnings.append(said.message_primary))
        yield session
    assert warnings == []


@pytest.fixture
def alert(conn):
    """An alert of all jobs, by channel mail."""
    conn.execute("SELECT pgagent.add_alert('all', 'mail')")
    return "all"
