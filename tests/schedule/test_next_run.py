"""When a schedule runs next, by example. Instants without an offset are in UTC."""

from datetime import timedelta

import pytest
from jobs import add_job, add_schedule

from .schedules import Case, answers, array, chain, cron, first, instant

LONG_AGO = instant("2000-01-01")


@pytest.mark.parametrize(
    ("schedule", "since", "run"),
    [
        # In a later hour, day or month, minutes count from 0 again.
        ("15,45 12 * * *", "2030-04-16 10:30", "2030-04-16 12:15"),
        ("3,45 10 * * mon", "2031-03-14 10:07", "2031-03-17 10:03"),
        ("10,40 6-17 * * mon-fri", "2048-06-21 19:14", "2048-06-22 06:10"),
        ("*/15 8-17 * * mon-fri", "2030-04-05 17:46", "2030-04-08 08:00"),
        # Nothing selected is everything, as is everything selected.
        ("* * * * *", "2030-04-05 10:00", "2030-04-05 10:00"),
        ("*/1 */1 */1 */1 */1", "2030-04-05 10:00", "2030-04-05 10:00"),
        ("* * * * sun", "2031-03-14 10:00", "2031-03-16 00:00"),
        ("* * * 2 *", "2031-03-14 10:00", "2032-02-01 00:00"),
        # The last day, alone and beside others.
        ("0 3 L * *", "2030-04-16 10:00", "2030-04-30 03:00"),
        ("0 0 15,L * *", "2030-04-16 10:00", "2030-04-30 00:00"),
        ("5 3 31,L * *", "2033-09-05 20:38", "2033-09-30 03:05"),
        ("0 0 L 2 *", "2032-02-02", "2032-02-29"),
        ("0 0 L 2 *", "2033-02-02", "2033-02-28"),
        ("0 0 L 2 *", "2100-02-02", "2100-02-28"),
        ("0 0 28 2 *", "2032-02-28 00:01", "2033-02-28"),
        # Days that some months lack.
        ("0 0 31 * *", "2030-04-05 10:00", "2030-05-31 00:00"),
        ("0 9 29 2 *", "2030-04-16", "2032-02-29 09:00"),
        ("0 9 29 2 *", "2096-02-29 09:01", "2104-02-29 09:00"),
        # Day of the month and weekday must both match.
        ("0 12 13 * fri", "2030-01-01", "2030-09-13 12:00"),
        ("0 9 29 2 mon", "2026-11-24", "2044-02-29 09:00"),
        ("0 9 29 2 mon", "2044-02-29 09:01", "2072-02-29 09:00"),
        ("0 9 29 2 mon", "2072-02-29 09:01", "2112-02-29 09:00"),
        ("0 9 29 2 thu", "2080-02-29 09:01", "2120-02-29 09:00"),
        ("59 23 31 12 *", "2030-12-31 23:59", "2030-12-31 23:59"),
        ("59 23 31 12 *", "2031-01-01", "2031-12-31 23:59"),
    ],
)
def test_the_first_run(asking, schedule, since, run):
    assert first(asking, cron(schedule), since) == instant(run)


@pytest.mark.parametrize(
    ("schedule", "exclude"),
    [
        ("0 0 30 2 *", []),
        ("0 0 31 2,4,6,9,11 *", []),
        ("* * 30,31 2 mon", []),
        ("0 9 * * *", ["09:00"]),
        ("0,30 9 29 2 *", ["09:00", "09:30", "2030-01-01"]),
        ("* 9 * * *", [f"09:{minute:02}" for minute in range(60)]),
    ],
)
def test_an_impossible_schedule_never_runs_and_says_so_at_once(
    asking, schedule, exclude
):
    question = Case(cron(schedule, exclude=exclude), instant("2030-01-01"))
    assert answers(asking, [question], ["statement_timeout = '100ms'"]) == [None]


@pytest.mark.parametrize(
    ("start", "end", "after", "run"),
    [
        ("2030-01-01", "2030-01-01 09:00", "2000-01-01", "2030-01-01 09:00"),
        ("2030-01-01", "2030-01-01 09:00:30", "2000-01-01", "2030-01-01 09:00"),
        ("2030-01-01", "2030-01-01 08:59:59", "2000-01-01", None),
        ("2030-01-01", "2029-01-01", "2000-01-01", None),
        ("2030-01-01", "2031-01-01", "2031-01-01 00:00", None),
        ("2030-01-01 09:00:30", None, "2000-01-01", "2030-01-01 09:00"),
        ("2030-01-01 09:01", None, "2000-01-01", "2030-01-02 09:00"),
        ("2000-01-01", None, "2030-01-01 08:58:59", "2030-01-01 09:00"),
        ("2000-01-01", None, "2030-01-01 08:59:59", "2030-01-01 09:00"),
        ("2000-01-01", None, "2030-01-01 09:00:00", "2030-01-02 09:00"),
    ],
)
def test_a_run_lies_after_this_minute_and_from_the_start_to_the_end(
    asking, start, end, after, run
):
    schedule = cron("0 9 * * *", start=start, end=end)
    (answer,) = answers(asking, [Case(schedule, instant(after))])
    assert answer == (run and instant(run))


