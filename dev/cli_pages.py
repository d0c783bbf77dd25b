"""Write docs/cli.md, man pages and completion of shells, from the table of verbs."""

import re
from collections.abc import Iterator
from pathlib import Path

from pgagent_runner.verbs.completion import script
from pgagent_runner.verbs.frame import DATABASE, FORMATS, Argument, Verb
from pgagent_runner.verbs.table import BY_NAME, VERBS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/cli.md"
MAN = ROOT / "python/man"
COMPLETIONS = ROOT / "python/completions"
REFERENCE = "reference.md"
WHAT_IT_IS = "run jobs of PostgreSQL, and look after them"
WIDTH = 95  # of the documents
SHELLS = {"bash": "bash/pgagent", "zsh": "zsh/_pgagent", "fish": "fish/pgagent.fish"}

INTRODUCTION = """\
The day's work of somebody who looks after jobs, to be typed: what runs, why did it
fail, run it again from this step, leave it out for now. What a verb does, a function
or a view does in SQL (reference.md); a verb calls it with the rights of whoever
types.

A job is given by its name, or by its id, if no job has that for its name."""

# Titles and paragraphs, for the document and pgagent(1).
TOPICS = (
    (
        "Which database",
        """\
`-d` takes the name of a database, or a connection string as any program that uses
libpq takes it. Without it, the first of these counts: the variable PGAGENT_CONNINFO;
conninfo of the file that `--config` or PGAGENT_CONFIG names; PGSERVICE, PGHOST,
PGHOSTADDR or PGDATABASE, if one is set; conninfo of the first that is there of
$XDG_CONFIG_HOME/pgagent/pgagent.toml (~/.config/…) and /etc/pgagent/pgagent.toml;
what libpq takes by default.

Keep passwords in .pgpass. Where one is missing, a verb asks for it on a terminal. A
verb changes no setting that outlives its transaction, so it may go through any
pooler.""",
    ),
    (
        "Output",
        """\
Tables are for people: columns are aligned, times are in the reader's time zone (PGTZ,
TZ, or the machine's) without fractions of a second, spans of time are rounded, and on
a terminal that is too narrow long texts are clipped. Colours come only on a terminal
that has them, unless NO_COLOR is set. Nothing in a name or in an output can steer the
terminal: control characters are written out, \\x1b.

`--csv`, `--json` and `-x` have all columns. CSV and JSON have values as they are:
times with their offset, ISO 8601 in JSON; spans of time as PostgreSQL writes them,
00:01:30.5; and bytes of an output as they were, unless they go to a terminal.

What the server warns of, and what has gone wrong, stands in one line on standard
error.""",
    ),
    (
        "Exit codes",
        """\
0: it is done. 1: it was refused, or has failed. 2: the command line makes no sense,
or pgagent.toml does not. 130: Ctrl-C. Other codes stand beside their verb. Whoever
reads the output may stop reading: a closed pipe is no error.""",
    ),
    (
        "What can't be taken back",
        """\
The verb `delete-log` asks before it deletes, and so does `apply`, and `import --apply`,
which show first what they would change; where there is no terminal they want `--yes`.
`cancel` asks on a terminal. All other verbs do at once what they are told: another verb
takes it back.""",
    ),
    (
        "Completion and man pages",
        """\
The package brings both. Installed below /usr or /usr/local, and man pages by pipx as
well, they are found. Elsewhere, `pgagent completion` prints the completion of bash,
zsh or fish. It knows the jobs of the database that `-d` on the same line, or the
environment, says.""",
    ),
)

_LEVELS = {
    "": "the owner of the database",
    "runner": "runner",
    "reader": "reader",
    "operator": "operator",
    "editor": "editor",
    "admin": "admin",
}


def page() -> str:
    """Return docs/cli.md as it has to be."""
    parts = [
        "<!-- Written by `make docs` from verbs/table.py and dev/cli_pages.py. -->",
        "# The command pgagent",
        _filled(
            INTRODUCTION.replace("(reference.md)", f"([{REFERENCE}]({REFERENCE}))")
        ),
        "[tour.md](tour.md) shows them at work.",
        *(f"## {title}\n\n{_filled(text)}" for title, text in TOPICS),
        "## Verbs",
        "Everybody needs one of the [levels](security.md) that grant_access() grants:",
        "| verb | what it does | level |\n|---|---|---|\n"
        + "\n".join(
            f"| [`{name}`](#{name}) | {BY_NAME[name].summary} |"
            f" {_LEVELS[BY_NAME[name].level]} |"
            for name in BY_NAME
        ),
        *map(_section, VERBS),
    ]
    return "\n\n".join(parts) + "\n"


