from contextlib import closing

import psycopg
import pytest

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
def new_database(cluster, administration):
    """Make empty databases: `new_database("name", owner)` gives the owner's session."""
    made = {}

    def make(name, owner="postgres"):
        administration.execute(f"CREATE DATABASE {name} OWNER {owner}")
        made[name] = psycopg.connect(
            cluster.conninfo(name), user=owner, autocommit=True
        )
        return made[name]

    yield make
    for name, session in made.items():
        session.close()
        administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
