"""How long the next run of a schedule takes to compute, in the backend.

All that is stored for it is rolled back. A computation that does not end within two
seconds, as many do not with pgAgent 4.2, or ends with an error, has an infinite time.
"""

import math
import time
from collections.abc import Container
from dataclasses import dataclass
from statistics import median
from typing import Any

import psycopg
from agents import DAEMON, OURS
from server import DATABASE, Bench

Connection = psycopg.Connection[Any]

OLD_DATABASE = "old"
BATCHES = 5
WARM_UP = 10  # calls; plans are cached after five
BATCH_MICROSECONDS = 40_000
TIMEOUT = "2s"
JOBS = 10_000
QUARTERS = frozenset({0, 15, 30, 45})
LAST = 32
ALL = range(60), range(24), range(7), range(1, 33), range(1, 13)
FIELDS = ("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths")

# Called as clients of 4.2 call it, in a loop that costs nothing beside it.
STOPWATCH = """
CREATE FUNCTION pg_temp.microseconds(p_schedule pgagent.pga_schedule, p_calls integer)
RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    v_begin CONSTANT timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1 .. p_calls LOOP
        PERFORM pgagent.pga_next_schedule(
            p_schedule.jscid, p_schedule.jscstart, p_schedule.jscend,
            p_schedule.jscminutes, p_schedule.jschours, p_schedule.jscweekdays,
            p_schedule.jscmonthdays, p_schedule.jscmonths
        );
    END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - v_begin) * 1e6 / p_calls;
END;
$$"""


@dataclass(frozen=True)
class Case:
    """A schedule; a field without values means every value, as in the tables."""

    name: str
    minutes: Container[int] = ()
    hours: Container[int] = ()
    weekdays: Container[int] = ()
    monthdays: Container[int] = ()
    months: Container[int] = ()
    start: str = "2050-04-08 10:00+00"
    end: str | None = None
    exceptions: str | None = None
    """SELECT of dates and times from a series of numbers n."""

    def columns(self) -> dict[str, object]:
        """Return what to insert into pga_schedule."""
        fields = self.minutes, self.hours, self.weekdays, self.monthdays, self.months
        arrays = {
            column: [value in ticked for value in values]
            for column, ticked, values in zip(FIELDS, fields, ALL, strict=True)
        }
        return {"jscstart": self.start, "jscend": self.end, **arrays}


THOUSAND = "FROM generate_series(0, 999) AS n"
NEXT_DATES = f"SELECT '2050-04-08'::date + n, NULL::time {THOUSAND}"
NEXT_SLOTS = f"SELECT '2050-04-08'::date + n, '09:00'::time {THOUSAND}"
PAST_DATES = f"SELECT '2000-01-01'::date + n, NULL::time {THOUSAND}"
NINE = "SELECT NULL::date, '09:00'::time"

CASES = [
    Case("every minute, all ticked", *ALL),
    Case("every minute, blank"),
    Case(
        "every 15 min, office hours, Fri 17:46",
        QUARTERS,
        range(8, 18),
        range(1, 6),
        start="2050-04-08 17:46+00",
    ),
    Case("daily 09:00", {0}, {9}),
    Case("Monday 09:00", {0}, {9}, {1}),
    Case("1st of month", {0}, {0}, (), {1}),
    Case("last day", {0}, {0}, (), {LAST}),
    Case("15th and last", {0}, {0}, (), {15, LAST}),
    Case("31 December", {0}, {0}, (), {31}, {12}),
    Case("Friday 13th", {0}, {0}, {5}, {13}),
    Case("29 February", {0}, {0}, (), {29}, {2}),
    Case(
        "29 Feb on Monday, 28 years away",
        *({0}, {0}, {1}, {29}, {2}),
        start="2044-03-01 00:00+00",
    ),
    Case(
        "29 Feb on Monday, 40 years away",
        *({0}, {0}, {1}, {29}, {2}),
        start="2072-03-01 00:00+00",
    ),
    Case("impossible date (30 Feb)", {0}, {0}, (), {30}, {2}),
    Case("impossible time (only time excluded)", {0}, {9}, exceptions=NINE),
    Case("1000 excluded dates, daily", {0}, {9}, exceptions=NEXT_DATES),
    Case("1000 excluded dates, every minute", exceptions=NEXT_DATES),
    Case("1000 excluded date+time, daily", {0}, {9}, exceptions=NEXT_SLOTS),
    Case("1000 exceptions all in the past, daily", {0}, {9}, exceptions=PAST_DATES),
    Case("end already passed by", {0}, {9}, end="2050-04-01 00:00+00"),
]


