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
        with psycopg.connect(dsn, client_encoding="UTF8") as conn:
            conn.execute("CREATE EXTENSION pgagent")
        return dsn

    with closing(admin):
        yield create
        admin.execute("DROP DATABASE encoded WITH (FORCE)")


def test_a_latin1_catalogue_stores_what_it_can_and_escapes_the_rest(database):
    dsn = database("LATIN1")
    with closing(psycopg.connect(dsn, autocommit=True)) as conn, Runner(dsn) as runner:
        sql = "DO $$ BEGIN RAISE NOTICE 'grün'; END $$"
        add_job(conn, batch("echo 'grün'; printf '\\342\\202\\254\\n'"), sql, name="Ä")

        assert ended_runs(conn) == "s"

        script, sql = (row[3] for row in step_runs(conn))
        assert script == "gr\\xfcn\n\\u20ac\n"
        assert "grün" in sql
        assert "(Ä)" in runner.log


def test_a_catalogue_without_an_encoding_stores_any_bytes_readably(database):
    dsn = database("SQL_ASCII")
    as_text = psycopg.connect(dsn, autocommit=True, client_encoding="UTF8")
    with closing(as_text) as conn, Runner(dsn) as runner:
        add_job(conn, batch(""), "", due=None)
        conn.execute(r"""
            UPDATE pgagent.pga_jobstep SET jstcode = CASE jstkind
                WHEN 'b' THEN E'echo \xff \xc3\xa4; printf \'\\377\''
                ELSE E'DO $$ BEGIN RAISE NOTICE \'\xff \xc3\xa4\'; END $$'
            END""")
        conn.execute(r"""
            UPDATE pgagent.pga_job SET jobname = E'a \xff name', jobnextrun = now()""")

        assert ended_runs(conn) == "s"

        script, sql = (row[3] for row in step_runs(conn))
        assert script == "\\xff ä\n\\xff"
        assert "\\xff ä" in sql
        assert r"a \udcff name" in runner.log


def test_bytes_that_are_notified_there_do_not_stop_the_runner(database):
    dsn = database("SQL_ASCII")
    as_text = psycopg.connect(dsn, autocommit=True, client_encoding="UTF8")
    with closing(as_text) as conn, Runner(dsn) as runner:
        runner.ready()
        for _ in range(30):
            # One that makes the runner ask, and one that comes before the answer.
            conn.execute(r"SELECT pg_notify('pgagent', 'cancel')")
            conn.execute(r"SELECT pg_notify('pgagent', E'\377\376')")

        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"
        assert runner.stop() == 0


@pytest.mark.parametrize(
    "encoding",
    ["EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004", "UTF8", "WIN1251"],
)
def test_a_job_runs_in_a_catalogue_of_any_encoding(database, encoding):
    dsn = database(encoding)
    with (
        closing(psycopg.connect(dsn, autocommit=True, client_encoding="UTF8")) as conn,
        Runner(dsn) as runner,
    ):
        runner.ready()
        add_job(conn, batch("echo hello"), "SELECT 1", name="a job")
        assert ended_runs(conn) == "s"
        assert step_runs(conn)[0][3] == "hello\n"
