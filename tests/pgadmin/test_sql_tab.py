"""What pgAdmin's SQL tab shows of a job can be executed, here and where pgAgent 4.2 is.

It has the fields of a schedule, its start and end: no interval, @at, @reboot, no zone.
Whatever is made of it starts the job at most as often as the original does.
"""

from contextlib import closing
from datetime import timedelta
from itertools import pairwise

import psycopg
import pytest
from jobs import job
from psycopg.rows import dict_row

from .client import SCHEDULES, send, send_for_row, utc

DAY = timedelta(days=1)
START = "2030-01-31 10:17:05Z"

INTERVALS = {
    "@every 1 second": 1,
    "@every 60 seconds": 60,
    "@every 61 seconds": 120,
    "@every 90 seconds": 120,
    "@every 7 minutes": 600,
    "@every 1 hour": 3600,
    "@every 61 minutes": 7200,
    "@every 5 hours": 6 * 3600,
    "@every 1 day": 86400,
    "@every 2 days": 7 * 86400,
    "@every 4 weeks": 28 * 86400,
    "@every 29 days": 59 * 86400,
    "@every 100 days": 120 * 86400,
    "@every 365 days": 365 * 86400,
    "@every 366 days": 1461 * 86400,
}
"""The text of intervals, and how far apart in seconds the runs of a copy are at least."""

LATER_RUNS = """
WITH RECURSIVE run (at) AS (
    SELECT pgagent.pga_schedule_next(s, '2030-01-31 10:17:04Z') FROM pgagent.pga_schedule AS s WHERE s.jscid = %(id)s
    UNION ALL
    SELECT pgagent.pga_schedule_next(s, at) FROM run, pgagent.pga_schedule AS s WHERE s.jscid = %(id)s AND at IS NOT NULL
)
SELECT at FROM run WHERE at IS NOT NULL LIMIT 40"""


def quoted(value):
    return "'" + str(value).replace("'", "''") + "'"


def array(values):
    return "'{" + ",".join("t" if value else "f" for value in values) + "}'::bool[]"


def sql_tab(shown, name):
    """Return what the tab shows of a job with this one schedule."""
    end = shown["jscend"]
    fields = ",\n    ".join(
        f"{array(shown[field])}::boolean[]"
        for field in (
            *("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths"),
        )
    )
    return f"""
DO $$
DECLARE
    jid integer;
    scid integer;
BEGIN
-- Creating a new job
INSERT INTO pgagent.pga_job(
    jobjclid, jobname, jobdesc, jobhostagent, jobenabled
) VALUES (
    1::integer, {quoted(name)}::text, ''::text, ''::text, true
) RETURNING jobid INTO jid;

-- Schedules
-- Inserting a schedule
INSERT INTO pgagent.pga_schedule(
    jscjobid, jscname, jscdesc, jscenabled,
    jscstart, {"jscend," if end else ""}    jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths
) VALUES (
    jid, {quoted(shown["jscname"])}::text, ''::text, {shown["jscenabled"]},
    {quoted(shown["jscstart"])}::timestamp with time zone, {quoted(end) + "::timestamp with time zone," if end else ""}
    {fields}
) RETURNING jscid INTO scid;
END
$$;"""


@pytest.fixture
def pgadmin(dsn, neighbours):
    """One of pgAdmin's sessions will do: what it shows does not depend on its role."""
    with closing(
        psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
    ) as session:
        session.execute("SET TimeZone TO 'Asia/Kolkata'")
        yield session


@pytest.fixture
def shown(conn, pgadmin):
    """Make a job; return its schedule as pgAdmin shows it."""

    def make(schedule, start=START, **columns):
        (job_id,) = conn.execute("SELECT pgagent.create_job('original')").fetchone()
        conn.execute(
            "SELECT pgagent.add_schedule(%s::bigint, %s, timezone => 'UTC', start_at => %s)",
            [job_id, schedule, start],
        )
        for name, value in columns.items():
            conn.execute(
                f"UPDATE pgagent.pga_schedule SET {name} = %s WHERE jscjobid = %s",
                [value, job_id],
            )
        return send_for_row(pgadmin, SCHEDULES.format(job_id))

    return make


@pytest.fixture
def copied(conn, pgadmin, shown):
    """Make a job and a copy of it; return when the copy's schedule starts it."""

    def copy(*arguments, **columns):
        send(pgadmin, sql_tab(shown(*arguments, **columns), "copy"))
        (schedule_id,) = conn.execute(
            "SELECT jscid FROM pgagent.pga_schedule JOIN pgagent.pga_job ON jobid = jscjobid WHERE jobname = 'copy'"
        ).fetchone()
        return [at for (at,) in conn.execute(LATER_RUNS, {"id": schedule_id})]

    return copy


