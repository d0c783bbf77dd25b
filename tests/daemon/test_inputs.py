"""The input with which somebody asks for a run reaches its steps, and those of no other."""

import json
from contextlib import closing

import psycopg
import pytest
from documents import block, inline
from jobs import add_job, batch, step_runs

from .runner_process import Runner, ended_runs

ODD = {
    "event": "failed",
    "job": 'it\'s a \\ "naïve" $(id) `id` %s job ✓ 🎉',
    "message": "line 1\nline 2\ttab \u0001 \\u0041",
    "numbers": [12345678901234567890, 0.1, None, True],
    "events": [],
}
SETTING = "current_setting('pgagent.input', true)"
KEEP = f"INSERT INTO public.seen SELECT {SETTING}, pg_backend_pid()"


@pytest.fixture
def seen(conn):
    """Return what steps have had for an input, and in which sessions, in order."""
    conn.execute(
        "CREATE TABLE public.seen (event text, pid integer, n serial PRIMARY KEY)"
    )

    def read():
        return conn.execute("SELECT event, pid FROM public.seen ORDER BY n").fetchall()

    return read


def ask_with(conn, job_id, parameters):
    conn.execute(
        "INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqinput)"
        " VALUES (%s, 'alert', %s::jsonb)",
        [job_id, json.dumps(parameters)],
    )


def of_mode(code, mode):
    return {"jstkind": "s", "jstcode": code, "jstmode": mode}


def test_every_step_of_a_run_has_its_input(conn, runner, seen, tmp_path):
    script = f'printf %s "$PGAGENT_INPUT" >{tmp_path}/event'
    job_id = add_job(
        conn,
        KEEP,
        f"{KEEP}; SELECT 1",
        batch(script),
        of_mode(KEEP, "atomic"),
        of_mode(f"{KEEP}; SELECT 1", "autocommit"),
        f"SELECT 1 / ({SETTING}::jsonb ->> 'event' = 'failed')::int",
        due=None,
    )

    ask_with(conn, job_id, ODD)

    assert ended_runs(conn) == "s"
    assert [json.loads(event) for event, _ in seen()] == [ODD] * 4
    assert json.loads((tmp_path / "event").read_text()) == ODD


def test_an_input_comes_as_the_document_says(conn, runner):
    always = inline("docs/operating.md", "SELECT current_setting('pgagent.input')")
    maybe = inline("docs/operating.md", "SELECT nullif(current_setting('pgagent.in")
    code = f"SELECT 1 / (({always}) = '7' AND ({maybe}) = '7')::int"
    job_id = add_job(conn, code, due=None, name="etl")
    add_job(conn, f"SELECT 1 / (({maybe}) IS NULL)::int", name="another")

    conn.execute(block("docs/operating.md", "INSERT INTO pgagent.pga_jobrequest"))

    assert ended_runs(conn, job_id) == "s", step_runs(conn)
    assert ended_runs(conn, count=2) == "ss", step_runs(conn)


def test_a_further_attempt_has_the_input_too(conn, runner, seen):
    once = f"{KEEP}; COMMIT; SELECT 1 / (count(*) - 1) FROM public.seen"
    step = {"jstcode": once, "jstretries": 1, "jstretryon": ["any"]}
    job_id = add_job(conn, step | {"jstkind": "s", "jstretrydelay": "10 ms"}, due=None)

    ask_with(conn, job_id, [1])

    assert ended_runs(conn) == "s"
    assert [event for event, _ in seen()] == ["[1]", "[1]"]


