"""Random lines of crontab, and instants at which to ask for their next run."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

MONTHS = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "America/Santiago",  # at midnight
    "Africa/Cairo",  # at midnight, on and off over the years
    "Asia/Kolkata",  # never
)
HOUR = timedelta(hours=1)


class Question(NamedTuple):
    """When does this line of crontab run next, by the clocks of this zone?"""

    text: str
    zone: str
    after: datetime


def questions(seed: int, count: int) -> Iterator[Question]:
    """Make up questions; those in zones whose clocks change are about such nights."""
    dice = random.Random(seed)
    changes = {zone: list(changes_of_clocks(zone)) for zone in ZONES}
    for _ in range(count):
        zone = dice.choice(["UTC", *ZONES])
        second = timedelta(seconds=dice.randrange(48 * 3600))
        if changes.get(zone):
            after = dice.choice(changes[zone]) - 24 * HOUR + second
            yield Question(expression(dice, everyday=dice.random() < 0.8), zone, after)
        else:
            after = datetime(2000, 1, 1, tzinfo=UTC) + second
            after += timedelta(days=dice.randrange(38 * 365))
            yield Question(expression(dice, everyday=dice.random() < 0.2), zone, after)


def changes_of_clocks(zone: str) -> Iterator[datetime]:
    """Return the first hours with another offset to UTC, from 2004 to 2036."""
    instant = datetime(2004, 1, 1, tzinfo=UTC)
    offset = instant.astimezone(ZoneInfo(zone)).utcoffset()
    while instant.year < 2037:
        instant += HOUR
        if (now := instant.astimezone(ZoneInfo(zone)).utcoffset()) != offset:
            offset = now
            yield instant


def expression(dice: random.Random, *, everyday: bool) -> str:
    """Return five fields; `everyday` leaves the last three open."""
    minute = field(dice, 0, 59, everything=0.15)
    hour = field(dice, 0, 23 if dice.random() < 0.5 else 4, everything=0.25, last=23)
    if dice.random() < 0.05:
        hour = "0-23"
    if everyday:
        return f"{minute} {hour} * * *"
    return " ".join(
        [
            minute,
            hour,
            month_day(dice),
            field(dice, 1, 12, everything=0.6, names=MONTHS),
            field(dice, 0, 7, everything=0.5, names=WEEKDAYS),
        ]
    )


def month_day(dice: random.Random) -> str:
    if dice.random() < 0.15:
        return dice.choice(["L", "1,L", "15,L", "L,28"])
    return field(dice, 1, 31, everything=0.45)


def field(
    dice: random.Random,
    low: int,
    high: int,
    *,
    everything: float,
    last: int | None = None,
    names: list[str] | None = None,
) -> str:
    if dice.random() < everything:
        return "*"
    if dice.random() < 0.15:
        return f"*/{dice.randint(1, last or high)}"
    items = [item(dice, low, high, names) for _ in range(dice.choice([1, 1, 1, 2, 3]))]
    return ",".join(items)


def item(dice: random.Random, low: int, high: int, names: list[str] | None) -> str:
    """Return a value, a range, or either with a step."""

    def write(value: int) -> str:
        if names and value - low < len(names) and dice.random() < 0.4:
            return dice.choice([str.lower, str.upper, str.title])(names[value - low])
        return str(value)

    first, last = sorted(dice.randint(low, high) for _ in range(2))
    shape = dice.random()
    if shape < 0.6 or first == last:
        return write(first)
    step = f"/{dice.randint(1, high - low)}" if shape > 0.85 else ""
    if shape > 0.95:
        return write(first) + step
    return f"{write(first)}-{write(last)}{step}"
