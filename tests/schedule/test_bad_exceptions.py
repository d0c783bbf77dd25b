"""Malformed and pointless exceptions of schedules, and very many of them."""

import pytest
from jobs import add_job, add_schedule, job
from psycopg.errors import InvalidParameterValue, UniqueViolation

from .schedules import array

DAILY_10_30 = {
    "jschours": array({10}, range(24)),
    "jscminutes": array({30}, range(60)),
    "jsctimezone": "UTC",
    "jscstart": "2050-01-01 00:00+00",
}


@pytest.fixture
def job_id(conn):
    return add_job(conn, due=None)


@pytest.fixture
def schedule_id(conn, job_id):
    return add_schedule(conn, job_id, **DAILY_10_30)


@pytest.fixture
def notices(conn):
    """The messages of the notices."""
    found = []
    conn.add_notice_handler(lambda diagnostic: found.append(diagnostic.message_primary))
    return found


def exclude(conn, schedule_id, day=None, at=None):
    return conn.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)"
        " VALUES (%s, %s, %s) RETURNING jexdate::text, jextime::text",
        [schedule_id, day, at],
    ).fetchone()


def restore(conn, schedule_id, day, at):
    """Add an exception as a dump does, perhaps one of pgAgent 4.2."""
    with conn.transaction():
        conn.execute("SET LOCAL check_function_bodies = off")
        conn.execute("SET LOCAL row_security = off")
        exclude(conn, schedule_id, day, at)


def next_run(conn, job_id):
    return job(conn, job_id, "(jobnextrun AT TIME ZONE 'UTC')::text")


@pytest.mark.parametrize(
    ("day", "at", "reason"),
    [
        (None, None, "pga_exception: date or time wanted"),
        ("infinity", None, "pga_exception.jexdate: date must be finite"),
        ("-infinity", "10:30", "pga_exception.jexdate: date must be finite"),
        (None, "24:00", "pga_exception.jextime: time out of range: 24:00:00"),
    ],
)
def test_an_exception_of_nothing_is_refused(conn, schedule_id, day, at, reason):
    exclude(conn, schedule_id, "2050-01-01")
    update = "UPDATE pgagent.pga_exception SET jexdate = %s, jextime = %s"
    with pytest.raises(InvalidParameterValue, match=f"pgagent: {reason}"):
        exclude(conn, schedule_id, day, at)
    with pytest.raises(InvalidParameterValue, match=f"pgagent: {reason}"):
        conn.execute(update, [day, at])


def test_seconds_are_cut_off_with_a_notice(conn, job_id, schedule_id, notices):
    assert exclude(conn, schedule_id, "2050-01-01", "10:30:30") == (
        "2050-01-01",
        "10:30:00",
    )
    assert ["10:30:30" in notice for notice in notices] == [True]
    assert next_run(conn, job_id) == "2050-01-02 10:30:00"


def test_an_exception_moves_the_next_run_and_its_removal_brings_it_back(
    conn, job_id, schedule_id
):
    exclude(conn, schedule_id, "2050-01-01")
    assert next_run(conn, job_id) == "2050-01-02 10:30:00"
    conn.execute("UPDATE pgagent.pga_exception SET jexdate = '2050-01-02'")
    assert next_run(conn, job_id) == "2050-01-01 10:30:00"
    conn.execute("DELETE FROM pgagent.pga_exception")
    assert next_run(conn, job_id) == "2050-01-01 10:30:00"


def test_an_exception_of_every_run_is_saved_with_a_notice(
    conn, job_id, schedule_id, notices
):
    exclude(conn, schedule_id, at="10:30")
    assert next_run(conn, job_id) is None
    assert ["never runs" in notice for notice in notices] == [True]


@pytest.mark.parametrize(
    ("day", "at"),
    [("2050-01-01", "10:30"), ("2050-01-01", None), (None, "10:30")],
)
def test_two_schedules_may_have_the_same_exception(conn, job_id, schedule_id, day, at):
    exclude(conn, schedule_id, day, at)
    exclude(conn, add_schedule(conn, job_id, **DAILY_10_30), day, at)


def test_one_schedule_has_a_slot_excepted_once(conn, schedule_id):
    exclude(conn, schedule_id, "2050-01-01", "10:30")
    with pytest.raises(UniqueViolation):
        exclude(conn, schedule_id, "2050-01-01", "10:30")


@pytest.mark.parametrize(
    ("day", "at"),
    [
        (None, None),
        ("infinity", None),
        ("-infinity", "10:30"),
        (None, "24:00"),
    ],
)
def test_a_restored_exception_of_nothing_excepts_nothing(
    conn, job_id, schedule_id, day, at
):
    restore(conn, schedule_id, day, at)
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
    assert next_run(conn, job_id) == "2050-01-01 10:30:00"


@pytest.mark.parametrize("day", ["2050-01-01", None])
@pytest.mark.parametrize("add", [exclude, restore])
@pytest.mark.parametrize(
    ("schedule", "run"),
    [
        (DAILY_10_30 | {"jscminutes": array({30, 31}, range(60))}, "10:31:00"),
        (
            {
                "jscevery": "20 seconds",
                "jscstart": "2050-01-01 10:30:00Z",
                "jsctimezone": "UTC",
            },
            "10:31:00",
        ),
    ],
    ids=["fields", "interval"],
)
def test_an_exception_with_seconds_means_its_minute_whoever_wrote_it(
    conn, job_id, schedule, run, add, day
):
    add(conn, add_schedule(conn, job_id, **schedule), day, "10:30:30.5")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
    assert next_run(conn, job_id) == f"2050-01-01 {run}"


@pytest.mark.parametrize(
    ("exceptions", "run"),
    [
        ("'2050-01-01'::date + n, NULL", "2077-05-19 10:30:00"),
        ("'2050-01-01'::date + n, '10:30'", "2077-05-19 10:30:00"),
        ("'2000-01-01'::date + n, NULL", "2050-01-01 10:30:00"),
    ],
)
def test_ten_thousand_exceptions_are_got_over(
    conn, job_id, schedule_id, exceptions, run
):
    conn.execute("SET session_replication_role = replica")
    conn.execute(
        f"""INSERT INTO pgagent.pga_exception (jexscid, jexdate, jextime)
            SELECT %s, {exceptions} FROM generate_series(0, 9999) AS n""",
        [schedule_id],
    )
    conn.execute("SET session_replication_role = origin")
    conn.execute("ANALYZE pgagent.pga_exception")
    conn.execute("SET statement_timeout = '5s'")
    conn.execute("UPDATE pgagent.pga_job SET jobnextrun = NULL")
    assert next_run(conn, job_id) == run
