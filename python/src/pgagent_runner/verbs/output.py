"""What verbs print: tables for people, CSV and JSON for programs.

For people whatever could steer a terminal is written out, wherever the output goes: it
may well go through `less` or `head` to one. CSV and JSON are as they are, unless their
output is a terminal itself.
"""

import csv
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pgagent_runner.verbs.frame import Given
from pgagent_runner.verbs.text import clipped, padded, visible, width

_MOMENT = re.compile(
    r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d(?::\d\d(?::\d\d)?)?)?"
)
_SPAN = re.compile(
    r"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?"
    r"(?:([+-])?(\d+):(\d\d):(\d\d(?:\.\d+)?))?"
)
_DAY, _HOUR, _MINUTE = 86400.0, 3600.0, 60.0

# Columns of states, and how bad each state is.
_STATES = ("state", "status", "last_status", "step_status", "ok", "action")
_COLOURS = {
    **dict.fromkeys(("failed", "aborted", "no", "drop", "fault"), "31"),
    **dict.fromkeys(("succeeded", "yes", "create", "ok"), "32"),
    **dict.fromkeys(
        (
            *("due", "set aside", "unarmed", "paused", "class full", "ignored"),
            *("alter", "warning"),
        ),
        "33",
    ),
    "running": "36",
    **dict.fromkeys(("disabled", "done", "never due", "nothing to do"), "2"),
}
_LEAST_WIDTH = 10  # of a column that is clipped


class Moment(str):
    """A point in time as the server writes it, in the session's time zone."""

    __slots__ = ()

    def to_people(self) -> str:
        """Return it without fractions of a second."""
        found = _MOMENT.fullmatch(self)
        return f"{found[1]} {found[2]}{found[4] or ''}" if found else str(self)

    def to_json(self) -> str:
        """Return it as ISO 8601 has it; infinity and years BC as they are."""
        if not (found := _MOMENT.fullmatch(self)):
            return str(self)
        offset = found[4] or ""
        whole = f"{offset}:00" if offset and ":" not in offset else offset
        return f"{found[1]}T{found[2]}{found[3] or ''}{whole}"


class Span(str):
    """A span of time as the server writes it."""

    __slots__ = ()

    @property
    def seconds(self) -> float | None:
        """How many seconds it has, a month having 30 days; None if it is infinite."""
        if not self or not (found := _SPAN.fullmatch(self)):
            return None
        years, months, days = (int(part or 0) for part in found.group(1, 2, 3))
        hours, minutes, seconds = (float(part or 0) for part in found.group(5, 6, 7))
        clock = hours * _HOUR + minutes * _MINUTE + seconds
        whole = (years * 365.25 + months * 30 + days) * _DAY
        return whole + (-clock if found[4] == "-" else clock)

    def to_people(self) -> str:
        """Return it in its two largest units: `3 h 12 min`."""
        if (seconds := self.seconds) is None:
            return str(self)
        return f"-{in_words(-seconds)}" if seconds < 0 else in_words(seconds)


def in_words(seconds: float) -> str:
    """Return a span of time as people have it: `12 ms`, `5.3 s`, `3 h 12 min`."""
    if seconds < 0.9995:  # noqa: PLR2004 (which would be rounded to 1000 ms)
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE - 0.05:
        return f"{seconds:.1f} s"
    seconds = max(seconds, _MINUTE)
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE // 1:.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


@dataclass(frozen=True, slots=True)
class Table:
    """What is to be printed: names of columns, and rows of values.

    Values are what a session of `connect` returns. nothing: the sentence for people if
    there are no rows; only: the columns that people see, if not all.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    nothing: str = ""
    only: Sequence[str] = ()

    def for_people(self) -> "Table":
        """Return it with those columns alone that people see."""
        if not self.only:
            return self
        places = [self.columns.index(name) for name in self.only]
        rows = [[row[place] for place in places] for row in self.rows]
        return Table(self.only, rows, self.nothing)


def show(given: Given, table: Table) -> None:
    """Print a table in the format that was chosen."""
    if given.json:
        write_json([dict(zip(table.columns, row, strict=True)) for row in table.rows])
    elif given.csv:
        write(csv_of(table))
    elif not table.rows and table.nothing:
        write(f"{table.nothing}\n")
    elif given.expanded:
        write(expanded(table))
    else:
        write(aligned(table.for_people()))


def report(given: Given, sentence: str, table: Table) -> None:
    """Print what was done: a sentence for people, the table in the other formats."""
    if given.json or given.csv or given.expanded:
        show(given, table)
    else:
        write(f"{visible(sentence)}\n")


def write_json(value: object) -> None:
    """Print a value, in a form that people can read as well."""
    plain = _in_json(value)
    text = json.dumps(plain, indent=2, ensure_ascii=False, default=_as_json)
    if is_terminal():
        # Within strings, JSON has a form of its own for what should not be seen.
        text = "".join(_escaped(c) if c != "\n" else c for c in text)
    write_raw(f"{text}\n")


def _in_json(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: _in_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_in_json(part) for part in value]
    return value.to_json() if isinstance(value, Moment) else value


def _escaped(character: str) -> str:
    if visible(character) == character:
        return character
    return json.dumps(character)[1:-1] if ord(character) != 0x7F else "\\u007f"  # noqa: PLR2004


def _as_json(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def csv_of(table: Table) -> str:
    """Return the table as psql writes CSV: with a line of names, NULL as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_in_csv(value) for value in row] for row in table.rows)
    return text.getvalue()


