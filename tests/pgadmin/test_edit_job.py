"""The dialog of a job: one string with all that has changed, the job, steps, schedules."""

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step, batch

from .client import (
    JOB,
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

START = "2040-01-01 00:00"


def test_the_properties_of_a_job_are_edited(conn, pgadmin):
    job_id = add_job(conn, due=None)
    add_schedule(conn, job_id, jscstart=START)
    before = send_for_row(pgadmin, JOB.format(job_id))

    send(
        pgadmin,
        f"""
UPDATE pgagent.pga_job
SET jobjclid=4::integer, jobname='renamed'::text, jobdesc='why'::text, jobhostagent='db2'::text, jobenabled=false
WHERE jobid = {job_id};
""",
    )

    after = send_for_row(pgadmin, JOB.format(job_id))
    assert (
        after.items()
        >= {
            "jobname": "renamed",
            "jobdesc": "why",
            "jobhostagent": "db2",
            "jobenabled": False,
            "jobclass": "Data Summarisation",
            "jobnextrun": None,
            "jobcreated": before["jobcreated"],
        }.items()
    )
    assert after["jobchanged"] > before["jobchanged"]


def test_a_job_that_is_enabled_again_has_its_next_run(conn, pgadmin):
    job_id = add_job(conn, due=None, jobenabled=False)
    add_schedule(conn, job_id, jscstart=START)

    send(
        pgadmin,
        f"UPDATE pgagent.pga_job\nSET jobenabled=true\nWHERE jobid = {job_id};",
    )

    assert _next_run(pgadmin, job_id) == utc(START)


def test_everything_about_a_job_is_edited_in_one_string(conn, pgadmin):
    job_id = add_job(conn, due=None)
    steps = [add_step(conn, job_id, "SELECT 1", name=f"step {n}") for n in (1, 2)]
    schedules = [
        add_schedule(conn, job_id, jscname=f"schedule {n}", jscstart=START)
        for n in (1, 2)
    ]

    send(pgadmin, _edit_everything(job_id, steps, schedules))

    job = send_for_row(pgadmin, JOB.format(job_id))
    assert job["jobdesc"] == "edited"
    assert job["jobnextrun"] == utc("2040-03-02 00:00")
    assert [
        (row["jstname"], row["jstkind"], row["jstenabled"], row["jstonerror"])
        for row in send(pgadmin, STEPS.format(job_id))
    ] == [("step 2", True, False, "i"), ("step 3", False, True, "f")]
    assert [
        (row["jscname"], row["jscenabled"], row["jexdate"])
        for row in send(pgadmin, SCHEDULES.format(job_id))
    ] == [("schedule 2", False, None), ("schedule 3", True, ["2040-03-01"])]


def test_an_edit_that_is_refused_changes_nothing(conn, pgadmin):
    job_id = add_job(conn, batch("true"), due=None)
    queries = [query.format(job_id) for query in (JOB, STEPS, SCHEDULES)]
    before = [send(pgadmin, query) for query in queries]
    (step,) = before[1]

    with pytest.raises(psycopg.Error, match="a batch step has no database"):
        send(
            pgadmin,
            f"""
UPDATE pgagent.pga_job
SET jobenabled=false
WHERE jobid = {job_id};
UPDATE pgagent.pga_jobstep
SET
    jstdbname='postgres', jstconnstr=''
WHERE jstid={step["jstid"]}::integer AND jstjobid={job_id}::integer;
""",
        )

    assert [send(pgadmin, query) for query in queries] == before


def _edit_everything(job_id, steps, schedules):
    return f"""
UPDATE pgagent.pga_job
SET jobdesc='edited'::text
WHERE jobid = {job_id};

DELETE FROM pgagent.pga_jobstep WHERE jstid={steps[0]}::integer AND jstjobid={job_id}::integer;
UPDATE pgagent.pga_jobstep
SET
    jstenabled=false,
    jstonerror='i'
WHERE jstid={steps[1]}::integer AND jstjobid={job_id}::integer;
INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    {job_id}, 'step 3'::text, true, 'b'::character(1),
    ''::text, ''::name, 'f'::character(1),
    'true'::text, ''::text
) RETURNING jstid;

DELETE FROM pgagent.pga_schedule WHERE jscid={schedules[0]}::integer AND jscjobid={job_id}::integer;
UPDATE pgagent.pga_schedule
SET
    jscenabled=false
WHERE jscid={schedules[1]}::integer AND jscjobid={job_id}::integer;

DO $$
DECLARE
    scid integer;
BEGIN
INSERT INTO pgagent.pga_schedule(
    jscjobid, jscname, jscdesc, jscenabled,
    jscstart, jscend,    jscminutes, jschours, jscweekdays, jscmonthdays, jscmonths
) VALUES (
    {job_id}, 'schedule 3'::text, ''::text, true,
    '2040-03-01 00:00:00 +00:00'::timestamp with time zone, '2040-04-01 00:00:00 +00:00'::timestamp with time zone,
    {minutes(0)},
    {hours(0)},
    {weekdays()},
    {monthdays()},
    {months()}
) RETURNING jscid INTO scid;
INSERT INTO pgagent.pga_exception (
    jexscid, jexdate, jextime
) VALUES (
    scid, to_date('2040-03-01', 'YYYY-MM-DD')::date, NULL::time without time zone
);
END
$$;
"""


def _next_run(pgadmin, job_id):
    return send_for_row(pgadmin, JOB.format(job_id))["jobnextrun"]
