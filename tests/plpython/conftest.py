import psycopg
import pytest
from documents import block


@pytest.fixture
def conn(conn):
    """A session in a database with the extension pgagent_python."""
    conn.execute(block("docs/python.md", "CREATE EXTENSION pgagent_python"))
    return conn


@pytest.fixture
def ask(conn):
    """Return the first column of the first row."""

    def ask(query, *parameters):
        return conn.execute(f"SELECT {query}", parameters).fetchone()[0]

    return ask


@pytest.fixture
def refused(conn):
    """Expect an error of this SQLSTATE, and return its message and detail."""

    def refused(sqlstate, query, *parameters):
        with pytest.raises(psycopg.Error) as e:
            conn.execute(f"SELECT {query}", parameters)
        assert e.value.sqlstate == sqlstate, e.value
        assert e.value.diag.message_detail
        return f"{e.value.diag.message_primary} ({e.value.diag.message_detail})"

    return refused
