"""The command `pgagent`: from argv and the environment to a running agent, or a verb.

The runner exits with 0 after a stop that was asked for, and with 2 if the command line
makes no sense; nothing else ends it.
"""

import argparse
import asyncio
import gc
import logging
import math
import os
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from pgagent_runner import logs
from pgagent_runner.agent import MOST_WORKERS, Agent, AgentOptions
from pgagent_runner.catalog import merge_conninfo, parse_conninfo
from pgagent_runner.secrecy import hide
from pgagent_runner.steps import batch_environment

log = logging.getLogger("pgagent")

DAY = 86400.0
DEFAULTS = AgentOptions(conninfo="", station="")
VERBS = {"init": "install", "update": "install"}  # word -> module of verbs
LEVELS = ("error", "warning", "info", "debug")

USAGE = """\
pgagent run [OPTION]... [CONNINFO]
       pgagent {init | update} [--dry-run] [CONNINFO]
       pgagent [-f] [-t SECONDS] [-r SECONDS] [-s FILE] [-l 0|1|2] [-v] CONNINFO"""

CONNINFO_HELP = (
    "the database that holds the schema pgagent, as any program that uses libpq takes"
    " it: 'host=… dbname=…', postgresql://…, service=…; the variables PG* and .pgpass"
    " count too. A password is best kept in .pgpass."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in VERBS:
        verb = import_module(f"pgagent_runner.verbs.{VERBS[arguments[0]]}")
        status: int = verb.main(arguments[0], arguments[1:])
        return status
    if arguments[:1] == ["run"]:
        options = _run_parser().parse_args(arguments[1:])
    else:
        options = _classic_parser().parse_args(arguments)
        options.log_level = {0: "error", 1: "warning", 2: "debug"}[options.verbosity]
    if options.debuggable:
        hide(hidden=False)
    conninfo = _conninfo(options.conninfo)

    try:
        logs.start(getattr(logging, options.log_level.upper()), options.log_file)
    except OSError as e:
        sys.stderr.write(f"pgagent: the log file can't be opened: {e}\n")
        return 2
    if not options.foreground:
        _detach(keep_output=options.log_file is None)
    if "password" in parse_conninfo(" ".join(options.conninfo)):
        log.warning(
            "the password on the command line can be read by every user of this"
            " machine; keep it in a .pgpass file"
        )
    agent = Agent(
        AgentOptions(
            conninfo=conninfo,
            station=options.station,
            workers=options.workers,
            poll=options.poll,
            retry=options.retry,
            grace=options.grace,
            lease=options.lease,
            target_sessions=options.target_sessions,
            output_limit=options.output_limit,
            allowed_parameters=frozenset(options.allow_parameter),
            clear_password=options.allow_clear_password,
            environment=batch_environment(os.environ, options.env),
        )
    )
    gc.freeze()  # what has been loaded stays: to look through it takes milliseconds
    asyncio.run(agent.run())
    return 0


def _run_parser() -> argparse.ArgumentParser:
    """Parse `pgagent run`: for a terminal or a service manager."""
    parser = argparse.ArgumentParser(
        prog="pgagent run",
        description="Run the jobs that are due, in the foreground, until told to stop.",
    )
    parser.set_defaults(foreground=True)
    _add_common(parser)
    parser.add_argument("conninfo", nargs="*", metavar="CONNINFO", help=CONNINFO_HELP)
    add = parser.add_argument
    add(
        "--poll",
        type=_seconds(0.1),
        default=DEFAULTS.poll,
        metavar="SECONDS",
        help="look for due jobs at least this often (default: %(default)g); due times"
        " and changes of jobs are noticed at once anyway",
    )
    add(
        "--retry",
        type=_seconds(0.1),
        default=DEFAULTS.retry,
        metavar="SECONDS",
        help="the longest time between two attempts to reconnect"
        " (default: %(default)g)",
    )
    add(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="log to this file (default: standard error)",
    )
    add(
        "--log-level",
        choices=LEVELS,
        default="info",
        help="log messages of this level and above (default: info)",
    )
    return parser


def _classic_parser() -> argparse.ArgumentParser:
    """Parse the form of pgAgent 4: `pgagent -f -t 5 -l 1 host=… dbname=…`."""
    parser = argparse.ArgumentParser(
        prog="pgagent",
        usage=USAGE,
        epilog="'pgagent run --help' shows more options.",
        description="Run the jobs of a PostgreSQL database that are due.",
    )
    _add_common(parser)
    parser.add_argument("conninfo", nargs="+", metavar="CONNINFO", help=CONNINFO_HELP)
    add = parser.add_argument
    add(
        "-f",
        dest="foreground",
        action="store_true",
        help="run in the foreground (do not detach from the terminal)",
    )
    add(
        "-t",
        dest="poll",
        type=_seconds(1),
        default=DEFAULTS.poll,
        metavar="SECONDS",
        help="look for due jobs at least this often (default: %(default)g)",
    )
    add(
        "-r",
        dest="retry",
        type=_seconds(10),
        default=DEFAULTS.retry,
        metavar="SECONDS",
        help="the longest time between two attempts to reconnect; less than 10 is"
        " refused, as under pgAgent 4.2, but without this option it is %(default)g",
    )
    add(
        "-s",
        dest="log_file",
        type=Path,
        metavar="FILE",
        help="log to this file (default: standard error)",
    )
    add(
        "-l",
        dest="verbosity",
        type=int,
        choices=(0, 1, 2),
        default=0,
        help="log errors (0, the default), warnings too (1), or all (2)",
    )
    add("-v", "--version", action="version", version=_version())
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that both forms have."""
    add = parser.add_argument
    add(
        "--station",
        default=socket.gethostname(),
        metavar="NAME",
        help="the name of this host, to which jobs may be bound by jobhostagent"
        " (default: %(default)s)",
    )
    add(
        "--workers",
        type=_integer(1, 1000),
        metavar="N",
        help="run at most N jobs at the same time (default: a third of the server's"
        f" max_connections, at most {MOST_WORKERS})",
    )
    add(
        "--target-sessions",
        type=_integer(1, 1000),
        metavar="N",
        help="have at most N sessions on the same database with the same login; more"
        " only for jobs that have one elsewhere already (default: one for each"
        " running job)",
    )
    add(
        "--lease",
        type=_seconds(4),
        default=DEFAULTS.lease,
        metavar="SECONDS",
        help="count as dead, so that others may take the jobs, without a sign of life"
        " for this long; it is shown five times as often"
        " (default: %(default)g)",
    )
    add(
        "--grace",
        type=_seconds(0),
        default=DEFAULTS.grace,
        metavar="SECONDS",
        help="when told to stop, let running jobs go on for this long"
        " (default: %(default)g); told again, stop them at once",
    )
    add(
        "--output-limit",
        type=_integer(1024, 1 << 29),
        default=DEFAULTS.output_limit,
        metavar="BYTES",
        help="keep this much of a step's output (default: 1 MiB)",
    )
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="pass this environment variable on to batch steps (PATH, HOME, LANG and"
        " the like always are); may be repeated",
    )
    add(
        "--allow-parameter",
        action="append",
        default=[],
        metavar="NAME",
        help="let the connection strings of steps set this parameter too, such as"
        " service or sslcert; may be repeated",
    )
    add(
        "--allow-clear-password",
        action="store_true",
        help="send a password in clear if a server asks for that which the connection"
        " string of a step names",
    )
    add(
        "--debuggable",
        action="store_true",
        help="let other processes of this user look into this one, as gdb, strace and"
        " py-spy do; batch steps can read its passwords then",
    )
    if parser.prog == "pgagent run":
        add("--version", action="version", version=_version())


def _version() -> str:
    return f"pgagent {version('pgagent-runner')}"


def _seconds(least: float) -> Callable[[str], float]:
    """Return the parser of a number of seconds, `least` or more."""

    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= DAY:  # NaN is not
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number of seconds from {least:g} to {DAY:g}"
            )
        return value

    return seconds


def _integer(least: int, most: int) -> Callable[[str], int]:
    """Return the parser of a whole number from `least` to `most`."""

    def integer(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from {least} to {most}"
        )

    return integer


def _conninfo(words: list[str]) -> str:
    """Put the connection string together; end with 2 if it can't be parsed.

    PGPASSWORD and PGSERVICE become part of it and leave the environment: they are for
    this server, not for whichever one a job's connection string names.
    """
    own = {"password": "PGPASSWORD", "service": "PGSERVICE"}
    defaults = {
        name: os.environ.pop(variable, "") or None for name, variable in own.items()
    }
    try:
        return merge_conninfo(" ".join(words), defaults)
    except ValueError as e:
        sys.stderr.write(f"pgagent: the connection string is wrong: {e}\n")
        raise SystemExit(2) from None


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
