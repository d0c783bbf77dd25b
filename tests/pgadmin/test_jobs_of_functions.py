"""Jobs that SQL functions have made open in pgAdmin's dialogs and are saved without loss."""

import pytest
from jobs import job

from .client import (
    GRID,
    JOB,
    SCHEDULES,
    STEPS,
    hours,
    minutes,
    monthdays,
    months,
    send,
    send_for_row,
    weekdays,
)

SCHEDULE_TEXTS = [
    "30 2 * * *",
    "*/20 8-9 L jan,7 *",
    "0 9 1-7 * &mon",
    "15 3 13 * fri",
    "@every 90 seconds",
    "@at 2091-05-01 09:00:00 Asia/Tokyo",
    "@reboot",
]

# The whole of a job, but for what a save does change: when it was changed last.
EVERYTHING = """
SELECT to_jsonb(j) - '{jobchanged,jobchangeid}'::text[],
       ARRAY(SELECT to_jsonb(s) FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid ORDER BY s.jstid),
       ARRAY(SELECT to_jsonb(s) FROM pgagent.pga_schedule AS s WHERE s.jscjobid = j.jobid ORDER BY s.jscid),
       ARRAY(SELECT to_jsonb(e) FROM pgagent.pga_exception AS e
             JOIN pgagent.pga_schedule AS s ON s.jscid = e.jexscid
             WHERE s.jscjobid = j.jobid ORDER BY e.jexid)
FROM pgagent.pga_job AS j WHERE j.jobid = %s"""


def everything(conn, job_id):
    return conn.execute(EVERYTHING, [job_id]).fetchone()


def kinds(conn, job_id):
    rows = conn.execute(
        "SELECT pgagent.pga_schedule_text(s) FROM pgagent.pga_schedule AS s"
        " WHERE s.jscjobid = %s ORDER BY s.jscid",
        [job_id],
    )
    return [text for (text,) in rows]


def text(value):
    return "NULL" if value is None else f"'{value}'"


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def array(values):
    return "'{" + ",".join("t" if value else "f" for value in values) + "}'::bool[]"


def save_job(shown):
    return f"""
UPDATE pgagent.pga_job
SET jobjclid={shown["jobjclid"]}::integer, jobname={quoted(shown["jobname"])}::text, jobdesc={quoted(shown["jobdesc"])}::text, jobhostagent={quoted(shown["jobhostagent"])}::text, jobenabled={shown["jobenabled"]}
WHERE jobid = {shown["jobid"]};
"""


def save_step(shown):
    return f"""
UPDATE pgagent.pga_jobstep
SET
    jstkind='{"s" if shown["jstkind"] else "b"}'::character(1), jstdbname='{shown["jstdbname"]}', jstconnstr={quoted(shown["jstconnstr"])},
    jstname={quoted(shown["jstname"])}::text,
    jstenabled={shown["jstenabled"]},
    jstdesc={quoted(shown["jstdesc"])},
    jstonerror='{shown["jstonerror"]}',
    jstcode={quoted(shown["jstcode"])}
WHERE jstid={shown["jstid"]}::integer AND jstjobid={shown["jstjobid"]}::integer;
"""


def save_schedule(shown, **changed):
    fields = {
        name: array(shown[name])
        for name in (
            *("jscmonths", "jscminutes", "jscmonthdays", "jschours", "jscweekdays"),
        )
    } | changed
    sent = ",\n    ".join(f"{name}={value}" for name, value in fields.items())
    exceptions = "".join(
        f"UPDATE pgagent.pga_exception SET\n"
        f"    jexdate=to_date({text(day)}, 'YYYY-MM-DD')::date, jextime={text(at)}::time without time zone\n"
        f"WHERE jexid={key}::integer AND jexscid={shown['jscid']}::integer;\n"
        for key, day, at in zip(
            shown["jexid"] or [],
            shown["jexdate"] or [],
            shown["jextime"] or [],
            strict=True,
        )
    )
    return f"""
UPDATE pgagent.pga_schedule
SET
    jscname={quoted(shown["jscname"])}::text,
    jscenabled={shown["jscenabled"]},
    jscdesc={quoted(shown["jscdesc"])}::text,
    jscstart='{shown["jscstart"]}'::timestamptz,
    jscend={text(shown["jscend"])}::timestamptz,
    {sent}
WHERE jscid={shown["jscid"]}::integer AND jscjobid={shown["jscjobid"]}::integer;
{exceptions}"""


def save(pgadmin, job_id):
    """Send back all that the dialogs show of a job, in one string."""
    parts = [save_job(send_for_row(pgadmin, JOB.format(job_id)))]
    parts += map(save_step, send(pgadmin, STEPS.format(job_id)))
    parts += map(save_schedule, send(pgadmin, SCHEDULES.format(job_id)))
    send(pgadmin, "".join(parts))


def make(conn, calls):
    """Call functions of the API; return the id of the job "it's"."""
    for call in calls:
        conn.execute(f"SELECT pgagent.{call}")
    ((job_id,),) = conn.execute(
        "SELECT jobid FROM pgagent.pga_job WHERE jobname = 'it''s'"
    ).fetchall()
    return job_id


def scheduled(schedule):
    return (
        f"schedule('it''s', '{schedule}', 'SELECT ''x'';', timezone => 'Europe/Berlin')"
    )


