"""What is prescribed to a database or a role changes neither installation nor functions."""

from contextlib import closing

import psycopg
import pytest
from settings import ODD, known

from .members import definitions

SCHEDULES = [
    "30 2 * * mon-fri",
    "*/5 9-17/2 1,15,L jan,mar &mon",
    "0 9 1 * mon",
    "@daily",
    "@every\t1 hour 30 minutes",
    "90 seconds",
    "@at 2031-05-01 09:00 Europe/Berlin",
    "@at 2031-05-01 09:00:30 -02:30",
    "@at 2031-05-01 09:00 -0030",
    "@reboot",
]

SETUP: list[tuple[str, list[object]]] = [
    ("SELECT pgagent.create_job(%s, timeout => '1 day 2 hours', keep_for => '30 days')", [r"a \d'job"]),
    (
        "SELECT pgagent.add_step(%s, %s, %s, retries => 2, retry_delay => '90 s', retry_on => %s)",
        [r"a \d'job", r"\n", r"SELECT E'\\n', '\n'", ["40001", "08", "any"]],
    ),
    (
        "SELECT pgagent.add_step(%s, 'far', 'SELECT 1', conninfo => %s)",
        [r"a \d'job", r"dbname=a password='b\\c'"],
    ),
    ("SELECT pgagent.schedule('other', '@hourly', 'SELECT 1')", []),
    ("SELECT pgagent.add_exception('other', on_date => date '2031-03-30')", []),
    ("SELECT pgagent.alter_job('other', '30 2 * * *', timezone => 'Europe/Berlin')", []),
    (
        """INSERT INTO pgagent.pga_exception (jexscid, jexdate) SELECT jscid, '2031-04-01'
        FROM pgagent.pga_schedule ORDER BY jscid DESC LIMIT 1""",
        [],
    ),
]  # fmt: skip

# All that must be the same, in a form that does not depend on settings itself.
RESULTS = """
    SELECT (to_jsonb(j) - '{jobcreated,jobchanged,jobnextrun}'::text[])::text FROM pgagent.pga_job AS j
    UNION ALL
    SELECT to_jsonb(s)::text FROM pgagent.pga_jobstep AS s
    UNION ALL
    SELECT (to_jsonb(s) - '{jscstart}'::text[])::text FROM pgagent.pga_schedule AS s
    UNION ALL
    SELECT to_jsonb(e)::text FROM pgagent.pga_exception AS e
    ORDER BY 1
"""
TEXTS = """
    SELECT schedule FROM pgagent.job_status
    UNION ALL
    SELECT detail FROM pgagent.explain_job('other') WHERE gate = 'steps'
    UNION ALL
    SELECT extract(epoch FROM run_at)::bigint || ' ' || COALESCE(note, '')
    FROM pgagent.next_runs(schedule => '*/30 1-3 30 mar *', timezone => 'Europe/Berlin', after => timestamptz '2031-03-28 00:00 UTC', max_rows => 8)
    UNION ALL
    SELECT pgagent.pga_restoring()::text
"""
PLAIN = """
    SET LOCAL search_path = public; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';
    SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 1; SET LOCAL quote_all_identifiers = off;
    SET LOCAL transform_null_equals = off; SET LOCAL standard_conforming_strings = on
"""
REFUSED = [
    "SELECT pgagent.add_schedule('other', '61 * * * *')",
    "SELECT pgagent.add_schedule('other', '@every x')",
    "SELECT pgagent.add_schedule('other', '@at 2031-02-30 09:00')",
    "SELECT pgagent.add_schedule('other', '@daily x')",
    "SELECT pgagent.add_schedule('other', '@daily', timezone => 'EST')",
    "SELECT pgagent.add_step('other', 'a', 'b', retry_on => '{x}')",
    "SELECT pgagent.create_job('other')",
]


def outcome(dsn):
    """Install the extension, define jobs, and return what has come of it."""
    with (
        closing(
            psycopg.connect(dsn, autocommit=True, client_encoding="UTF8")
        ) as session,
        session.transaction(force_rollback=True),
    ):
        session.execute("CREATE EXTENSION pgagent")
        for statement, parameters in SETUP:
            session.execute(statement, parameters)
        for text in SCHEDULES:
            session.execute(
                "SELECT pgagent.add_schedule('other', %s, start_at => '2030-01-31 10:17:05Z')",
                [text],
            )
        texts = session.execute(TEXTS).fetchall()
        messages = []
        for statement in REFUSED:
            with pytest.raises(psycopg.Error) as e, session.transaction():
                session.execute(statement)
            messages.append((e.value.sqlstate, e.value.diag.message_primary))
        session.execute(PLAIN)
        rows = session.execute(RESULTS).fetchall()
        lines = [line for line in definitions(session) if "jsctimezone" not in line]
    return texts, messages, [row for (row,) in rows], lines


@pytest.fixture
def elsewhere(new_database):
    session = new_database("elsewhere")
    session.execute("ALTER DATABASE elsewhere SET timezone = 'UTC'")
    return session


def prescribed(session, scope, settings):
    for name, value in settings.items():
        session.execute(f"ALTER {scope} SET {name} = '{value}'")


@pytest.mark.parametrize(
    "alone",
    [
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "extra_float_digits = -15",
        "intervalstyle = sql_standard",
        "transform_null_equals = on",
        "array_nulls = off",
    ],
)
def test_a_setting_alone_changes_nothing(elsewhere, cluster, alone):
    dsn = cluster.conninfo("elsewhere")
    expected = outcome(dsn)
    assert len(expected[2]) > 15
    prescribed(elsewhere, "DATABASE elsewhere", dict([alone.split(" = ")]))
    assert outcome(dsn) == expected


@pytest.mark.parametrize(
    "scope", ["DATABASE elsewhere", "ROLE postgres IN DATABASE elsewhere"]
)
@pytest.mark.parametrize("choice", [0, 1, -1])
def test_all_settings_together_change_nothing(elsewhere, cluster, scope, choice):
    dsn = cluster.conninfo("elsewhere")
    expected = outcome(dsn)
    odd = {
        name: values[choice % len(values)] for name, values in known(elsewhere).items()
    }
    odd["client_encoding"] = "LATIN1"
    del odd["timezone"]
    prescribed(elsewhere, scope, odd)
    assert outcome(dsn) == expected


def test_the_settings_are_those_of_servers(conn):
    assert len(known(conn)) > len(ODD) - 3
