"""An independent answer to the question when a schedule runs next.

A slot is a local date and minute that all fields of a schedule match and that no
exception removes. When it runs depends on how often the zone's clocks show it:

    shown once      then
    skipped         a schedule of certain hours: at the end of the gap, once
                    a schedule of every hour: not at all
    shown twice     a schedule of certain hours: the first time
                    a schedule of every hour: both times

`runs` does this word by word and minute by minute, for a few days. `next_run` is quick
enough for thousands of schedules; the tests hold it against `runs`. Neither works like
the SQL, which steps from field to field.
"""

import zoneinfo
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from .schedules import LAST, Schedule

# PostgreSQL of Debian reads the system's zones, so the oracle does.
zoneinfo.reset_tzpath(to=["/usr/share/zoneinfo"])

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
PATIENCE = timedelta(days=5)
"""No zone has changed its offset twice within this time since 1970."""
YEARS_AHEAD = 41
"""How far to look: 29 February on a given weekday can be 40 years away."""

# All datetimes in this module are without tzinfo: instants in UTC, or local times.


class Stretch(NamedTuple):
    """A time in which a zone's clocks run evenly."""

    begin: datetime
    end: datetime
    offset: timedelta
    offset_before: timedelta


def next_run(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first instant after this one at which the schedule runs, or None."""
    lowest = max(_minute(schedule.start), _minute(after) + MINUTE)
    horizon = _horizon(schedule, lowest)
    for stretch in stretches(schedule.zone):
        if stretch.end <= lowest:
            continue
        if stretch.begin + stretch.offset > horizon:
            break
        begin = max(stretch.begin, lowest) + stretch.offset
        if not schedule.any_hour:
            # Times that the clocks showed before are served: a repetition is not
            # served again, and those they skipped are as soon as they go on.
            served = stretch.begin + stretch.offset_before
            begin = served if stretch.begin >= lowest else max(begin, served)
        until = min(stretch.end + stretch.offset, horizon)
        slot = _first_slot(schedule, begin, until)
        if slot:
            found = max(slot - stretch.offset, stretch.begin).replace(tzinfo=UTC)
            return found if schedule.end is None or found <= schedule.end else None
    return None


def runs(schedule: Schedule, begin: datetime, end: datetime) -> list[datetime]:
    """Return every run from begin until before end, from the definition."""
    shown, gaps = _clock(schedule.zone, begin.date() - 2 * DAY, end.date() + 2 * DAY)
    found: set[datetime] = set()
    for slot in _steps(min(shown), max(shown), MINUTE):
        times = shown.get(slot, [])
        if not is_slot(schedule, slot):
            continue
        if schedule.any_hour:
            found.update(times)
        elif times:
            found.add(times[0])
        else:
            found.add(next(at for a, b, at in gaps if a <= slot < b))
    lowest = max(begin, schedule.start.replace(second=0, microsecond=0))
    aware = sorted(at.replace(tzinfo=UTC) for at in found)
    highest = min(schedule.end or end, end - MINUTE)
    return [at for at in aware if lowest <= at <= highest]


@cache
def _clock(
    zone: str, first: date, last: date
) -> tuple[dict[datetime, list[datetime]], list[tuple[datetime, datetime, datetime]]]:
    """Watch a zone's clocks: the instants of each local minute, and what was skipped.

    A gap is its first skipped local minute, its end and the instant of its end.
    """
    shown: dict[datetime, list[datetime]] = {}
    begin, end = datetime.combine(first, time()), datetime.combine(last, time())
    walk = [(at, at + _offset(zone, at)) for at in _steps(begin, end, MINUTE)]
    for at, local in walk:
        shown.setdefault(local, []).append(at)
    gaps = [
        (before + MINUTE, local, at)
        for (_, before), (at, local) in pairwise(walk)
        if local > before + MINUTE
    ]
    return shown, gaps


def is_slot(schedule: Schedule, local: datetime) -> bool:
    """Whether all fields match a local minute and no exception removes it."""
    day, at = local.date(), local.time()
    return (
        local.minute in (schedule.minutes or range(60))
        and local.hour in (schedule.hours or range(24))
        and runs_on(schedule, day)
        and not {(None, at), (day, at)} & schedule.excluded
    )


def runs_on(schedule: Schedule, day: date) -> bool:
    """Whether a date matches and is not excluded as a whole."""
    if schedule.months and day.month not in schedule.months:
        return False
    if schedule.weekdays and day.isoweekday() % 7 not in schedule.weekdays:
        return False
    if schedule.monthdays and day.day not in schedule.monthdays:
        is_last = (day + DAY).day == 1
        if not (is_last and LAST in schedule.monthdays):
            return False
    return (day, None) not in schedule.exclusions


@cache
def stretches(zone: str) -> list[Stretch]:
    """Return the even stretches of a zone's clocks, from 1970 to 2200."""
    begin, end = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001
    changes = [
        at + _minutes_to_change(zone, at) * MINUTE
        for at in _steps(begin, end, PATIENCE)
        if _offset(zone, at) != _offset(zone, at + PATIENCE)
    ]
    return [
        Stretch(begin, end, _offset(zone, begin), _offset(zone, begin - MINUTE))
        for begin, end in pairwise([begin, *changes, end])
    ]


def _minutes_to_change(zone: str, at: datetime) -> int:
    before = _offset(zone, at)
    return bisect_left(
        range(PATIENCE // MINUTE),
        True,  # noqa: FBT003
        key=lambda minutes: _offset(zone, at + minutes * MINUTE) != before,
    )


def _first_slot(
    schedule: Schedule, begin: datetime, until: datetime
) -> datetime | None:
    day, last = begin.date(), until.date()
    while day <= last:
        if schedule.months and day.month not in schedule.months:
            day = (day.replace(day=1) + 31 * DAY).replace(day=1)
            continue
        if runs_on(schedule, day):
            for at in schedule.times:
                slot = datetime.combine(day, at)
                if slot >= begin and (day, at) not in schedule.excluded:
                    return slot if slot < until else None
        day += DAY
    return None


def _horizon(schedule: Schedule, lowest: datetime) -> datetime:
    years = [day.year for day, _ in schedule.exclusions if day]
    return lowest.replace(year=max([lowest.year, *years]) + YEARS_AHEAD, day=28)


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0, tzinfo=None)


def _steps(begin: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while begin < end:
        yield begin
        begin += step


def _offset(zone: str, at: datetime) -> timedelta:
    place = zoneinfo.ZoneInfo(zone)
    offset = place.fromutc(at.replace(tzinfo=place)).utcoffset()
    assert offset is not None
    return offset
