"""Whatever is stored or asked: the next run is found or NULL, at once."""

from itertools import product

import pytest

from .shapes import FIELDS, SHAPES, row

EVERY_MINUTE = ["{}"] * len(FIELDS)
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


@pytest.fixture
def db(asking):
    with asking.transaction(force_rollback=True):
        yield asking


def ask(
    conn, fields=EVERY_MINUTE, bounds=("2000-01-01", None), zone="UTC", after="now"
):
    conn.execute("SET LOCAL statement_timeout = '1s'")
    (answer,) = conn.execute(
        "SELECT pgagent.pga_next_run(0, %s, %s, %s, %s, %s, %s, %s, %s, %s)::text",
        [*bounds, *fields, zone, after],
    ).fetchone()
    return answer


@pytest.mark.parametrize("make", [make for make, _ in SHAPES.values()], ids=SHAPES)
def test_for_any_shape(db, make):
    bad = [make(size) for size in FIELDS.values()]
    for number, field in enumerate(bad):
        ask(db, [*EVERY_MINUTE[:number], field, *EVERY_MINUTE[number + 1 :]])
    ask(db, bad)


def test_for_no_arrays_at_all(db):
    ask(db, [None] * len(FIELDS))


def test_for_any_bounds(db):
    for start, end in product(BOUNDS, BOUNDS):
        for after in ("2026-01-01", "-infinity", "infinity", None):
            ask(db, bounds=(start, end), after=after)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "UTC+3", None])
def test_for_any_zone(db, zone):
    ask(db, zone=zone)


def test_null_elements_count_as_false(db):
    minutes = row(["NULL"] * 30 + ["t"] + ["NULL"] * 29)
    run = ask(db, [minutes, *EVERY_MINUTE[1:]], bounds=("2050-01-01 00:00+00", None))
    assert run.startswith("2050-01-01 00:30:00")
