"""Recurrence rules, and calendars of coming runs, judged by other programs."""

import random
from datetime import UTC, datetime

import pytest
from dateutil.rrule import rrulestr
from icalendar import Calendar

pytestmark = pytest.mark.needs("plpython")

START = datetime(2030, 1, 31, 9, 5, tzinfo=UTC)
FIRST = "DTSTART:20300131T090500Z\nRRULE:"


def generated(rng):
    """Return a rule that a schedule can express."""
    freq = rng.choice(["MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
    parts = [f"FREQ={freq}"]
    intervals = {
        "MINUTELY": (1, 5, 15, 30),
        "HOURLY": (1, 2, 6, 12),
        "MONTHLY": (1, 3, 6),
    }
    parts.append(f"INTERVAL={rng.choice(intervals.get(freq, (1,)))}")
    if rng.random() < 0.4:
        chosen = rng.sample(
            ["BYMINUTE=5,20,35", "BYHOUR=9,11,15,21", "BYMONTH=1,4,7"], 2
        )
        days = rng.choice(["BYDAY=MO,FR", "BYMONTHDAY=13,31", "BYMONTHDAY=13;BYDAY=FR"])
        if freq == "WEEKLY":
            days = "BYDAY=TU"
        return ";".join([*parts, *chosen, days][: rng.randint(3, 5)])
    days = ",".join(sorted(rng.sample(["MO", "TU", "WE", "TH", "FR", "SA", "SU"], 2)))
    if freq in ("WEEKLY", "DAILY") and rng.random() < 0.6:
        parts.append(f"BYDAY={days}")
    if freq == "MONTHLY":
        parts.append(
            rng.choice(
                ["BYMONTHDAY=1,15", "BYMONTHDAY=-1", "BYDAY=2TU", "BYMONTHDAY=31"]
            )
        )
    if freq in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY") and rng.random() < 0.5:
        parts += [f"BYHOUR={rng.choice(['0', '6,18', '23'])}", "BYMINUTE=0,30"]
    if freq in ("DAILY", "YEARLY") and rng.random() < 0.5:
        parts.append("BYMONTH=2,7")
    return ";".join(parts)


def test_generated_rules_give_the_runs_that_dateutil_expects(conn):
    rng = random.Random(5)
    for _ in range(250):
        rule = generated(rng)
        schedule, zone, start, end = conn.execute(
            "SELECT * FROM pgagent.schedule_from_rrule(%s)", [FIRST + rule]
        ).fetchone()
        assert (zone, start, end) == ("UTC", START, None)
        runs = conn.execute(
            "SELECT run_at FROM pgagent.next_runs(schedule => %s, timezone => 'UTC',"
            " after => %s, max_rows => 8)",
            [schedule, START],
        ).fetchall()
        expected: list[datetime] = []
        moment = START
        while len(expected) < 8:
            moment = rrulestr(FIRST + rule).after(moment)
            expected.append(moment)
        assert [run for (run,) in runs] == expected, (rule, schedule)


@pytest.mark.parametrize(
    ("rule", "schedule"),
    [
        ("FREQ=SECONDLY;INTERVAL=90", "@every 90 seconds"),
        ("FREQ=MINUTELY;INTERVAL=7", "@every 420 seconds"),
        ("RRULE:FREQ=DAILY;BYHOUR=9;BYMINUTE=30", "30 9 * * *"),
        ("FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9;BYMINUTE=30", "30 9 1-7 * &1"),
        ("FREQ=YEARLY;BYDAY=MO", "0 0 * * 1"),
        ("FREQ=YEARLY;BYMONTHDAY=15", "0 0 15 * *"),
        ("FREQ=HOURLY;INTERVAL=2;BYHOUR=8,9,10", "0 8,10 * * *"),
        ("FREQ=MONTHLY;INTERVAL=3;BYMONTH=1,2,4", "0 0 1 1,4 *"),
        ("RRULE:FREQ=WEEKLY;\r\n BYDAY=MO\r\n", "0 0 * * 1"),
    ],
)
def test_a_rule_becomes_the_text_of_a_schedule(ask, rule, schedule):
    assert ask("schedule FROM pgagent.schedule_from_rrule(%s)", rule) == schedule


def test_zone_and_end_are_told(conn):
    rule = "DTSTART;TZID=Europe/Berlin:20300101T090000\nRRULE:FREQ=DAILY;UNTIL=20310101T000000Z"
    assert conn.execute(
        "SELECT * FROM pgagent.schedule_from_rrule(%s)", [rule]
    ).fetchone() == (
        "0 9 * * *",
        "Europe/Berlin",
        datetime(2030, 1, 1, 8, tzinfo=UTC),
        datetime(2031, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("FREQ=DAILY;COUNT=3", "COUNT can't be expressed"),
        ("FREQ=DAILY;INTERVAL=2", "INTERVAL=2 with FREQ=DAILY can't be expressed"),
        ("FREQ=WEEKLY;INTERVAL=2", "INTERVAL=2 with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "can't be expressed"),
        ("FREQ=MONTHLY;BYMONTHDAY=-2", 'BYMONTHDAY: "-2"'),
        ("FREQ=DAILY;BYHOUR=24", 'BYHOUR: "24" is not allowed'),
        ("FREQ=DAILY;INTERVAL=x", 'INTERVAL: "X" is not allowed'),
        ("FREQ=NEVER", 'FREQ: "NEVER" is not known'),
        ("", 'FREQ: "" is not known'),
        ("FREQ=DAILY;UNTIL=tomorrow", '"TOMORROW" is not a time'),
        ("FREQ=HOURLY;INTERVAL=2;BYHOUR=9", "the interval passes all of them over"),
        ("FREQ=WEEKLY;BYMONTHDAY=13", "BYMONTHDAY is not allowed with FREQ=WEEKLY"),
        ("FREQ=DAILY;FREQ=WEEKLY", "FREQ is given twice"),
        ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "there are several RRULE"),
        ("DTSTART:20300101T090030\nRRULE:FREQ=DAILY", "Times of day are to the minute"),
        ("DTSTART;TZID=Here:20300101T090000\nRRULE:FREQ=DAILY", '"Here"'),
        ("FREQ=SECONDLY;INTERVAL=99999999", "366 days at most"),
        ("FREQ=DAILY;BYHOUR=²", 'BYHOUR: "²" is not allowed'),
        (None, 'FREQ: "" is not known'),
        ("FREQ=DAILY;BYDAY=XX", 'BYDAY: "XX" is not allowed'),
        ("RRULE:FREQ=DAILY\nEXDATE:20300101T000000Z", '"EXDATE" can\'t be expressed'),
    ],
)
def test_what_no_schedule_can_express_is_refused(refused, rule, problem):
    assert problem in refused("22023", "pgagent.schedule_from_rrule(%s)", rule)


def test_the_calendar_holds_the_coming_runs_as_other_programs_read_them(conn, ask):
    name = "a; b, \\ c\n" + "ü" * 60
    conn.execute("SELECT pgagent.create_job(%s, 'what it is for')", [name])
    conn.execute("SELECT pgagent.add_schedule(%s, '0 6 * * *')", [name])
    conn.execute("SELECT pgagent.schedule('other', '@hourly', 'SELECT 1')")

    text = ask("pgagent.upcoming_ics(%s)", name)

    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    events = Calendar.from_ical(text).walk("VEVENT")
    expected = conn.execute(
        "SELECT run_at FROM pgagent.next_runs(%s, until => now() + interval '7 days')",
        [name],
    ).fetchall()
    assert [event.decoded("DTSTART") for event in events] == [
        run for (run,) in expected
    ]
    assert {str(event["SUMMARY"]) for event in events} == {name}
    assert "what it is for" in str(events[0]["DESCRIPTION"])
    assert len({str(event["UID"]) for event in events}) == 7
    everything = Calendar.from_ical(ask("pgagent.upcoming_ics(max_rows => 50)"))
    assert len(everything.walk("VEVENT")) == 50


def test_an_event_has_the_same_uid_each_time_and_everything_is_utc(conn, ask):
    conn.execute(
        "SELECT pgagent.schedule('a', '0 6 * * *', 'SELECT 1', timezone => 'Asia/Tokyo')"
    )
    first, again = (ask("pgagent.upcoming_ics('a')") for _ in range(2))

    assert uids(first) == uids(again) != []
    assert first.count("\n") == first.count("\r\n")
    assert "DTSTART:" in first
    assert "T210000Z\r\n" in first


def uids(text):
    return [str(event["UID"]) for event in Calendar.from_ical(text).walk("VEVENT")]


def test_no_name_can_bring_lines_of_its_own(conn, ask):
    for line_end in ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028"):
        name = f"x{line_end}END:VEVENT"
        conn.execute("SELECT pgagent.schedule(%s, '@daily', 'SELECT 1')", [name])
    text = ask("pgagent.upcoming_ics(max_rows => 7)")
    events = Calendar.from_ical(text).walk("VEVENT")
    assert len(events) == text.count("\r\nEND:VEVENT\r\n") == 7


def test_of_a_job_that_there_is_not_there_is_no_calendar(refused):
    assert 'there is no job "a"' in refused("42704", "pgagent.upcoming_ics('a')")
    assert "out of range" in refused("22023", "pgagent.upcoming_ics(max_rows => 0)")
