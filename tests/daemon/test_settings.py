"""The runner does not depend on what is prescribed to its database or role; steps do."""

from contextlib import closing

import psycopg
import pytest
from jobs import add_job, batch, step_runs
from psycopg import sql
from settings import known

from .runner_process import Runner, ended_runs

SHOW = "DO $$ BEGIN RAISE NOTICE '%', (SELECT string_agg(setting, '|' ORDER BY lower(name)) FROM pg_settings WHERE lower(name) IN ('datestyle', 'statement_timeout', 'standard_conforming_strings', 'search_path', 'default_transaction_read_only')); END $$"


@pytest.fixture
def prescribe(conn, dsn):
    """Prescribe settings to the test's database, or to the superuser in it."""
    names = []

    def prescribe(scope, settings):
        scope = scope.format(conn.info.dbname)
        for name, value in settings.items():
            conn.execute(
                sql.SQL("ALTER {} SET {} = {}").format(
                    sql.SQL(scope), sql.SQL(name), sql.Literal(value)
                )
            )
            names.append((scope, name))

    yield prescribe
    for scope, name in names:
        conn.execute(f"ALTER {scope} RESET {name}")


def run_three_jobs(conn, dsn):
    """Have three jobs run; return what their steps wrote."""
    with Runner(dsn) as runner:
        runner.ready()
        shows = add_job(conn, SHOW)
        add_job(conn, batch("echo hello"), "SELECT 1/0", name=r"a \d'job")
        add_job(
            conn, "SELECT 1", {"jstcode": "VACUUM pg_class", "jstmode": "autocommit"}
        )
        assert sorted(ended_runs(conn, count=3)) == ["f", "s", "s"], runner.log
    assert [row[:3] for row in step_runs(conn) if row[0] == "step 02"]
    return step_runs(conn, shows)[0][3]


def by_psql(dsn):
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        heard = []
        session.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        session.execute(SHOW)
    return heard[0]


@pytest.mark.parametrize("scope", ["DATABASE {}", "ROLE postgres IN DATABASE {}"])
def test_jobs_run_under_odd_settings_which_only_their_steps_have(
    conn, dsn, prescribe, scope
):
    odd = {name: values[-1] for name, values in known(conn).items()}
    del odd["client_min_messages"]
    prescribe(
        scope,
        odd
        | {
            "default_transaction_read_only": "on",
            "lock_timeout": "1ms",
            "client_encoding": "LATIN1",
        },
    )

    assert by_psql(dsn) in run_three_jobs(conn, dsn)


@pytest.mark.parametrize(
    "alone",
    [
        {"array_nulls": "off"},
        {"default_transaction_read_only": "on"},
        {"row_security": "off", "check_function_bodies": "off"},
        {"statement_timeout": "100ms", "lock_timeout": "1ms"},
        {"standard_conforming_strings": "off"},
        {
            "idle_session_timeout": "500ms",
            "idle_in_transaction_session_timeout": "50ms",
        },
    ],
    ids=lambda alone: next(iter(alone)),
)
def test_jobs_run_under_a_setting_alone(conn, dsn, prescribe, alone):
    known_here = {
        name.lower() for (name,) in conn.execute("SELECT name FROM pg_settings")
    }
    prescribe("DATABASE {}", {n: v for n, v in alone.items() if n in known_here})
    assert by_psql(dsn) in run_three_jobs(conn, dsn)