@pytest.mark.parametrize("schedule", INTERVALS)
def test_a_copy_of_an_interval_runs_at_most_as_often(copied, schedule):
    runs = copied(schedule)

    assert runs
    assert min(later - sooner for sooner, later in pairwise(runs)) >= timedelta(
        seconds=max(INTERVALS[schedule], 60)
    )


def test_a_copy_of_an_interval_keeps_its_distance_from_the_start(copied):
    assert copied("@every 15 minutes")[:2] == [
        utc("2030-01-31 10:32"),
        utc("2030-01-31 10:47"),
    ]


@pytest.mark.parametrize("interval", ["10 years", "400 days", "-1 year +365 days"])
def test_a_copy_of_an_interval_that_only_sql_can_write_is_not_of_every_minute(
    copied, interval
):
    runs = copied("@every 1 day", jscevery=interval)

    assert all(later - sooner > 1460 * DAY for sooner, later in pairwise(runs))


@pytest.mark.parametrize(
    "at", ["2031-05-01 09:00:00", "2032-02-29 23:59:59", "2031-12-31 00:00"]
)
def test_a_copy_of_one_time_runs_once(copied, at):
    assert copied(f"@at {at}") == [utc(at).replace(second=0)]


def test_a_copy_of_one_time_in_another_zone_runs_once_at_most(conn, copied):
    assert len(copied("@at 2031-05-01 09:00:00 Asia/Tokyo")) <= 1


def test_a_copy_of_reboot_never_runs(copied):
    assert copied("@reboot") == []


def test_an_edit_of_the_time_is_copied(copied):
    assert copied("@at 2031-05-01 09:00", jscat="2033-04-02 10:11:12Z") == [
        utc("2033-04-02 10:11")
    ]


@pytest.mark.needs("pgagent_4_2")
@pytest.mark.parametrize(
    ("schedule", "next_run"),
    [
        ("@every 1 second", "2030-01-31 10:18"),
        ("@every 90 seconds", "2030-01-31 10:17"),
        ("@every 5 hours", "2030-01-31 10:17"),
        ("@every 2 days", "2030-01-31 10:17"),
        ("@every 100 days", "2030-05-28 10:17"),
        ("@at 2031-05-01 09:00:30", "2031-05-01 09:00"),
        ("@at 2031-12-31 00:00", "2031-12-31 00:00"),
    ],
)
def test_a_copy_where_4_2_is_has_a_next_run_of_the_original_schedule(
    conn_42, shown, schedule, next_run
):
    conn_42.execute("SET TimeZone = 'UTC'")
    conn_42.execute(sql_tab(shown(schedule), "copy"))

    (at,) = conn_42.execute("SELECT jobnextrun FROM pgagent.pga_job").fetchone()
    assert at == utc(next_run)


@pytest.mark.needs("pgagent_4_2")
def test_a_copy_of_reboot_where_4_2_is_never_runs(conn_42, shown):
    conn_42.execute(sql_tab(shown("@reboot", start="2020-01-01"), "copy"))

    assert job(conn_42, 1, "jobnextrun") is None


@pytest.mark.parametrize("schedule", ["@at 2031-05-01 09:00", "@reboot"])
@pytest.mark.parametrize("end", [None, "2040-01-01 00:00Z"])
def test_fields_that_take_over_are_not_held_by_the_end_of_the_image(
    conn, pgadmin, shown, schedule, end
):
    row = shown(schedule)
    send(
        pgadmin,
        f"UPDATE pgagent.pga_schedule SET jschours={array([True] + [False] * 23)}"
        + (f", jscend={quoted(end)}::timestamptz" if end else "")
        + f" WHERE jscid={row['jscid']}::integer",
    )

    (after,) = send(pgadmin, SCHEDULES.format(row["jscjobid"]))
    assert row["jscend"] is not None
    assert after["jscend"] == (utc("2040-01-01 00:00") if end else None)


def test_a_start_that_the_image_has_moved_does_not_hold_fields_that_take_over(
    conn, pgadmin, shown
):
    row = shown("@at 2035-05-01 09:00", start="2026-01-01")
    edit = f"UPDATE pgagent.pga_schedule SET jschours={array([True] + [False] * 23)} WHERE jscid={row['jscid']}::integer"
    send(pgadmin, edit)

    (after,) = send(pgadmin, SCHEDULES.format(row["jscjobid"]))
    assert row["jscstart"] > utc("2034-01-01")
    assert after["jscstart"] < utc("2034-01-01")
