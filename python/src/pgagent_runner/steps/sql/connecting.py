"""Opening a session at the target of an SQL step."""

import functools
import re
from collections.abc import Awaitable, Callable, Mapping

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgagent_runner import libpq
from pgagent_runner.backoff import Backoff
from pgagent_runner.model import CONNECTION, Step
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.steps.sql.passfiles import with_passfile
from pgagent_runner.steps.sql.permitted import (
    Parameters,
    check_permitted,
    explain_refusal,
    precautions,
)
from pgagent_runner.steps.sql.services import with_service
from pgagent_runner.waiting import Waiter

# A network that swallows packets is noticed within a minute, not within hours.
_KEEPALIVES: Parameters = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

# libpq does not give the SQLSTATE (53300) of a refused connection. The fourth is
# PgBouncer's, the last that of a Unix socket whose queue is full.
_SHORTAGE = re.compile(
    "too many clients already"
    "|remaining connection slots are reserved"
    "|too many connections for (role|database)"
    "|no more connections allowed"
    "|Resource temporarily unavailable"
)
_QUOTED = re.compile('(missing "=" after |)".*"', re.DOTALL)

_LONGEST_TARGET = 65536  # characters: as long as a password may be

_FIRST_DELAY = 0.1  # seconds
_LONGEST_DELAY = 5.0  # seconds


def connection_parameters(step: Step, settings: StepSettings) -> Parameters:
    """Give the libpq parameters of the step's target; raise StepError if it has none.

    The connection string wins over the database, and is parsed by libpq alone. It may
    name any server, so it gets less than the runner's own: see `permitted`.
    """
    if not step.conninfo and not step.database:
        raise StepError("the step names neither a database nor a connection string")
    if max(len(step.conninfo), len(step.database)) > _LONGEST_TARGET:
        raise StepError(
            "the connection string, or the name of the database, is longer than"
            f" {_LONGEST_TARGET} characters"
        )
    given = step.conninfo or settings.server_conninfo
    try:
        target = _parse(given, "" if step.conninfo else step.database)
    except (psycopg.Error, UnicodeError) as error:
        reason = _without_secrets(given, error)
        raise StepError(f"the connection string is malformed: {reason}") from None
    own: Parameters = {}
    if step.conninfo:
        target = with_passfile(target, settings.passfiles)
        check_permitted(target, settings.allowed_parameters)
        target, methods = with_service(target)
        own = precautions(methods, clear_password=settings.clear_password)
    target = {k: v for k, v in target.items() if k != "replication"}  # has no end
    return {
        **_KEEPALIVES,
        **own,
        "connect_timeout": settings.connect_timeout,
        "fallback_application_name": "pgagent",
        **target,
        "client_encoding": "UTF8",
    }


@functools.lru_cache
def _parse(conninfo: str, database: str) -> Parameters:
    """Have libpq parse a connection string, and put a database there, if one is named.

    Many steps have the same target, and it is for ever the same.
    """
    target = conninfo_to_dict(conninfo)
    if database:
        target = conninfo_to_dict(make_conninfo(conninfo, dbname=database))
    return target


async def connect(
    parameters: Parameters,
    cancellation: Cancellation,
    output: BoundedOutput,
    on_shortage: Callable[[], None],
    log_in: Callable[[], Awaitable[pq.abc.PGconn]] | None = None,
) -> pq.abc.PGconn:
    """Open a connection, waiting for a free one as long as it takes.

    As another user than the parameters name, if `log_in` does. Whenever there is none,
    `on_shortage` is called. Raise StepError if the server cannot be reached or refuses
    for another reason, StepAbortedError when cancelled.
    """

    async def wait_for(waiter: Waiter, seconds: float) -> None:
        await cancellation.wait(waiter, seconds)
        cancellation.check()

    backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
    while True:
        try:
            if log_in is not None:
                return await log_in()
            return await libpq.connect(parameters, wait_for)
        except psycopg.Error as error:
            reason = str(error).strip()
            if not is_shortage(reason):
                raise failure(parameters, reason) from None
            on_shortage()
            if backoff.pause == _FIRST_DELAY:
                output.line(f"waiting for a free connection: {reason}")
        await cancellation.sleep(backoff.next())


def is_shortage(reason: str) -> bool:
    """Tell whether a connection failed only because there were too many."""
    return _SHORTAGE.search(reason) is not None


def describe_target(values: Mapping[str, object]) -> str:
    """Give the line that tells where a step ran; `values` may hold secrets."""
    shown = {name: values.get(name) for name in ("host", "port", "dbname", "user")}
    return "target: " + make_conninfo("", **{k: str(v) for k, v in shown.items() if v})


def _without_secrets(conninfo: str, error: Exception) -> str:
    """Hide what libpq quotes if it may be a part of a password."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if "password" in conninfo or "://" in conninfo:
        return _QUOTED.sub(r'\1"…"', str(error)).strip()
    return str(error).strip()


def failure(parameters: Parameters, reason: str, help_with_it: str = "") -> StepError:
    """Return what says why and where, unless that could show a part of a password.

    libpq splits `postgresql://user:p@ss/word@host/db` at the first "@" or "/".
    """
    if any("@" in str(parameters.get(name)) for name in ("host", "port", "dbname")):
        text = (
            "could not connect; the reason is not shown, since it may hold a part of"
            ' a password: in a URI, "@", ":" and "/" inside a password must be'
            " written %40, %3A and %2F"
        )
        return StepError(text, cause=CONNECTION)
    defaults = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val
    }
    target = describe_target({**defaults, **parameters})
    why = f"could not connect: {explain_refusal(reason)}"
    text = "\n".join(filter(None, (why, help_with_it, target)))
    return StepError(text, cause=CONNECTION)
