"""pgAdmin's session: as superuser, and as a role with rights on the tables alone.

All these tests share a database, which takes less time than one each; a test's jobs go
with it. Other jobs are always there: only then does pgAdmin have a wrong one to find.
"""

import re
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule
from psycopg.rows import dict_row
from support import ROOT
from transitions import register

# As docs/security.md grants it: the second of its blocks.
EDITOR = re.findall(
    r"```sql\n(.*?)```", (ROOT / "docs/security.md").read_text(), re.DOTALL
)[1].replace("job_editor", "pgadmin_editor")
ROLES = f"""
CREATE ROLE pgadmin_outsider LOGIN;
{EDITOR};
ALTER ROLE pgadmin_editor LOGIN;
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
