"""Malformed and pointless schedules: refused in words, noticed, or lived with."""

import re
from itertools import product

import pytest
from jobs import add_job, add_schedule, job
from psycopg.errors import InvalidParameterValue, NotNullViolation

from .schedules import cron

FIELDS = {
    "jscminutes": 60,
    "jschours": 24,
    "jscweekdays": 7,
    "jscmonthdays": 32,
    "jscmonths": 12,
}
BOUNDS = [
    None,
    "-infinity",
    "4713-01-01 BC",
    "2030-01-01",
    "9999-12-31 23:59",
    "32768-01-01",
    "294276-12-31",
    "infinity",
]


def row(elements, first=1):
    last = first + len(elements) - 1
    return f"[{first}:{last}]={{{','.join(elements)}}}"


def matrix(rows):
    return "{" + ",".join(rows) + "}"


# Arrays for a field of n elements, and what there is to say of them.
SHAPES = {
    "all NULL": (lambda n: row(["NULL"] * n), "element 1 is NULL"),
    "one NULL": (lambda n: row(["f"] * (n - 1) + ["NULL"]), "element {n} is NULL"),
    "one NULL, one true": (
        lambda n: row(["t", "NULL"] + ["f"] * (n - 2)),
        "element 2 is NULL",
    ),
    "empty": (lambda n: "{}", "has 0 elements, {n} wanted"),
    "too few": (lambda n: row(["t"] * (n - 2)), "elements, {n} wanted"),
    "too many": (lambda n: row(["t"] * (n + 1)), "elements, {n} wanted"),
    "0 to n": (lambda n: row(["t"] * (n + 1), 0), "lower bound.* 0"),
    "0 to n - 1": (lambda n: row(["t"] * n, 0), "lower bound.* 0"),
    "0 to n, only 0 true": (
        lambda n: row(["t"] + ["f"] * n, 0),
        "lower bound.* 0",
    ),
    "2 to n": (lambda n: row(["t"] * (n - 1), 2), "lower bound.* 2"),
    "only n, true": (lambda n: row(["t"], n), "lower bound.* {n}"),
    "only n, false": (lambda n: row(["f"], n), "lower bound.* {n}"),
    "-5 to n": (lambda n: row(["f"] * (n + 6), -5), "lower bound.* -5"),
    "n rows": (lambda n: matrix(["{t}"] * n), "one-dimensional, has 2"),
    "n rows of two": (lambda n: matrix(["{t,f}"] * n), "one-dimensional, has 2"),
    "n planes": (lambda n: matrix(["{{f}}"] * n), "one-dimensional, has 3"),
}

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


@every_field
def test_a_field_that_is_null_is_refused(db, field, size):
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
    assert db.execute(stored, [schedule_id]).fetchone() == ([False] * 30 + [True, False],)
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


@pytest.mark.parametrize("make", [make for make, _ in SHAPES.values()], ids=SHAPES)
def test_the_next_run_of_any_shape_is_found_or_null_at_once(db, make):
    good = ["{}"] * len(FIELDS)
    bad = [make(size) for size in FIELDS.values()]
    for number in range(len(FIELDS)):
        ask(db, fields=[*good[:number], bad[number], *good[number + 1 :]])
    ask(db, fields=bad)
    ask(db, fields=[None] * len(FIELDS))


def test_the_next_run_for_any_bounds_is_found_or_null_at_once(db):
    for start, end in product(BOUNDS, BOUNDS):
        for after in ("2026-01-01", "-infinity", "infinity", None):
            ask(db, start=start, end=end, after=after)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "UTC+3", None])
def test_the_next_run_in_any_zone_is_found_or_null_at_once(db, zone):
    ask(db, zone=zone)


def ask(conn, **arguments):
    asked = {
        "start": "2000-01-01",
        "end": None,
        "fields": ["{}"] * len(FIELDS),
        "zone": "Europe/Berlin",
        "after": "2026-01-01",
    } | arguments
    conn.execute("SET LOCAL statement_timeout = '1s'")
    conn.execute(
        "SELECT pgagent.pga_next_run(0, %s, %s, %s, %s, %s, %s, %s, %s, %s)::text",
        [*(asked[k] for k in ("start", "end")), *asked["fields"], asked["zone"], asked["after"]],
    )


def test_null_elements_count_as_false(db):
    minutes = ["NULL"] * 60
    minutes[30] = "t"
    query = """SELECT pgagent.pga_next_run(0, %s, NULL, %s, '{}', '{}', '{}', '{}',
                                           'UTC', %s)::text LIKE '2030-01-01 00:30%%'"""
    bounds = {"start": "2030-01-01", "after": "2000-01-01"}
    asked = [bounds["start"], row(minutes), bounds["after"]]
    assert db.execute(query, asked).fetchone() == (True,)
