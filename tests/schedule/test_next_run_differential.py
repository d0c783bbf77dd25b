"""Thousands of random schedules: the SQL and the oracle give the same answers.

The seed is fixed, so a failure repeats; it is reported as small as it can be made.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from . import oracle
from .generators import anywhere, cases, near_a_change
from .schedules import Case, answers, chain, instant

Connection = psycopg.Connection[Any]

FOREIGN_SESSION = (
    "TimeZone = 'Asia/Tokyo'",
    "DateStyle = 'SQL, DMY'",
    "search_path = ''",
)
FAR_AHEAD = ("TimeZone = 'Pacific/Kiritimati'",)


def simpler(question: Case) -> Iterator[Case]:
    """The same question with one thing less in it."""
    schedule, after = question
    for name in ("minutes", "hours", "weekdays", "monthdays", "months", "exclusions"):
        values = getattr(schedule, name)
        for smaller in [frozenset(), *(values - {value} for value in values)]:
            if smaller != values:
                yield Case(replace(schedule, **{name: smaller}), after)
    if schedule.end:
        yield Case(replace(schedule, end=None), after)
    if schedule.start.year > 1990:
        yield Case(replace(schedule, start=instant("1990-01-01")), after)


def smallest(conn: Connection, question: Case, settings: tuple[str, ...]) -> Case:
    """Simplify a question for as long as it is answered differently."""
    for candidate in simpler(question):
        (answer,) = answers(conn, [candidate], settings)
        if answer != oracle.next_run(*candidate):
            return smallest(conn, candidate, settings)
    return question


def report(conn: Connection, question: Case, settings: tuple[str, ...]) -> str:
    question = smallest(conn, question, settings)
    (answer,) = answers(conn, [question], settings)
    return f"{question}\n  wanted {oracle.next_run(*question)}\n  answer {answer}"


def assert_same(
    conn: Connection, questions: list[Case], settings: tuple[str, ...] = ()
) -> None:
    differing = [
        question
        for question, answer in zip(
            questions, answers(conn, questions, settings), strict=True
        )
        if answer != oracle.next_run(*question)
    ]
    shown = [report(conn, question, settings) for question in differing[:3]]
    assert not differing, f"{len(differing)} differences\n" + "\n".join(shown)


def test_ten_thousand_schedules_in_utc(asking):
    assert_same(asking, cases(anywhere, 10_000))


def test_three_thousand_schedules_near_a_change_of_clocks(asking):
    assert_same(asking, cases(near_a_change, 3_000))


@pytest.mark.parametrize("settings", [FOREIGN_SESSION, FAR_AHEAD])
def test_the_session_does_not_matter(asking, settings):
    assert_same(asking, cases(near_a_change, 500) + cases(anywhere, 500), settings)


def test_the_oracle_agrees_with_a_walk_minute_by_minute():
    for schedule, after in cases(near_a_change, 80):
        begin = after.replace(second=0) + oracle.MINUTE
        end = begin + oracle.DAY
        walked = oracle.runs(schedule, begin, end)
        run = oracle.next_run(schedule, after)
        soon = run if run and run < end else None
        assert next(iter(walked), None) == soon, (schedule, after)


def test_every_run_around_a_change_is_what_the_walk_finds(asking):
    for schedule, after in cases(near_a_change, 40):
        begin = after.replace(second=0)
        end = begin + oracle.DAY / 2
        walked = oracle.runs(schedule, begin, end)
        assert chain(asking, schedule, begin, end) == walked, schedule
