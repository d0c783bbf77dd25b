"""Is everything all right? What a runner would meet on this machine, before it does.

Each module is about one subject, and has functions that yield what they find; the lists
of subjects below have the order in which that is told. Nothing is changed: the
catalogue is asked in transactions that only read, targets are connected to and asked
for 1, and nothing is written to the disk. Nothing waits for ever: each look has its
time. The runner loads none of it.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pgagent_runner.checking import (
    channels,
    installation,
    jobs,
    machine,
    scripts,
    targets,
    triggers,
)
from pgagent_runner.checking.case import Case, Subject, examine, within
from pgagent_runner.checking.choices import Chosen, choose
from pgagent_runner.checking.database import Database, NoDatabaseError
from pgagent_runner.checking.findings import Finding, State, fault
from pgagent_runner.configuration import ConfigurationError

__all__ = ["Finding", "State", "look"]

# Without a database, too.
_OF_MACHINE = (
    Subject("passwords", machine.passwords, needs_database=False),
    Subject("versions", machine.libpq, needs_database=False),
    Subject("services", machine.services, needs_database=False),
    Subject("locale", machine.words, needs_database=False),
    Subject("channels", channels.channels, channels.SECONDS, needs_database=False),
)
# A fault in one of these, and the others could not be understood.
_FIRST = (
    Subject("versions", installation.versions),
    Subject("rights", installation.rights),
)
_ALWAYS = (
    Subject("control database", installation.server),
    Subject("pooler", installation.pooler, 30.0),
    Subject("clock", installation.clock),
)
_THEN = (
    Subject("schema", installation.schema),
    Subject("limits", installation.connections),
    Subject("arming", installation.arming),
    Subject("isolation", installation.isolation),
    Subject("runner", installation.runner),
    Subject("jobs", jobs.problems),
    Subject("channels", channels.destinations),
    Subject("triggers", triggers.triggers, 30.0),
    Subject("scripts", scripts.scripts, 20.0),
    Subject("targets", targets.targets, targets.SECONDS),
)
_LAST = (
    Subject("limits", machine.limits, needs_database=False),
    Subject("service", machine.service, needs_database=False),
)

_READ = 10.0  # seconds for the file
_CONNECT = 30.0  # seconds for all hosts of the connection string


def look(given: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is found, for a runner with these options of the command line.

    Raises ConfigurationError for a connection string there that is none.
    """
    chosen = _chosen(given)
    if chosen is None:
        told = f"the file of options could not be read within {_READ:g} s"
        yield fault("pgagent.toml", told, "make it an ordinary file")
        return
    yield from chosen.findings
    case = Case(chosen.options, chosen.file, os.environ)
    for subject in _OF_MACHINE:
        yield from examine(case, subject)
    if chosen.has_database:
        yield from _of_database(case)
    for subject in _LAST:
        yield from examine(case, subject)


def _chosen(given: Mapping[str, Any]) -> Chosen | None:
    """Read what was chosen; None if that has taken too long."""
    found: list[Chosen] = []
    refused: list[ConfigurationError] = []

    def read() -> None:
        try:
            found.append(choose(given, os.environ))
        except ConfigurationError as e:
            refused.append(e)

    within(_READ, read)
    if refused:
        raise refused[0]
    return found[0] if found else None


def _of_database(case: Case) -> Iterator[Finding]:
    connecting = Subject("control database", _connect, _CONNECT, needs_database=False)
    yield from examine(case, connecting)
    if case.database is None:
        return
    findings: list[Finding] = []
    try:
        for subjects in (_ALWAYS, _FIRST):
            for subject in subjects:
                findings += (found := examine(case, subject))
                yield from found
                if subjects is _FIRST and any(f.state is State.FAULT for f in found):
                    return
        for subject in _THEN:
            if case.database.is_lost:
                return
            yield from examine(case, subject)
    finally:
        case.database.close()


def _connect(case: Case) -> Iterator[Finding]:
    """Open the session with the catalogue, as the runner would."""
    try:
        case.database = Database.open(case.options.conninfo)
    except NoDatabaseError as e:
        remedy = e.refusal.remedy or "check conninfo, or -d"
        yield fault("control database", f"no connection: {e.refusal.told}", remedy)
