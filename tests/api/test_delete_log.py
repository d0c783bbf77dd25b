"""delete_log deletes what has ended, as far as it was told."""

import psycopg
import pytest
from jobs import add_job

ROWS = """
    INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgstart)
    SELECT n, %s, CASE n WHEN 2 THEN 'r' ELSE 's' END, now() - (6 - n) * interval '1 day'
    FROM generate_series(1, 5) AS n
"""


@pytest.fixture
def logged(conn):
    """A job with five runs of the last five days, the second of which is under way."""
    job_id = add_job(conn, name="a", due=None)
    conn.execute(ROWS, [job_id])
    other = add_job(conn, name="b", due=None)
    conn.execute(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) VALUES (9, %s, 's')",
        [other],
    )
    return job_id


def left(conn):
    rows = conn.execute(
        "SELECT jlgid FROM pgagent.pga_joblog ORDER BY jlgid"
    ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "deleted", "kept"),
    [
        ("", 4, [2, 9]),
        (", now() - interval '3.5 days'", 1, [2, 3, 4, 5, 9]),
        (", keep_runs => 2", 2, [2, 4, 5, 9]),
        (", keep_runs => 5", 0, [1, 2, 3, 4, 5, 9]),
        (", keep_runs => 9", 0, [1, 2, 3, 4, 5, 9]),
        (", max_rows => 2", 2, [2, 4, 5, 9]),
        (", before => '-infinity'", 0, [1, 2, 3, 4, 5, 9]),
        (", dry_run => true", 4, [1, 2, 3, 4, 5, 9]),
        (", now() - interval '3.5 days', keep_runs => 3", 1, [2, 3, 4, 5, 9]),
    ],
)
def test_it_deletes_what_it_was_told_to(conn, logged, arguments, deleted, kept):
    found = conn.execute(f"SELECT pgagent.delete_log('a'{arguments})").fetchone()
    assert (found, left(conn)) == ((deleted,), kept)


def test_a_job_is_found_by_its_id(conn, logged):
    query = "SELECT pgagent.delete_log(%s::bigint)"
    assert conn.execute(query, [logged]).fetchone() == (4,)


@pytest.mark.parametrize(
    ("arguments", "sqlstate", "message", "detail"),
    [
        (
            "'x'",
            "42704",
            'pgagent: there is no job "x"',
            'Jobs of this database are "a", "b".',
        ),
        (
            "0::bigint",
            "42704",
            "pgagent: there is no job with the id 0",
            "The table pgagent.pga_job lists",
        ),
        (
            "'a', NULL",
            "22023",
            "pgagent: delete_log(before): is NULL",
            "A point in time is wanted",
        ),
        (
            "'a', keep_runs => -1",
            "22023",
            "pgagent: delete_log(keep_runs): -1 is out of range",
            "Wanted is how many of the latest runs stay.",
        ),
        (
            "'a', keep_runs => NULL",
            "22023",
            "pgagent: delete_log(keep_runs): NULL is out of range",
            "Wanted is how many",
        ),
        (
            "'a', max_rows => 0",
            "22023",
            "pgagent: delete_log(max_rows): 0 is out of range",
            "NULL stands for all.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    conn, logged, arguments, sqlstate, message, detail
):
    with pytest.raises(psycopg.Error) as error:
        conn.execute(f"SELECT pgagent.delete_log({arguments})")
    assert error.value.sqlstate == sqlstate
    assert error.value.diag.message_primary == message
    assert detail in (error.value.diag.message_detail or "")
    assert left(conn) == [1, 2, 3, 4, 5, 9]
