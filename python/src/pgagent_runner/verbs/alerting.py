"""`pgagent send-alerts`: what waits is sent, by hand or from cron."""

import os
from pathlib import Path

import psycopg

from pgagent_runner.catalog import CatalogError
from pgagent_runner.configuration import Configuration, UnreadableError
from pgagent_runner.options import configuration
from pgagent_runner.sending.channels import read_channels
from pgagent_runner.sending.errand import live_shortly, send_waiting
from pgagent_runner.verbs.database import database
from pgagent_runner.verbs.frame import MISUSED, Given, VerbError, say


def send_alerts(given: Given) -> int:
    """Decide what people are told, and send what waits for the channels of the file."""
    live_shortly(lambda: say(given, "it has taken too long; the rest comes later"))
    conninfo, _ = database(given)
    file = _file(given)
    found = read_channels(file)
    for complaint in found.complaints:
        say(given, complaint)

    def note(text: str) -> None:
        if given.verbose:
            say(given, text)

    try:
        outcome = send_waiting(conninfo, found, lambda text: say(given, text), note)
    except CatalogError as e:
        raise VerbError(_explained(e)) from e
    note(f"sent: {outcome.sent}; channels that failed: {len(outcome.failed)}")
    if outcome.left:
        place = file.path or "any pgagent.toml that counts here"
        note(
            f"messages that wait for channels that {place} does not have, or that"
            f" have just failed: {outcome.left}"
        )
    return MISUSED if found.complaints else 0


def _file(given: Given) -> Configuration:
    """Read pgagent.toml, also if the database is not said there."""
    named = {"config": Path(given.config)} if given.config else {}
    try:
        return configuration(named, os.environ)
    except UnreadableError as e:
        say(given, f"{e}; it is left out")
        return Configuration()


def _explained(error: CatalogError) -> str:
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.UndefinedFunction):
        return f"{error}: there is no pgagent in this database, or an older version"
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return f"{error}; SELECT pgagent.grant_access('runner', …) would permit it"
    return str(error)
