"""SQL text is split where psql would split it."""

import contextlib
import random
import re
import subprocess

import psycopg
import pytest
from pgagent_runner.steps.sql.statements import split as pieces_of
from psycopg import pq


def split(text, **settings):
    """Return all statements at once."""
    return [piece for piece in pieces_of(text, **settings) if piece is not None]


ATOMIC = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC {} END"


@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["SELECT 1"],
        ["SELECT 1;"],
        ["SELECT 1;", "SELECT 2"],
        ["SELECT 1;", "\n  SELECT 2;", "SELECT 3;"],
        # quotes
        ["SELECT ';';", "SELECT 2"],
        ["SELECT 'a''b;';", "SELECT 2"],
        ["SELECT 'a\\';", "SELECT 2"],
        ["SELECT E'a\\';';", "SELECT 2"],
        ["SELECT e'a\\\\';", "SELECT 2"],
        ["SELECT E'a'';\\'';", "SELECT 2"],
        ["SELECT E'a'\n'\\';';", "SELECT 2"],
        ["SELECT E'a' -- '\n \n -- ;\n '\\';';", "SELECT 2"],
        ["SELECT E'a' '\\';", "SELECT 2"],
        ["SELECT somE'a\\';", "SELECT 2"],
        ["SELECT U&'\\0061''\\';", "SELECT 2"],
        ["SELECT B'1', X'f', N'\\';", "SELECT 2"],
        ['SELECT 1 AS "a;b";', "SELECT 2"],
        ['SELECT 1 AS "a"";\'b";', "SELECT 2"],
        ['SELECT 1 AS U&"\\0061;";', "SELECT 2"],
        ["SELECT $$a;b$$;", "SELECT 2"],
        ["SELECT $a$;$$;$b$;$A$;$a$;", "SELECT 2"],
        ["SELECT $ä_1$;$ä_1$;", "SELECT 2"],
        ["SELECT 1 AS a$b$;", "SELECT 2 AS a$b$"],
        ["SELECT $1;", "SELECT $1$;", "SELECT 3"],
        ["SELECT $a$ $b$a$;", "SELECT 2"],
        # comments
        ["SELECT 1 -- ; ' (\n;", "SELECT 2"],
        ["SELECT 1--\r;", "SELECT 2"],
        ["SELECT 1 /* ; /* ' */ ; */ + 1;", "SELECT 2"],
        ["SELECT 1 /*/ ; */;", "SELECT 2 /**/;", "SELECT 3 /***/;", "SELECT 4"],
        ["SELECT 1+/*;*/1;", "SELECT 1*--;\n1;", "SELECT 3"],
        ["-- first\nSELECT 1;", "-- second\nSELECT 2"],
        # parentheses and routines
        ["CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);", "SELECT 3"],
        ["SELECT (';');", "SELECT ')';", "SELECT 3"],
        ["SELECT 1);", "SELECT (1;SELECT 3"],
        [ATOMIC.format("SELECT 1; SELECT 2;") + ";", "SELECT 3"],
        [ATOMIC.format("SELECT CASE WHEN a THEN 1 END; SELECT 2;") + ";", "SELECT 3"],
        [ATOMIC.format("SELECT (CASE 1 WHEN 1 THEN 2 END); SELECT 2;") + ";", "SELECT"],
        [ATOMIC.format("SELECT CASE CASE 1 END END; ;") + ";", "SELECT 3"],
        [ATOMIC.format("SELECT 1 AS weekend; SELECT 2;") + ";", "END;", "SELECT 3"],
        ["create or replace procedure p() begin/**/atomic select 1; end;", "SELECT 2"],
        ["CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS '';", "SELECT 2"],
        ["CREATE FUNCTION f(begin atomic) RETURNS int AS '';", "SELECT 2"],
        ["CREATE TABLE function (begin atomic);", "SELECT 2"],
        ["BEGIN;", "SELECT CASE WHEN true THEN 1 END;", "END;"],
        ["DO $$ BEGIN PERFORM 1; END $$;", "SELECT 2"],
        # what is never closed
        ["SELECT 1;", "SELECT '; SELECT 2; "],
        ["SELECT 1;", "SELECT E'\\'; SELECT 2; \\"],
        ["SELECT 1;", 'SELECT "; SELECT 2;'],
        ["SELECT 1;", "SELECT $a$; SELECT 2; $b$"],
        ["SELECT 1;", "/* SELECT 1; /* */"],
        # not UTF-8
        ["SELECT '\udcff;';", 'SELECT 1 AS "\udc80;";', "SELECT 1 AS \udcfe"],
    ],
)
def test_text_is_split_after_each_statement(statements):
    pieces = [statement.encode(errors="surrogateescape") for statement in statements]
    assert split(b"".join(pieces)) == pieces


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        (" \n\t", []),
        (";;", []),
        ("-- nothing", []),
        ("/* nothing */ ; -- more\n;", []),
        ("SELECT 1;  \n", ["SELECT 1;"]),
        ("SELECT 1; -- the end", ["SELECT 1;"]),
        (";SELECT 1;;SELECT 2;/**/;", ["SELECT 1;", "SELECT 2;"]),
    ],
)
def test_what_is_no_statement_is_left_out(text, statements):
    assert [piece.decode() for piece in split(text.encode())] == statements