EXCEPTIONS = [
    "add_exception('it''s', on_date => '2090-01-31')",
    "add_exception('it''s', at_time => '03:30')",
    "add_exception('it''s', '2090-02-01', '09:00')",
]

MADE = {
    **{schedule: [scheduled(schedule), *EXCEPTIONS] for schedule in SCHEDULE_TEXTS},
    "schedule_in_database": [
        "schedule_in_database('it''s', '@daily', 'VACUUM', 'elsewhere', active => false)"
    ],
    "alter_job": [
        scheduled("@hourly"),
        "alter_job('it''s', schedule => '@every 1 day', description => 'it''s', class => 'Data Import', host => 'h', timezone => 'Asia/Tokyo')",
    ],
    "put together": [
        "create_job('it''s', description => 'a ''b''', class => 'Data Export', host => 'moon')",
        "add_step('it''s', 'a', E'#!/bin/sh\\ndf', kind => 'batch', on_error => 'ignore')",
        "add_step('it''s', 'b', 'SELECT 1', conninfo => 'host=x dbname=''y z''', enabled => false)",
        "add_step('it''s', 'c', 'SELECT 1', on_error => 'success', description => 'it''s')",
        "add_schedule('it''s', '@every 1 h', start_at => '2050-01-01', end_at => '2051-01-01')",
        "add_schedule('it''s', '0 0 * * *', timezone => 'Asia/Tokyo', enabled => false)",
        *EXCEPTIONS,
    ],
    "run_job": [scheduled("@every 1 day"), "run_job('it''s', from_step => 'command')"],
}


@pytest.mark.parametrize("made", MADE)
def test_a_job_is_saved_as_it_was_shown(conn, pgadmin, made):
    job_id = make(conn, MADE[made])
    before = everything(conn, job_id)

    save(pgadmin, job_id)

    assert everything(conn, job_id) == before
    assert job_id in [row["jobid"] for row in send(pgadmin, GRID)]


@pytest.mark.parametrize("schedule", SCHEDULE_TEXTS)
def test_what_pgadmin_does_not_show_outlives_a_change_of_what_it_does(
    conn, pgadmin, schedule
):
    job_id = make(conn, MADE[schedule])
    before = kinds(conn, job_id)
    due = job(conn, job_id, "jobnextrun")

    for shown in send(pgadmin, SCHEDULES.format(job_id)):
        renamed = shown | {"jscname": "renamed", "jscdesc": "why"}
        send(pgadmin, save_schedule(renamed))

    assert kinds(conn, job_id) == before
    assert job(conn, job_id, "jobnextrun") == due
    assert conn.execute(
        "SELECT DISTINCT jscname, jscdesc FROM pgagent.pga_schedule WHERE jscjobid = %s",
        [job_id],
    ).fetchall() == [("renamed", "why")]


@pytest.mark.parametrize("schedule", SCHEDULE_TEXTS)
def test_fields_filled_in_take_over(conn, pgadmin, schedule):
    job_id = make(conn, MADE[schedule])
    (shown, *_) = send(pgadmin, SCHEDULES.format(job_id))

    send(
        pgadmin,
        save_schedule(
            shown,
            jscmonths=months(2),
            jscminutes=minutes(30),
            jscmonthdays=monthdays(),
            jschours=hours(3, 9),
            jscweekdays=weekdays(),
        ),
    )

    row = conn.execute(
        "SELECT pgagent.pga_schedule_text(s), s.jscevery, s.jscat, s.jscreboot, s.jsctimezone,"
        " (SELECT array_agg((e.jexdate, e.jextime)::text ORDER BY e.jexid)"
        "  FROM pgagent.pga_exception AS e WHERE e.jexscid = s.jscid),"
        " to_char(pgagent.pga_schedule_next(s, '2090-01-31 12:00Z') AT TIME ZONE s.jsctimezone, 'YYYY-MM-DD HH24:MI')"
        " FROM pgagent.pga_schedule AS s WHERE s.jscid = %s",
        [shown["jscid"]],
    ).fetchone()
    zone = "Asia/Tokyo" if "Tokyo" in schedule else "Europe/Berlin"
    kept = ["(2090-01-31,)", "(,03:30:00)", "(2090-02-01,09:00:00)"]
    assert row == ("30 3,9 * 2 *", None, None, False, zone, kept, "2090-02-01 09:30")


def test_an_exception_that_pgadmin_adds_to_an_interval_counts(conn, pgadmin):
    job_id = make(conn, [scheduled("@every 12 hours")])
    (shown,) = send(pgadmin, SCHEDULES.format(job_id))
    first = job(conn, job_id, "jobnextrun AT TIME ZONE 'Europe/Berlin'")

    send(
        pgadmin,
        "INSERT INTO pgagent.pga_exception (\n    jexscid, jexdate, jextime\n) VALUES (\n"
        f"    {shown['jscid']}, to_date('{first.date()}', 'YYYY-MM-DD')::date, NULL::time without time zone\n);",
    )

    assert kinds(conn, job_id) == ["@every 43200 seconds"]
    after = job(conn, job_id, "jobnextrun AT TIME ZONE 'Europe/Berlin'")
    assert after.date() > first.date()
