"""Wrong texts, names and arguments: what, where, what is allowed; nothing half-made."""

import psycopg
import pytest

SCHEDULES = {
    "": "as a whole: is empty",
    "   ": "as a whole: is empty",
    "* * * *": "as a whole: has 4 fields, 5 wanted",
    "* * * * * *": "as a whole: has 6 fields, 5 wanted",
    "60 * * * *": 'field 1 (minute): "60" is not allowed',
    "-1 * * * *": "field 1 (minute): a value is missing",
    "a * * * *": 'field 1 (minute): "a" is not allowed',
    "1.5 * * * *": 'field 1 (minute): "1.5" is not allowed',
    "1,,2 * * * *": "field 1 (minute): a value is missing",
    ", * * * *": "field 1 (minute): a value is missing",
    "1- * * * *": "field 1 (minute): a value is missing",
    "5-1 * * * *": 'field 1 (minute): the range "5-1" runs backwards',
    "1-2-3 * * * *": 'field 1 (minute): "1-2-3" can\'t be read',
    "*/0 * * * *": 'field 1 (minute): the step of "*/0" is not allowed',
    "*/x * * * *": 'field 1 (minute): the step of "*/x" is not allowed',
    "*/ * * * *": 'field 1 (minute): the step of "*/" is not allowed',
    "*/99 * * * *": 'field 1 (minute): the step of "*/99" is not allowed',
    "? * * * *": 'field 1 (minute): "?" is not allowed',
    "H * * * *": 'field 1 (minute): "H" is not allowed',
    "0 24 * * *": 'field 2 (hour): "24" is not allowed',
    "0 1-99999 * * *": 'field 2 (hour): "99999" is not allowed',
    "0 0 0 * *": 'field 3 (day of the month): "0" is not allowed',
    "0 0 32 * *": 'field 3 (day of the month): "32" is not allowed',
    "0 0 LW * *": 'field 3 (day of the month): "LW" is not allowed',
    "0 0 * 0 *": 'field 4 (month): "0" is not allowed',
    "0 0 * 13 *": 'field 4 (month): "13" is not allowed',
    "0 0 * foo *": 'field 4 (month): "foo" is not allowed',
    "0 0 * * 8": 'field 5 (weekday): "8" is not allowed',
    "0 0 * * mo": 'field 5 (weekday): "mo" is not allowed',
    "0 0 * * fri-mon": 'field 5 (weekday): the range "fri-mon" runs backwards',
    "0 0 * * 1#2": 'field 5 (weekday): "1#2" is not allowed',
    "0 0 * * 5L": 'field 5 (weekday): "5L" is not allowed',
    "@": 'as a whole: "@" is not known',
    "@dayly": 'as a whole: "@dayly" is not known',
    "@every": 'the interval: "" can\'t be read',
    "@every 0 s": "the interval: 0 seconds is out of range",
    "@every 400 days": "the interval: 34560000 seconds is out of range",
    "@every 5": 'the interval: "5" can\'t be read',
    "@every -5 s": 'the interval: "-5 s" can\'t be read',
    "@every 1.5 s": 'the interval: "1.5 s" can\'t be read',
    "@every month": 'the interval: "month" can\'t be read',
    "3 months": 'the interval: "3 months" can\'t be read',
    "30 parsecs": 'the interval: "30 parsecs" can\'t be read',
    "@at": "the time: can't be read",
    "@at tomorrow": "the time: can't be read",
    "@at 2091-05-01": "the time: can't be read",
    "@at 2091-02-30 09:00": "the time: there is no such date and time",
    "@at 2091-13-01 09:00": "the time: there is no such date and time",
    "@at 2091-05-01 25:00": "the time: there is no such date and time",
    "@at 2001-05-01 09:00": "the time: lies in the past",
    "@at 2091-05-01 09:00+02 UTC": "the time: can't be read",
}

