"""pgAdmin's session: as superuser, and as a role with rights on the tables alone.

All these tests share a database, which takes less time than one each; a test's jobs go
with it. Other jobs are always there: only then does pgAdmin have a wrong one to find.
"""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule
from psycopg.rows import dict_row
from transitions import register

ROLES = """
CREATE ROLE pgadmin_outsider LOGIN;
CREATE ROLE pgadmin_editor LOGIN;
GRANT USAGE ON SCHEMA pgagent TO pgadmin_editor;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO pgadmin_editor;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgagent TO pgadmin_editor;
"""


@pytest.fixture(scope="session")
def dsn(cluster):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as session:
        session.execute("CREATE DATABASE pgadmin")
    dsn = cluster.conninfo("pgadmin")
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        session.execute("CREATE EXTENSION pgagent")
        session.execute(ROLES)
    return dsn


@pytest.fixture
def conn(conn):
    yield conn
    conn.execute("DELETE FROM pgagent.pga_job; DELETE FROM pgagent.pga_jobagent")


@pytest.fixture(
    params=[
        pytest.param("postgres", id="superuser"),
        pytest.param("pgadmin_editor", id="editor"),
    ]
)
def pgadmin(request, dsn, neighbours):
    """pgAdmin's session, in a time zone that is not the server's."""
    with closing(
        psycopg.connect(dsn, autocommit=True, user=request.param, row_factory=dict_row)
    ) as session:
        session.execute("SET DateStyle=ISO; SET TimeZone TO 'Asia/Kolkata'")
        yield session


@pytest.fixture
def outsider(dsn):
    """The session of a role without any rights."""
    with closing(
        psycopg.connect(dsn, autocommit=True, user="pgadmin_outsider")
    ) as session:
        yield session


@pytest.fixture
def neighbours(conn):
    """Jobs that come before and after those of the tests, by name: (first, last)."""
    jobs = add_job(conn, name="AAA", due=None), add_job(conn, name="zzz", due=None)
    for job_id in jobs:
        add_schedule(conn, job_id, jscstart="2040-01-01 00:00")
    return jobs


@pytest.fixture
def agent(dsn):
    """A registered agent on host "here": its session."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        yield session
