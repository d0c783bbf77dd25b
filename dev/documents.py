"""The commands that the documents tell people to give, as they stand there.

Tests and `make docs-check` take what they execute from here: `block("README.md",
"CREATE EXTENSION")` is the block of that page that begins so, `inline("README.md", "apt
install make git")` a command in the midst of a sentence. A command that nobody takes is
found by tests/docs/test_commands.py.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    *("README.md", "CONTRIBUTING.md", "contrib/README.md", "python/README.md"),
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)

# What is shown in such fences is no command: pictures, and files, which have tests.
_NO_COMMANDS = ("mermaid", "text", "toml", "json")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)((?: {4,}\S.*\n|\n(?= {4}))+)")
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_SHELL = re.compile(
    r"(sudo|apt|apt-get|apt-mark|pipx|pgagent|psql|pg_dump|pg_restore|systemctl|git|rm"
    r"|python3?|[A-Z_]+=\S+|dev/\w+|build/\S+) \S"
)
# With nothing to it.
_NAME = re.compile(r"(pgagent|apt) [a-z]+(-[a-z]+)*|pg_restore -j")
_SQL = re.compile(
    r"(SELECT|CREATE|ALTER|DROP|GRANT|REVOKE|INSERT|UPDATE|DELETE|TRUNCATE|SET|LOCK|SHOW"
    r"|VACUUM|BEGIN|COPY|NOTIFY|TABLE)\b.*\S \S+ \S"
)


@dataclass(frozen=True)
class Command:
    """A block of a page, or a command in a sentence of it."""

    page: str
    text: str
    is_inline: bool = False

    def __str__(self) -> str:
        """Return where it is and how it begins."""
        return f"{self.page}: {self.text.strip().splitlines()[0]}"


def commands_of(page: str) -> Iterator[Command]:
    """Yield all commands of a page: blocks in its order, then those in sentences."""
    text = (ROOT / page).read_text()
    rest = _FENCE.sub("\n", text)
    blocks = [(m.start(), m[3]) for m in _FENCE.finditer(text) if is_command(m[2])]
    # Where the fences were is not known any more, so blocks of either kind are found by
    # their text.
    blocks += [(text.index(m[1]), m[1]) for m in _INDENTED.finditer(rest)]
    for _, block in sorted(blocks):
        yield Command(page, textwrap.dedent(block))
    prose = _INDENTED.sub("\n", rest)
    spans = (" ".join(span.split()) for span in _SPAN.findall(prose))
    for span in dict.fromkeys(spans):
        if _NAME.fullmatch(span):
            continue
        if _SHELL.match(span) or _SQL.match(span):
            yield Command(page, span, is_inline=True)


def is_command(language: str) -> bool:
    """Whether a fence of this language holds commands."""
    return language not in (*_NO_COMMANDS, "")


def block(page: str, begin: str) -> str:
    """Return the one block of a page that begins like this.

    Raises LookupError if there is none, or more than one.
    """
    return _one(page, begin, is_inline=False).text


def inline(page: str, begin: str) -> str:
    """Return the one command in the sentences of a page that begins like this.

    Raises LookupError if there is none, or more than one.
    """
    return _one(page, begin, is_inline=True).text


def find(page: str, begin: str, *, is_inline: bool) -> list[Command]:
    """Return the commands of a page that begin like this."""
    return [
        command
        for command in commands_of(page)
        if command.is_inline == is_inline and command.text.startswith(begin)
    ]


def _one(page: str, begin: str, *, is_inline: bool) -> Command:
    found = find(page, begin, is_inline=is_inline)
    if len(found) != 1:
        kind = "commands in sentences" if is_inline else "blocks"
        raise LookupError(f"{page} has {len(found)} {kind} that begin with {begin!r}")
    return found[0]
