"""Rows that make no sense are refused in words, before the constraints do it."""

import psycopg
import pytest
from jobs import add_job, add_schedule, add_step, job

STEPS: dict[str, tuple[dict[str, object], str]] = {
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
    "nested reasons": (
        {"jstretryon": "{{any}}"},
        "pga_jobstep.jstretryon: has 2 dimensions and 1 elements",
    ),
    "many reasons": (
        {"jstretryon": ["any"] * 101},
        "pga_jobstep.jstretryon: has 1 dimensions and 101 elements",
    ),
    "long name": (
        {"jstname": "x" * 1_000_001},
        "pga_jobstep.jstname: has 1000001 characters",
    ),
    "long description": (
        {"jstdesc": "x" * 1_000_001},
        "pga_jobstep.jstdesc: has 1000001 characters",
    ),
    "large code": (
        {"jstcode": "x" * (2**26 + 1)},
        "pga_jobstep.jstcode: has 67108865 bytes",
    ),
    "long connection string": (
        {"jstconnstr": "x" * 100_001},
        "pga_jobstep.jstconnstr: has 100001 characters",
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


def test_what_is_large_and_not_oversized_is_stored(conn):
    job_id = add_job(conn, due=None, name="x" * 1_000_000)
    reasons = [f"{number:05}" for number in range(100)]
    add_step(conn, job_id, {"jstcode": "x" * 2**20, "jstretryon": reasons})


@pytest.mark.parametrize(
    ("column", "limit"),
    [("jobname", 1_000_000), ("jobdesc", 1_000_000), ("jobhostagent", 1_000_000)],
)
def test_an_oversized_text_of_a_job_is_refused(conn, column, limit):
    job_id = add_job(conn, due=None)
    change = f"UPDATE pgagent.pga_job SET {column} = repeat('x', %s)"
    conn.execute(change, [limit])
    wrong = f"pgagent: pga_job.{column}: has {limit + 1} characters"
    with pytest.raises(psycopg.Error, match=wrong) as e:
        conn.execute(change, [limit + 1])
    assert e.value.sqlstate == "22023"
    with pytest.raises(psycopg.Error, match=wrong):
        add_job(conn, due=None, **{column: "x" * (limit + 1)})
    assert len(job(conn, job_id, column)) == limit


def test_what_a_dump_has_brought_keeps_its_size_and_can_be_changed(conn):
    conn.execute("SET check_function_bodies = off; SET row_security = off")
    job_id = add_job(
        conn, {"jstcode": "x" * (2**26 + 1)}, due=None, name="x" * 1_000_001
    )
    add_schedule(conn, job_id, jscname="x" * 1_000_001)
    conn.execute("RESET check_function_bodies; RESET row_security")
    conn.execute("UPDATE pgagent.pga_job SET jobenabled = false")
    conn.execute("UPDATE pgagent.pga_jobstep SET jstenabled = false")
    conn.execute("UPDATE pgagent.pga_schedule SET jscenabled = false")


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
    "long name": (
        {"jscname": "x" * 1_000_001},
        "pga_schedule.jscname: has 1000001 characters",
    ),
    "long description": (
        {"jscdesc": "x" * 1_000_001},
        "pga_schedule.jscdesc: has 1000001 characters",
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
