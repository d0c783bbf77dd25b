"""Text of any size takes no longer than its reading, or is refused, and can be cancelled."""

import contextlib

import psycopg
import pytest

# Each is repeated up to 200,000 times.
PATTERNS = [
    " ",
    "1s",
    "1s ",
    "1,",
    "* ",
    "@every ",
    "@at ",
    "@at 2031-05-01 09:00 ",
    "a",
    "@",
    "-",
    "/",
    "1-",
    "\\",
    "é",
    "\t\n",
    "L,",
    "9999999999",
]

CALLS = [
    "pgagent.pga_schedule_parse(%(text)s)",
    "pgagent.pga_schedule_parse(%(text)s || ' x')",
    "pgagent.pga_schedule_parse('@at ' || %(text)s)",
    "pgagent.pga_schedule_parse('@every ' || %(text)s)",
    "pgagent.pga_schedule_parse('0 0 1 1 ' || %(text)s)",
    "pgagent.pga_schedule_parse('* * * * *', %(text)s)",
    "pgagent.pga_cron_parse(%(text)s)",
    "pgagent.pga_interval_parse(%(text)s)",
    "pgagent.pga_at_parse(%(text)s, 'UTC')",
    "pgagent.pga_cron_field('x', 'y', %(text)s, 0, 59, NULL)",
    "pgagent.pga_cron_value('x', 'y', %(text)s, 0, 59, NULL)",
    "pgagent.pga_check_timezone(%(text)s)",
    "pgagent.next_runs(schedule => %(text)s)",
    "pgagent.create_job(%(text)s, class => %(text)s)",
    "pgagent.add_step(%(text)s, %(text)s, %(text)s)",
    "pgagent.create_job(%(text)s, %(text)s, on_conflict => 'replace')",
    "pgagent.create_job('x', on_conflict => %(text)s)",
    "pgagent.alter_step(pgagent.create_job('x', on_conflict => 'nothing'), %(text)s, %(text)s)",
    "pgagent.add_step(pgagent.create_job('x', on_conflict => 'nothing'), %(text)s, %(text)s, on_conflict => 'replace')",
    "pgagent.add_schedule(pgagent.create_job('x', on_conflict => 'nothing'), '@daily', %(text)s, on_conflict => 'nothing')",
    "pgagent.rename_job(pgagent.create_job('x', on_conflict => 'nothing'), %(text)s)",
    "pgagent.create_class(%(text)s)",
]


@pytest.mark.parametrize("call", CALLS)
def test_hostile_text_is_read_or_refused_in_time(asking, call):
    with asking.transaction(force_rollback=True):
        asking.execute("SET LOCAL statement_timeout = '2s'")
        for pattern in PATTERNS:
            for times in (60, 50_000, 100_000, 200_000):
                text = pattern * times
                sqlstate = outcome(asking, f"SELECT {call}", text)
                known = {"", "22023", "42704", "54000"}
                assert sqlstate in known, f"{sqlstate}: {call} of {times} {pattern!r}"


def outcome(conn, query, text):
    """Return the SQLSTATE, empty if all is well."""
    try:
        with conn.transaction():
            conn.execute(query, {"text": text})
    except psycopg.Error as e:
        return e.sqlstate
    return ""


def test_a_schedule_has_a_thousand_characters_at_most(asking):
    long_one = "0," * 494 + "0 * * * *"
    assert len(long_one) == 997
    next_runs = "SELECT * FROM pgagent.next_runs(schedule => %s)"
    assert asking.execute(next_runs, [long_one]).rowcount == 10
    with pytest.raises(psycopg.errors.InvalidParameterValue) as e:
        asking.execute(next_runs, ["0," + "0," + long_one])
    assert "has 1001 characters" in str(e.value)
    assert "1000 at most" in str(e.value)


@pytest.mark.parametrize(
    "call",
    [
        "next_runs(schedule => '* * * * *', max_rows => 100000)",
        "next_runs(schedule => '0 0 29 2 &1', max_rows => 100000)",
        "next_runs(schedule => '@every 1 second', after => '-infinity', max_rows => 100000)",
        "next_runs(schedule => '@every 1 second', until => 'infinity', max_rows => 100000)",
        "next_runs(schedule => '59 23 31 12 *', after => '4713-01-01 BC', max_rows => 100000)",
        "next_runs(schedule => '0 2 * * *', after => 'infinity', timezone => 'Europe/Berlin')",
    ],
)
def test_looking_far_ahead_can_be_cancelled(asking, call):
    with asking.transaction(force_rollback=True):
        asking.execute("SET LOCAL statement_timeout = '300ms'")
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            asking.execute(f"SELECT * FROM pgagent.{call}")
