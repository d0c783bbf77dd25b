"""Reading a crontab(5): what each line becomes."""

import re
from typing import NamedTuple

ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")
ENTRY = re.compile(r"\s*(@\w+|(?:\S+\s+){4}\S+)\s+(.*\S)\s*$")
PERCENT = re.compile(r"(?<!\\)%")


class Entry(NamedTuple):
    """A line of a crontab that starts something."""

    line: int
    text: str
    schedule: str
    timezone: "str | None"
    script: str


class Other(NamedTuple):
    """A line that is not taken over as a job, and what becomes of it."""

    line: int
    text: str
    result: str


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
        if name not in ("SHELL", "MAILTO", "MAILFROM", "CRON_TZ")
    ]
    lines.append('cd "$HOME" || exit')
    command = command.replace("\\%", "%")
    if stdin:
        text = quoted("\n".join(part.replace("\\%", "%") for part in stdin))
        command = f"printf '%s\\n' {text} | {{\n{command}\n}}"
    return "\n".join([*lines, command]) + "\n"


def read_crontab(text: str) -> "list[Entry | Other]":
    """Read a crontab line by line; comments and blank lines are left out."""
    environment: dict[str, str] = {}
    found: list[Entry | Other] = []
    # cron knows no other ends of lines, such as form feeds.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        entry = ENTRY.match(line)
        assignment = ASSIGNMENT.match(line)
        if assignment:
            name, value = assignment.groups()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            environment[name] = value
            found.append(Other(number, line, describe_variable(name)))
        elif entry:
            schedule, command = entry.groups()
            zone = environment.get("CRON_TZ")
            body = script(command, environment)
            found.append(Entry(number, line, schedule, zone, body))
        else:
            problem = "can't be read: five fields, or @daily, and a command are wanted"
            found.append(Other(number, line, "problem: " + problem))
    return found


def describe_variable(name: str) -> str:
    """Say what becomes of a variable."""
    if name in ("MAILTO", "MAILFROM"):
        return "not taken over: output is kept in pga_jobsteplog"
    if name == "CRON_TZ":
        return "time zone of the lines below"
    if name == "SHELL":
        return "interpreter of the lines below"
    return "set in the scripts of the lines below"
