"""Wrong texts, names and arguments: what, where, what is allowed; nothing half-made."""

from contextlib import closing

import psycopg
import pytest
from support import database

UNREADABLE = "can't be read"

SCHEDULES = {
    "": "as a whole: is empty",
    "   ": "as a whole: is empty",
    "* * * *": "as a whole: has 4 fields, 5 wanted",
    "* * * * * *": "as a whole: has 6 fields, 5 wanted",
    "60 * * * *": 'field 1 (minute): "60" is not allowed',
    "-1 * * * *": 'field 1 (minute): a value is missing in "-1"',
    "a * * * *": 'field 1 (minute): "a" is not allowed',
    "1.5 * * * *": 'field 1 (minute): "1.5" is not allowed',
    "1,,2 * * * *": 'field 1 (minute): a value is missing in "1,,2"',
    ", * * * *": 'field 1 (minute): a value is missing in ","',
    "1- * * * *": 'field 1 (minute): a value is missing in "1-"',
    "1,2, * * * *": 'field 1 (minute): a value is missing in "1,2,"',
    "1,/2 * * * *": 'field 1 (minute): a value is missing in "/2"',
    "&1 * * * *": 'field 1 (minute): "&1" is not allowed',
    "*-5 * * * *": 'field 1 (minute): "*" is not allowed',
    "0 0 L, * *": 'field 3 (day of the month): a value is missing in "L,"',
    "0 0 1,,L * *": 'field 3 (day of the month): a value is missing in "1,,L"',
    "0 0 L-1 * *": 'field 3 (day of the month): "L" is not allowed',
    "0 0 L/2 * *": 'field 3 (day of the month): "L" is not allowed',
    "0 0 1-40 * *": 'field 3 (day of the month): "40" is not allowed',
    "0 0 * january *": 'field 4 (month): "january" is not allowed',
    "0 0 * */0 *": 'field 4 (month): the step of "*/0" is not allowed',
    "0 0 * * &": 'field 5 (weekday): "&" is not allowed',
    "0 0 * * &&mon": 'field 5 (weekday): "&mon" is not allowed',
    "0 0 * * mon,": 'field 5 (weekday): a value is missing in "mon,"',
    "@daily 5": 'as a whole: nothing may follow "@daily"',
    "@reboot now": 'as a whole: nothing may follow "@reboot"',
    "@every5 s": 'as a whole: "@every5" is not known',
    "999999999 weeks": "the interval: 604799999395200 seconds is out of range",
    "5 s 3": f'the interval: "5 s 3" {UNREADABLE}',
    "@at 2091-05-01 09:60": "the time: there is no such date and time",
    "@at 2091-05-01 09:00 +16:00": f'the time: "2091-05-01 09:00 +16:00" {UNREADABLE}',
    "@at 01.05.2091 09:00": f'the time: "01.05.2091 09:00" {UNREADABLE}',
    "5-1 * * * *": 'field 1 (minute): the range "5-1" runs backwards',
    "1-2-3 * * * *": f'field 1 (minute): "1-2-3" {UNREADABLE}',
    "*/0 * * * *": 'field 1 (minute): the step of "*/0" is not allowed',
    "*/x * * * *": 'field 1 (minute): the step of "*/x" is not allowed',
    "*/ * * * *": 'field 1 (minute): the step of "*/" is not allowed',
    "*/9999999999 * * * *": 'field 1 (minute): the step of "*/9999999999" is not allowed',
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
    "@every": "the interval: is missing",
    "@every 0 s": "the interval: 0 seconds is out of range",
    "@every 400 days": "the interval: 34560000 seconds is out of range",
    "@every 5": f'the interval: "5" {UNREADABLE}',
    "@every -5 s": f'the interval: "-5 s" {UNREADABLE}',
    "@every 1.5 s": f'the interval: "1.5 s" {UNREADABLE}',
    "@every month": f'the interval: "month" {UNREADABLE}',
    "3 months": f'the interval: "3 months" {UNREADABLE}',
    "30 parsecs": f'the interval: "30 parsecs" {UNREADABLE}',
    "@at": "the time: is missing",
    "@at tomorrow": f'the time: "tomorrow" {UNREADABLE}',
    "@at 2091-05-01": f'the time: "2091-05-01" {UNREADABLE}',
    "@at 2091-02-30 09:00": "the time: there is no such date and time",
    "@at 2091-13-01 09:00": "the time: there is no such date and time",
    "@at 2091-05-01 25:00": "the time: there is no such date and time",
    "@at 2001-05-01 09:00": "the time: lies in the past",
    "@at 2091-05-01 09:00+02 UTC": f'the time: "2091-05-01 09:00+02 UTC" {UNREADABLE}',
}

