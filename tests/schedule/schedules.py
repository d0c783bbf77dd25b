"""Schedules as the tests write them, and what the database answers for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import psycopg

Values = frozenset[int]
Exclusion = tuple[date | None, time | None]

NOTHING: Values = frozenset()
LAST = 32
"""The month day that stands for the last one."""

NEXT_RUN = """pgagent.pga_next_run(
    jscid, jscstart, jscend, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths,
    jsctimezone, {})"""

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class Schedule:
    """A row of pga_schedule and its exceptions; an empty field means every value."""

    minutes: Values = NOTHING
    hours: Values = NOTHING
    monthdays: Values = NOTHING
    months: Values = NOTHING
    weekdays: Values = NOTHING  # 0 is Sunday
    zone: str = "UTC"
    start: datetime = datetime(1990, 1, 1, tzinfo=UTC)
    end: datetime | None = None
    exclusions: frozenset[Exclusion] = field(default_factory=frozenset)

    @property
    def any_hour(self) -> bool:
        """Whether the hours are a wildcard, which decides about repeated times."""
        return len(self.hours) in {0, 24}

    @cached_property
    def excluded(self) -> frozenset[Exclusion]:
        """The exceptions, to the minute."""
        return frozenset(
            (day, at and at.replace(second=0, microsecond=0))
            for day, at in self.exclusions
        )

    @cached_property
    def times(self) -> list[time]:
        """The times of day at which it may run, ascending."""
        excluded = {at for day, at in self.excluded if day is None}
        times = [
            time(hour, minute)
            for hour in sorted(self.hours) or range(24)
            for minute in sorted(self.minutes) or range(60)
        ]
        return [at for at in times if at not in excluded]

    def arrays(self) -> list[str]:
        """Return minutes, hours, weekdays, monthdays and months as array literals."""
        return [
            array(self.minutes, range(60)),
            array(self.hours, range(24)),
            array(self.weekdays, range(7)),
            array(self.monthdays, range(1, 33)),
            array(self.months, range(1, 13)),
        ]


class Case(NamedTuple):
    """A question: when does it run next, after this instant?"""

    schedule: Schedule
    after: datetime


def array(ticked: Iterable[int], values: range) -> str:
    """Return a boolean[] literal with an element for each of the values."""
    return "{" + ",".join("t" if value in ticked else "f" for value in values) + "}"


def instant(text: str) -> datetime:
    """Read an ISO 8601 instant; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def cron(
    text: str,
    zone: str = "UTC",
    *,
    start: str = "1990-01-01",
    end: str | None = None,
    exclude: Iterable[str] = (),
) -> Schedule:
    """Read `minute hour day month weekday`, with `*/1` for all ticked, `L` for last.

    A day or an hour that is excluded is written `2030-01-31`, `09:00` or both.
    """
    minutes, hours, monthdays, months, weekdays = text.split()
    return Schedule(
        _values(minutes, range(60)),
        _values(hours, range(24)),
        _values(monthdays, range(1, 33)),
        _values(months, range(1, 13)),
        _values(weekdays, range(7)),
        zone,
        instant(start),
        instant(end) if end else None,
        frozenset(map(_exclusion, exclude)),
    )


def _values(text: str, allowed: range) -> Values:
    if text == "*":
        return NOTHING
    return frozenset(
        value for part in text.split(",") for value in _part(part, allowed)
    )


def _part(text: str, allowed: range) -> Iterable[int]:
    if text.startswith("*/"):
        return allowed[:: int(text[2:])]
    first, _, last = text.partition("-")
    return range(_value(first), _value(last or first) + 1)


def _value(text: str) -> int:
    if text == "L":
        return LAST
    return int(text) if text.isdigit() else WEEKDAYS.index(text.lower())


def _exclusion(text: str) -> Exclusion:
    day, _, at = text.rpartition(" ") if ":" in text else (text, "", "")
    return (
        date.fromisoformat(day) if day else None,
        time.fromisoformat(at) if at else None,
    )


def answers(
    conn: psycopg.Connection[Any], cases: Sequence[Case], settings: Iterable[str] = ()
) -> list[datetime | None]:
    """Ask pga_next_run for all cases, in a session with these settings."""
    with conn.transaction(force_rollback=True), conn.cursor() as cursor:
        _store(cursor, cases)
        for setting in settings:
            cursor.execute(f"SET LOCAL {setting}".encode())
        cursor.execute(
            f"""SELECT extract(epoch FROM {NEXT_RUN.format("after")})::bigint
                  FROM pgagent.pga_schedule JOIN pg_temp.question USING (jscid)
                 ORDER BY jscid""".encode()
        )
        return [_instant(epoch) for (epoch,) in cursor]


def first(
    conn: psycopg.Connection[Any], schedule: Schedule, since: str
) -> datetime | None:
    """Return the first run from this instant on."""
    (answer,) = answers(conn, [Case(schedule, instant(since) - timedelta(minutes=1))])
    return answer


def chain(
    conn: psycopg.Connection[Any], schedule: Schedule, begin: datetime, end: datetime
) -> list[datetime | None]:
    """Return the runs from begin until before end, each computed after the last."""
    with conn.transaction(force_rollback=True), conn.cursor() as cursor:
        _store(cursor, [Case(schedule, begin - timedelta(minutes=1))])
        cursor.execute(
            f"""WITH RECURSIVE run (at) AS (
                    SELECT {NEXT_RUN.format("after")}
                      FROM pgagent.pga_schedule JOIN pg_temp.question USING (jscid)
                     UNION ALL
                    SELECT {NEXT_RUN.format("at")}
                      FROM run, pgagent.pga_schedule WHERE at < %(end)s)
                SELECT extract(epoch FROM at)::bigint FROM run WHERE at < %(end)s
            """.encode(),
            {"end": end},
        )
        return [_instant(epoch) for (epoch,) in cursor]


def _instant(epoch: int | None) -> datetime | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def _store(cursor: psycopg.Cursor[Any], cases: Sequence[Case]) -> None:
    """Store bare schedules, each with its position as its id, for this transaction."""
    cursor.execute("SET LOCAL session_replication_role = replica")
    # To the planner a chain looks worth half a second of compilation.
    cursor.execute("SET LOCAL jit = off")
    cursor.execute("DELETE FROM pgagent.pga_exception")
    cursor.execute("DELETE FROM pgagent.pga_schedule")
    cursor.execute("CREATE TEMP TABLE question (jscid integer, after timestamptz)")
    with cursor.copy(
        """COPY pgagent.pga_schedule (jscid, jscjobid, jscname, jscstart, jscend,
               jsctimezone, jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths)
           FROM STDIN"""
    ) as copy:
        for number, (schedule, _) in enumerate(cases):
            bounds = schedule.start, schedule.end, schedule.zone
            copy.write_row((number, 0, "asked", *bounds, *schedule.arrays()))
    with cursor.copy("COPY pg_temp.question FROM STDIN") as copy:
        for number, (_, after) in enumerate(cases):
            copy.write_row((number, after))
    with cursor.copy(
        "COPY pgagent.pga_exception (jexscid, jexdate, jextime) FROM STDIN"
    ) as copy:
        for number, (schedule, _) in enumerate(cases):
            for exclusion in schedule.exclusions:
                copy.write_row((number, *exclusion))
    cursor.execute("ANALYZE pgagent.pga_exception")