@pytest.mark.parametrize(
    ("exclude", "run"),
    [
        (["2030-01-01"], "2030-01-02 09:00"),
        (["09:00"], "2030-01-01 17:00"),
        (["2030-01-01 09:00"], "2030-01-01 17:00"),
        (["2030-01-01 09:00", "17:00"], "2030-01-02 09:00"),
        (["2030-01-01", "2030-01-02", "2030-01-03 09:00"], "2030-01-03 17:00"),
        (["2030-01-02", "10:00", "2030-01-01 17:00"], "2030-01-01 09:00"),
        ([""], "2030-01-01 09:00"),
        (["09:00:30", "2030-01-01 09:00:59"], "2030-01-01 17:00"),
        (["08:59:59", "2030-01-01 09:01:00"], "2030-01-01 09:00"),
    ],
)
def test_exceptions_remove_dates_times_and_slots(asking, exclude, run):
    assert first(
        asking, cron("0 9,17 * * *", exclude=exclude), "2030-01-01"
    ) == instant(run)


def test_exceptions_belong_to_one_schedule(asking):
    with_exception = Case(cron("0 9 * * *", exclude=["2030-01-01"]), LONG_AGO)
    without = Case(cron("0 9 * * *", start="2030-01-01"), LONG_AGO)
    assert answers(asking, [with_exception, without])[1] == instant("2030-01-01 09:00")


def test_exceptions_may_have_high_numbers(conn):
    conn.execute("ALTER SEQUENCE pgagent.pga_exception_jexid_seq RESTART 2147483000")
    schedule = cron("0 9 * * *", exclude=["2030-01-01"])
    assert first(conn, schedule, "2030-01-01") == instant("2030-01-02 09:00")


def test_the_search_goes_on_after_the_last_excepted_date(asking):
    schedule = cron("0 9 29 2 mon", exclude=["2112-02-29"])
    assert first(asking, schedule, "2072-02-29 09:01") == instant("2140-02-29 09:00")


def test_a_thousand_excepted_days_in_a_row(asking):
    days = [instant("2031-03-14") + timedelta(days=day) for day in range(1000)]
    schedule = cron("*/15 * * * *", exclude=[f"{day:%Y-%m-%d}" for day in days])
    assert first(asking, schedule, "2031-03-14 10:00") == instant("2033-12-08 00:00")


@pytest.mark.parametrize(
    ("schedule", "zone", "period", "runs"),
    [
        ("5,25,50 0,8,16 * * *", "UTC", ("2031-01-01", "2032-01-01"), 3 * 3 * 365),
        ("5,35 8,20 * * sat,sun", "UTC", ("2031-01-01", "2032-01-01"), 2 * 2 * 104),
        ("*/15 8-17 * * mon-fri", "UTC", ("2031-01-01", "2032-01-01"), 4 * 10 * 261),
        ("0 9 L * *", "America/New_York", ("2031-01-01", "2032-01-01"), 12),
        ("* * * * *", "UTC", ("2031-01-01", "2031-01-04"), 3 * 1440),
        ("0 0 1,L * *", "UTC", ("2031-01-01", "2036-01-01"), 120),
        ("0 0 15,L * *", "Europe/Berlin", ("2031-01-01", "2036-01-01"), 120),
        ("0 0 29 * *", "UTC", ("2031-01-01", "2036-01-01"), 56),
        ("0 0 30 * *", "UTC", ("2031-01-01", "2036-01-01"), 55),
        ("0 0 31 * *", "UTC", ("2031-01-01", "2036-01-01"), 35),
        ("0 0 29 2 *", "UTC", ("2031-01-01", "2071-01-01"), 10),
        ("30 2 * * *", "Europe/Berlin", ("2031-01-01", "2032-01-01"), 365),
        ("30 1 * * *", "America/New_York", ("2031-01-01", "2032-01-01"), 365),
        ("*/15 * * * *", "Europe/Berlin", ("2031-03-30T00+01", "2031-03-31T00+02"), 92),
        (
            "*/15 * * * *",
            "Europe/Berlin",
            ("2031-10-26T00+02", "2031-10-27T00+01"),
            100,
        ),
        (
            "*/15 0-5 * * *",
            "Europe/Berlin",
            ("2031-03-30T00+01", "2031-03-31T00+02"),
            20,
        ),
        (
            "*/15 0-5 * * *",
            "Europe/Berlin",
            ("2031-10-26T00+02", "2031-10-27T00+01"),
            24,
        ),
    ],
)
def test_no_run_of_a_chain_is_lost_or_doubled(asking, schedule, zone, period, runs):
    found = chain(asking, cron(schedule, zone), *map(instant, period))
    assert len(found) == len(set(found)) == runs


def test_the_function_of_pgagent_4_2_uses_the_zone_of_the_schedule(conn):
    zones = ["Asia/Kathmandu", "America/New_York", "UTC"]
    job_id = add_job(conn, due=None)
    for zone in zones:
        times = {"jschours": array({9}, range(24)), "jscminutes": array({0}, range(60))}
        add_schedule(conn, job_id, jsctimezone=zone, **times)
    answered = conn.execute(
        """SELECT to_char(pgagent.pga_next_schedule(jscid, jscstart, jscend, jscminutes,
                  jschours, jscweekdays, jscmonthdays, jscmonths)
                  AT TIME ZONE jsctimezone, 'HH24:MI')
             FROM pgagent.pga_schedule"""
    ).fetchall()
    assert answered == [("09:00",)] * len(zones)
