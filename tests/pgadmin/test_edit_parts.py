"""The dialogs of a step and of a schedule: a job changes with its parts."""

from datetime import time

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step, job

from .client import (
    SCHEDULES,
    STEPS,
    hours,
    minutes,
    monthdays,
    months,
    send,
    send_for_row,
    utc,
    weekdays,
)

EXCEPTION = """
INSERT INTO pgagent.pga_exception (
    jexscid, jexdate, jextime
) VALUES (
    {}, to_date('{}', 'YYYY-MM-DD')::date, {}::time without time zone
);"""


def test_a_step_is_added(conn, pgadmin):
    job_id = add_job(conn, due=None)

    new = send_for_row(
        pgadmin,
        f"""
INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    {job_id}, 'step'::text, true, 's'::character(1),
    ''::text, 'postgres'::name, 'f'::character(1),
    'DO $$BEGIN END$$'::text, ''::text
) RETURNING jstid;""",
    )

    step = send_for_row(pgadmin, STEPS.format(job_id))
    assert step["jstid"] == new["jstid"]
    assert step["jstcode"] == "DO $$BEGIN END$$"
    assert job(conn, job_id, "jobchanged > jobcreated")


@pytest.mark.parametrize(
    ("columns", "kind", "connection"),
    [
        pytest.param(
            "jstkind='b'::character(1), jstdbname='', jstconnstr=''",
            *(False, ("", "")),
            id="to a batch step",
        ),
        pytest.param(
            "jstdbname='', jstconnstr='host=db2'",
            *(True, ("", "host=db2")),
            id="to another server",
        ),
        pytest.param(
            "jstkind='s'::character(1), jstdbname='sales', jstconnstr=''",
            *(True, ("sales", "")),
            id="to another database",
        ),
    ],
)
def test_a_step_is_moved(conn, pgadmin, columns, kind, connection):
    job_id = add_job(conn, due=None)
    step_id = add_step(conn, job_id, "SELECT 1")

    send(
        pgadmin,
        f"""
UPDATE pgagent.pga_jobstep
SET
    {columns},
    jstname='moved'::text,
    jstenabled=false,
    jstdesc='away',
    jstonerror='s',
    jstcode='SELECT 2'
WHERE jstid={step_id}::integer AND jstjobid={job_id}::integer;""",
    )

    step = send_for_row(pgadmin, STEPS.format(job_id))
    assert (step["jstdbname"], step["jstconnstr"]) == connection
    assert (
        step.items()
        >= {
            "jstid": step_id,
            "jstkind": kind,
            "jstname": "moved",
            "jstenabled": False,
            "jstdesc": "away",
            "jstonerror": "s",
            "jstcode": "SELECT 2",
        }.items()
    )
    assert job(conn, job_id, "jobchanged > jobcreated")


def test_a_schedule_is_edited(conn, pgadmin):
    job_id, schedule_id = _job_with_schedule(conn)

    send(
        pgadmin,
        f"""
UPDATE pgagent.pga_schedule
SET
    jscname='leap Sundays'::text,
    jscenabled=true,
    jscdesc=''::text,
    jscstart='2040-01-01 05:30:00 +05:30'::timestamptz,
    jscend=NULL::timestamptz,
    jscmonths={months(2)},
    jscminutes={minutes(59)},
    jscmonthdays={monthdays(29)},
    jschours={hours(23)},
    jscweekdays={weekdays(1)}
WHERE jscid={schedule_id}::integer AND jscjobid={job_id}::integer;""",
    )

    schedule = send_for_row(pgadmin, SCHEDULES.format(job_id))
    assert schedule["jscname"] == "leap Sundays"
    assert schedule["jscstart"] == utc("2040-01-01 00:00")
    assert schedule["jscend"] is None
    assert job(conn, job_id, "jobnextrun") == utc("2060-02-29 23:59")
    assert job(conn, job_id, "jobchanged > jobcreated")


def test_exceptions_are_added_deleted_and_changed_in_one_string(conn, pgadmin):
    job_id, schedule_id = _job_with_schedule(conn)
    send(
        pgadmin,
        EXCEPTION.format(schedule_id, "2040-01-01", "'00:00:00'")
        + EXCEPTION.format(schedule_id, "2040-01-02", "NULL"),
    )
    first, second = send_for_row(pgadmin, SCHEDULES.format(job_id))["jexid"]

    send(
        pgadmin,
        EXCEPTION.format(schedule_id, "2040-01-03", "'00:00:00'")
        + f"""
DELETE FROM pgagent.pga_exception WHERE jexid={first}::integer AND jexscid={schedule_id}::integer;
UPDATE pgagent.pga_exception SET
    jexdate=to_date('2040-01-01', 'YYYY-MM-DD')::date, jextime=NULL::time without time zone
WHERE jexid={second}::integer AND jexscid={schedule_id}::integer;
""",
    )

    schedule = send_for_row(pgadmin, SCHEDULES.format(job_id))
    assert schedule["jexid"] == [second, second + 1]
    assert schedule["jexdate"] == ["2040-01-01", "2040-01-03"]
    assert schedule["jextime"] == [None, time(0, 0)]
    assert job(conn, job_id, "jobnextrun") == utc("2040-01-02 00:00")


def test_exceptions_come_as_arrays_of_types_that_pgadmin_reads(conn, pgadmin):
    job_id, schedule_id = _job_with_schedule(conn)
    send(pgadmin, EXCEPTION.format(schedule_id, "2040-01-01", "'03:00:00'"))

    columns = pgadmin.execute(SCHEDULES.format(job_id)).description

    types = {column.name: column.type_display for column in columns}
    assert types["jexid"] == "int4[]"
    assert types["jexdate"] == "text[]"
    assert types["jextime"] == "time[]"


def test_two_schedules_may_have_the_same_exception(conn, pgadmin):
    for _ in range(2):
        job_id, schedule_id = _job_with_schedule(conn)
        send(pgadmin, EXCEPTION.format(schedule_id, "2040-01-01", "'00:00:00'"))

        assert job(conn, job_id, "jobnextrun") == utc("2040-01-01 00:01")


def test_the_same_exception_twice_on_one_schedule_is_refused(conn, pgadmin):
    _, schedule_id = _job_with_schedule(conn)
    same = EXCEPTION.format(schedule_id, "2040-01-01", "'00:00:00'")

    with pytest.raises(psycopg.errors.UniqueViolation):
        send(pgadmin, same + same)


def _job_with_schedule(conn):
    """Return the ids of a job and of its schedule, each minute from 2040 to 2041."""
    job_id = add_job(conn, due=None)
    period = {"jscstart": "2040-01-01 00:00", "jscend": "2041-01-01 00:00"}
    return job_id, add_schedule(conn, job_id, **period)