CALLS = {
    "schedule('x', '@daily', '')": ("22023", "add_step(command): is empty"),
    "schedule('x', '@daily', NULL)": ("22023", "add_step(command): is empty"),
    "schedule('', '@daily', 'SELECT 1')": ("22023", "create_job(name): is empty"),
    "schedule(NULL, '@daily', 'SELECT 1')": ("22023", "create_job(name): is empty"),
    "schedule('x', NULL, 'SELECT 1')": ("22023", "as a whole: is empty"),
    "schedule('x', '@daily', 'SELECT 1', timezone => 'Mars')": (
        "22023",
        'unknown time zone "Mars"',
    ),
    "schedule('x', '@daily', 'SELECT 1', timezone => 'CET')": (
        "22023",
        "is an abbreviation: one offset all the year round",
    ),
    "schedule('x', '@daily', 'SELECT 1', timezone => 'UTC+3')": (
        "22023",
        'unknown time zone "UTC+3"',
    ),
    "schedule('two', '@daily', 'SELECT 1')": ("42P09", '2 jobs have the name "two"'),
    "schedule('steps', '@daily', 'SELECT 1')": (
        "55000",
        "has 2 steps: which one shall get the command?",
    ),
    "schedule_in_database('x', '@daily', 'SELECT 1', 'db', 'bob')": (
        "0A000",
        "pgagent: username: a job can't run as",
    ),
    "create_job('steps')": ("42710", 'pgagent: there is a job "steps" already'),
    "create_job('x', class => 'Fun')": (
        "42704",
        'pgagent: there is no job class "Fun"',
    ),
    "drop_job('x')": ("42704", 'pgagent: there is no job "x"'),
    "drop_job(4711)": ("42704", "pgagent: there is no job with the id 4711"),
    "unschedule('x')": ("42704", 'pgagent: there is no job "x"'),
    "unschedule(4711)": ("42704", "pgagent: there is no job with the id 4711"),
    "unschedule('two')": ("42P09", '2 jobs have the name "two"'),
    "alter_job(4711, active => true)": (
        "42704",
        "pgagent: there is no job with the id 4711",
    ),
    "alter_job('steps', name => 'two')": (
        "42710",
        'pgagent: there is a job "two" already',
    ),
    "alter_job('steps', command => 'SELECT 1')": ("55000", "has 2 steps"),
    "alter_job('steps', username => 'bob')": (
        "0A000",
        "pgagent: username: a job can't run as",
    ),
    "alter_job('steps', class => 'Fun')": (
        "42704",
        'pgagent: there is no job class "Fun"',
    ),
    "alter_job('steps', schedule => 'x')": ("22023", "has 1 fields, 5 wanted"),
    "alter_job('steps', timezone => 'Mars')": ("22023", 'unknown time zone "Mars"'),
    "add_step('steps', 'c', 'x', kind => 'perl')": (
        "22023",
        'add_step(kind): "perl" is not known',
    ),
    "add_step('steps', 'c', 'x', on_error => 'cry')": (
        "22023",
        'add_step(on_error): "cry" is not known',
    ),
    "add_step('steps', '', 'x')": ("22023", "add_step(name): is empty"),
    "add_step('steps', 'c', ' ')": ("22023", "add_step(command): is empty"),
    "add_step('steps', 'c', 'x', database => repeat('d', 64))": (
        "22023",
        "is too long",
    ),
    "add_step('steps', 'c', 'x', kind => 'batch', database => 'd')": (
        "22023",
        "a batch step has no database",
    ),
    "add_step('x', 'c', 'x')": ("42704", 'pgagent: there is no job "x"'),
    "add_schedule('steps', '@daily', start_at => '2031-01-01', end_at => '2030-01-01')": (
        "22023",
        "add_schedule(end_at): end before start",
    ),
    "add_schedule(4711, '@daily')": (
        "42704",
        "pgagent: there is no job with the id 4711",
    ),
    "add_exception('two')": ("42P09", '2 jobs have the name "two"'),
    "add_exception('steps')": ("22023", "date or time wanted"),
    "add_exception('steps', '2031-01-01', schedule => 'x')": (
        "42704",
        'has no schedule "x"',
    ),
    "run_job('x')": ("42704", 'pgagent: there is no job "x"'),
    "run_job('steps', from_step => 'z')": ("42704", 'has no step "z"'),
    "next_runs()": ("22023", "next_runs(job, schedule): one of the two is wanted"),
    "next_runs('steps', schedule => '@daily')": ("22023", "one of the two is wanted"),
    "next_runs('steps', max_rows => 0)": (
        "22023",
        "next_runs(max_rows): 0 is out of range",
    ),
    "next_runs(schedule => '@daily', max_rows => NULL)": (
        "22023",
        "NULL is out of range",
    ),
    "explain_job('x')": ("42704", 'pgagent: there is no job "x"'),
    "explain_job(4711)": ("42704", "pgagent: there is no job with the id 4711"),
}


@pytest.fixture
def jobs_of_others(conn):
    """Two jobs of one name, and one with two steps and a schedule."""
    conn.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'two'), (1, 'two')"
    )
    conn.execute("SELECT pgagent.create_job('steps')")
    conn.execute(
        "SELECT pgagent.add_step('steps', s, 'SELECT 1') FROM unnest('{a,b}'::text[]) AS s"
    )
    conn.execute("SELECT pgagent.add_schedule('steps', '@daily')")


def everything(conn):
    return [
        conn.execute(
            f"SELECT count(*), max(t::text) FROM pgagent.{table} AS t"
        ).fetchone()
        for table in ("pga_job", "pga_jobstep", "pga_schedule", "pga_exception")
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_wrong_schedule_is_refused_with_the_place(conn, schedule):
    with pytest.raises(psycopg.Error) as e:
        conn.execute("SELECT pgagent.schedule('x', %s, 'SELECT 1')", [schedule])

    assert e.value.sqlstate == "22023"
    assert e.value.diag.message_primary == (
        f'pgagent: schedule "{schedule}": {SCHEDULES[schedule]}'
    )
    assert e.value.diag.message_detail
    assert "@every 90 seconds" in str(e.value.diag.message_hint)
    assert conn.execute("SELECT FROM pgagent.pga_job").rowcount == 0


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_call_is_refused_in_words(conn, jobs_of_others, call):
    sqlstate, words = CALLS[call]
    before = everything(conn)

    with pytest.raises(psycopg.Error) as e:
        conn.execute(f"SELECT pgagent.{call}")

    assert (e.value.sqlstate, words in str(e.value.diag.message_primary)) == (
        sqlstate,
        True,
    ), e.value
    assert e.value.diag.message_detail
    assert everything(conn) == before