@pytest.mark.parametrize(
    "code",
    [
        KEEP,  # is sent along with the settings, and the reset
        f"{KEEP}; SELECT 1",
        f"DO $$BEGIN {KEEP}; END$$",
        f"{KEEP}; RESET ROLE",
    ],
)
def test_the_next_run_in_the_same_session_has_no_input(conn, runner, seen, code):
    """Nor has the one after that the first one's, if it has its own."""
    with_input = add_job(conn, code, due=None)
    without = add_job(conn, code, due=None)

    for count, parameters in enumerate(("first", None, "second", None, None), 1):
        if parameters is None:
            conn.execute("SELECT pgagent.run_job(%s::bigint)", [without])
        else:
            ask_with(conn, with_input, parameters)
        ended_runs(conn, count=count)

    rows = seen()
    assert [event or None for event, _ in rows] == [
        '"first"',
        None,
        '"second"',
        None,
        None,
    ]
    assert len({pid for _, pid in rows}) == 1, "they were to share a session"


def test_a_script_of_another_run_has_no_input(conn, runner, tmp_path):
    """Its guardian is that of the script before."""
    script = f'echo "${{PGAGENT_INPUT-none}}" >>{tmp_path}/events'
    job_id = add_job(conn, batch(script), due=None)

    for count, parameters in enumerate(("first", None, "second"), 1):
        if parameters is None:
            conn.execute("SELECT pgagent.run_job(%s::bigint)", [job_id])
        else:
            ask_with(conn, job_id, parameters)
        ended_runs(conn, count=count)

    assert (tmp_path / "events").read_text().split() == ['"first"', "none", '"second"']


@pytest.mark.parametrize("character", ["x", "🎉"])
def test_the_longest_input_reaches_a_script_and_a_statement(
    conn, runner, seen, tmp_path, character
):
    event = character * (99_998 // len(character.encode()))
    script = f'printf %s "$PGAGENT_INPUT" >{tmp_path}/event'
    job_id = add_job(conn, batch(script), KEEP, due=None)

    ask_with(conn, job_id, event)

    assert ended_runs(conn) == "s", step_runs(conn)
    assert json.loads((tmp_path / "event").read_text()) == event
    assert json.loads(seen()[0][0]) == event


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "SQL_ASCII"])
def test_a_step_in_a_database_of_another_encoding_has_its_input(
    conn, cluster, runner, encoding
):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute(
            f"CREATE DATABASE encoded ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
        try:
            code = f"CREATE TABLE public.seen AS SELECT {SETTING} AS event"
            step = {"jstkind": "s", "jstcode": code, "jstdbname": "encoded"}
            job_id = add_job(conn, step, due=None)

            ask_with(conn, job_id, ODD)

            assert ended_runs(conn) == "s", step_runs(conn)
            dsn = cluster.conninfo("encoded")
            with closing(psycopg.connect(dsn, client_encoding="UTF8")) as other:
                events = other.execute("SELECT event FROM public.seen").fetchall()
            assert [json.loads(event) for (event,) in events] == [ODD]
        finally:
            admin.execute("DROP DATABASE encoded WITH (FORCE)")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_catalogue_of_another_encoding_hands_out_inputs(cluster, tmp_path, encoding):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute(
            f"CREATE DATABASE encoded ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
        dsn = cluster.conninfo("encoded")
        try:
            with (
                closing(psycopg.connect(dsn, autocommit=True)) as conn,
                Runner(dsn),
            ):
                conn.execute("SET client_encoding = 'UTF8'")
                conn.execute("CREATE EXTENSION pgagent")
                script = f'printf %s "$PGAGENT_INPUT" >{tmp_path}/event'
                code = f"SELECT 1 / ({SETTING}::jsonb ->> 0 = 'grün')::int"
                job_id = add_job(conn, batch(script), code, due=None)
                conn.execute(
                    "INSERT INTO pgagent.pga_jobrequest (jrqjobid, jrqvia, jrqinput)"
                    " VALUES (%s, 'alert', '[\"grün\"]')",
                    [job_id],
                )
                assert ended_runs(conn, deadline=20) == "s", step_runs(conn)
                assert json.loads((tmp_path / "event").read_text()) == ["grün"]
        finally:
            admin.execute("DROP DATABASE encoded WITH (FORCE)")