CALLS = {
    "schedule('x', '@at 2091-05-01 09:00 Mars/Olympus', 'SELECT 1')": (
        "22023",
        ' Mars/Olympus": the time zone: unknown time zone "Mars/Olympus"',
    ),
    "schedule('x', '@at 2091-05-01 09:00 CET', 'SELECT 1')": (
        "22023",
        'the time zone: "CET" is an abbreviation',
    ),
    "schedule('x', '@daily', 'SELECT 1', timezone => '')": (
        "22023",
        'timezone: unknown time zone ""',
    ),
    "schedule('x', '@daily', 'SELECT 1', database => repeat('d', 64))": (
        "22023",
        "add_step(database): ",
    ),
    "schedule('@dayly', 'SELECT 1')": ("22023", '"@dayly" is not known'),
    "schedule('@daily', '')": ("22023", "add_step(command): is empty"),
    "alter_job('steps', name => ' ')": ("22023", "alter_job(name): is empty"),
    "alter_job('one', command => ' ')": ("22023", "alter_job(command): is empty"),
    "alter_job('one', database => repeat('d', 64))": (
        "22023",
        "alter_job(database): ",
    ),
    "alter_job('one', schedule => '@at 2001-01-01 00:00')": (
        "22023",
        "the time: lies in the past",
    ),
    "alter_job(NULL::text)": ("42704", "there is no job "),
    "alter_job('bare', timezone => 'Mars')": (
        "22023",
        'alter_job(timezone): unknown time zone "Mars"',
    ),
    "drop_job('two')": ("42P09", '2 jobs have the name "two"'),
    "drop_job(NULL::bigint)": ("42704", "there is no job with the id"),
    "add_step('steps', 'c', 'x', kind => NULL)": ("22023", "add_step(kind): "),
    "add_step('steps', 'c', 'x', database => 'd', conninfo => 'host=h')": (
        "22023",
        "add_step(database, conninfo): one of the two is wanted",
    ),
    "add_step('steps', 'c', 'x', kind => 'batch', conninfo => 'host=h')": (
        "22023",
        "a batch step has no database",
    ),
    "add_schedule('steps', '@weekly', start_at => 'infinity')": (
        "22023",
        "pga_schedule.jscstart: start must be finite",
    ),
    "add_schedule('steps', '@weekly', start_at => '20000-01-01')": (
        "22023",
        "pga_schedule.jscstart: start later than the year 9999",
    ),
    "add_schedule('steps', '@weekly', ' ')": ("22023", "add_schedule(name): is empty"),
    "add_schedule('steps', '0 0 * * 8')": ("22023", 'field 5 (weekday): "8"'),
    "add_schedule('steps', '@daily', timezone => 'Mars')": (
        "22023",
        'timezone: unknown time zone "Mars"',
    ),
    "add_exception('steps', 'infinity')": (
        "22023",
        "pga_exception.jexdate: date must be finite",
    ),
    "add_exception('steps', at_time => '24:00')": (
        "22023",
        "pga_exception.jextime: time out of range: 24:00:00",
    ),
    "add_exception('bare', '2031-01-01')": ("42704", "has no schedule"),
    "run_job('two')": ("42P09", '2 jobs have the name "two"'),
    "run_job(4711)": ("42704", "pgagent: there is no job with the id 4711"),
    "next_runs('steps', after => NULL)": ("22023", "next_runs(after): is NULL"),
    "next_runs('steps', timezone => 'UTC')": (
        "22023",
        "next_runs(timezone): is for the text of a schedule",
    ),
    "next_runs('x')": ("42704", 'pgagent: there is no job "x"'),
    "next_runs(4711)": ("42704", "pgagent: there is no job with the id 4711"),
    "next_runs(schedule => '@dayly')": ("22023", '"@dayly" is not known'),
    "next_runs(schedule => '@daily', timezone => 'Mars')": (
        "22023",
        'timezone: unknown time zone "Mars"',
    ),
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
        "has 2 steps: which one is to get the command?",
    ),
    "schedule_in_database('x', '@daily', 'SELECT 1', 'db', 'bob')": (
        "42704",
        'pga_job.jobowner: there is no role "bob"',
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
        "42704",
        'pga_job.jobowner: there is no role "bob"',
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
    "add_schedule('steps', '@weekly', start_at => '2031-01-01', end_at => '2030-01-01')": (
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
    "next_runs('steps', schedule => '@daily')": (
        "22023",
        "next_runs(job, schedule): one of the two is wanted",
    ),
    "next_runs(timezone => 'UTC')": (
        "22023",
        "next_runs(timezone): is for the text of a schedule",
    ),
    "next_runs(after => NULL)": ("22023", "next_runs(after): is NULL"),
    "create_job('x', on_conflict => 'ignore')": (
        "22023",
        'create_job(on_conflict): "ignore" is not known',
    ),
    "create_job('two', on_conflict => 'nothing')": (
        "42P09",
        '2 jobs have the name "two"',
    ),
    "create_job('steps', keep_runs => -1, on_conflict => 'replace')": (
        "22023",
        "keep_runs: -1 is out of range",
    ),
    "add_step('steps', 'a', 'x', on_conflict => '')": (
        "22023",
        'add_step(on_conflict): "" is not known',
    ),
    "add_step('steps', 'a', 'x')": (
        "42710",
        'pgagent: job "steps" has a step "a" already',
    ),
    "add_step('steps', 'a', ' ', on_conflict => 'nothing')": (
        "22023",
        "add_step(command): is empty",
    ),
    "alter_step('steps', 'a', ' ')": ("22023", "alter_step(command): is empty"),
    "alter_step('steps', 'a', name => '')": ("22023", "alter_step(name): is empty"),
    "alter_step('steps', 'a', name => 'b')": (
        "42710",
        'alter_step(name): there is another "b" already',
    ),
    "alter_step('steps', 'a', kind => 'perl')": (
        "22023",
        'alter_step(kind): "perl" is not known',
    ),
    "alter_step('steps', 'a', retries => -1)": (
        "22023",
        "pga_jobstep.jstretries: -1 is out of range",
    ),
    "alter_step('steps', 'a', kind => 'batch', database => 'd')": (
        "22023",
        "alter_step(database, conninfo): a batch step has no database",
    ),
    "alter_step('steps', 4711)": ("42704", 'job "steps" has no step with the id 4711'),
    "alter_step('one', (SELECT jstid FROM pgagent.pga_jobstep WHERE jstname = 'a'))": (
        "42704",
        'job "one" has no step with the id ',
    ),
    "rename_step('steps', 'a', 'b')": (
        "42710",
        'rename_step(new_name): there is another "b" already',
    ),
    "rename_step('steps', 'a', ' ')": ("22023", "rename_step(new_name): is empty"),
    "drop_step('bare', 'a')": ("42704", 'job "bare" has no step "a"'),
    "add_schedule('steps', '@daily')": (
        "42710",
        'pgagent: job "steps" has a schedule "@daily" already',
    ),
    "add_schedule('steps', '@dayly', '@daily', on_conflict => 'nothing')": (
        "22023",
        '"@dayly" is not known',
    ),
    "add_schedule('steps', '@hourly', '@daily', end_at => '2001-01-01', on_conflict => 'replace')": (
        "22023",
        "add_schedule(end_at): end before start",
    ),
    "alter_schedule('steps', 'x', '@hourly')": (
        "42704",
        'pgagent: job "steps" has no schedule "x"',
    ),
    "alter_schedule('steps', NULL::text, '@hourly')": ("42704", "has no schedule"),
    "alter_schedule('steps', 4711, '@hourly')": (
        "42704",
        'pgagent: job "steps" has no schedule with the id 4711',
    ),
    "alter_schedule('steps', '@daily', '61 * * * *')": (
        "22023",
        'field 1 (minute): "61"',
    ),
    "alter_schedule('steps', '@daily', '@at 2001-01-01 00:00')": (
        "22023",
        "the time: lies in the past",
    ),
    "alter_schedule('steps', '@daily', timezone => 'Mars')": (
        "22023",
        'alter_schedule(timezone): unknown time zone "Mars"',
    ),
    "alter_schedule('steps', '@daily', end_at => '2001-01-01')": (
        "22023",
        "alter_schedule(end_at): end before start",
    ),
    "rename_schedule('steps', '@daily', '')": (
        "22023",
        "rename_schedule(new_name): is empty",
    ),
    "drop_schedule('bare', '@daily')": ("42704", 'job "bare" has no schedule "@daily"'),
    "alter_exception('steps', '2031-01-01', new_date => '2031-01-02')": (
        "42704",
        'pgagent: job "steps" has no exception 2031-01-01',
    ),
    "drop_exception('steps', at_time => '09:00')": (
        "42704",
        'pgagent: job "steps" has no exception every day 09:00',
    ),
    "drop_exception('steps', if_exists => true)": (
        "22023",
        "drop_exception(on_date, at_time): date or time wanted",
    ),
    "rename_job('steps', 'two')": (
        "42710",
        'rename_job(new_name): there is another "two" already',
    ),
    "copy_job('steps', 'two')": (
        "42710",
        'copy_job(new_name): there is another "two" already',
    ),
    "copy_job('steps', NULL)": ("22023", "copy_job(new_name): is empty"),
    "copy_job('two', 'x')": ("42P09", '2 jobs have the name "two"'),
    "create_class('Miscellaneous')": (
        "42710",
        'pgagent: there is a job class "Miscellaneous" already',
    ),
    "create_class('')": ("22023", "create_class(name): is empty"),
    "create_class('x', -1)": ("22023", "create_class(limit): -1 is out of range"),
    "alter_class('Miscellaneous', -1)": (
        "22023",
        "alter_class(limit): -1 is out of range",
    ),
    "rename_class('Miscellaneous', 'Data Import')": (
        "42710",
        'rename_class(new_name): there is another "Data Import" already',
    ),
    "drop_class('x')": ("42704", 'pgagent: there is no job class "x"'),
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


@pytest.fixture(scope="module")
def conn(cluster, maker, template):
    """All tests share a database: each shows that nothing in it was changed."""
    with (
        database(maker, "refusals", template) as name,
        closing(psycopg.connect(cluster.conninfo(name), autocommit=True)) as session,
    ):
        yield session


@pytest.fixture(scope="module")
def jobs_of_others(conn):
    """Two jobs of one name; one with two steps and a schedule, with none, with one."""
    conn.execute(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'two'), (1, 'two')"
    )
    conn.execute("SELECT pgagent.create_job('steps')")
    conn.execute(
        "SELECT pgagent.add_step('steps', s, 'SELECT 1') FROM unnest('{a,b}'::text[]) AS s"
    )
    conn.execute("SELECT pgagent.add_schedule('steps', '@daily')")
    conn.execute("SELECT pgagent.create_job('bare')")
    conn.execute("SELECT pgagent.schedule('one', '@daily', 'SELECT 1')")


def everything(conn):
    return [
        conn.execute(
            f"SELECT count(*), max(t::text) FROM pgagent.{table} AS t"
        ).fetchone()
        for table in ("pga_job", "pga_jobstep", "pga_schedule", "pga_exception")
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_wrong_schedule_is_refused_with_the_place(conn, schedule):
    before = everything(conn)
    with pytest.raises(psycopg.Error) as e:
        conn.execute("SELECT pgagent.schedule('x', %s, 'SELECT 1')", [schedule])

    assert e.value.sqlstate == "22023"
    assert e.value.diag.message_primary == (
        f'pgagent: schedule "{schedule}": {SCHEDULES[schedule]}'
    )
    assert e.value.diag.message_detail
    assert "@every 90 seconds" in str(e.value.diag.message_hint)
    assert everything(conn) == before


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


@pytest.mark.parametrize(
    "call",
    [
        "schedule('x', '61 * * * *', 'SELECT 1')",
        "schedule('x', '@at tomorrow', 'SELECT 1')",
        "schedule('x', '* * * * *', 'SELECT 1', timezone => 'CET')",
        "next_runs(schedule => '61 * * * *')",
    ],
)
def test_a_refused_schedule_is_told_without_the_text_of_our_functions(asking, call):
    with pytest.raises(psycopg.Error) as refused:
        asking.execute(f"SELECT pgagent.{call}")
    context = refused.value.diag.context or ""
    assert len(context.splitlines()) in range(1, 7), context
    assert "pga_refuse" not in context
