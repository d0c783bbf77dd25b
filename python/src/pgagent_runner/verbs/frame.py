"""What all verbs have in common: how one is declared, and how it is called.

A verb is a line of `table.py`; its function lives in a module of its own, which is
loaded when the verb is called. Command line, help, completion, man pages and
docs/cli.md are made from the line. The function takes what argparse has found and
returns the exit code: 0, or what the line says beside; errors are exceptions, see
`VerbError`.
"""

import argparse
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.declaring import Kind
from pgagent_runner.verbs.text import visible

_BREAK = re.compile(r"\s*\n\s*")

FAILED = 1
MISUSED = 2

Given = argparse.Namespace
"""What the command line has said, as `argparse` has it, with the verb as `verb`."""


class VerbError(Exception):
    """A verb can't do what it was asked: a sentence that says why; exit code 1."""


class LostError(VerbError):
    """The connection with the database is lost, or could not be had."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a verb, or an option, if its name begins with a dash.

    flags: `job`, or `--failed`, or both forms of an option.
    metavar: what stands for its value; an option without one is a switch.
    nargs: how often a positional comes: "?", "*" or "+"; once by default.
    dest: the attribute of `Given`, if it is not as argparse would have it.
    kind: what its value has to be, where SQL does not see to that.
    completes: what shells propose for it: "jobs", "runs", "files", or its choices.
    excludes: arguments of one verb with the same word here exclude each other.
    """

    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    nargs: str = ""
    dest: str = ""
    kind: Kind | None = None
    default: Any = None
    choices: tuple[str, ...] = ()
    completes: str = ""
    excludes: str = ""

    @property
    def is_option(self) -> bool:
        """Whether it is given by name."""
        return self.flags[0].startswith("-")

    @property
    def is_switch(self) -> bool:
        """Whether it is an option without a value."""
        return self.is_option and not self.metavar and not self.choices

    @property
    def value(self) -> str:
        """What stands for its value."""
        return self.metavar or f"{{{'|'.join(self.choices)}}}"

    @property
    def form(self) -> str:
        """How it stands in a synopsis: `[--from STEP]`, `JOB...`."""
        if not self.is_option:
            many = "..." if self.nargs in ("*", "+") else ""
            is_optional = self.nargs in ("?", "*")
            return f"[{self.value}{many}]" if is_optional else f"{self.value}{many}"
        return (
            f"[{self.flags[0]}]"
            if self.is_switch
            else f"[{self.flags[0]} {self.value}]"
        )

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Have the parser take it."""
        arguments: dict[str, Any] = {"help": self.help.replace("%", "%%")}
        if self.is_switch:
            arguments["action"] = "store_true"
        else:
            arguments["default"] = self.default
            arguments["metavar"] = self.value
            if self.choices:
                arguments["choices"] = self.choices
            if self.kind is not None:
                arguments |= self.kind.arguments
            if self.nargs:
                arguments["nargs"] = self.nargs
        if self.is_option and self.dest:
            arguments["dest"] = self.dest
        parser.add_argument(*self.flags, **arguments)


DATABASE = (
    Argument(
        ("-d", "--dbname"),
        "the database that has the schema pgagent: its name, or a connection string"
        " as any program that uses libpq takes it ('host=… dbname=…', postgresql://…,"
        " service=…). Without it, the variable PGAGENT_CONNINFO counts, or conninfo in"
        " the file that --config or PGAGENT_CONFIG names, or PGSERVICE, PGHOST and"
        " PGDATABASE, or else conninfo in the usual pgagent.toml",
        metavar="CONNINFO",
    ),
    Argument(
        ("--config",),
        "the file that says which database, pgagent.toml of a runner: [run] conninfo",
        metavar="FILE",
        completes="files",
    ),
)

FORMATS = (
    Argument(("--csv",), "print CSV, with a line of names", excludes="format"),
    Argument(("--json",), "print JSON, an array of objects", excludes="format"),
    Argument(
        ("-x", "--expanded"),
        "print each row as a block, a line a column",
        excludes="format",
    ),
)

YES = Argument(("--yes", "-y"), "do it without asking")


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the command: `pgagent NAME …`.

    summary: what it does, in a line without a full stop.
    function: "module.function" below `pgagent_runner.verbs`; empty for `run`.
    description: all that is to be said of it, in paragraphs.
    examples: commands, each with what it is for; a test executes them.
    level: what grant_access() has to have granted: reader, operator, editor or admin.
    exits: exit codes beside 0, 1 and 2, with their meaning.
    unknown: the exit code of errors and of misuse, if not 1 and 2.
    """

    name: str
    summary: str
    function: str
    description: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    level: str = "reader"
    prints_rows: bool = False
    has_database: bool = True
    exits: tuple[tuple[int, str], ...] = ()
    unknown: int | None = None

    @property
    def all_arguments(self) -> tuple[Argument, ...]:
        """Its own arguments, and those that all of its kind have."""
        formats = FORMATS if self.prints_rows else ()
        return (*self.arguments, *formats, *(DATABASE if self.has_database else ()))

    @property
    def synopsis(self) -> str:
        """Return how it is called, in one line."""
        own = sorted(self.arguments, key=lambda one: one.is_option)
        forms = [one.form for one in own]
        if self.prints_rows:
            forms.append("[--csv | --json | -x]")
        if self.has_database:
            forms.append("[-d CONNINFO]")
        return " ".join(["pgagent", self.name, *forms])

    def parser(self) -> argparse.ArgumentParser:
        """Return what takes its command line apart."""
        parser = argparse.ArgumentParser(
            prog=f"pgagent {self.name}",
            usage=_folded(self.synopsis),
            description=_filled(self.description),
            epilog=_examples(self.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        groups: dict[str, Any] = {}
        for one in self.all_arguments:
            target: argparse._ActionsContainer = parser
            if one.excludes:
                if one.excludes not in groups:
                    groups[one.excludes] = parser.add_mutually_exclusive_group()
                target = groups[one.excludes]
            one.add_to(target)
        return parser

    def load(self) -> Callable[[Given], int]:
        """Return its function."""
        module, function = self.function.split(".")
        room = import_module(f"pgagent_runner.verbs.{module}")
        loaded: Callable[[Given], int] = getattr(room, function)
        return loaded


def call(verb: Verb, arguments: Sequence[str]) -> int:
    """Do what the verb says; return the exit code.

    Raises SystemExit(2) for arguments, or a pgagent.toml, that make no sense.
    """
    _open_closed_streams()
    given = _parsed(verb, arguments)
    given.verb = verb
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = _called(verb, given)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, which is no error
        _print_no_more()
        return 0
    except OSError as e:
        _print_no_more()
        say(given, f"can't print or read all of it: {e.strerror or e}")
        return FAILED if verb.unknown is None else verb.unknown
    return status


def _parsed(verb: Verb, arguments: Sequence[str]) -> Given:
    parser = verb.parser()
    try:
        # Options may stand between names, as in `disable a --json b`; argparse can't
        # have both that and `--`, behind which all are names.
        if "--" in arguments:
            return parser.parse_args(arguments)
        return parser.parse_intermixed_args(arguments)
    except SystemExit as e:
        if e.code == MISUSED and verb.unknown is not None:
            raise SystemExit(verb.unknown) from None
        raise


def _open_closed_streams() -> None:
    """Have all three standard streams, of which a shell's `>&-` closes one.

    What is opened next, such as the connection, would be taken for it otherwise.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115


def _print_no_more() -> None:
    """Discard what has not been printed: it would be tried again when Python ends."""
    with open(os.devnull, "wb") as null:  # noqa: PTH123
        os.dup2(null.fileno(), sys.stdout.fileno())


def _called(verb: Verb, given: Given) -> int:
    try:
        return verb.load()(given)
    except VerbError as e:
        sys.stdout.flush()
        say(given, str(e))
        return FAILED
    except ConfigurationError as e:
        say(given, str(e))
        raise SystemExit(MISUSED) from None


def say(given: Given, text: str) -> None:
    """Tell the user a sentence, on standard error."""
    line = visible(_BREAK.sub(" ", text.strip()))
    sys.stderr.write(f"pgagent {given.verb.name}: {line}\n")


def confirm(given: Given, question: str) -> bool:
    """Ask whether to go on, unless --yes has been given; no is said as well.

    Raises VerbError where there is no terminal to ask at.
    """
    if given.yes:
        return True
    if not has_terminal():
        raise VerbError(f"{question} Say --yes, where there is no terminal to ask at")
    if ask(question):
        return True
    say(given, "nothing was changed")
    return False


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask at the terminal; anything but y or yes is no."""
    sys.stdout.flush()
    sys.stderr.write(f"{visible(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns, 100) - 2)


def _filled(text: str) -> str:
    """Fill paragraphs, as wide as a terminal is."""
    return "\n\n".join(textwrap.fill(part, _width()) for part in text.split("\n\n"))


def _folded(synopsis: str) -> str:
    """Break a synopsis between its arguments."""
    words = synopsis.replace("%", "%%").replace("[", "\0[").split("\0")
    lines, indent = [""], " " * 15
    for word in words:
        if len(lines[-1]) + len(word.rstrip()) > _width() - len("usage: "):
            lines.append(indent)
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _examples(examples: tuple[tuple[str, str], ...]) -> str:
    lines = [f"  {command}\n      {meaning}" for command, meaning in examples]
    return "\n".join(["examples:", *lines]) if lines else ""
