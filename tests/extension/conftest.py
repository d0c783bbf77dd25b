from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

BUSY_42 = (Path(__file__).parent / "busy_42.sql").read_text()


@pytest.fixture
def agent_42(dsn_42):
    """The session of an agent of pgAgent 4.2, in the midst of a busy installation."""
    with closing(psycopg.connect(dsn_42, autocommit=True)) as session:
        session.execute(BUSY_42)
        yield session


@pytest.fixture
def new_database(cluster):
    """Make empty databases: `new_database("name", owner="role")` gives a session."""

    @contextmanager
    def administration():
        with psycopg.connect(cluster.conninfo(), autocommit=True) as session:
            yield session

    made = []

    def make(name, owner="postgres"):
        with administration() as session:
            known = "SELECT FROM pg_roles WHERE rolname = %s"
            if session.execute(known, [owner]).fetchone() is None:
                session.execute(f"CREATE ROLE {owner} LOGIN")
            session.execute(f"CREATE DATABASE {name} OWNER {owner}")
        made.append((name, psycopg.connect(cluster.conninfo(name), autocommit=True)))
        return made[-1][1]

    yield make
    for _, session in made:
        session.close()
    with administration() as session:
        for name, _ in made:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")
