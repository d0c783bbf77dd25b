"""Reading a crontab(5): what each line is, and the script that does what cron would do.

The Makefile puts this file into the body of pgagent.import_crontab() as well. So it
imports nothing of ours, and is Python 3.9.
"""

import re
from collections.abc import Iterator  # noqa: TC003 (evaluated or not, by server)
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z_]\w*")
NICKNAME = re.compile(r"@\w+")
PERCENT = re.compile(r"(?<!\\)%")
# The crontabs of /etc name a user before the command. So does whoever copies one; the
# comment above it, or a name that is no program's, gives it away.
USERS_COLUMN = re.compile(r"#.*\buser(?:-?name)?\s+command\b", re.IGNORECASE)
USER_FIRST = re.compile(r"([a-z_][a-z0-9_-]*\$?)\s+(?!-)(?=\S)", re.IGNORECASE)
USERS = {
    *("root", "daemon", "nobody", "postgres", "www-data", "apache", "nginx", "mysql"),
    *("munin", "nagios", "smmsp", "uucp", "bin", "sys", "list", "irc", "proxy"),
}
# Said to cron, and of no use to a script.
FOR_CRON = ("SHELL", "MAILTO", "MAILFROM", "CRON_TZ")


class Entry(NamedTuple):
    """A line of a crontab that starts something.

    timezone: of its schedule, if the crontab names one.
    user: as whom it runs, where the crontab says so.
    script: what does the same as cron.
    """

    line: int
    text: str
    schedule: str
    timezone: "str | None"
    user: "str | None"
    script: str


class Variable(NamedTuple):
    """A line that sets a variable for those below it."""

    line: int
    text: str
    name: str
    value: str


class Unreadable(NamedTuple):
    """A line that is neither."""

    line: int
    text: str


def quoted(text: str) -> str:
    """Quote text for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def script(command: str, environment: "dict[str, str]") -> str:
    """Write what cron would do for a command as a script."""
    command, *stdin = PERCENT.split(command)
    lines = [f"#!{environment.get('SHELL', '/bin/sh')}"]
    lines += [
        f"export {name}={quoted(value)}"
        for name, value in environment.items()
        if name not in FOR_CRON
    ]
    lines.append('cd "$HOME" || exit')
    command = command.replace("\\%", "%")
    if stdin:
        text = quoted("\n".join(part.replace("\\%", "%") for part in stdin))
        command = f"printf '%s\\n' {text} | {{\n{command}\n}}"
    return "\n".join([*lines, command]) + "\n"


def assignment_in(line: str) -> "tuple[str, str] | None":
    """Return name and value, if the line sets a variable."""
    name, equals, value = map(str.strip, line.partition("="))
    if not equals or not NAME.fullmatch(name):
        return None
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return name, value


def entry_in(line: str) -> "tuple[str, str] | None":
    """Return schedule and command, if the line has both."""
    line = line.strip()
    word, *rest = line.split(None, 1)
    if rest and NICKNAME.fullmatch(word):
        return word, rest[0]
    *fields, command = line.split(None, 5)
    if len(fields) < 5:  # noqa: PLR2004
        return None
    return line[: len(line) - len(command)].rstrip(), command


def names_users(text: str) -> bool:
    """Whether this is a crontab of the system, with users' names in its lines."""
    for line in text.split("\n"):
        if line.lstrip().startswith("#"):
            if USERS_COLUMN.match(line.lstrip()):
                return True
        elif line.strip() and not assignment_in(line):
            entry = entry_in(line)
            user = USER_FIRST.match(entry[1]) if entry else None
            if user and user[1] in USERS:
                return True
    return False


def read_crontab(
    text: str,
    has_users: bool,  # noqa: FBT001
) -> "Iterator[Entry | Variable | Unreadable]":
    """Yield what a crontab has, line by line; comments and blank lines are left out."""
    environment: dict[str, str] = {}
    # cron knows no other ends of lines, such as form feeds.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment = assignment_in(line)
        entry = entry_in(line)
        if assignment:
            name, value = assignment
            environment[name] = value
            yield Variable(number, line, name, value)
        elif entry:
            schedule, command = entry
            user = USER_FIRST.match(command) if has_users else None
            if user:
                command = command[user.end() :]
            zone = environment.get("CRON_TZ")
            name_of_user = user[1] if user else None
            body = script(command, environment)
            yield Entry(number, line, schedule, zone, name_of_user, body)
        else:
            yield Unreadable(number, line)
