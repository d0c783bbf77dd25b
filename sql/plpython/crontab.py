"""Reading a crontab(5): what each line becomes."""

import re
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z_]\w*")
NICKNAME = re.compile(r"@\w+")
PERCENT = re.compile(r"(?<!\\)%")
# The crontabs of /etc name a user before the command. So does whoever copies one; the
# comment above it, or a name that is no program's, gives it away.
USERS_COLUMN = re.compile(r"#.*\buser(?:-?name)?\s+command\b", re.IGNORECASE)
USER_FIRST = re.compile(r"([a-z_][a-z0-9_-]*\$?)\s+(?!-)\S", re.IGNORECASE)
USERS = {
    *("root", "daemon", "nobody", "postgres", "www-data", "apache", "nginx", "mysql"),
    *("munin", "nagios", "smmsp", "uucp", "bin", "sys", "list", "irc", "proxy"),
}
# Nothing can cancel a backend that is busy in here.
LONGEST = 1_000_000  # characters of a crontab
MOST = 10_000_000  # characters of all scripts
MOST_NUMBERS = 50  # of lines in an error


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


def assignment_in(line: str) -> "tuple[str, str] | None":
    """Return name and value, if the line sets a variable."""
    name, equals, value = map(str.strip, line.partition("="))
    return (name, value) if equals and NAME.fullmatch(name) else None


def entry_in(line: str) -> "tuple[str, str] | None":
    """Return schedule and command, if the line has both."""
    line = line.strip()
    word, *rest = line.split(None, 1)
    if rest and NICKNAME.fullmatch(word):
        return word, rest[0]
    *fields, command = line.split(None, 5)
    if len(fields) < 5:
        return None
    return line[: len(line) - len(command)].rstrip(), command


def user_in(command: str) -> "str | None":
    """Return the first word of a command, if a user can have that name."""
    match = USER_FIRST.match(command)
    return match[1] if match else None


def names_users(lines: "list[str]") -> bool:
    """Whether this is a crontab of the system, with users' names in its lines."""
    for line in lines:
        if line.lstrip().startswith("#"):
            if USERS_COLUMN.match(line.lstrip()):
                return True
        elif line.strip() and not assignment_in(line):
            entry = entry_in(line)
            if entry and user_in(entry[1]) in USERS:
                return True
    return False


def describe_user(name: str) -> str:
    """Say why a line with a user's name is not taken over."""
    return (
        f'problem: before the command stands a user\'s name, "{name}", as in'
        " /etc/crontab: take it out of the line; the job will run as the user of the"
        " runner"
    )


def read_crontab(text: str) -> "list[Entry | Other]":
    """Read a crontab line by line; comments and blank lines are left out."""
    if len(text) > LONGEST:
        raise RefusalError(
            f"the crontab has {len(text)} characters", f"Allowed are {LONGEST} at most."
        )
    environment: dict[str, str] = {}
    size = 0
    found: list[Entry | Other] = []
    # cron knows no other ends of lines, such as form feeds.
    lines = text.split("\n")
    has_users = names_users(lines)
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        assignment = assignment_in(line)
        entry = entry_in(line)
        if assignment:
            name, value = assignment
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            environment[name] = value
            found.append(Other(number, line, describe_variable(name)))
        elif entry:
            schedule, command = entry
            user = user_in(command) if has_users else None
            if user:
                found.append(Other(number, line, describe_user(user)))
                continue
            zone = environment.get("CRON_TZ")
            body = script(command, environment)
            size += len(body)
            if size > MOST:
                raise RefusalError(
                    f"the scripts have more than {MOST} characters at line {number}",
                    "Each has all the variables that are set above it.",
                )
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


SCHEDULE = """
    SELECT string_agg(pgagent.pga_schedule_text(p), '; ') AS text
    FROM pgagent.pga_schedule_parsed($1, $2, now()) AS p"""
PRESENT = """
    SELECT bool_or(s.jstcode = $2 AND c.text = $3) AS same
    FROM pgagent.pga_job AS j
    LEFT JOIN pgagent.pga_jobstep AS s ON s.jstjobid = j.jobid
    CROSS JOIN LATERAL (
        SELECT string_agg(pgagent.pga_schedule_text(p), '; ' ORDER BY p.jscid) AS text
        FROM pgagent.pga_schedule AS p WHERE p.jscjobid = j.jobid
    ) AS c
    WHERE j.jobname = $1 HAVING count(*) > 0"""


def make_job(name: str, entry: Entry, zone: "str | None") -> None:
    """Make the job that a line becomes."""
    ask(
        "SELECT pgagent.pga_job_make($1, $2, 'batch'::text, $3, NULL::text, $4, true)",
        "text text text text",
        *(name, entry.schedule, entry.script, zone),
    )


def lines_of(crontab: str) -> "list[Entry | Other]":
    """Read a crontab, or raise an error of the database."""
    try:
        return read_crontab(crontab)
    except RefusalError as e:
        plpy.error(f"pgagent: crontab: {e}", detail=e.detail, sqlstate="22023")


def import_crontab(
    crontab: "str | None",
    dry_run: "bool | None",
    timezone: "str | None",
    prefix: "str | None",
) -> "list[tuple[int, str, str | None, str | None, str]]":
    """Take over all lines, or none; a dry run, the default, makes nothing."""
    dry = dry_run is not False
    rows: list[tuple[int, str, str | None, str | None, str]] = []
    new = []
    for line in lines_of(crontab or ""):
        if isinstance(line, Other):
            rows.append((line.line, line.text, None, None, line.result))
            continue
        name = f"{prefix or 'crontab'} line {line.line}"
        zone = line.timezone or timezone
        text = None
        try:
            text = ask(SCHEDULE, "text text", line.schedule, zone)[0]["text"]
            present = ask(PRESENT, "text text text", name, line.script, text)
        except plpy.SPIError as e:
            result = "problem: " + str(e).split("\n")[0]
        else:
            if present:
                result = "left alone: there is a job of this name"
                if not present[0]["same"]:
                    result += ", which does something else"
            else:
                result = "would become a job" if dry else "has become a job"
                new.append((name, line, zone))
        rows.append((line.line, line.text, name, text, result))
    if dry:
        return rows
    problems = [(row[0], row[4][9:]) for row in rows if row[4].startswith("problem: ")]
    if problems:
        numbers = ", ".join(str(number) for number, _ in problems[:MOST_NUMBERS])
        more = len(problems) - MOST_NUMBERS
        plpy.error(
            f"pgagent: crontab: line {problems[0][0]}: {problems[0][1]}",
            sqlstate="22023",
            detail=f"Lines that can't be taken over: {numbers}"
            + (f" and {more} more" if more > 0 else "")
            + ". No job was made; a dry run says of each what it becomes.",
        )
    for job in new:
        make_job(*job)
    return rows
