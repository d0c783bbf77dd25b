"""What is stored in the extension's tables."""

from itertools import count
from pathlib import Path

from jobs import add_job, add_schedule
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from support import peer

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
"""The primary key of each table."""

BUSY_42 = (Path(__file__).parent / "busy_42.sql").read_text()
"""Fills the tables of pgAgent 4.2 with all that they may hold."""

SCRIPT_42 = "usr/share/postgresql/*/extension/pgagent--4.2.sql"

_number = count(1)


def install_42(conn):
    """Install the extension of pgAgent 4.2."""
    peer(SCRIPT_42)
    conn.execute("CREATE EXTENSION pgagent VERSION '4.2'")


def install_42_without_extension(conn):
    """Install pgAgent 4.2 as people did before there were extensions."""
    script = peer(SCRIPT_42).read_text()
    lines = [line for line in script.splitlines() if "_config_dump(" not in line]
    conn.execute("CREATE SCHEMA pgagent")
    conn.execute("\n".join(lines))


def columns(conn):
    """Return the names of the columns of each table."""
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
    )
    return {
        table: [name for (name,) in conn.execute(query, [f"pgagent.{table}"])]
        for table in KEYS
    }


def contents(conn, of=None):
    """Return the rows of the tables, every value as text, in all or these columns."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return {
            table: cursor.execute(_select(table, names)).fetchall()
            for table, names in (of or columns(conn)).items()
        }


def add_everywhere(conn):
    """Add a row to each table with a sequence, and assert that its id is the next."""
    before = _greatest_ids(conn)
    conn.execute(
        "INSERT INTO pgagent.pga_jobclass (jclname) VALUES (%s)",
        [f"class {next(_number)}"],
    )
    job_id = add_job(conn, "SELECT 1", due=None)
    schedule_id = add_schedule(conn, job_id)
    conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (%s, '2040-01-01')",
        [schedule_id],
    )
    conn.execute("INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)", [job_id])
    conn.execute(
        "INSERT INTO pgagent.pga_jobsteplog (jsljlgid, jsljstid)"
        " SELECT max(jlgid), max(jstid) FROM pgagent.pga_joblog, pgagent.pga_jobstep"
    )
    assert _greatest_ids(conn) == {table: top + 1 for table, top in before.items()}


def _greatest_ids(conn):
    query = "SELECT COALESCE(max({}), 0) FROM pgagent.{}"
    return {
        table: conn.execute(query.format(key, table)).fetchone()[0]
        for table, key in KEYS.items()
        if table != "pga_jobagent"
    }


def _select(table, names):
    as_text = (SQL("t.{0}::text AS {0}").format(Identifier(name)) for name in names)
    return SQL("SELECT {} FROM pgagent.{} AS t ORDER BY t.{}").format(
        SQL(", ").join(as_text), Identifier(table), Identifier(KEYS[table])
    )
