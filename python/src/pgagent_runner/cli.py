"""The command `pgagent`: from what the user has written to an agent, or a verb.

The runner exits with 0 after a stop that was asked for, with 2 if what the user has
written makes no sense, and with 70 if it is stuck (see `agent/lease.py`); nothing else
ends it.
"""

import argparse
import asyncio
import gc
import logging
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg

from pgagent_runner import logs
from pgagent_runner.catalog.conninfo import (
    has_secret,
    refuse_readable_secret,
    take_whole,
)
from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.declaring import add_arguments, gather
from pgagent_runner.errands import errands
from pgagent_runner.options import AgentOptions, configuration, take_variables
from pgagent_runner.secrecy import hide
from pgagent_runner.users import batch_users
from pgagent_runner.waiting import new_loop

if TYPE_CHECKING:
    from pgagent_runner.listening import Listening

log = logging.getLogger("pgagent")

BARE_WORD = re.compile(r"[^-=/\s][^=/\s]*")

USAGE = """\
pgagent run [OPTION]... [CONNINFO]
       pgagent VERB [OPTION]...
       pgagent [-f] [-t SECONDS] [-r SECONDS] [-s FILE] [-l 0|1|2] [-v] CONNINFO"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = _verb(arguments)
    try:
        if verb is None:
            return _run(arguments, classic=True)
        if verb == "run":
            return _run(arguments[1:], classic=False)
        return _call(verb, arguments[1:])
    except ConfigurationError as e:
        sys.stderr.write(f"pgagent: {e}\n")
        raise SystemExit(2) from None


def _call(word: str, arguments: list[str]) -> int:
    """Do what a verb says. The runner loads none of them, nor what they have."""
    from pgagent_runner.verbs import frame, table  # noqa: PLC0415

    if word not in table.BY_NAME:
        raise ConfigurationError(table.refusal(word))
    return frame.call(table.BY_NAME[word], arguments)


def _verb(arguments: list[str]) -> str | None:
    """Return the first argument if it is a verb, or could not be anything else.

    To 4.2, `pgagent host = x` is a connection string of three words.
    """
    first, second = (*arguments, "", "")[:2]
    if BARE_WORD.fullmatch(first) and not second.startswith("="):
        return first
    return None


def _run(arguments: list[str], *, classic: bool) -> int:
    """Run jobs: `pgagent run`, or the form of pgAgent 4.2."""
    parser = _classic_parser() if classic else _run_parser()
    given = vars(parser.parse_args(arguments))
    options = _options(given, classic=classic)
    strange = take_variables(os.environ)
    if options.debuggable:
        hide(hidden=False)
    level = getattr(logging, options.log_level.upper())
    try:
        logs.start(level, options.log_file, options.log_format)
    except OSError as e:
        raise ConfigurationError(f"the log file can't be opened: {e}") from e
    listening = _listening(options)
    if not given["foreground"]:
        _detach(keep_output=options.log_file is None)
    if has_secret(" ".join(given.get("conninfo", ()))):
        log.warning(
            "the password on the command line can be read by every user of this"
            " machine; keep it in a .pgpass file"
        )
    for variable in strange:
        log.warning("the variable %s is no option of the runner", variable)
    _serve(options, listening)
    return 0


def _listening(options: AgentOptions) -> "Listening | None":
    """Bind the address of --listen: whoever starts the runner hears if that fails."""
    if options.listen is None:
        return None
    from pgagent_runner.listening import open_listening  # noqa: PLC0415

    return open_listening(options.listen)


def _serve(options: AgentOptions, listening: "Listening | None") -> None:
    """Be an agent until told to stop. Verbs need none, and do not wait for its code."""
    gc.disable()
    from pgagent_runner.agent import Agent  # noqa: PLC0415

    gc.freeze()  # what has been loaded stays: to look through it takes milliseconds
    gc.enable()
    with asyncio.Runner(loop_factory=new_loop) as loop:
        loop.run(Agent(options, listening).run())


def _options(given: dict[str, Any], *, classic: bool) -> AgentOptions:
    """Return what was chosen, wherever; ConfigurationError says what makes no sense."""
    file = configuration(given, os.environ)
    refuse_readable_secret(file)
    chosen = gather(AgentOptions, given, os.environ, file, classic=classic)
    options = AgentOptions(**chosen)
    return replace(
        options,
        conninfo=take_whole(options.conninfo, os.environ),
        batch_users=batch_users(options.batch_user, file.table("batch_users")),
        secrets=None if file.path is None else file.path.absolute().parent / "secrets",
        errands=errands(file),
    )


def _run_parser() -> argparse.ArgumentParser:
    """Parse `pgagent run`: for a terminal or a service manager."""
    parser = argparse.ArgumentParser(
        prog="pgagent run",
        description="Run the jobs that are due, in the foreground, until told to stop.",
        epilog="Each option may also stand in pgagent.toml, and in a variable:"
        " --log-level is log_level there, under [run], and PGAGENT_LOG_LEVEL.",
    )
    parser.set_defaults(foreground=True)
    add_arguments(parser, AgentOptions)
    parser.add_argument("--version", action=_Version, nargs=0, help=_Version.HELP)
    return parser


def _classic_parser() -> argparse.ArgumentParser:
    """Parse the form of pgAgent 4: `pgagent -f -t 5 -l 1 host=… dbname=…`."""
    parser = argparse.ArgumentParser(
        prog="pgagent",
        usage=USAGE,
        epilog="'pgagent run --help' shows more options.",
        description="Run the jobs of a PostgreSQL database that are due.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=_Help, nargs=0, help=_Help.HELP)
    add_arguments(parser, AgentOptions, classic=True)
    parser.add_argument(
        "-f",
        dest="foreground",
        action="store_true",
        help="run in the foreground (do not detach from the terminal)",
    )
    parser.add_argument("-v", "--version", action=_Version, nargs=0, help=_Version.HELP)
    return parser


class _Help(argparse.Action):
    """Show how the command is called, its verbs, and the options of pgAgent 4.2."""

    HELP = "show this help message and exit"

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from pgagent_runner.verbs import table  # noqa: PLC0415

        parser.description = f"{parser.description}\n\n{table.overview()}"
        parser.print_help()
        raise SystemExit(0)


class _Version(argparse.Action):
    """Say the version, in a line of its own, and what it was found to run on."""

    HELP = "show the version, and those of psycopg, libpq and Python"

    def __call__(self, *_: object, **__: object) -> NoReturn:
        libpq = psycopg.pq.version()
        sys.stdout.write(
            f"pgagent {version('pgagent-runner')}\n"
            f"psycopg {psycopg.__version__} ({psycopg.pq.__impl__}),"
            f" libpq {libpq // 10000}.{libpq % 10000},"
            f" Python {platform.python_version()}\n"
        )
        raise SystemExit(0)


def _detach(*, keep_output: bool) -> None:
    """Go on in the background, without a terminal, as a daemon does.

    The caller's output is kept if the log goes there.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    with open(os.devnull, "rb") as null:  # noqa: PTH123
        os.dup2(null.fileno(), sys.stdin.fileno())
    if not keep_output:
        with open(os.devnull, "wb") as null:  # noqa: PTH123
            os.dup2(null.fileno(), sys.stdout.fileno())
            os.dup2(null.fileno(), sys.stderr.fileno())