def _section(verb: Verb) -> str:
    parts = [f"### {verb.name}", f"```text\n{_folded(verb)}\n```"]
    parts.append(_filled(verb.description))
    if verb.name == "run":
        return "\n\n".join([*parts, "[operating.md](operating.md) has its options."])
    if verb.arguments:
        rows = "\n".join(
            f"| `{_cell(_form(one))}` | {_cell(one.help)} |" for one in verb.arguments
        )
        parts.append(f"| | |\n|---|---|\n{rows}")
    if verb.exits:
        parts += [f"Exit code {code}: {meaning}." for code, meaning in verb.exits]
    if verb.examples:
        longest = max(len(command) for command, _ in verb.examples)
        lines = [
            f"{command.ljust(longest)}  # {meaning}"
            for command, meaning in verb.examples
        ]
        parts.append("```sh\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def _folded(verb: Verb) -> str:
    """Break the synopsis between its arguments."""
    words = re.findall(r"\[[^\]]*\]|\S+", verb.synopsis)
    return _broken(words, WIDTH - 6, " " * (len("pgagent ") + len(verb.name) + 1))


def _form(one: Argument) -> str:
    flags = ", ".join(one.flags) if one.is_option else ""
    value = "" if one.is_switch else one.value
    return f"{flags} {value}".strip()


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _filled(text: str) -> str:
    """Break each paragraph where the other documents break theirs."""
    return "\n\n".join(_broken(part.split(), WIDTH) for part in text.split("\n\n"))


def _broken(words: list[str], width: int, indent: str = "") -> str:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) >= width:
            lines.append(indent)
        is_first = lines[-1] in ("", indent)
        lines[-1] += word if is_first else f" {word}"
    return "\n".join(lines)


# Man pages.


def man_pages() -> dict[str, str]:
    """Return each man page by the name of its file."""
    pages = {f"pgagent-{verb.name}.1": _man_page(verb) for verb in VERBS}
    return {"pgagent.1": _man_overview()} | pages


def _man_overview() -> str:
    lines = [
        '.TH PGAGENT 1 "" "pgagent" "pgagent"',
        ".SH NAME",
        rf"pgagent \- {WHAT_IT_IS}",
        ".SH SYNOPSIS",
        r".B pgagent",
        r".I VERB",
        r"[\fIOPTION\fR...]",
        ".SH DESCRIPTION",
        *_paragraphs(INTRODUCTION),
        ".SH VERBS",
    ]
    for verb in VERBS:
        lines += [".TP", f".BR pgagent\\-{_roff(verb.name)} (1)", _roff(verb.summary)]
    for title, text in TOPICS:
        lines += [f".SH {title.upper()}", *_paragraphs(text)]
    return _man(lines)


def _man_page(verb: Verb) -> str:
    summary = verb.summary[0].lower() + verb.summary[1:]
    options = [*verb.arguments, *(FORMATS if verb.prints_rows else ())]
    options += DATABASE if verb.has_database else ()
    lines = [
        f'.TH PGAGENT-{verb.name.upper()} 1 "" "pgagent" "pgagent"',
        ".SH NAME",
        rf"pgagent\-{_roff(verb.name)} \- {_roff(summary)}",
        ".SH SYNOPSIS",
        f".B {_roff(verb.synopsis)}",
        ".SH DESCRIPTION",
        *_paragraphs(verb.description),
        ".SH OPTIONS",
    ]
    for one in options:
        lines += [".TP", f".B {_roff(_form(one))}", _roff(one.help)]
    if verb.exits:
        lines.append(".SH EXIT STATUS")
        for code, meaning in verb.exits:
            lines += [".TP", f".B {code}", _roff(meaning)]
    if verb.examples:
        lines.append(".SH EXAMPLES")
        for command, meaning in verb.examples:
            lines += [".TP", f".B {_roff(command)}", _roff(meaning)]
    return _man([*lines, ".SH SEE ALSO", ".BR pgagent (1)"])


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        yield ".PP"
        yield _roff(" ".join(part.split()).replace("`", ""))


def _roff(text: str) -> str:
    r"""Return text that roff takes for text: `\` and `-`, and what begins a line."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    escaped = escaped.replace("…", "...")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def _man(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Return all that is written, by where it goes."""
    pages = {MAN / name: text for name, text in man_pages().items()}
    scripts = {COMPLETIONS / path: script(shell) for shell, path in SHELLS.items()}
    return {PAGE: page()} | pages | scripts


if __name__ == "__main__":
    wanted = files()
    for old in {*MAN.glob("*.1")} - wanted.keys():
        old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
