"""pgAdmin's session: as superuser, and as a role with rights on the tables alone."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, add_schedule
from psycopg.rows import dict_row
from transitions import register


@pytest.fixture(params=["superuser", "other role"])
def pgadmin(request, conn, dsn, neighbours):  # noqa: ARG001
    """pgAdmin's session, in a time zone that is not the server's."""
    if request.param == "superuser":
        role = conn.info.user
    else:
        role = request.getfixturevalue("editor")
    with closing(_connect(dsn, user=role)) as session:
        session.execute("SET DateStyle=ISO; SET TimeZone TO 'Asia/Kolkata'")
        yield session


@pytest.fixture
def editor(conn, outsider):
    """A role that may read and write the tables, and nothing else."""
    conn.execute(
        f"GRANT USAGE ON SCHEMA pgagent TO {outsider};"
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO {outsider};"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgagent"
        f" TO {outsider}"
    )
    return outsider


@pytest.fixture
def outsider(conn):
    """A role without any rights."""
    conn.execute("CREATE ROLE pgadmin_user LOGIN")
    yield "pgadmin_user"
    conn.execute("DROP OWNED BY pgadmin_user; DROP ROLE pgadmin_user")


@pytest.fixture
def neighbours(conn):
    """Jobs that come before and after those of the tests, by name: (first, last).

    Where pgAdmin does not find what it has created, it shows the first job there is.
    """
    jobs = add_job(conn, name="AAA", due=None), add_job(conn, name="zzz", due=None)
    for job_id in jobs:
        add_schedule(conn, job_id, jscname=f"of {job_id}", jscstart="2040-01-01 00:00")
    return jobs


@pytest.fixture
def agent(dsn):
    """A registered agent on host "here": its session."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        register(session)
        yield session


def _connect(dsn, **parameters):
    return psycopg.connect(dsn, autocommit=True, row_factory=dict_row, **parameters)
