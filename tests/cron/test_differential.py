"""Lines of crontab, beside two other programs that read them: cronsim and croniter.

Where the answers differ, docs/pg_cron.md says so, and the reason stands here.
"""

import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadDateError, croniter
from cronsim import CronSim, CronSimError

from .expressions import Question, questions

COUNT = 6000

NEXT = """
SELECT (
    SELECT min(pgagent.pga_schedule_next(s, q.after))
    FROM pgagent.pga_schedule_parsed(q.text, q.zone, '1970-01-01 00:00Z') AS s
)
FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) WITH ORDINALITY AS q (text, zone, after, n)
ORDER BY n"""


def by_cronsim(question: Question) -> datetime | None:
    start = question.after.astimezone(ZoneInfo(question.zone))
    try:
        return next(CronSim(question.text, start)).astimezone(UTC)
    except (CronSimError, StopIteration):
        return None


def by_croniter(question: Question) -> datetime | None:
    start = question.after.astimezone(ZoneInfo(question.zone))
    try:
        # Its option: a field that begins with a star restricts no day, as in cron.
        times = croniter(question.text, start, implement_cron_bug=True)
        answer: datetime = times.get_next(datetime)
    except CroniterBadDateError:
        return None
    return answer.astimezone(UTC)


def every_hour(question: Question) -> bool:
    """Whether the schedule goes by the clock when clocks are changed."""
    return question.text.split()[1] in {"*", "*/1", "0-23"}


def goes_by_other_stars(question: Question, answer: datetime | None) -> bool:
    """When clocks are changed, cronsim goes by a star that begins a minute or hour.

    A schedule of some hours then loses its run in the gap, and has it twice in the
    overlap: */30 2 * * * and 0 */2 * * *. And one of every hour, 0 0-23 * * *, does not
    run in the second of two equal hours.
    """
    minute, hour, *_ = question.text.split()
    star = minute.startswith("*") or hour.startswith("*")
    return star != every_hour(question)


def goes_back(question: Question, answer: datetime | None) -> bool:
    """In the second of two equal hours cronsim names a time of the first, now past."""
    return answer is not None and answer <= question.after


def repeats(question: Question, answer: datetime | None) -> bool:
    """Where a local time comes twice, croniter has all schedules run twice."""
    if every_hour(question) or answer is None:
        return False
    return answer.astimezone(ZoneInfo(question.zone)).fold == 1


def ends_on_saturday(question: Question, answer: datetime | None) -> bool:
    """A weekday with a step, tue/5, goes on to Saturday in croniter, here to Sunday (7)."""
    items = question.text.split()[4].split(",")
    return any("/" in item and "-" not in item and item[0] != "*" for item in items)


REASONS: dict[
    Callable[[Question], datetime | None],
    list[Callable[[Question, datetime | None], bool]],
] = {
    by_cronsim: [goes_by_other_stars, goes_back],
    by_croniter: [repeats, ends_on_saturday],
}


@pytest.fixture(scope="module")
def asked():
    return list(questions(seed=20310330, count=COUNT))


@pytest.fixture(scope="module")
def ours(asking, asked):
    with asking.transaction():
        asking.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
        columns = [list(column) for column in zip(*asked, strict=True)]
        return [answer for (answer,) in asking.execute(NEXT, columns)]


@pytest.mark.parametrize("other", REASONS)
def test_a_line_of_crontab_means_what_others_take_it_for(asked, ours, other):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = [other(question) for question in asked]

    differing = [
        (question, our, their)
        for question, our, their in zip(asked, ours, theirs, strict=True)
        if our != their
    ]

    unexplained = [
        f"{question.text} in {question.zone} after {question.after}: {our}, but {their}"
        for question, our, their in differing
        if not any(reason(question, their) for reason in REASONS[other])
    ]
    assert unexplained == []
    for reason in REASONS[other]:
        assert any(reason(question, their) for question, _, their in differing), reason


def test_the_questions_are_about_clocks_that_change_and_about_every_kind_of_text(
    asked, ours
):
    texts = [question.text for question in asked]
    for part in ("L", "/", "-", ",", "7", "sun", "MON", "Jan"):
        assert sum(part in text for text in texts) > 20, part
    either = [text.split() for text in texts]
    assert sum(day[0] != "*" != weekday[0] for *_, day, _, weekday in either) > 500
    shifted = [
        question
        for question, answer in zip(asked, ours, strict=True)
        if answer
        and question.after.astimezone(ZoneInfo(question.zone)).utcoffset()
        != answer.astimezone(ZoneInfo(question.zone)).utcoffset()
    ]
    assert len(shifted) > 500
    assert len(ours) == COUNT
    assert sum(answer is None for answer in ours) < COUNT / 50


SPRING = datetime(2031, 3, 29, 23, tzinfo=UTC)
AUTUMN = datetime(2031, 10, 25, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "night", "by_others", "here"),
    [
        ("*/30 2 * * *", SPRING, [0, 1], 1),
        ("30 2 * * *", AUTUMN, [1, 2], 1),
        ("*/30 2 * * *", AUTUMN, [4, 4], 2),
        ("0 0-23 * * *", AUTUMN, [3, 4], 4),
    ],
)
def test_the_docs_count_the_runs_of_a_night_rightly(
    asking, text, night, by_others, here
):
    """Between midnight and four hours later, in Berlin."""
    end = night + timedelta(hours=4)

    def runs(of):
        found, after = 0, night - timedelta(minutes=1)
        while (after := of(Question(text, "Europe/Berlin", after))) < end:
            found += 1
        return found

    def ours(question):
        columns = [[value] for value in question]
        return asking.execute(NEXT, columns).fetchone()[0]

    assert [runs(other) for other in REASONS] == by_others
    assert runs(ours) == here
