"""Jobs and schedules that pgAdmin creates: found again, complete, and due when meant."""

import psycopg
import pytest
from jobs import add_job, job

from .client import (
    JOB,
    JOB_NODE,
    JOB_NODES,
    LAST,
    SCHEDULE_NODE,
    SCHEDULE_NODES,
    SCHEDULES,
    STEP_NODES,
    STEPS,
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


def test_a_new_job_is_found_among_others(pgadmin, neighbours):
    node = create(
        pgadmin,
        r"""
DO $$
DECLARE
    jid integer;
BEGIN
INSERT INTO pgagent.pga_job(
    jobjclid, jobname, jobdesc, jobhostagent, jobenabled
) VALUES (
    5::integer,  E'it''s $%{}[]()&*^!@""`\\/#'::text, 'on one host'::text, 'db1'::text, false
) RETURNING jobid INTO jid;
END
$$;"""
        + THE_NEW_JOB,
        JOB_NODE,
    )

    assert (
        node.items()
        >= {
            "jobname": r"""it's $%{}[]()&*^!@""`\/#""",
            "jobenabled": False,
            "jobdesc": "on one host",
        }.items()
    )
    ids = [row["jobid"] for row in send(pgadmin, JOB_NODES)]
    assert ids == [neighbours[0], node["jobid"], neighbours[1]]
    properties = send_for_row(pgadmin, JOB.format(node["jobid"]))
    assert properties["jobclass"] == "Miscellaneous"
    assert properties["jobhostagent"] == "db1"
    assert properties["jobcreated"] == properties["jobchanged"]
    assert properties["jobnextrun"] is None
    assert send(pgadmin, STEPS.format(node["jobid"])) == []
    assert send(pgadmin, SCHEDULES.format(node["jobid"])) == []


def test_a_new_job_with_steps_of_all_kinds_is_found(pgadmin):
    node = create(
        pgadmin,
        """
DO $$
DECLARE
    jid integer;
BEGIN
INSERT INTO pgagent.pga_job(
    jobjclid, jobname, jobdesc, jobhostagent, jobenabled
) VALUES (
    1::integer, 'nightly'::text, ''::text, ''::text, true
) RETURNING jobid INTO jid;

INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    jid, '1 local'::text, true, 's'::character(1),
    ''::text, 'postgres'::name, 'f'::character(1),
    'SELECT 1;'::text, 'here'::text
) ;
INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    jid, '2 remote'::text, false, 's'::character(1),
    'host=db2 dbname=sales'::text, ''::name, 's'::character(1),
    'SELECT 2;'::text, ''::text
) ;
INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    jid, '3 batch'::text, true, 'b'::character(1),
    ''::text, ''::name, 'i'::character(1),
    'exit 0'::text, ''::text
) ;
END
$$;"""
        + THE_NEW_JOB,
        JOB_NODE,
    )

    assert node["jobname"] == "nightly"
    rows = send(pgadmin, STEPS.format(node["jobid"]))
    assert [tuple(row.values())[2:-1] for row in rows] == [
        ("1 local", "here", True, True, "SELECT 1;", True, "", "postgres", "f"),
        (
            "2 remote",
            "",
            False,
            True,
            "SELECT 2;",
            False,
            "host=db2 dbname=sales",
            "",
            "s",
        ),
        ("3 batch", "", True, False, "exit 0", True, "", "", "i"),
    ]
    nodes = send(pgadmin, STEP_NODES.format(node["jobid"]))
    assert [row["jstid"] for row in nodes] == [row["jstid"] for row in rows]


def test_a_new_job_with_a_schedule_is_found_and_has_its_next_run(pgadmin):
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
) RETURNING jscid INTO scid;
INSERT INTO pgagent.pga_exception (
    jexscid, jexdate, jextime
) VALUES (
    scid, to_date('2040-01-31', 'YYYY-MM-DD')::date, NULL::time without time zone
);
INSERT INTO pgagent.pga_exception (
    jexscid, jexdate, jextime
) VALUES (
    scid, NULL::date, '03:30:00'::time without time zone
);
END
$$;"""
        + THE_NEW_JOB,
        JOB_NODE,
    )

    assert node["jobname"] == "month end"
    properties = send_for_row(pgadmin, JOB.format(node["jobid"]))
    assert properties["jobnextrun"] == utc("2040-02-29 04:30")
    schedule = send_for_row(pgadmin, SCHEDULES.format(node["jobid"]))
    fields = ("jscminutes", "jschours", "jscweekdays", "jscmonthdays", "jscmonths")
    assert [len(schedule[field]) for field in fields] == [60, 24, 7, 32, 12]
    assert schedule["jscmonthdays"][-1] is True
    assert schedule["jscstart"] == utc("2039-12-31 18:30")
    assert schedule["jexdate"] == ["2040-01-31", None]


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
