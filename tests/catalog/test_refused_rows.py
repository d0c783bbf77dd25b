"""Rows that make no sense are refused in words, before the constraints do it."""

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step

STEPS = {
    "kind": ({"jstkind": "x"}, 'pga_jobstep.jstkind: unknown kind "x"'),
    "on error": (
        {"jstonerror": "x"},
        'pga_jobstep.jstonerror: unknown answer to an error, "x"',
    ),
    "no target": (
        {"jstdbname": ""},
        "pga_jobstep: database or connection string wanted",
    ),
    "batch in a database": (
        {"jstkind": "b", "jstdbname": "postgres"},
        "pga_jobstep: a batch step has no database",
    ),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_malformed_step_is_refused(conn, case):
    columns, message = STEPS[case]
    job_id = add_job(conn, due=None)

    with pytest.raises(psycopg.Error) as e:
        add_step(conn, job_id, {"jstcode": "SELECT 1"} | columns)

    assert e.value.sqlstate == "22023"
    assert e.value.diag.message_primary == f"pgagent: {message}"
    assert e.value.diag.message_detail


def test_a_step_may_name_both_a_database_and_a_connection_string(conn):
    job_id = add_job(conn, due=None)

    add_step(conn, job_id, {"jstcode": "x", "jstdbname": "a", "jstconnstr": "dbname=b"})


SCHEDULES = {
    "lower bound": (
        {"jschours": "[0:23]={" + ",".join("f" * 24) + "}"},
        "pga_schedule.jschours: lower bound must be 1, is 0",
    ),
    "dimensions": (
        {"jscweekdays": "{" + ",".join(["{f}"] * 7) + "}"},
        "pga_schedule.jscweekdays: must be one-dimensional, has 2 dimensions",
    ),
    "start": (
        {"jscstart": "12000-01-01"},
        "pga_schedule.jscstart: start later than the year 9999",
    ),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_a_malformed_schedule_is_refused(conn, case):
    columns, message = SCHEDULES[case]
    job_id = add_job(conn, due=None)

    with pytest.raises(psycopg.Error) as e:
        add_schedule(conn, job_id, **columns)

    assert e.value.diag.message_primary == f"pgagent: {message}"


def test_what_is_accepted_with_a_notice_says_so(conn):
    heard = []
    conn.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    job_id = add_job(conn, due=None)

    schedule_id = add_schedule(conn, job_id, jscstart="2000-01-01", jscend="2001-01-01")
    conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jextime) VALUES (%s, '10:30:30')",
        [schedule_id],
    )

    assert heard == [
        'pgagent: schedule "schedule" never runs from now on',
        (
            "pgagent: pga_exception.jextime: 10:30:30 is taken as 10:30:00,"
            " schedules have no seconds"
        ),
        'pgagent: schedule "schedule" never runs from now on',
    ]