def next_run(bench: Bench) -> dict[str, list[float]]:
    """Measure ours and, in a database beside it, that of pgAgent 4.2."""
    measured = {OURS: measure(bench.cluster.conninfo(DATABASE))}
    if DAEMON.exists():
        bench.conn.execute(f"CREATE DATABASE {OLD_DATABASE}")
        old = bench.cluster.conninfo(OLD_DATABASE)
        with psycopg.connect(old, autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent VERSION '4.2'")
        measured["pgAgent 4.2"] = measure(old)
        bench.conn.execute(f"DROP DATABASE {OLD_DATABASE}")
    names = [f"next run: {case.name}, µs" for case in CASES]
    names.append(f"trigger: UPDATE of {JOBS:,} jobs, ms")
    return {
        f"{who} | {name}": [figure]
        for who, figures in measured.items()
        for name, figure in zip(names, figures, strict=True)
    }


def measure(conninfo: str) -> list[float]:
    """Return the time of each case, and that of recomputing many jobs at once."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("SET jit = off")
        conn.execute(STOPWATCH)
        return [*(time_of(conn, case) for case in CASES), time_of_jobs(conn)]


def time_of(conn: Connection, case: Case) -> float:
    """Return the median time of a call in microseconds."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(f"SET LOCAL statement_timeout = '{TIMEOUT}'")
            conn.execute("SET LOCAL TimeZone = 'UTC'")
            schedule_id = store(conn, case, job_id=0)
            microseconds(conn, schedule_id, WARM_UP)
            single = microseconds(conn, schedule_id, WARM_UP)
            calls = 1 + int(BATCH_MICROSECONDS / single)
            return median(
                microseconds(conn, schedule_id, calls) for _ in range(BATCHES)
            )
    except (psycopg.errors.QueryCanceled, psycopg.errors.DataError):
        return math.inf


def time_of_jobs(conn: Connection) -> float:
    """Return the median time of recomputing the jobs in milliseconds."""
    with conn.transaction(force_rollback=True):
        everyday = [case for case in CASES[:8] if not case.name.endswith("blank")]
        conn.execute(
            """INSERT INTO pgagent.pga_job (jobid, jobjclid, jobname)
               SELECT 1000000 + n, 1, 'bench' FROM generate_series(1, %s) AS n""",
            [JOBS],
        )
        columns = ", ".join(("jscstart", *FIELDS))
        for number, case in enumerate(everyday):
            conn.execute(
                f"""INSERT INTO pgagent.pga_schedule (jscjobid, jscname, {columns})
                    SELECT jobid, 'bench', {columns}
                      FROM pgagent.pga_job, pgagent.pga_schedule AS s
                     WHERE jobname = 'bench' AND jobid %% %s = %s AND s.jscid = %s""",
                [len(everyday), number, store(conn, case, job_id=0)],
            )
        conn.execute("ANALYZE pgagent.pga_job, pgagent.pga_schedule")
        conn.execute("SET LOCAL session_replication_role = origin")
        return median(milliseconds_of_update(conn) for _ in range(BATCHES))


def milliseconds_of_update(conn: Connection) -> float:
    """Recompute the jobs once."""
    with conn.transaction(force_rollback=True):
        begin = time.perf_counter()
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobname = 'bench'"
        )
        return (time.perf_counter() - begin) * 1000


def store(conn: Connection, case: Case, job_id: int) -> int:
    """Store a schedule and its exceptions; return its id."""
    columns = {"jscjobid": job_id, "jscname": "bench", **case.columns()}
    if has_zones(conn):
        columns["jsctimezone"] = "UTC"
    (schedule_id,) = conn.execute(
        f"INSERT INTO pgagent.pga_schedule ({', '.join(columns)})"
        f" VALUES ({', '.join(['%s'] * len(columns))}) RETURNING jscid",
        list(columns.values()),
    ).fetchone() or (0,)
    if case.exceptions:
        conn.execute(
            "INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)"
            f" SELECT %s, e.* FROM ({case.exceptions}) AS e",
            [schedule_id],
        )
        conn.execute("ANALYZE pgagent.pga_exception")
    return int(schedule_id)


def has_zones(conn: Connection) -> bool:
    """Whether the schedules of this database have a time zone."""
    known = "SELECT FROM pg_attribute WHERE attname = 'jsctimezone'"
    return conn.execute(known).fetchone() is not None


def microseconds(conn: Connection, schedule_id: int, calls: int) -> float:
    """Return the time of one of so many calls."""
    (average,) = conn.execute(
        "SELECT pg_temp.microseconds(s, %s) FROM pgagent.pga_schedule AS s"
        " WHERE jscid = %s",
        [calls, schedule_id],
    ).fetchone() or (0,)
    return float(average)
