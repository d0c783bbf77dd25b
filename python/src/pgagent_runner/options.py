"""The options of the runner: the one place where each of them is declared.

A new option is a field here, and whatever reads it; command line, pgagent.toml,
environment, help and the table in docs/operating.md follow (`make docs`).
"""

import re
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgagent_runner.configuration import Configuration, load
from pgagent_runner.declaring import (
    PREFIX,
    Address,
    Form,
    Kind,
    address,
    choice,
    file,
    gather,
    names,
    option,
    options_of,
    seconds,
    switch,
    text,
    whole,
    words,
)
from pgagent_runner.errands import NONE, Errands
from pgagent_runner.users import AS_THE_RUNNER, BatchUsers

MOST_WORKERS = 64  # unless the user wants more
LEVELS = ("error", "warning", "info", "debug")
FORMATS = ("text", "json")

_OWN_DESCRIPTORS = 200
_DESCRIPTORS_A_RUN = 6  # two for a session, four for a script

_OF_STEPS = re.compile(f"{PREFIX}((JOB|RUN|STEP)_|INPUT$)")  # in batch steps

_VERBOSITY = Kind(
    "0, 1 or 2",
    str,
    argparse={"type": int, "choices": (0, 1, 2)},
    join={0: "error", 1: "warning", 2: "debug"}.__getitem__,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """What can be chosen about a runner; all times are in seconds."""

    conninfo: str = option(
        words(),
        "the database that holds the schema pgagent, as any program that uses libpq"
        " takes it: 'host=… dbname=…', postgresql://…, service=…; the variables PG* and"
        " .pgpass count too. A password is best kept in .pgpass",
        default="",
        metavar="CONNINFO",
        classic=Form("conninfo", words("+")),
        repr=False,
    )
    config: Path | None = option(
        file(),
        "read this file instead of the first that is there of"
        " $XDG_CONFIG_HOME/pgagent/pgagent.toml (~/.config/…) and"
        " /etc/pgagent/pgagent.toml",
        default=None,
        metavar="FILE",
        in_file=False,
    )
    poll: float = option(
        seconds(0.1),
        "look for due jobs at least this often; due times and changes of jobs are"
        " noticed at once anyway",
        default=10.0,
        metavar="SECONDS",
        classic=Form("-t", seconds(1)),
    )
    retry: float = option(
        seconds(0.1),
        "the longest time between two attempts to reconnect; the first comes after"
        " 0.1 s, and what somebody can put right is looked at every 10 s at least",
        default=3.0,
        metavar="SECONDS",
        classic=Form(
            "-r",
            seconds(10),
            "the longest time between two attempts to reconnect; less than 10 is"
            " refused, as under pgAgent 4.2, but without this option it is 3",
        ),
    )
    log_file: Path | None = option(
        file(),
        "log to this file, which is opened anew when it is moved away (logrotate)",
        default=None,
        shown_default="standard error",
        metavar="FILE",
        classic=Form("-s", file()),
    )
    log_level: str = option(
        choice(*LEVELS),
        "log messages of this level and above",
        default="info",
        classic=Form(
            "-l",
            _VERBOSITY,
            "log errors (0, the default), warnings too (1), or all (2)",
            default="error",
        ),
    )
    log_format: str = option(
        choice(*FORMATS),
        "how the log is written: in lines to be read, or one object of JSON a line",
        default="text",
    )
    workers: int | None = option(
        whole(1, 1000),
        "run at most N jobs at the same time",
        default=None,
        shown_default="a third of the server's max_connections, which all runners"
        f" share, at most {MOST_WORKERS}",
        metavar="N",
    )
    grace: float = option(
        seconds(0),
        "when told to stop, let running jobs go on for this long; told again, stop them"
        " at once",
        default=30.0,
        metavar="SECONDS",
    )
    lease: float = option(
        seconds(4),
        "count as dead, so that others may take the jobs, after this long"
        " without a sign of life; it gives one five times as often",
        default=20.0,
        metavar="SECONDS",
    )
    target_sessions: int | None = option(
        whole(1, 1000),
        "have at most N sessions on the same database with the same login; more only"
        " for jobs that have one elsewhere already",
        default=None,
        shown_default="one for each running job",
        metavar="N",
    )
    station: str = option(
        text(),
        "the name of this host: the runner takes jobs whose jobhostagent is exactly"
        " this, and those without one",
        default_factory=socket.gethostname,
        shown_default="the host's name",
        metavar="NAME",
    )
    output_limit: int = option(
        whole(1024, 1 << 29),
        "keep this much of a step's output, half from its beginning and half from its"
        " end",
        default=1024 * 1024,
        shown_default="1 MiB",
        metavar="BYTES",
    )
    env: frozenset[str] = option(
        names(),
        "pass this environment variable on to batch steps (PATH, HOME, LANG and the"
        " like always are); may be repeated",
        default=frozenset(),
        metavar="NAME",
    )
    batch_user: str | None = option(
        text(),
        "run batch steps as this user of the operating system, where [batch_users] in"
        " pgagent.toml has none for the owner of the job; the runner has to be root, or"
        " to have CAP_SETUID and CAP_SETGID",
        default=None,
        shown_default="the runner's own user",
        metavar="NAME",
    )
    allow_parameter: frozenset[str] = option(
        names(),
        "let the connection strings of steps set this parameter too, such as service or"
        " sslcert; may be repeated",
        default=frozenset(),
        metavar="NAME",
    )
    allow_clear_password: bool = option(
        switch(),
        "send a password in clear if a server asks for that which the connection string"
        " of a step names",
        default=False,
    )
    listen: Address | None = option(
        address("127.0.0.1"),
        "answer probes and Prometheus by HTTP at this address: /livez, /readyz and"
        " /metrics; a port alone is one of 127.0.0.1. Whoever reaches it may ask: keep"
        " it on a private network",
        default=None,
        metavar="ADDRESS",
    )
    debuggable: bool = option(
        switch(),
        "let other processes of this user look into this one, as gdb, strace and py-spy"
        " do; batch steps can read its passwords then",
        default=False,
    )
    arm: bool = option(
        switch(),
        "if this database is a copy of another one, such as a restored dump, arm it:"
        " have its jobs started here from now on, as SELECT pgagent.arm() does",
        default=False,
        in_file=False,
    )

    # What is no option: tables of the file, and what is beside it.
    batch_users: BatchUsers = AS_THE_RUNNER
    """Whom of the operating system batch steps run as."""
    secrets: Path | None = None
    """The folder of files with passwords, beside pgagent.toml; it need not be there."""
    errands: Errands = NONE
    """What a child does: the file's alerts."""

    def workers_for(self, max_connections: int, agents: int = 1) -> int:
        """Return how many jobs run at once on a server with so many connections.

        A job usually takes one connection. Jobs take at most a third of them, to leave
        some for others when many jobs are due, and all agents share that third; beyond
        `MOST_WORKERS` there is little to be gained.
        """
        share = max_connections // 3 // max(1, agents)
        return self.workers or max(1, min(share, MOST_WORKERS))


def descriptors_for(workers: int) -> int:
    """Return how many files and connections a runner of so many jobs may have open."""
    return _OWN_DESCRIPTORS + _DESCRIPTORS_A_RUN * workers


def configuration(
    given: Mapping[str, Any], environ: Mapping[str, str]
) -> Configuration:
    """Read the file that --config or PGAGENT_CONFIG names, or else the usual one.

    Raises ConfigurationError as `load` does.
    """
    named = gather(AgentOptions, given, environ, Configuration(), ["config"])
    return load(named.get("config"), environ)


def take_variables(environ: MutableMapping[str, str]) -> list[str]:
    """Remove the variables of all options: nothing that is started has use for them.

    Return the names of those that look like one and are none.
    """
    for one in options_of(AgentOptions):
        environ.pop(one.variable, None)
    strange = environ.keys() - {name for name in environ if _OF_STEPS.match(name)}
    return sorted(name for name in strange if name.startswith(PREFIX))
