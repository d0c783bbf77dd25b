"""The database that a verb is about, as all of them are told which."""

import argparse
import os
import sys

from pgagent_runner.catalog import merge_conninfo
from pgagent_runner.catalog.conninfo import refuse_readable_secret
from pgagent_runner.configuration import (
    Configuration,
    ConfigurationError,
    UnreadableError,
)
from pgagent_runner.declaring import add_arguments, gather
from pgagent_runner.options import AgentOptions, configuration

_OPTIONS = ("config", "conninfo")


def add_database(parser: argparse.ArgumentParser) -> None:
    """Have the parser take --config and CONNINFO."""
    add_arguments(parser, AgentOptions, _OPTIONS)


def database(given: argparse.Namespace) -> tuple[str, Configuration]:
    """Return the connection string that was chosen, and what the file has besides.

    Raises ConfigurationError.
    """
    file = _configuration(given)
    refuse_readable_secret(file)
    chosen = gather(AgentOptions, vars(given), os.environ, file, _OPTIONS)
    try:
        return merge_conninfo(AgentOptions(**chosen).conninfo, {}), file
    except ValueError as e:
        raise ConfigurationError(f"the connection string is wrong: {e}") from None


def _configuration(given: argparse.Namespace) -> Configuration:
    """Read pgagent.toml; the runner's, if it is none of this user's business, is none.

    That is said, for the database may be another one then.
    """
    try:
        return configuration(vars(given), os.environ)
    except UnreadableError as e:
        sys.stderr.write(f"pgagent: {e}; it is left out\n")
        return Configuration()
