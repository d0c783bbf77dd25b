"""What is read in Python can't be cancelled, so that it has to be quick, or refused."""

import psycopg
import pytest

pytestmark = pytest.mark.needs("plpython")

PATTERNS = [
    " ",
    "a ",
    "* ",
    "\t",
    "@daily ",
    "A=",
    "=",
    "é",
    "\\",
    "%",
    ";",
    ",",
    "\n ",
    "MO,",
    "\r\n",
]

CALLS = [
    "pgagent.import_crontab(%(text)s)",
    "pgagent.import_crontab('* * * * * ' || %(text)s)",
    "pgagent.import_crontab('A=' || %(text)s || 'x')",
    "pgagent.import_crontab('* * * * *' || %(text)s)",
    "pgagent.schedule_from_rrule(%(text)s)",
    "pgagent.schedule_from_rrule('FREQ=' || %(text)s)",
    "pgagent.schedule_from_rrule('FREQ=WEEKLY;BYDAY=' || %(text)s)",
    "pgagent.describe_schedule(%(text)s)",
    "pgagent.send_mail(ARRAY[%(text)s], 'x', 'y', server => 'smtp://127.0.0.1:1')",
    "pgagent.send_mail('{a@b}', %(text)s, 'y', server => 'smtp://127.0.0.1:1')",
    "pgagent.send_mail('{a@b}', 'x', %(text)s, server => 'smtp://127.0.0.1:1')",
    "pgagent.send_mail('{a@b}', 'x', 'y', sender => %(text)s, server => 'smtp://127.0.0.1:1')",
    "pgagent.send_mail('{a@b}', 'x', 'y', server => %(text)s)",
    "pgagent.post_webhook(%(text)s, '{}')",
    "pgagent.post_webhook('http://127.0.0.1:1/' || %(text)s, '{}')",
    "pgagent.post_webhook('http://127.0.0.1:1/', to_jsonb(%(text)s::text))",
    "pgagent.upcoming_ics(%(text)s)",
]


@pytest.mark.parametrize("call", CALLS)
def test_hostile_text_is_read_or_refused_in_time(conn, call):
    conn.execute("SET statement_timeout = '5s'")
    for pattern in PATTERNS:
        for size in (4_800, 48_000, 192_000):
            text = (pattern * size)[:size]
            sqlstate = outcome(conn, f"SELECT {call}", text)
            known = {"", "22023", "42704", "08000"}
            assert sqlstate in known, f"{sqlstate}: {call} of {size} {pattern!r}"


def outcome(conn, query, text):
    """Return the SQLSTATE, empty if all is well."""
    try:
        conn.execute(query, {"text": text})
    except psycopg.Error as e:
        return e.sqlstate
    return ""


@pytest.mark.parametrize(
    ("call", "text", "problem"),
    [
        ("import_crontab(%s)", "#" * 1_000_001, "1000001 characters"),
        ("import_crontab(%s)", "A=" + "x" * 9_000 + "\n" + "* * * * * x\n" * 1200, "more than 10000000 characters"),
        ("schedule_from_rrule(%s)", "FREQ=DAILY;" * 910, "10010 characters"),
        ("post_webhook(%s, '{}')", "http://a/" + "x" * 8000, "8009 characters"),
        ("send_mail('{a@b}', %s, 'x')", "x" * 5001, "5001 characters"),
    ],
)  # fmt: skip
def test_a_limit_is_told(refused, call, text, problem):
    assert problem in refused("22023", f"pgagent.{call}", text)


def test_a_calendar_of_long_names_is_short(conn, ask):
    conn.execute(
        "SELECT pgagent.schedule(repeat('é', 1000000), '* * * * *', 'SELECT 1')"
    )
    conn.execute("SET statement_timeout = '20s'")
    calendar = ask("pgagent.upcoming_ics(max_rows => 2000)")
    assert calendar.count("BEGIN:VEVENT") == 2000
    assert max(len(line.encode()) for line in calendar.split("\r\n")) == 75


def test_none_of_it_is_for_everybody(conn):
    executable = """
        SELECT p.proname FROM pg_proc AS p
        JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
        JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'pgagent_python',
            aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS a
        WHERE a.grantee = 0"""
    assert conn.execute(executable).fetchall() == []
