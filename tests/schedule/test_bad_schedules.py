"""Malformed and pointless schedules: refused in words, noticed, or lived with."""

import re

import pytest
from jobs import add_job, add_schedule, job
from psycopg.errors import InvalidParameterValue, NotNullViolation

from .schedules import cron
from .shapes import FIELDS, SHAPES, row

REFUSED_BY_4_2 = {"too few", "too many", "0 to n - 1"}

every_shape = pytest.mark.parametrize(
    ("make", "complaint"), SHAPES.values(), ids=SHAPES
)
every_field = pytest.mark.parametrize(("field", "size"), FIELDS.items())


@pytest.fixture
def db(asking):
    """A connection in a transaction that is rolled back."""
    with asking.transaction(force_rollback=True):
        yield asking


@pytest.fixture
def notices(asking):
    """The messages of the notices from here on."""
    found = []

    def note(diagnostic):
        found.append(diagnostic.message_primary)

    asking.add_notice_handler(note)
    yield found
    asking.remove_notice_handler(note)


def complaint_about(conn, error=InvalidParameterValue, **columns):
    """Return why these columns are refused, in an INSERT and in an UPDATE."""
    job_id = add_job(conn, due=None)
    schedule_id = add_schedule(conn, job_id)
    with pytest.raises(error) as inserting, conn.transaction():
        add_schedule(conn, job_id, **columns)
    with pytest.raises(error) as updating, conn.transaction():
        update(conn, schedule_id, **columns)
    inserted, updated = inserting.value.diag, updating.value.diag
    assert inserted.message_primary == updated.message_primary
    return f"{inserted.message_primary}\n{inserted.message_detail}"


def update(conn, schedule_id, **columns):
    assignments = ", ".join(f"{column} = %s" for column in columns)
    conn.execute(
        f"UPDATE pgagent.pga_schedule SET {assignments} WHERE jscid = %s",
        [*columns.values(), schedule_id],
    )


def save(conn, schedule):
    """Save a schedule in a job of its own; return the job's id."""
    job_id = add_job(conn, due=None)
    bounds = {"jscstart": schedule.start, "jscend": schedule.end}
    fields = zip(FIELDS, schedule.arrays(), strict=True)
    add_schedule(conn, job_id, jsctimezone="UTC", **bounds, **dict(fields))
    return job_id


def next_run(conn, job_id):
    return job(conn, job_id, "(jobnextrun AT TIME ZONE 'UTC')::text")


@every_field
@every_shape
def test_a_malformed_field_is_refused(db, field, size, make, complaint):
    reason = complaint_about(db, **{field: make(size)})
    assert reason.startswith(f"pgagent: pga_schedule.{field}: ")
    assert re.search(complaint.format(n=size), reason)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_null_is_refused(db, field):
    complaint_about(db, NotNullViolation, **{field: None})


def test_the_message_counts_the_elements(db):
    reason = complaint_about(db, jscminutes=row(["t"] * 59))
    message = "pgagent: pga_schedule.jscminutes: has 59 elements, 60 wanted"
    assert reason.startswith(message + "\n")


def test_a_malformed_field_is_refused_in_a_disabled_job_too(db):
    job_id = add_job(db, due=None, jobenabled=False)
    with pytest.raises(InvalidParameterValue):
        add_schedule(db, job_id, jscminutes="{}")


def test_thirty_one_days_of_the_month_are_padded(db, notices):
    schedule_id = add_schedule(
        db, add_job(db, due=None), jscmonthdays=row(["f"] * 30 + ["t"])
    )
    stored = "SELECT jscmonthdays FROM pgagent.pga_schedule WHERE jscid = %s"
    assert db.execute(stored, [schedule_id]).fetchone() == (
        [False] * 30 + [True, False],
    )
    assert notices == []


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"jscstart": "infinity"}, "jscstart: start must be finite"),
        ({"jscstart": "10000-01-01 00:00+00"}, "jscstart: .*9999"),
        ({"jscstart": "32768-01-01"}, "jscstart: .*9999"),
        ({"jscstart": "294276-12-31"}, "jscstart: .*9999"),
        ({"jscend": "-infinity"}, "jscend: end before start"),
        ({"jsctimezone": "Mars/Olympus"}, "jsctimezone: .*Mars/Olympus"),
        ({"jsctimezone": ""}, "jsctimezone: "),
        ({"jsctimezone": "UTC+3"}, "jsctimezone: .*UTC\\+3"),
    ],
)
def test_a_bound_or_zone_out_of_this_world_is_refused(db, bounds, reason):
    assert re.match(f"pgagent: pga_schedule.{reason}", complaint_about(db, **bounds))


@pytest.mark.parametrize(
    "bounds",
    [
        {"jscstart": "-infinity"},
        {"jscstart": "4713-01-01 BC"},
        {"jscend": "infinity"},
    ],
)
def test_a_bound_may_be_no_bound(db, notices, bounds):
    job_id = add_job(db, due=None)
    add_schedule(db, job_id, **bounds)
    assert job(db, job_id, "jobnextrun > now()")
    assert notices == []


@pytest.mark.parametrize(
    "schedule",
    [
        cron("0 9 30 2 *"),
        cron("0 9 30 2 *", end="2100-01-01"),
        cron("0 9 31 2,4,6,9,11 *"),
        cron("0 9 * * *", start="2030-01-01", end="2029-01-01"),
        cron("0 9 * * *", end="2000-01-01"),
    ],
)
def test_a_schedule_that_never_runs_is_saved_with_a_notice(db, notices, schedule):
    assert next_run(db, save(db, schedule)) is None
    assert ["never runs" in notice for notice in notices] == [True]


@pytest.mark.parametrize(
    ("schedule", "run"),
    [
        (cron("0 9 31 * *", start="2050-11-01"), "2050-12-31 09:00:00"),
        (cron("0 9 29 2 mon", start="2030-01-01"), "2044-02-29 09:00:00"),
        (cron("0 9 31,L * *", start="2050-11-01"), "2050-11-30 09:00:00"),
        (cron("0 9 15,L * *", start="2050-11-16"), "2050-11-30 09:00:00"),
        (cron("* * * * *", start="2050-11-16"), "2050-11-16 00:00:00"),
    ],
)
def test_odd_days_are_saved_and_run(db, notices, schedule, run):
    assert next_run(db, save(db, schedule)) == run
    assert notices == []


def test_a_start_in_the_last_minute_of_9999_is_saved(db):
    assert next_run(db, save(db, cron("* * * * *", start="9999-12-31 23:59"))) is None


def test_a_job_runs_by_the_new_clock_when_the_zone_changes(db):
    job_id = save(db, cron("0 9 * * *", start="2050-01-01"))
    db.execute("UPDATE pgagent.pga_schedule SET jsctimezone = 'Asia/Tokyo'")
    assert next_run(db, job_id) == "2050-01-01 00:00:00"


@every_field
@pytest.mark.parametrize("shape", sorted(SHAPES.keys() - REFUSED_BY_4_2))
def test_a_restore_stores_what_pgagent_4_2_had(db, field, size, shape):
    elements = SHAPES[shape][0](size)
    job_id = add_job(db, due=None)
    db.execute("SET LOCAL check_function_bodies = off")
    db.execute("SET LOCAL row_security = off")
    schedule_id = add_schedule(db, job_id, **{field: elements})
    assert db.execute(
        f"SELECT {field} = %s::boolean[] FROM pgagent.pga_schedule WHERE jscid = %s",
        [elements, schedule_id],
    ).fetchone() == (True,)
