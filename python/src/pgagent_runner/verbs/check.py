"""The verb check: is everything all right? See the room `checking`."""

import shutil
import signal
import textwrap
from collections.abc import Sequence
from typing import Any

from pgagent_runner.catalog.conninfo import has_secret
from pgagent_runner.checking import Finding, State, look
from pgagent_runner.declaring import options_of
from pgagent_runner.options import AgentOptions
from pgagent_runner.verbs.database import READABLE, named
from pgagent_runner.verbs.frame import FAILED, Given, say
from pgagent_runner.verbs.output import Table, is_terminal, show, write
from pgagent_runner.verbs.text import visible

_LONGEST = 600  # seconds
_COLUMNS = ("state", "check", "detail", "remedy")
_REMEDY = "→ "
_LEAST_WIDTH = 30  # of the column of sentences
_BESIDE = 3  # characters between two columns


def check(given: Given) -> int:
    """Look at everything, and print what was found."""
    signal.alarm(_LONGEST)  # whatever libpq may wait for, where no Python goes on
    findings = list(look(_words(given)))
    signal.alarm(0)
    bad = [one for one in findings if one.state is not State.OK]
    shown = bad if given.quiet else findings
    if given.json or given.csv or given.expanded:
        rows = [(str(f.state), f.check, f.detail, f.remedy or None) for f in shown]
        show(given, Table(_COLUMNS, rows))
    elif shown:
        _print(given, shown)
    if any(one.state is State.FAULT for one in bad):
        return FAILED
    return 0


def _words(given: Given) -> dict[str, Any]:
    """Return what the command line says of the runner's options."""
    words: dict[str, Any] = {}
    for option in options_of(AgentOptions):
        value = getattr(given, option.name, None)
        if value is not None and value is not False:  # a switch that was not given
            words[option.name] = value
    if given.dbname:
        words["conninfo"] = [named(given.dbname)]
        if has_secret(words["conninfo"][0]):
            say(given, READABLE)
    return words


def _print(given: Given, findings: Sequence[Finding]) -> None:
    """Print a table for people, with remedies below, and what it comes to."""
    room = None
    if is_terminal():
        widest = max(len(f.state) + len(f.check) for f in findings) + 2 * _BESIDE
        room = max(_LEAST_WIDTH, shutil.get_terminal_size().columns - widest)
    rows = [(str(f.state), f.check, _told(f, room)) for f in findings]
    show(given, Table(_COLUMNS[:3], rows))
    if not given.quiet:
        write(f"{_summary(findings)}\n")


def _told(finding: Finding, room: int | None) -> str:
    lines = _folded(finding.detail, room, "")
    if finding.remedy:
        lines += _folded(finding.remedy, room, _REMEDY)
    return "\n".join(lines)


def _folded(text: str, room: int | None, mark: str) -> list[str]:
    """Break a sentence between its words, as wide as a terminal has room."""
    text = visible(text.replace("\n", " "))
    if room is None:
        return [mark + text]
    return textwrap.wrap(
        text,
        room,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_on_hyphens=False,
    ) or [mark]


def _summary(findings: Sequence[Finding]) -> str:
    faults = sum(one.state is State.FAULT for one in findings)
    warnings = sum(one.state is State.WARNING for one in findings)
    if not faults + warnings:
        return "Everything is all right."
    told = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((faults, "fault"), (warnings, "warning"))
        if count
    ]
    return f"{' and '.join(told)}."
