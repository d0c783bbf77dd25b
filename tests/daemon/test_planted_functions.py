"""Functions that somebody has planted in the schema pgagent never answer a call of ours."""

import asyncio
from contextlib import closing
from itertools import product

import psycopg
import pytest
from jobs import add_job, batch, runs
from pgagent_runner.catalog import prune_log
from support import database, free_from_extension, poll

from .runner_process import Runner, agents, ended_runs, running_step

pytestmark = pytest.mark.needs("extension")

CALLED = (
    "pga_agent_register",
    "pga_agent_heartbeat",
    "pga_agent_sweep",
    "pga_agent_session",
    "pga_agent_leave",
    "pga_run_claim",
    "pga_look_again",
    "pga_run_record",
    "pga_step_finish",
    "pga_log_prune",
    "pga_run_due",
    "pga_job_set_aside",
    "pga_job_review",
)

NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision", "text")
# What a driver may send for a type, and what the server may prefer to it.
LIKE = {
    "integer": NUMBERS,
    "bigint": NUMBERS,
    "double precision": NUMBERS,
    "json": ("jsonb", "text", "json"),
    "text": ("varchar", "name", "bpchar", '"char"', "text", "integer"),
    "interval": ("text", "interval"),
    "boolean": ("text", "boolean"),
    "uuid": ("text", "uuid"),
    "timestamp with time zone": ("timestamp", "date", "text", "timestamptz"),
    "text[]": ("varchar[]", "name[]", "text[]", "integer[]", "text"),
    "integer[]": ("smallint[]", "bigint[]", "numeric[]", "text[]", "integer[]", "text"),
    "bigint[]": ("smallint[]", "bigint[]", "numeric[]", "text[]", "integer[]", "text"),
}
MOST_COMBINED = 4  # parameters; of more, one at a time differs, or all do


@pytest.fixture(scope="module")
def planted_template(cluster, maker, template):
    """A catalogue without an extension, and every overload in it that might fit.

    Each counts that it was called, which no rollback takes back, and raises an error.
    Without an extension nothing tells the owner's functions from ours.
    """
    with database(maker, "overloaded_template", template) as name:
        dsn = cluster.conninfo(name)
        with closing(psycopg.connect(dsn, autocommit=True)) as conn:
            plant_all(conn)
        yield name


@pytest.fixture
def planted_dsn(cluster, maker, planted_template):
    with database(maker, "overloaded", planted_template) as name:
        yield cluster.conninfo(name)


@pytest.fixture
def planted(planted_dsn):
    with closing(psycopg.connect(planted_dsn, autocommit=True)) as conn:
        yield conn


def plant_all(conn):
    free_from_extension(conn)
    conn.execute("CREATE SEQUENCE public.planted MINVALUE 0")
    with conn.transaction():
        ours = conn.execute(
            "SELECT proname, ARRAY("
            " SELECT format_type(t, NULL)"
            " FROM unnest(proargtypes) WITH ORDINALITY AS a (t, place) ORDER BY place)"
            " FROM pg_proc"
            " WHERE pronamespace = 'pgagent'::regnamespace AND proname = ANY (%s)",
            [list(CALLED)],
        ).fetchall()
        assert {name for name, _ in ours} == set(CALLED)
        for name, declared in ours:
            for signature in signatures(declared):
                plant(conn, name, signature)


def signatures(declared):
    """Return the parameters of everything that might fit a call."""
    alternatives = [LIKE[name] for name in declared]
    if len(declared) <= MOST_COMBINED:
        found = set(product(*alternatives))
    else:
        found = {
            (*declared[:place], other, *declared[place + 1 :])
            for place, others in enumerate(alternatives)
            for other in others
        } | {
            tuple(names[place % len(names)] for names in alternatives)
            for place in range(6)
        }
    found.discard(tuple(declared))
    yield from (", ".join(types) for types in sorted(found))
    yield ", ".join((*declared[:-1], f"VARIADIC {declared[-1].removesuffix('[]')}[]"))
    # With the declared types it would make calls ambiguous: they fail, and it never runs.
    yield ", ".join((LIKE[declared[0]][0], *declared[1:], "p_more integer DEFAULT 0"))


