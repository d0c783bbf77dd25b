"""Catalogues in databases that are not UTF-8."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, batch, step_runs

from .runner_process import Runner, ended_runs


@pytest.fixture
def database(cluster):
    """Make a database with this encoding; return how to connect to it."""
    admin = psycopg.connect(cluster.conninfo(), autocommit=True)

    def create(encoding):
        admin.execute(
            f"CREATE DATABASE encoded ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
        dsn = cluster.conninfo("encoded")
        with psycopg.connect(dsn) as conn:
            conn.execute("CREATE EXTENSION pgagent")
        return dsn

    with closing(admin):
        yield create
        admin.execute("DROP DATABASE encoded WITH (FORCE)")


def test_a_latin1_catalogue_stores_what_it_can_and_escapes_the_rest(database):
    dsn = database("LATIN1")
    with closing(psycopg.connect(dsn, autocommit=True)) as conn, Runner(dsn) as runner:
        sql = "DO $$ BEGIN RAISE NOTICE 'gr\u00fcn'; END $$"
        add_job(conn, batch("echo 'gr\u00fcn'; printf '\\342\\202\\254\\n'"), sql, name="\u00c4")

        assert ended_runs(conn) == "s"

        script, sql = (row[3] for row in step_runs(conn))
        assert script == "gr\\xfcn\n\\u20ac\n"
        assert "gr\u00fcn" in sql
        assert "(\u00c4)" in runner.log


def test_a_catalogue_without_an_encoding_stores_any_bytes_readably(database):
    dsn = database("SQL_ASCII")
    with closing(psycopg.connect(dsn, autocommit=True)) as conn, Runner(dsn) as runner:
        job_id = add_job(conn, batch("?"), "?", due=None)
        for column, value in {
            "jobname": r"a bad \xff name",
            "jobnextrun": "now",
        }.items():
            conn.execute(f"UPDATE pgagent.pga_job SET {column} = E'{value}'")
        for kind, code in {
            "b": r"echo \xff \u00e4; printf \'\\\\377\'",
            "s": r"DO $$ BEGIN RAISE NOTICE \'\xff \u00e4\'; END $$",
        }.items():
            conn.execute(
                f"UPDATE pgagent.pga_jobstep SET jstcode = E'{code}' WHERE jstkind = '{kind}'"
            )

        assert ended_runs(conn, job_id) == "s"

        script, sql = (row[3] for row in step_runs(conn))
        assert script == "\\xff \u00e4\n\\xff"
        assert "\\xff \u00e4" in sql
        assert "a bad \\xff name" in runner.log
