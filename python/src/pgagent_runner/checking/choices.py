"""What a runner would take from the command line, the environment and its file."""

import difflib
import os
import stat
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, NamedTuple

from pgagent_runner.catalog.conninfo import refuse_readable_secret, take_whole
from pgagent_runner.checking.findings import Finding, fault, ok, shell, warning
from pgagent_runner.configuration import Configuration, ConfigurationError
from pgagent_runner.declaring import gather, options_of
from pgagent_runner.options import AgentOptions, configuration, take_variables
from pgagent_runner.users import AS_THE_RUNNER, BatchUsers, batch_users

_FILE = "pgagent.toml"
_OPTIONS = "options"
_TABLES = ("run", "batch_users", "channels", "alive")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OWN_USER = "run this as the runner's user: sudo -u pgagent pgagent check"


class Chosen(NamedTuple):
    """What there is, as far as it makes sense, and what does not.

    has_database: whether the connection string is one.
    """

    options: AgentOptions
    file: Configuration
    findings: list[Finding]
    has_database: bool


def choose(given: Mapping[str, Any], environ: MutableMapping[str, str]) -> Chosen:
    """Find out what a runner would do with these words and variables.

    As a runner does, this takes its variables from the environment. Raises
    ConfigurationError for a connection string on the command line that is none.
    """
    findings: list[Finding] = []
    file = _file(given, environ, findings)
    options = _options(given, environ, file, findings)
    strange = take_variables(environ)
    findings.extend(map(_strange, strange))
    conninfo, has_database = options.conninfo, True
    try:
        conninfo = take_whole(conninfo, environ)
    except ConfigurationError as e:
        if any(given.get("conninfo", ())):
            raise
        remedy = "correct conninfo of pgagent.toml, or PGAGENT_CONNINFO"
        findings.append(fault(_OPTIONS, str(e), remedy))
        conninfo, has_database = "", False
    options = replace(
        options,
        conninfo=conninfo,
        batch_users=_batch_users(options, file, findings),
        secrets=None if file.path is None else file.path.absolute().parent / "secrets",
    )
    findings.extend(_of_log_file(options))
    if not findings:
        where = "no file" if file.path is None else str(file.path)
        findings.append(ok(_OPTIONS, f"options make sense ({where})"))
    return Chosen(options, file, findings, has_database)


def _file(
    given: Mapping[str, Any], environ: Mapping[str, str], findings: list[Finding]
) -> Configuration:
    """Read pgagent.toml; without it, go on."""
    try:
        file = configuration(given, environ)
    except ConfigurationError as e:
        findings.append(fault(_FILE, str(e), _remedy_of_file(e)))
        return Configuration()
    try:
        refuse_readable_secret(file)
    except ConfigurationError as e:
        told, _, remedy = str(e).rpartition(": ")
        findings.append(fault(_FILE, told, remedy))
    findings.extend(_of_file(file))
    return file


def _remedy_of_file(error: ConfigurationError) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    if isinstance(cause, PermissionError):
        return _OWN_USER
    if isinstance(cause, OSError):
        return "make the file, or name another one by --config or PGAGENT_CONFIG"
    return "correct the file"


def _of_file(file: Configuration) -> Iterator[Finding]:
    """Yield who could write a file, and what nobody reads in it."""
    if file.path is None:
        return
    status = file.path.stat()
    if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS_WRITE:
        told = f"{file.path}: others may write it, and have the runner do what they say"
        yield fault(_FILE, told, shell("chmod", "go-w", file.path))
    for name in file.tables:
        near = difflib.get_close_matches(name, _TABLES, n=1)
        if name not in _TABLES and near:
            told = f"{file.path}: nobody reads a table [{name}]"
            yield warning(_FILE, told, f"call it [{near[0]}], if that is meant")


def _options(
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    file: Configuration,
    findings: list[Finding],
) -> AgentOptions:
    """Return all options that make sense; the others have their defaults."""
    try:
        return AgentOptions(**gather(AgentOptions, given, environ, file))
    except ConfigurationError as e:
        mistakes = [str(e)]
    chosen: dict[str, Any] = {}
    for one in options_of(AgentOptions):
        try:
            chosen |= gather(AgentOptions, given, environ, file, [one.name])
        except ConfigurationError as e:
            mistakes.append(str(e))
    findings.extend(
        fault(_OPTIONS, mistake, "correct it, or leave it out")
        for mistake in dict.fromkeys(mistakes)
    )
    return AgentOptions(**chosen)


def _strange(variable: str) -> Finding:
    known = [one.variable for one in options_of(AgentOptions)]
    near = difflib.get_close_matches(variable, known, n=1)
    remedy = f"call it {near[0]}, or unset it" if near else f"unset {variable}"
    told = f"the variable {variable} is no option of the runner"
    return warning(_OPTIONS, told, remedy)


def _batch_users(
    options: AgentOptions, file: Configuration, findings: list[Finding]
) -> BatchUsers:
    try:
        return batch_users(options.batch_user, file.table("batch_users"))
    except ConfigurationError as e:
        told = str(e)
    if "has no user" in told:
        remedy = "sudo adduser --system --group NAME, or name another user"
    elif "capabilities" in told:
        remedy = f"give it both; or {_OWN_USER}"
    else:
        remedy = "name another user of this machine"
    findings.append(fault("batch users", told, remedy))
    return AS_THE_RUNNER


def _of_log_file(options: AgentOptions) -> Iterator[Finding]:
    if (path := options.log_file) is None:
        return
    place = path if path.exists() else path.absolute().parent
    if not place.is_dir() and place != path:
        told = f"the log file {path} can't be made: there is no folder {place}"
        yield fault("log", told, shell("mkdir", "-p", place))
    elif path.is_dir():
        told = f"the log file {path} is a folder"
        yield fault("log", told, "name a file by --log-file or log_file")
    elif not os.access(place, os.W_OK):
        told = f"user {os.geteuid()} may not write {place}, where the log goes"
        yield fault("log", told, shell("chown", str(os.geteuid()), place))
