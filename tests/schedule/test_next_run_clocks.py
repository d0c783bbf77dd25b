"""Nights on which clocks change, by example. Without an offset: UTC."""

import pytest

from .schedules import cron, first, instant


@pytest.mark.parametrize(
    ("zone", "schedule", "since", "run"),
    [
        # A slot that clocks skip: at the end of the gap.
        ("Europe/Berlin", "30 2 * * *", "2031-03-29 12:00", "2031-03-30 03:00+02"),
        ("Europe/Berlin", "30 2 30 3 *", "2031-01-01", "2031-03-30 03:00+02"),
        ("America/New_York", "30 2 * * *", "2031-03-08 12:00", "2031-03-09 03:00-04"),
        ("Australia/Lord_Howe", "15 2 * * *", "2030-10-05", "2030-10-06 02:30+11"),
        ("America/Havana", "0 0 * * *", "2031-03-08 12:00", "2031-03-09 01:00-04"),
        ("America/Nuuk", "30 23 * * sat", "2031-03-29", "2031-03-30 00:00-01"),
        ("Antarctica/Troll", "30 2 * * *", "2031-03-29 12:00", "2031-03-30 03:00+02"),
        ("Pacific/Apia", "0 12 * * *", "2011-12-30", "2011-12-31 00:00+14"),
        # A slot that comes twice: the first time.
        ("Europe/Berlin", "30 2 * * *", "2031-10-25 12:00", "2031-10-26 02:30+02"),
        ("Europe/Berlin", "30 2 * * *", "2031-10-26 00:31", "2031-10-27 02:30+01"),
        ("America/New_York", "30 1 * * *", "2031-11-01 12:00", "2031-11-02 01:30-04"),
        ("Australia/Lord_Howe", "45 1 * * *", "2031-04-05", "2031-04-06 01:45+11"),
        # Every hour: by the clock.
        ("Europe/Berlin", "*/15 * * * *", "2031-03-30 01:46+01", "2031-03-30 03:00+02"),
        ("Europe/Berlin", "30 * * * *", "2031-03-30 01:31+01", "2031-03-30 03:30+02"),
        ("Europe/Berlin", "*/15 * * * *", "2031-10-26 01:46+02", "2031-10-26 02:00+02"),
        ("Europe/Berlin", "*/15 * * * *", "2031-10-26 02:46+02", "2031-10-26 02:00+01"),
        ("Europe/Berlin", "15 */1 * * *", "2031-10-26 02:16+02", "2031-10-26 02:15+01"),
        (
            "America/New_York",
            "*/30 * * * *",
            "2031-11-02 00:31-04",
            "2031-11-02 01:00-04",
        ),
        # No change of clocks, only an odd or a large offset.
        ("Asia/Kathmandu", "0 9 * * *", "2030-01-10", "2030-01-10 03:15"),
        ("America/New_York", "0 9 * * *", "2030-01-10", "2030-01-10 14:00"),
        ("Pacific/Auckland", "0 9 * * mon", "2030-01-10", "2030-01-13 20:00"),
    ],
)
def test_a_schedule_keeps_to_the_clocks_of_its_zone(asking, zone, schedule, since, run):
    assert first(asking, cron(schedule, zone), since) == instant(run)


@pytest.mark.parametrize(
    ("zone", "schedule", "exclude", "run"),
    [
        ("Europe/Berlin", "30 2 * * *", "2031-03-30 02:30", "2031-03-31 02:30+02"),
        ("Europe/Berlin", "30 2 * * *", "2031-03-30 03:00", "2031-03-30 03:00+02"),
        ("Europe/Berlin", "30 2 * * *", "03:00", "2031-03-30 03:00+02"),
        ("America/Nuuk", "30 23 * * sat", "2031-03-30", "2031-03-30 00:00-01"),
        ("America/Nuuk", "30 23 * * sat", "2031-03-29", "2031-04-05 23:30-01"),
        ("Europe/Berlin", "*/15 2 * * *", "2031-03-30 02:00", "2031-03-30 03:00+02"),
    ],
)
def test_exceptions_count_for_the_slot_where_the_run_is_shifted(
    asking, zone, schedule, exclude, run
):
    shifted = cron(schedule, zone, exclude=[exclude])
    assert first(asking, shifted, "2031-03-29 12:00") == instant(run)


@pytest.mark.parametrize(
    ("zone", "schedule", "exclude", "run"),
    [
        ("America/Nuuk", "30 23 * * sat", [], "2031-03-30 00:00-01"),
        ("America/Nuuk", "30 23 * * sat", ["2031-03-29"], "2031-04-05 23:30-01"),
        ("Pacific/Apia", "0 12 * * *", [], "2011-12-31 00:00+14"),
        ("Pacific/Apia", "0 12 * * *", ["2011-12-30"], "2011-12-31 12:00+14"),
    ],
)
def test_a_skipped_slot_is_found_from_the_end_of_the_gap(
    asking, zone, schedule, exclude, run
):
    ends = {"America/Nuuk": "2031-03-30 00:00-01", "Pacific/Apia": "2011-12-31 00+14"}
    found = first(asking, cron(schedule, zone, exclude=exclude), ends[zone])
    assert found == instant(run)
