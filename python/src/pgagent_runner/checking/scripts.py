"""Batch steps: the programs that execute them, and the folder that they lie in."""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import LiteralString, NamedTuple

from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import (
    Finding,
    fault,
    literal,
    named,
    ok,
    quoted,
    shell,
    short,
    warning,
)
from pgagent_runner.steps import batch_environment
from pgagent_runner.steps.batch.batch_step import interpreter_of
from pgagent_runner.users import User

_FIRST_LINE = 1000  # characters
_LEAST_SPACE = 64 << 20  # bytes
_LEAST_FILES = 1000

# Those with the same first line are the same to us. Some editors put bytes before it.
_SCRIPTS: LiteralString = """
    SELECT t.line, t.owner, pg_catalog.count(*)::integer,
           (pg_catalog.array_agg(t.jobname ORDER BY t.jobid, t.jstname, t.jstid))[1],
           (pg_catalog.array_agg(t.jstname ORDER BY t.jobid, t.jstname, t.jstid))[1]
    FROM (
        SELECT CASE WHEN pg_catalog.strpos(pg_catalog."left"(s.jstcode, 4), '#!') > 0
                    THEN pg_catalog.split_part(
                        pg_catalog."left"(s.jstcode, %(longest)s),
                        pg_catalog.chr(10), 1)
                    ELSE '' END AS line,
               j.jobowner::text AS owner, j.jobid, j.jobname, s.jstid, s.jstname
        FROM pgagent.pga_jobstep AS s
        JOIN pgagent.pga_job AS j ON j.jobid = s.jstjobid
        WHERE (j.jobenabled OR j.jobnextrun IS NOT NULL) AND s.jstenabled
              AND s.jstkind = 'b' AND j.jobhostagent IN ('', %(station)s)
    ) AS t
    GROUP BY t.line, t.owner
    ORDER BY pg_catalog.min(t.jobid), 5
"""


class _Program(NamedTuple):
    """What executes scripts: the words of a first line, and as whom."""

    words: tuple[bytes, ...]
    user: User | None


class _Steps(NamedTuple):
    """How many scripts, and the first of them."""

    total: int
    job: str
    step: str


def scripts(case: Case) -> Iterator[Finding]:
    """Look at what all scripts of this runner's jobs need."""
    parameters = {"longest": _FIRST_LINE, "station": case.options.station}
    steps: dict[_Program, _Steps] = {}
    for line, owner, count, job, step in case.ask().rows(_SCRIPTS, parameters):
        user = case.options.batch_users.user_for(owner)
        program = _Program(tuple(interpreter_of(line.rstrip("\r"))), user)
        known = steps.get(program, _Steps(0, job, step))
        steps[program] = known._replace(total=known.total + count)
    if not steps:
        return
    environment = batch_environment(case.environ, case.options.env)
    bad = list(_interpreters(steps, environment))
    yield from bad
    for user in dict.fromkeys(program.user for program in steps):
        bad += (found := list(_folder(environment.get("TMPDIR"), user)))
        yield from found
    if not bad:
        programs = dict.fromkeys(os.fsdecode(program.words[0]) for program in steps)
        yield ok("scripts", f"interpreters: {named(list(programs))}")


def _interpreters(
    steps: Mapping[_Program, _Steps], environment: Mapping[str, str]
) -> Iterator[Finding]:
    for (words, user), whose in steps.items():
        told = why_unusable(words, user, environment)
        if told is not None:
            reason, mending = told
            names = quoted([whose.step, whose.job])
            more = f" and {whose.total - 1} more" if whose.total > 1 else ""
            change = (
                f"SELECT pgagent.alter_step({literal(whose.job)},"
                f" {literal(whose.step)}, command => '…')"
            )
            detail = f"step {names[0]} of job {names[1]}{more}: {reason}"
            yield fault("scripts", detail, f"{mending}; {change}")


def why_unusable(
    words: tuple[bytes, ...], user: User | None, environment: Mapping[str, str]
) -> tuple[str, str] | None:
    """Say why a script can't be executed by such a first line, and what helps."""
    program = os.fsdecode(words[0])
    shown = short(program)
    if "/" not in program:  # it is looked up, as execvp does
        return _why_not_found(program, "the runner", user, environment)
    why = _why_not_executable(Path(program), user)
    if why is not None:
        return f"its interpreter {shown} {why}", _remedy(program, why)
    if Path(program).name == "env" and len(words) > 1:
        return _of_env(os.fsdecode(words[1]).strip(), user, environment)
    return None


