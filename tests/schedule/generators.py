"""Random questions: everyday and adversarial schedules, and nights of change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from . import oracle
from .schedules import LAST, NOTHING, Case, Exclusion, Schedule, Values, cron

EVERYDAY = [
    "* * * * *",
    "*/1 */1 */1 */1 *",
    "*/5 * * * *",
    "*/15 * * * *",
    "7 * * * *",
    "*/15 8-17 * * mon-fri",
    "0 9 * * *",
    "30 2 * * *",
    "0,30 6,18 * * *",
    "45 22 * * mon-fri",
    "0 9 * * mon",
    "0 0 1 * *",
    "0 3 L * *",
    "15 4 15,L * *",
    "0 6 1 1,4,7,10 *",
    "0 23 31 12 *",
    "13 13 13 * fri",
    "0 0 29 2 *",
]
# Distances from a change, in seconds.
MINUTES, HOUR, DAYS = (-90, 30), (-3600, 3600), [(-86_400, 10_000), (-259_200, 86_400)]
QUARTERS = frozenset({0, 15, 30, 45})
ALL_HOURS = frozenset(range(24))
ZONES = [
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Sao_Paulo",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
]


def some(rng: Random, values: range, most: int) -> Values:
    """Pick between none and `most` of the values, or all of them."""
    if rng.random() < 0.1:
        return frozenset(values)
    return frozenset(rng.sample(values, rng.randint(0, most)))


def adversarial(rng: Random) -> Schedule:
    """Sparse fields, late month days, months that lack them."""
    late = frozenset(rng.sample(range(28, LAST + 1), rng.randint(1, 3)))
    return Schedule(
        minutes=some(rng, range(60), 4),
        hours=some(rng, range(24), 4),
        monthdays=late if rng.random() < 0.4 else some(rng, range(1, 33), 5),
        months=rng.choice([NOTHING, frozenset({2}), some(rng, range(1, 13), 4)]),
        weekdays=some(rng, range(7), 2) if rng.random() < 0.5 else NOTHING,
    )


def around(rng: Random, local: datetime) -> Schedule:
    """Schedules for the hour of a local time, and its neighbours."""
    hours = [(local.hour + hour) % 24 for hour in (-1, 0, 0, 0, 0, 1)]
    any_day = rng.random() < 0.6
    return Schedule(
        minutes=rng.choice([NOTHING, QUARTERS, some(rng, range(60), 3)]),
        hours=rng.choice(
            [frozenset(rng.sample(hours, rng.randint(1, 3))), NOTHING, ALL_HOURS]
        ),
        monthdays=NOTHING if any_day else frozenset({local.day, rng.randint(1, LAST)}),
        months=NOTHING if rng.random() < 0.8 else frozenset({local.month}),
        weekdays=some(rng, range(7), 3) if rng.random() < 0.2 else NOTHING,
    )


def exclusions(
    rng: Random, schedule: Schedule, after: datetime
) -> frozenset[Exclusion]:
    """Exclude days, times and single slots, most of them ones that would run."""
    found: set[Exclusion] = set()
    for _ in range(rng.choice([1, 1, 2, 5])):
        soon = oracle.next_run(
            replace(schedule, exclusions=frozenset(found)),
            after + timedelta(days=rng.choice([0, 0, 0, 1, 7])),
        )
        if not soon:
            break
        local = soon.astimezone(ZoneInfo(schedule.zone))
        at = local.time() if rng.random() < 0.8 else local.time().replace(second=30)
        # The run of a slot before midnight can be shifted to the next day.
        day = local.date() - timedelta(days=rng.choice([0, 0, 0, 1]))
        found.add(
            rng.choice([(day, None), (None, at), (day, at), (day, at), (None, None)])
        )
    return frozenset(found)


def case(rng: Random, schedule: Schedule, after: datetime) -> Case:
    """Add a start, an end and exceptions to some schedules."""
    if rng.random() < 0.3:
        schedule = replace(schedule, exclusions=exclusions(rng, schedule, after))
    if rng.random() < 0.3:
        start = after + timedelta(minutes=rng.randint(-9_000, 90_000))
        schedule = replace(
            schedule, start=start + timedelta(seconds=rng.randint(0, 59))
        )
    if rng.random() < 0.3:
        run = oracle.next_run(schedule, after) or after
        end = run + timedelta(minutes=rng.choice([-1, 0, 0, 1, 1440]))
        schedule = replace(schedule, end=end)
    return Case(schedule, after)


def anywhere(rng: Random) -> Case:
    """A question in UTC, in one of ninety years."""
    after = datetime(1999, 1, 1, tzinfo=UTC) + timedelta(
        days=rng.randrange(90 * 365), seconds=rng.randrange(86_400)
    )
    everyday = rng.random() < 0.5
    return case(
        rng, cron(rng.choice(EVERYDAY)) if everyday else adversarial(rng), after
    )


def near_a_change(rng: Random) -> Case:
    """A question within days, hours or a minute of a change of a zone's offset."""
    zone = rng.choice(ZONES)
    change = rng.choice(
        [change for change in oracle.stretches(zone) if 1980 < change.begin.year < 2045]
    )
    distance = rng.choice([MINUTES, HOUR, *DAYS])
    after = change.begin.replace(tzinfo=UTC) + timedelta(seconds=rng.randint(*distance))
    skipped_or_repeated = change.begin + min(change.offset, change.offset_before)
    schedule = around(rng, skipped_or_repeated)
    if rng.random() < 0.2:
        schedule = cron(rng.choice(EVERYDAY))
    return case(rng, replace(schedule, zone=zone), after)


def cases(make: Callable[[Random], Case], count: int) -> list[Case]:
    rng = Random(20310330)
    return [make(rng) for _ in range(count)]