def plant(conn, name, parameters):
    if conn.execute(
        "SELECT to_regprocedure(%s)",
        [f"pgagent.{name}({parameters.replace('VARIADIC ', '')})"]
        if "DEFAULT" not in parameters
        else ["pgagent.none()"],
    ).fetchone()[0]:
        return
    conn.execute(
        f"CREATE FUNCTION pgagent.{name}({parameters}) RETURNS void LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM nextval('public.planted');"
        " RAISE EXCEPTION 'a planted function was called'; END $$"
    )


def calls_of_planted(conn):
    """Return how often something planted has been called."""
    query = "SELECT last_value + is_called::integer FROM public.planted"
    return conn.execute(query).fetchone()[0]


def test_no_planted_function_runs(planted, planted_dsn):
    conn, dsn = planted, planted_dsn
    with Runner("--lease", "4", dsn) as runner:
        runner.ready()
        add_job(conn, "SELECT 1", "SELECT 2", batch("true"))
        atomic = add_job(conn, {"jstcode": "SELECT 1", "jstmode": "atomic"})
        assert ended_runs(conn, count=2) == "ss"
        cancelled = add_job(conn, "SELECT pg_sleep(60)")
        running_step(conn)
        conn.execute(
            "SELECT pgagent.cancel_run(jlgid) FROM pgagent.pga_joblog WHERE jlgjobid = %s",
            [cancelled],
        )
        assert ended_runs(conn, cancelled) == "d"
        lost = "SELECT pg_terminate_backend(jagpid), jagpid FROM pgagent.pga_jobagent"
        ((_, old_agent),) = conn.execute(lost).fetchall()
        poll(lambda: agents(conn) not in ([], [old_agent]))
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [atomic]
        )
        assert ended_runs(conn, atomic, count=2) == "ss"
        conn.execute("UPDATE pgagent.pga_job SET jobkeepruns = 1")
        assert asyncio.run(prune_log(dsn)) == 1
        assert runner.stop() == 0
        assert "planted" not in runner.log

    assert calls_of_planted(conn) == 0
    assert [status for status, _ in runs(conn, atomic)] == ["s"]


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        (
            "pga_agent_register(%s, make_interval(secs => %s), %s, %s)",
            ("a", 1.0, True, "b"),
        ),
        (
            "pga_agent_heartbeat(%s, make_interval(secs => %s), %s)",
            (1, 1.0, [70_000]),
        ),
        ("pga_agent_leave(%s, %s)", (1, "x")),
        ("pga_agent_session(%s, %s, %s, %s)", (70_000, 1, "2026-01-01", True)),
        ("pga_run_claim(%s, %s, %s, %s, %s)", (70_000, 33, 1.0, 1, [1])),
        ("pga_run_due(%s, %s, %s, %s)", (70_000, 33, [1], [1])),
        ("pga_job_set_aside(%s, %s)", (1, "a")),
        ("pga_job_review(%s)", ([1],)),
        ("pga_log_prune(%s, %s, %s)", (0, 500, 500)),
        ("pga_look_again(%s, %s, %s)", (1, [1], True)),
    ],
)
def test_what_is_planted_would_answer_a_call_without_types(planted, call, parameters):
    with pytest.raises(psycopg.Error, match=r"a planted function|is not unique"):
        planted.execute(f"SELECT pgagent.{call}", parameters)


def test_operators_of_a_path_that_others_set_are_not_used(conn, dsn):
    conn.execute("CREATE SEQUENCE public.planted MINVALUE 0; CREATE SCHEMA evil")
    conn.execute(
        "CREATE FUNCTION evil.same(name, name) RETURNS boolean LANGUAGE sql"
        " AS $$ SELECT nextval('public.planted') >= 0 $$"
    )
    conn.execute(
        "CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = name, RIGHTARG = name)"
    )
    with closing(psycopg.connect(dsn, autocommit=True)) as other:
        other.execute(
            f'ALTER DATABASE "{conn.info.dbname}" SET search_path = evil, pg_catalog'
        )
    with Runner(dsn) as runner:
        runner.ready()
        assert ended_runs(conn, add_job(conn, "SELECT 1")) == "s"

    assert calls_of_planted(conn) == 0