def _of_env(
    argument: str, user: User | None, environment: Mapping[str, str]
) -> tuple[str, str] | None:
    """Do the same for what `env` is to look for, which gets one argument."""
    if argument.startswith("-") or "=" in argument:
        return None
    if " " in argument or "\t" in argument:
        told = f"env looks for a program of the name {short(argument)!r}"
        return told, f"#!/usr/bin/env -S {short(argument)}"
    return _why_not_found(argument, "env", user, environment)


def _why_not_found(
    program: str, who: str, user: User | None, environment: Mapping[str, str]
) -> tuple[str, str] | None:
    path = environment.get("PATH", os.defpath)
    for folder in path.split(os.pathsep):
        if _why_not_executable(Path(folder or ".", program), user) is None:
            return None
    told = f"{who} finds no {short(program)!r} in the PATH of scripts, {short(path)}"
    return told, "install it, or start the runner with another PATH, or name another"


def _remedy(program: str, told: str) -> str:
    if told == "is not there":
        return f"install {short(program)}, or name another one"
    return f"{shell('chmod', 'a+rx', short(program))}; or name another one"


def _why_not_executable(path: Path, user: User | None) -> str | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except (OSError, ValueError) as e:
        return f"can't be looked at: {getattr(e, 'strerror', None) or e}"
    if not stat.S_ISREG(status.st_mode):
        return "is no program"
    if user is not None:
        return _why_not_for(user, path, status)
    return None if os.access(path, os.X_OK) else "is not executable"


def _why_not_for(user: User, path: Path, status: os.stat_result) -> str | None:
    if not all(_may(folder.stat(), user, 0o1) for folder in path.resolve().parents):
        return f"is in a folder that user {user.name} may not enter"
    if not _may(status, user, 0o1):
        return f"is not executable for user {user.name}"
    return None


def _may(status: os.stat_result, user: User, bits: int) -> bool:
    """Whether another user has such rights, as bits of the last digit of a mode."""
    if status.st_uid == user.uid:
        granted = status.st_mode >> 6
    elif status.st_gid in (user.gid, *user.groups):
        granted = status.st_mode >> 3
    else:
        granted = status.st_mode
    return granted & bits == bits


def _usual_folder() -> str:
    """Return what Python would find, which writes a file to try it."""
    named_ones = (os.environ.get(name, "") for name in ("TEMP", "TMP"))
    for folder in (*filter(None, named_ones), "/tmp", "/var/tmp"):  # noqa: S108
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return "/tmp"  # noqa: S108


def _folder(named_folder: str | None, user: User | None) -> Iterator[Finding]:
    """Look at the folder in which each script gets one of its own."""
    try:
        folder = Path(named_folder or _usual_folder()).absolute()
        status = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        told = f"there is no folder for scripts: {named_folder or 'TMPDIR names none'}"
        yield fault("scripts", told, "make it, or have TMPDIR name another one")
        return
    except OSError as e:
        told = (
            f"the folder for scripts can't be looked at: {named_folder}: {e.strerror}"
        )
        yield fault("scripts", told, "have TMPDIR name another one")
        return
    is_open = (
        os.access(folder, os.W_OK | os.X_OK)
        if user is None
        else _may(status, user, 0o3)
    )
    who = f"user {os.geteuid()}" if user is None else f"user {user.name}"
    if not stat.S_ISDIR(status.st_mode):
        told = f"{folder}, where scripts are to lie, is no folder"
        yield fault("scripts", told, "have TMPDIR name one")
    elif not is_open:
        told = f"{who} may not make a folder for a script in {folder}"
        remedy = f"{shell('chmod', '1777', folder)}, or have TMPDIR name another one"
        yield fault("scripts", told, remedy)
    elif status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        told = f"in {folder} others can take a script's folder away"
        yield fault("scripts", told, shell("chmod", "+t", folder))
    else:
        yield from _space(folder)


def _space(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    files = os.statvfs(folder)
    if free < _LEAST_SPACE:
        told = f"{free >> 20} MiB are left in {folder}, where scripts lie"
        yield warning("scripts", told, "make room, or have TMPDIR name another folder")
    elif files.f_files and files.f_favail < _LEAST_FILES:
        told = f"{files.f_favail} files are left in {folder}, where scripts lie"
        yield warning("scripts", told, "make room, or have TMPDIR name another folder")
