"""What an installation is made of: the extension's objects, and the rows in its tables."""

from pathlib import Path

from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

_MEMBERS = (Path(__file__).parent / "members.sql").read_text()

KEYS = {
    "pga_jobagent": "jagpid",
    "pga_jobclass": "jclid",
    "pga_job": "jobid",
    "pga_jobstep": "jstid",
    "pga_schedule": "jscid",
    "pga_exception": "jexid",
    "pga_joblog": "jlgid",
    "pga_jobsteplog": "jslid",
}
"""The tables, those that others refer to first, with their primary keys."""


def members(conn):
    """Return every fact about every object of the extension, as lines of text."""
    return sorted(line for (line,) in conn.execute(_MEMBERS))


def definitions(conn):
    """Return the members without the rows that the extension comes with."""
    return [line for line in members(conn) if not line.startswith("row of ")]


def columns(conn):
    """Return the names of the columns of each table."""
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    )
    return {
        table: [name for (name,) in conn.execute(query, [f"pgagent.{table}"])]
        for table in KEYS
    }


def contents(conn, of):
    """Return the rows of the tables, in these columns, every value as text."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return {
            table: cursor.execute(_select(table, names)).fetchall()
            for table, names in of.items()
        }


def _select(table, names):
    as_text = (SQL("t.{0}::text AS {0}").format(Identifier(name)) for name in names)
    return SQL("SELECT {} FROM pgagent.{} AS t ORDER BY t.{}").format(
        SQL(", ").join(as_text), Identifier(table), Identifier(KEYS[table])
    )
