"""The lines of crontabs: what becomes of each."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pgagent_runner.verbs.imports.crontab_lines import (
    Entry,
    Unreadable,
    Variable,
    names_users,
    read_crontab,
)
from pgagent_runner.verbs.imports.found import Found, job

_FIELD = re.compile(r"[\dA-Za-z*/,~-]+")
_NICKNAMES = {
    **{
        f"@{word}": f"@{word}"
        for word in (
            *("hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually"),
            "reboot",
        )
    },
    "@every_minute": "* * * * *",  # FreeBSD's
    "@every_second": "@every 1 second",
}
_ACTS_ON = ("RANDOM_DELAY", "START_HOURS_RANGE", "CONTENT_TYPE")

ALONE = (
    "one run at a time: a time that passes meanwhile is left out, where cron starts the"
    " command once more"
)
MISSED = (
    "a time that passes while no runner is alive is made up for by one run, where cron"
    ' leaves it out (missed = "skip" does, too)'
)
ENVIRONMENT = (
    "scripts have the user and the environment of the runner, besides the variables of"
    " the crontab"
)

NO_USER = "it can't be read: a user's name and a command are wanted"
UNREADABLE = "it can't be read: five fields, or @daily, and a command are wanted"


class Crontab(NamedTuple):
    """A crontab, and how its jobs are named: by the prefix and the line."""

    place: str
    prefix: str
    text: str


def import_crontabs(
    crontabs: Iterable[Crontab],
    *,
    zone: str | None,
    has_users: bool | None = None,
    user: str | None = None,
) -> Found:
    """Return the jobs that the lines of crontabs become.

    zone: of their schedules, if they name none; None stands for the default one.
    has_users: whether lines name a user; None: if they look so. user: whom the runner's
    scripts run as; lines of others become disabled jobs.
    """
    crontabs = _told_apart(crontabs)
    found = Found(", ".join(crontab.place for crontab in crontabs))
    for crontab in crontabs:
        with_users = names_users(crontab.text) if has_users is None else has_users
        for line in read_crontab(crontab.text, with_users):
            name = f"{crontab.prefix} line {line.line}"
            if isinstance(line, Variable):
                _note_variable(found, name, line)
            elif isinstance(line, Unreadable):
                found.leave_out(name, UNREADABLE)
            elif with_users and line.user is None:
                found.leave_out(name, NO_USER)
            else:
                _add(found, name, line, zone, user)
    found.say_of_all(ALONE, MISSED, ENVIRONMENT)
    return found


def _told_apart(crontabs: Iterable[Crontab]) -> list[Crontab]:
    """Return them with prefixes of their own: files of two folders may share a name."""
    found = list(crontabs)
    times = Counter(crontab.prefix for crontab in found)
    return [
        one if times[one.prefix] == 1 else one._replace(prefix=one.place)
        for one in found
    ]


def _add(
    found: Found, name: str, entry: Entry, zone: str | None, user: str | None
) -> None:
    notes: list[str] = []
    try:
        schedule = _schedule(entry.schedule, notes)
    except ValueError as e:
        found.leave_out(name, str(e))
        return
    is_foreign = entry.user not in (None, user)
    if is_foreign:
        notes.append(
            f"disabled: it ran as the user {entry.user}, and would run as the runner's"
            " (--user NAME says who that is; [batch_users] in pgagent.toml runs scripts"
            " as others)"
        )
    timezone = entry.timezone or zone
    found.add(
        job(
            name,
            description=entry.text.strip(),
            enabled=False if is_foreign else None,
            steps=[job("command", kind="batch", command=entry.script)],
            schedules=[job(schedule, schedule=schedule, timezone=timezone)],
        ),
        *notes,
    )


def _schedule(text: str, notes: list[str]) -> str:
    """Return the schedule that a crontab has; raise ValueError if there is none."""
    text = " ".join(text.split())
    if text.startswith("@"):
        if text.lower() not in _NICKNAMES:
            raise ValueError(f"there is no schedule like {text}")
        if text.lower() == "@reboot":
            notes.append("@reboot: whenever a runner starts, not when the machine does")
        return _NICKNAMES[text.lower()]
    if not all(map(_FIELD.fullmatch, text.split())):
        raise ValueError(f'"{text}" is no schedule of a crontab')
    if "~" in text:
        raise ValueError(f'"{text}": ~, a time by chance, has no counterpart')
    if text.startswith("-"):
        notes.append("the - before its minute is left out: it keeps cron from logging")
    return text.removeprefix("-")


def _note_variable(found: Found, name: str, variable: Variable) -> None:
    told = f"{variable.name} = {variable.value}"
    if variable.name in ("MAILTO", "MAILFROM"):
        if variable.value:
            found.note(name, f"{told}: no mail is sent; the output is in the log")
    elif variable.name == "CRON_TZ":
        found.note(name, f"{told}: the time zone of the lines below, as cronie has it")
    elif variable.name in _ACTS_ON:
        found.note(name, f"{told}: cron goes by it; here only scripts see it")
