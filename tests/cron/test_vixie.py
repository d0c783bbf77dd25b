"""Fields of a line of crontab, beside a few lines of Python that read them as Vixie's cron."""

import random

import pytest

from .expressions import MONTHS, WEEKDAYS


def vixie(text: str, low: int, high: int, names: list[str]) -> set[int]:
    """Return the values that a field selects, as Paul Vixie's cron reads it."""

    def number(word: str) -> int:
        return names.index(word.lower()) + low if word.lower() in names else int(word)

    values: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = ("0", "", "0") if span == "*" else span.partition("-")
        start = low if span == "*" else number(first)
        end = high if span == "*" else number(last) if last else start
        values.update(range(start, end + 1, int(step or 1)))
    return values


FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    *(("minutes", 0, 59, []), ("hours", 0, 23, []), ("monthdays", 1, 31, [])),
    ("months", 1, 12, MONTHS),
    ("weekdays", 0, 7, WEEKDAYS),
)


@pytest.mark.parametrize("place", range(5))
def test_lists_and_steps_select_what_vixies_cron_selects(asking, place):
    column, low, high, names = FIELDS[place]
    dice = random.Random(place)

    def item() -> str:
        first, last = sorted(dice.randint(low, high) for _ in range(2))
        word = names[first - low] if names and first - low < len(names) else str(first)
        step = f"/{dice.choice([1, 2, 3, 7, high, high + 1, 60, 1000])}"
        return dice.choice(
            [
                str(first),
                word,
                f"{first}-{last}",
                f"{word}-{last}{step}",
                f"*{step}",
                "*",
            ]
        )

    for _ in range(300):
        field = ",".join(item() for _ in range(dice.choice([1, 1, 2, 3])))
        line = " ".join(field if i == place else "*" for i in range(5))
        (selected,) = asking.execute(
            f"SELECT {column} FROM pgagent.pga_cron_parse(%s)", [line]
        ).fetchone()
        found = {i + low for i, is_selected in enumerate(selected) if is_selected}
        wanted = vixie(field, low, high, names)
        if column == "weekdays":
            wanted = {value % 7 for value in wanted}
        everything = {*range(low, high + (column != "weekdays"))}
        assert (found or everything) == wanted, line
