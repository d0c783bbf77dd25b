"""What differs between a document and the database, to be read by people."""

import difflib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

_SIGNS = {"create": "+", "alter": "~", "drop": "-"}
_DONE = {"create": "to create", "alter": "to alter", "drop": "to drop"}
_LONG = 60  # characters, from which on two values stand below each other


class Difference(NamedTuple):
    """A row of apply_jobs()."""

    job: str | None
    object: str
    action: str
    attribute: str | None
    old: str | None
    new: str | None


def in_words(differences: Sequence[Difference]) -> str:
    """Return what would be done, job by job, long texts as a comparison of lines."""
    lines: list[str] = []
    for job, rows in groupby(differences, key=lambda one: one.job):
        own = list(rows)
        lines += _objects(own) if job is None else _job(job, own)
    return "".join(f"{line}\n" for line in [*lines, summary(differences)])


def summary(differences: Sequence[Difference]) -> str:
    """Return how many objects are created, altered and dropped."""
    objects = {(one.job, one.object, one.action) for one in differences}
    counts = [
        f"{sum(done == action for _, _, done in objects)} {words}"
        for action, words in _DONE.items()
    ]
    return f"{', '.join(counts)}."


def _job(name: str, rows: list[Difference]) -> Iterator[str]:
    own = [one for one in rows if one.object == "job"]
    yield f"{_SIGNS[own[0].action if own else 'alter']} job {name}"
    yield from _attributes(own, "    ")
    for line in _objects([one for one in rows if one.object != "job"]):
        yield f"    {line}"


def _objects(rows: Sequence[Difference]) -> Iterator[str]:
    for (name, action), parts in groupby(
        rows, key=lambda one: (one.object, one.action)
    ):
        yield f"{_SIGNS[action]} {name}"
        yield from _attributes(list(parts), "    ")


def _attributes(rows: Sequence[Difference], indent: str) -> Iterator[str]:
    for row in rows:
        if row.attribute is None:
            continue
        for line in _attribute(row):
            yield f"{indent}{line}"


def _attribute(row: Difference) -> Iterator[str]:
    old, new = row.old or "", row.new or ""
    is_long = "\n" in old + new or (bool(old) and len(old) + len(new) > _LONG)
    if is_long:
        yield f"{row.attribute}:"
        yield from (f"    {line}" for line in _compared(old, new))
    elif row.action == "create":
        yield f"{row.attribute}: {new}"
    else:
        yield f"{row.attribute}: {_told(row.old)} -> {_told(row.new)}"


def _told(value: str | None) -> str:
    return "(none)" if value is None else value or '""'


def _compared(old: str, new: str) -> Iterator[str]:
    """Yield the lines near a change, with a sign each."""
    before = old.split("\n") if old else []
    after = new.split("\n") if new else []
    if all(text.endswith("\n") for text in (old, new) if text):
        # All lines end as they should: none comes after the last.
        before, after = before[:-1], after[:-1]
    lines = difflib.unified_diff(before, after, n=2, lineterm="")
    # The first two are for names of files.
    for number, line in enumerate(lines):
        if number > 1:
            yield line
