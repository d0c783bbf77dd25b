"""Schedules that pgAdmin creates, alone or with a job, are found and set the next run."""

import psycopg
import pytest
from jobs import add_job, job

from .client import (
    JOB,
    JOB_NODE,
    LAST,
    SCHEDULE_NODE,
    SCHEDULE_NODES,
    SCHEDULES,
    THE_NEW_JOB,
    THE_NEW_SCHEDULE,
    create,
    hours,
    minutes,
    monthdays,
    months,
    send,
    send_for_row,
    utc,
    weekdays,
)

EXCEPTIONS = """
INSERT INTO pgagent.pga_exception (
    jexscid, jexdate, jextime
) VALUES (
    scid, to_date('2040-01-31', 'YYYY-MM-DD')::date, NULL::time without time zone
);
INSERT INTO pgagent.pga_exception (
    jexscid, jexdate, jextime
) VALUES (
    scid, NULL::date, '03:30:00'::time without time zone
);"""


@pytest.mark.parametrize(
    ("exceptions", "dates", "next_run"),
    [
        pytest.param("", None, "2040-01-31 03:30", id="alone"),
        pytest.param(
            EXCEPTIONS, ["2040-01-31", None], "2040-02-29 04:30", id="with exceptions"
        ),
    ],
)
def test_a_new_job_with_a_schedule_is_found_and_has_its_next_run(
    pgadmin, exceptions, dates, next_run
):
    node = create(
        pgadmin,
        f"""
DO $$
DECLARE
    jid integer;
    scid integer;
BEGIN
INSERT INTO pgagent.pga_job(
    jobjclid, jobname, jobdesc, jobhostagent, jobenabled
) VALUES (
    3::integer, 'month end'::text, ''::text, ''::text, true
) RETURNING jobid INTO jid;

INSERT INTO pgagent.pga_schedule(
    jscjobid, jscname, jscdesc, jscenabled,
    jscstart, jscend,    jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths
) VALUES (
    jid, 'last day'::text, 'at night'::text, true,
    '2040-01-01 00:00:00 +05:30'::timestamp with time zone, '2041-01-01 00:00:00 +05:30'::timestamp with time zone,
    {minutes(30)},
    {hours(3, 4)},
    {weekdays()},
    {monthdays(LAST)},
    {months()}
) RETURNING jscid INTO scid;{exceptions}
END
$$;"""
        + THE_NEW_JOB,
        JOB_NODE,
    )

    assert node["jobname"] == "month end"
    properties = send_for_row(pgadmin, JOB.format(node["jobid"]))
    assert properties["jobnextrun"] == utc(next_run)
    schedule = send_for_row(pgadmin, SCHEDULES.format(node["jobid"]))
    fields = ("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths")
    assert [len(schedule[field]) for field in fields] == [60, 24, 7, 32, 12]
    assert schedule["jscmonthdays"][-1] is True
    assert schedule["jscstart"] == utc("2039-12-31 18:30")
    assert schedule["jexdate"] == dates


def test_a_schedule_added_to_a_job_is_found_and_sets_its_next_run(conn, pgadmin):
    job_id = add_job(conn, due=None)

    node = create(pgadmin, _add_schedule(job_id, monthdays(5)), SCHEDULE_NODE)

    assert node.items() >= {"jscjobid": job_id, "jscname": "monthly"}.items()
    assert send(pgadmin, SCHEDULE_NODES.format(job_id)) == [node]
    properties = send_for_row(pgadmin, JOB.format(job_id))
    assert properties["jobnextrun"] == utc("2040-01-05 12:15")
    assert properties["jobchanged"] > properties["jobcreated"]


def test_month_days_without_the_last_one_are_completed(conn, pgadmin):
    thirty_one = monthdays(31).replace(",f}", "}")
    job_id = add_job(conn, due=None)

    create(pgadmin, _add_schedule(job_id, thirty_one), SCHEDULE_NODE)

    stored = send_for_row(pgadmin, SCHEDULES.format(job_id))["jscmonthdays"]
    assert stored == [False] * 30 + [True, False]
    assert job(conn, job_id, "jobnextrun") == utc("2040-01-31 12:15")


def test_a_refused_schedule_leaves_nothing_behind(conn, pgadmin):
    job_id = add_job(conn, due=None)
    one_too_many = monthdays().replace("}", ",f}")

    with pytest.raises(
        psycopg.Error, match=r"jscmonthdays: has 33 elements, 32 wanted"
    ):
        create(pgadmin, _add_schedule(job_id, one_too_many), SCHEDULE_NODE)

    assert send(pgadmin, SCHEDULE_NODES.format(job_id)) == []
    assert send_for_row(pgadmin, JOB_NODE.format(job_id))["jobid"] == job_id


def _add_schedule(job_id, days):
    return (
        f"""
DO $$
DECLARE
    scid integer;
BEGIN
INSERT INTO pgagent.pga_schedule(
    jscjobid, jscname, jscdesc, jscenabled,
    jscstart,     jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths
) VALUES (
    {job_id}, 'monthly'::text, ''::text, true,
    '2040-01-01 00:00:00 +00:00'::timestamp with time zone,
    {minutes(15)},
    {hours(12)},
    {weekdays()},
    {days},
    {months()}
) RETURNING jscid INTO scid;
END
$$;"""
        + THE_NEW_SCHEDULE
    )
