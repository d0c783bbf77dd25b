"""What a look at an installation has found, and the words in which that is told."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from enum import StrEnum
from os import PathLike, fspath
from typing import NamedTuple

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_LONGEST_NAME = 100  # characters
_LONGEST_TEXT = 600
_MOST_NAMED = 3


class State(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # jobs run all the same
    FAULT = "fault"  # jobs do not run, or not as they should


class Finding(NamedTuple):
    """What was looked at, how it is, in a sentence, and what puts it right."""

    check: str
    state: State
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return that something is in order."""
    return Finding(check, State.OK, detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    """Return what could be better."""
    return Finding(check, State.WARNING, detail, remedy)


def fault(check: str, detail: str, remedy: str) -> Finding:
    """Return what is wrong."""
    return Finding(check, State.FAULT, detail, remedy)


def short(name: str) -> str:
    """Return a name, or its beginning: it may have a million characters."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def cut(text: str) -> str:
    """Return a text, or its beginning: no more than some sentences."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def named(names: Sequence[str], total: int | None = None) -> str:
    """Return some names, and how many more there are."""
    some = ", ".join(names[:_MOST_NAMED])
    more = (len(names) if total is None else total) - min(len(names), _MOST_NAMED)
    return f"{some} and {more} more" if more > 0 else some


def literal(text: str) -> str:
    """Return a text as SQL has it, on one line and without anything unseen."""
    if text.isprintable() and "\\" not in text:
        return "'" + text.replace("'", "''") + "'"
    escaped = "".join(map(_escaped, text))
    return f"E'{escaped}'"


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def identifier(name: str) -> str:
    """Return the name of an object as SQL has it."""
    if _PLAIN.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def shell(*words: str | PathLike[str]) -> str:
    """Return a command as a shell has it."""
    return " ".join(shlex.quote(fspath(word)) for word in words)


def quoted(names: Iterable[str]) -> list[str]:
    """Return names in double quotes, none of them too long."""
    return [json.dumps(short(name), ensure_ascii=False) for name in names]
