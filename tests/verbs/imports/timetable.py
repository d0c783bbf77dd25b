"""The tables of pg_timetable 6 as far as an importer reads them, and when its chains run.

Both are written from its documents and from what its scheduler asks of the database each
minute: do month, day, weekday, hour and minute of the local time all stand in run_at?
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

TABLES = """
    CREATE SCHEMA timetable;
    CREATE DOMAIN timetable.cron AS text;
    CREATE TYPE timetable.command_kind AS ENUM ('SQL', 'PROGRAM', 'BUILTIN');
    CREATE TABLE timetable.chain (
        chain_id bigserial PRIMARY KEY, chain_name text NOT NULL UNIQUE,
        run_at timetable.cron, max_instances integer, timeout integer DEFAULT 0,
        live boolean DEFAULT false, self_destruct boolean DEFAULT false,
        exclusive_execution boolean DEFAULT false, client_name text, on_error text,
        run_at_time_zone text NOT NULL DEFAULT current_setting('TimeZone')
    );
    CREATE TABLE timetable.task (
        task_id bigserial PRIMARY KEY, chain_id bigint REFERENCES timetable.chain,
        task_order double precision NOT NULL, task_name text,
        kind timetable.command_kind NOT NULL DEFAULT 'SQL', command text NOT NULL,
        run_as text, database_connection text, ignore_error boolean NOT NULL DEFAULT false,
        autonomous boolean NOT NULL DEFAULT false, timeout integer DEFAULT 0
    );
    CREATE TABLE timetable.parameter (
        task_id bigint REFERENCES timetable.task, order_id integer, value jsonb,
        PRIMARY KEY (task_id, order_id)
    )"""


def add_chain(conn, name, run_at, *tasks, **columns):
    """Add a live chain with these tasks: texts of SQL, or columns and `parameters`."""
    columns = {"chain_name": name, "run_at": run_at, "live": True} | columns
    chain = _insert(conn, "chain", "chain_id", columns)
    for number, task in enumerate(tasks, 1):
        given = {"command": task} if isinstance(task, str) else dict(task)
        parameters = given.pop("parameters", ())
        given = {"chain_id": chain, "task_order": 10 * number} | given
        task_id = _insert(conn, "task", "task_id", given)
        for order, value in enumerate(parameters, 1):
            row = {"task_id": task_id, "order_id": order, "value": Jsonb(value)}
            _insert(conn, "parameter", "task_id", row)
    return chain


def _insert(conn, table, key, columns):
    names = ", ".join(columns)
    values = ", ".join(["%s"] * len(columns))
    query = f"INSERT INTO timetable.{table} ({names}) VALUES ({values}) RETURNING {key}"
    return conn.execute(query, [*columns.values()]).fetchone()[0]


RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def _selected(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        values, _, step = item.partition("/")
        first, dash, last = values.partition("-")
        if values == "*":
            begin, end = low, high
        else:
            begin = int(first)
            end = int(last) if dash else high if step else begin
        found |= {*range(begin, end + 1, int(step or 1))}
    return found


def times(run_at: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Yield when pg_timetable starts a chain: in each minute of which run_at holds."""
    minutes, hours, days, months, weekdays = (
        _selected(text, low, high)
        for text, (low, high) in zip(run_at.split(), RANGES, strict=True)
    )
    clock = ZoneInfo(zone)
    first = after.astimezone(clock).date()
    for day in (first + timedelta(n) for n in count()):
        if day.month in months and day.day in days and _weekdays(day) & weekdays:
            found = {
                moment
                for hour in hours
                for minute in minutes
                for moment in _instants(day, time(hour, minute), clock)
            }
            yield from sorted(moment for moment in found if moment > after)


def _weekdays(day: date) -> set[int]:
    return {day.isoweekday() % 7, day.isoweekday()}


def _instants(day: date, at: time, clock: ZoneInfo) -> Iterator[datetime]:
    """Yield the instants at which clocks show this: none, one or two."""
    local = datetime.combine(day, at)
    for fold in (0, 1):
        instant = local.replace(tzinfo=clock, fold=fold).astimezone(UTC)
        if instant.astimezone(clock).replace(tzinfo=None) == local:
            yield instant


def clocks_change(day: date, zone: str) -> bool:
    """Whether clocks are put forward or back on this day."""
    clock = ZoneInfo(zone)
    ends: list[Any] = [
        datetime.combine(day + timedelta(n), time(0), clock).utcoffset() for n in (0, 1)
    ]
    return bool(ends[0] != ends[1])