@pytest.mark.parametrize(
    "statements",
    [
        ["SELECT 'a\\';';", "SELECT 2"],
        ["SELECT 'a'\n'\\';';", "SELECT 2"],
    ],
)
def test_where_strings_do_not_conform_a_backslash_escapes(statements):
    text = "".join(statements).encode()
    pieces = [statement.encode() for statement in statements]
    assert split(text, standard_conforming_strings=False) == pieces
    assert split(text) != pieces


def test_a_large_text_is_split_as_fast_as_a_small_one_is():
    text = b"INSERT INTO t VALUES (1, 'a''b', E'c\\'d'); -- more\n" * 20_000
    assert len(split(text)) == 20_000
    for opening in (
        b"'",
        b"E'\\'",
        b"$$",
        b"/*",
        b'"',
        b"(",
        b"/* /*",
        b"-- ",
        b"E'a'\n",
    ):
        assert len(split(opening * 100_000)) <= 1


@pytest.mark.parametrize("text", [b"SELECT 1;", b"SELECT 1 + ", b";", b"/**/", b"$$$$"])
def test_who_splits_a_large_text_can_do_something_else_now_and_then(text):
    """None is what it gives in between."""
    assert len(list(pieces_of(text * 100_000))) >= 20


# --- beside psql

FRAGMENTS = [
    *("SELECT ", "1", "'", "''", "E'", '"', "$$", "$a$", "$b$a$", "--", "\n", "/*"),
    *("*/", ";", ";", "; ", "(", ")", " ", "x", "U&'", "e", "$1", "+", "*", "/", "-"),
    *("CASE WHEN true THEN 2 END", " BEGIN ATOMIC ", " END", "\r", "\t"),
    "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS int ",
]
# Not here: strings that go on in the next line, whose backslashes psql, unlike the
# server, forgets at the end of a line of a file.
SENTENCES = [
    *("SELECT 1", "SELECT ';', 'a''b'", "SELECT E'\\';\\\\'"),
    *("SELECT $$;$$, $x$ $y$ ; $x$", 'SELECT 1 AS "a;""b"', "SELECT 1/0", "SELEC 1"),
    *("SELECT (1; 2)", "SELECT 3 /* ; /* */ ; */", "SELECT 4 -- ;\n", "TABLE t", ""),
    *("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "/* ; */", "-- ;\n", "VACUUM t"),
    "INSERT INTO t VALUES (';'), ($$;$$) RETURNING x",
    "CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2)",
    "DO $do$ BEGIN PERFORM 1; INSERT INTO t VALUES ('do'); END $do$",
    "SELECT U&'\\0061;', B'1', U&\"\\0062;\" FROM (SELECT 1 AS b) AS x",
    "CREATE FUNCTION pg_temp.b() RETURNS text LANGUAGE sql AS 'SELECT 1; SELECT 2'",
]
ROUTINES = [  # of PostgreSQL 14 and later
    (
        "CREATE OR REPLACE FUNCTION pg_temp.g(x int) RETURNS text BEGIN ATOMIC SELECT"
        " 'a;'; SELECT CASE WHEN x > 1 THEN (CASE x WHEN 2 THEN ';' END) END; END"
    ),
    "SELECT pg_temp.g(2)",
]


def noise(rng):
    return "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 30)))


def prose(rng, sentences):
    return ";".join(rng.choices(sentences, k=rng.randint(1, 12)))


def psql_results(cluster, text, path):
    """Return the rows and the errors that psql shows for a text."""
    path.write_text(text, newline="")
    command = ["psql", "-XqAt", "-v", "VERBOSITY=sqlstate", "-f", path]
    environ = cluster.client_environ() | {"PGOPTIONS": "-c client_min_messages=error"}
    run = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False
    )
    return run.stdout.splitlines(), re.findall(r"ERROR:  (\w+)", run.stderr)


def our_results(cluster, text):
    """Return the same for its statements, executed one by one."""
    rows, errors = [], []
    conninfo = cluster.conninfo() + " options='-c client_min_messages=error'"
    connection = pq.PGconn.connect(conninfo.encode())
    with contextlib.closing(psycopg.Connection(connection)):
        for statement in split(text.encode()):
            connection.send_query(statement)
            while (result := connection.get_result()) is not None:
                for row in range(result.ntuples):
                    fields = range(result.nfields)
                    values = (result.get_value(row, n) or b"" for n in fields)
                    rows += b"|".join(values).decode().splitlines() or [""]
                if code := result.error_field(pq.DiagnosticField.SQLSTATE):
                    errors.append(code.decode())
    return rows, errors


@pytest.fixture
def table(cluster):
    """An empty table, made anew by each call."""

    def empty():
        with psycopg.connect(cluster.conninfo(), autocommit=True) as conn:
            conn.execute("DROP TABLE IF EXISTS t")
            conn.execute("CREATE TABLE t (x text)")
            return conn.info.server_version

    yield empty
    with psycopg.connect(cluster.conninfo(), autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS t")


@pytest.mark.parametrize("seed", range(20))
def test_the_statements_give_what_psql_gets_for_the_text(
    cluster, table, tmp_path, seed
):
    knows_routines = table() >= 140000
    text = prose(random.Random(seed), SENTENCES + ROUTINES * knows_routines)
    expected = psql_results(cluster, text, tmp_path / "text.sql")
    table()
    assert our_results(cluster, text) == expected


def test_pieces_of_any_text_follow_each_other_in_it():
    rng = random.Random(1)
    for _ in range(3000):
        text = noise(rng).encode()
        position = 0
        for piece in split(text):
            position = text.index(piece, position) + len(piece)