def _in_csv(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=_as_json)
    return value


def write(text: str) -> None:
    """Print text, which on a terminal can't steer it but by our own colours."""
    write_raw(_but_colours(text) if is_terminal() else text)


_COLOUR = re.compile(r"(\x1b\[(?:31|32|33|36|2|1|0)m)")


def _but_colours(text: str) -> str:
    parts = _COLOUR.split(text)
    return "".join(p if place % 2 else visible(p) for place, p in enumerate(parts))


def write_raw(text: str) -> None:
    """Print text as it is; bytes of a database without an encoding as they were."""
    try:
        data = text.encode(sys.stdout.encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(sys.stdout.encoding, "backslashreplace")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def is_terminal() -> bool:
    """Whether what is printed goes to a terminal."""
    return sys.stdout.isatty()


def has_colours() -> bool:
    """Whether it goes to one that has colours, for somebody who wants them."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return is_terminal() and not plain


def coloured(column: str, text: str) -> str:
    """Return a word with the colour that it has in such a column, if any."""
    colour = _COLOURS.get(text.strip()) if column in _STATES else None
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and has_colours() else text


def shown(value: object) -> str:
    """Return a value as people read it, maybe of several lines."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (Moment, Span)):
        return value.to_people()
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    text = value if isinstance(value, str) else str(_plain(value))
    return visible(text.replace("\r\n", "\n").rstrip("\n").expandtabs())


def _plain(value: object) -> object:
    is_data = isinstance(value, dict)
    return json.dumps(value, ensure_ascii=False) if is_data else value


def aligned(table: Table) -> str:
    """Return the table in columns, each row in as many lines as its values have.

    On a terminal that is too narrow, the columns of text that are widest are clipped.
    """
    cells = [[shown(value).split("\n") for value in row] for row in table.rows]
    is_number = [
        any(row[place] is not None for row in table.rows)
        and all(_is_number(row[place]) for row in table.rows)
        for place in range(len(table.columns))
    ]
    widths = [
        max([width(name), *(width(line) for row in cells for line in row[place])])
        for place, name in enumerate(table.columns)
    ]
    if is_terminal():
        widths = _fitting(widths, table.columns, shutil.get_terminal_size().columns)
    head = _line(zip(table.columns, widths, strict=True))
    rule = "-+-".join("-" * one for one in widths)
    lines = [head, rule]
    for row in cells:
        lines += _row(table.columns, row, widths, is_number)
    return "\n".join(lines) + "\n"


def _is_number(value: object) -> bool:
    is_count = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return value is None or is_count or isinstance(value, Span)


def _fitting(widths: list[int], columns: Sequence[str], limit: int) -> list[int]:
    """Return widths that fit on a terminal, as far as that leaves something of each."""
    fitted = list(widths)
    excess = sum(fitted) + 3 * (len(fitted) - 1) - limit
    while excess > 0:
        widest = max(range(len(fitted)), key=fitted.__getitem__)
        least = max(_LEAST_WIDTH, width(columns[widest]))
        if fitted[widest] <= least:
            break
        others = [one for place, one in enumerate(fitted) if place != widest]
        target = max([least, fitted[widest] - excess, max(others, default=0) - 1])
        target = min(target, fitted[widest] - 1)
        excess -= fitted[widest] - target
        fitted[widest] = target
    return fitted


def _row(
    columns: Sequence[str],
    row: Sequence[Sequence[str]],
    widths: Sequence[int],
    is_number: Sequence[bool],
) -> Iterator[str]:
    for number in range(max(map(len, row))):
        parts = []
        for place, lines in enumerate(row):
            text = clipped(lines[number], widths[place]) if number < len(lines) else ""
            cell = padded(text, widths[place], right=is_number[place])
            parts.append(coloured(columns[place], cell))
        yield " | ".join(parts).rstrip()


def _line(cells: Any) -> str:  # noqa: ANN401
    return " | ".join(padded(text, columns) for text, columns in cells).rstrip()


def expanded(table: Table) -> str:
    """Return each row as a block, a line a column, as psql's -x does."""
    lines: list[str] = []
    for number, row in enumerate(table.rows, 1):
        lines.append(f"-[ RECORD {number} ]-".ljust(40, "-"))
        lines += fields(table.columns, row)
    return "".join(f"{line}\n" for line in lines)


def fields(columns: Sequence[str], row: Sequence[object]) -> Iterator[str]:
    """Yield a row as lines, one a column, or more if its value has several."""
    longest = max(map(width, columns))
    for name, value in zip(columns, row, strict=True):
        first, *others = shown(value).split("\n")
        yield f"{padded(name, longest)} | {coloured(name, first)}".rstrip()
        for line in others:
            yield f"{' ' * longest} | {line}".rstrip()
