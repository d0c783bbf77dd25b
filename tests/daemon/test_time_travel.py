"""Runs start at the instants that next_runs() has promised, over nights with a change of clocks.

The server's clock is moved from one due time to just before the next; the runner's own
clock stays true. TIME_TRAVEL_RUNS=1000 lets the most frequent job run so many times.
"""

import functools
import os
import time
from contextlib import closing

import psycopg
import pytest
from cluster import Cluster
from support import peer, poll

from .runner_process import Runner

pytestmark = pytest.mark.needs("libfaketime")

RUNS = int(os.environ.get("TIME_TRAVEL_RUNS", "100"))

# Clocks go forward in Berlin at 01:00 UTC on 30 March, and back on Lord Howe Island,
# by half an hour, at 15:00 UTC on 5 April.
NOON = "2031-03-29 12:00Z"
JOBS = """
SELECT pgagent.schedule(s.name, s.schedule, 'SELECT 1', timezone => s.zone) FROM (VALUES
    ('in the gap', '30 2 * * *', 'Europe/Berlin'),
    ('by the clock', '*/15 * * * *', 'Europe/Berlin'),
    ('every hour elsewhere', '@hourly', 'America/New_York'),
    ('interval', '@every 90 minutes', 'Europe/Berlin'),
    ('odd interval', '@every 4001 seconds', 'UTC'),
    ('last day', '0 9,21 L * *', 'Europe/Berlin'),
    ('either day', '10 1,2,3 31 * sun', 'Europe/Berlin'),
    ('excepted', '*/30 1-4 * * *', 'Europe/Berlin'),
    ('half an hour', '*/20 1-3 * * *', 'Australia/Lord_Howe'),
    ('once', '@at 2031-03-30 02:15 Europe/Berlin', 'UTC')
) AS s (name, schedule, zone);
SELECT pgagent.add_exception('excepted', on_date => '2031-03-30', at_time => '01:30'),
       pgagent.add_exception('excepted', on_date => '2031-03-31');
"""
TOGETHER = "SELECT pgagent.add_schedule('last day', '@every 7 hours')"

PROMISED = """
SELECT j.jobname, n.run_at FROM pgagent.pga_job AS j,
    pgagent.next_runs(j.jobid::bigint, after => %s, until => %s, max_rows => 100000) AS n
ORDER BY n.run_at, j.jobname"""
STARTED = """
SELECT j.jobname, l.jlgscheduled FROM pgagent.pga_joblog AS l
JOIN pgagent.pga_job AS j ON j.jobid = l.jlgjobid ORDER BY l.jlgscheduled, j.jobname"""


class Clock:
    """The clock of a server under libfaketime, ahead of the true one by an offset."""

    def __init__(self, server: Cluster) -> None:
        self._file = server.directory / "clock"
        self.set(0)
        server.environ |= {
            "LD_PRELOAD": peer("usr/lib/*/faketime/libfaketime.so.1").name,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, ahead: float) -> None:
        """Move it to so many seconds ahead of the true one, in all processes at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"+{ahead:.6f}\n")
        new.replace(self._file)


@pytest.fixture
def traveller():
    """A server whose clock can be set, at noon; its clock."""
    with Cluster({"autovacuum": "off"}, is_twin=True) as server:
        clock = Clock(server)
        server.restart()
        yield server, clock


@pytest.fixture
def present(traveller):
    server, clock = traveller
    with closing(psycopg.connect(server.conninfo(), autocommit=True)) as conn:
        conn.execute("CREATE EXTENSION pgagent")
        move(conn, clock, seconds(conn, NOON))
        yield conn


def seconds(conn, expression):
    query = "SELECT extract(epoch FROM %s::timestamptz)::float8"
    return conn.execute(query, [expression]).fetchone()[0]


def move(conn, clock, instant):
    clock.set(instant - time.time())
    (now,) = conn.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    assert abs(float(now) - instant) < 10, "the server's clock can't be set"


def next_due(conn):
    """Return the next due time if nothing runs or is due, and there is one."""
    query = (
        "SELECT min(jobnextrun) FROM pgagent.pga_job"
        " HAVING count(jobagentid) = 0 AND min(jobnextrun) > clock_timestamp()"
    )
    row = conn.execute(query).fetchone()
    return row and row[0]


def has_passed(conn, due):
    return (next_due(conn) or due) > due


@pytest.mark.timeout(60 + RUNS)
def test_runs_start_at_the_promised_instants(traveller, present, record_property):
    server, clock = traveller
    present.execute(JOBS)
    present.execute(TOGETHER)
    (start,) = present.execute("SELECT now()").fetchone()
    (until,) = present.execute(
        "SELECT max(run_at) FROM pgagent.next_runs('by the clock', max_rows => %s)",
        [RUNS],
    ).fetchone()
    promised = present.execute(PROMISED, [start, until]).fetchall()

    with Runner(server.conninfo()) as runner:
        runner.ready()
        while (due := poll(lambda: next_due(present))) <= until:
            move(present, clock, due.timestamp() - 0.02)
            present.execute("NOTIFY pgagent")
            passed = functools.partial(has_passed, present, due)
            poll(passed, what="the runs to end")

    started = present.execute(STARTED).fetchall()
    assert started == promised
    assert len({name for name, _ in promised}) == 10
    assert sum(name == "by the clock" for name, _ in started) == RUNS
    (status, worst) = present.execute(
        "SELECT string_agg(DISTINCT jlgstatus, ''),"
        " max(extract(epoch FROM jlgstart - jlgscheduled)) FROM pgagent.pga_joblog"
    ).fetchone()
    assert status == "s"
    assert 0 <= worst < 5
    record_property("runs", len(started))
    record_property("latest start", float(worst))
