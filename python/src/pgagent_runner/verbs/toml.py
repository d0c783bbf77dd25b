"""Documents of jobs as TOML, for people to read and to compare."""

import datetime as dt
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pgagent_runner.verbs.text import MISLEADING

# Names first, long texts last; what is not known here comes between.
_FIRST = [
    "format",
    "set",
    "name",
    "description",
    "class",
    "limit",
    "host",
    "enabled",
    "owner",
    "kind",
    "database",
    "conninfo",
    "run_as",
    "mode",
    "on_error",
    "timeout",
    "overlap",
    "missed",
    "missed_limit",
    "keep_for",
    "keep_runs",
    "late_after",
    "long_after",
    "long_factor",
    "disable_after",
    "retries",
    "retry_delay",
    "retry_backoff",
    "retry_on",
    "schedule",
    "every",
    "at",
    "timezone",
    "start_at",
    "end_at",
    "date",
    "time",
]
_LAST = [
    "command_file",
    "command",
    "exceptions",
    "classes",
    "jobs",
    "steps",
    "schedules",
]
_INLINE = "exceptions"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# A file is looked at on terminals, and reviewed: what misleads there is escaped, within
# texts of several lines, and within others.
_CONTROL = re.compile(rf"[{MISLEADING}\\]")
_CONTROL_OR_BREAK = re.compile(rf"[{MISLEADING}\t\n\\]")
_MISLEADING = re.compile(f"[{MISLEADING}]")
_ESCAPES = {
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
    "\\": "\\\\",
}


def dumps(document: Mapping[str, Any]) -> str:
    """Return a document as TOML."""
    return "\n".join(_table(document, ())) + "\n"


def loads(text: str) -> dict[str, Any]:
    """Return what stands in TOML, as JSON could have it: dates and times as texts.

    Raises tomllib.TOMLDecodeError, or RecursionError.
    """
    plain: dict[str, Any] = _plain(tomllib.loads(text))
    return plain


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dt.date | dt.time):  # a datetime is a date, too
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines of a table, and of the lists of tables in it."""
    lists = []
    for name, value in sorted(table.items(), key=_place):
        if _is_list_of_tables(value) and name != _INLINE:
            lists.append((name, value))
        else:
            yield f"{key(name)} = {_value(value)}"
    for name, tables in lists:
        inner = (*path, key(name))
        for part in tables:
            yield f"\n[[{'.'.join(inner)}]]"
            yield from _table(part, inner)


def _place(item: tuple[str, Any]) -> tuple[int, int, str]:
    name = item[0]
    if name in _FIRST:
        return 0, _FIRST.index(name), name
    if name in _LAST:
        return 2, _LAST.index(name), name
    return 1, 0, name


def _is_list_of_tables(value: Any) -> bool:  # noqa: ANN401
    return bool(value) and isinstance(value, list) and isinstance(value[0], dict)


def _value(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return string(value)
    if isinstance(value, Mapping):
        inner = (
            f"{key(n)} = {_value(v)}" for n, v in sorted(value.items(), key=_place)
        )
        return f"{{ {', '.join(inner)} }}"
    if isinstance(value, Sequence):
        return _list(value)
    return str(value)


def _list(values: Sequence[Any]) -> str:
    if _is_list_of_tables(values):
        return "".join(("[\n", *(f"    {_value(part)},\n" for part in values), "]"))
    return f"[{', '.join(map(_value, values))}]"


def key(name: str) -> str:
    """Return a name as it stands before the sign of equality."""
    return name if _BARE_KEY.fullmatch(name) else _basic(name)


def string(text: str) -> str:
    """Return a text in quotes: those in which least of it has to be escaped."""
    if "\n" in text:
        return _of_lines(text)
    if re.search(r'["\\]', text) and "'" not in text and not _MISLEADING.search(text):
        return f"'{text}'"
    return _basic(text)


def _of_lines(text: str) -> str:
    # A carriage return would be read as part of the end of a line.
    is_raw = not re.search(rf"[{MISLEADING}]|'''|'\Z", text)
    if is_raw:
        return f"'''\n{text}'''"
    escaped = _CONTROL.sub(_escape, text).replace('"""', '""\\"')
    if escaped.endswith('"') and not escaped.endswith('\\"'):
        escaped = f'{escaped[:-1]}\\"'
    return f'"""\n{escaped}"""'


def _basic(text: str) -> str:
    escaped = _CONTROL_OR_BREAK.sub(_escape, text).replace('"', '\\"')
    return f'"{escaped}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    written = f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
    return _ESCAPES.get(character, written)
