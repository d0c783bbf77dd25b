"""Opening a session at the target of an SQL step."""

import functools
import math
import random
import re
import select
import time
from collections.abc import Callable, Mapping

import psycopg
from psycopg import pq
from psycopg.abc import ConnDict
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo

from pgagent_runner.model import CONNECTION, Step
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.steps.sql.permitted import (
    Parameters,
    check_permitted,
    explain_refusal,
    precautions,
)
from pgagent_runner.tasks import wait_ready

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

_FIRST_DELAY = 0.1  # seconds
_LONGEST_DELAY = 5.0  # seconds


def connection_parameters(step: Step, settings: StepSettings) -> Parameters:
    """Give the libpq parameters of the step's target; raise StepError if it has none.

    The connection string wins over the database, and is parsed by libpq alone. It may
    name any server, so it gets less than the runner's own: see `permitted`.
    """
    if not step.conninfo and not step.database:
        raise StepError("the step names neither a database nor a connection string")
    given = step.conninfo or settings.server_conninfo
    try:
        target = _parse(given, "" if step.conninfo else step.database)
    except (psycopg.Error, UnicodeError) as error:
        reason = _without_secrets(given, error)
        raise StepError(f"the connection string is malformed: {reason}") from None
    own: Parameters = {}
    if step.conninfo:
        check_permitted(target, settings.allowed_parameters)
        own = precautions(clear_password=settings.clear_password)
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


def connect(
    parameters: Parameters,
    cancellation: Cancellation,
    output: BoundedOutput,
    on_shortage: Callable[[], None] = lambda: None,
) -> pq.abc.PGconn:
    """Open a connection, waiting for a free one as long as it takes.

    Whenever there is none, `on_shortage` is called. Raise StepError if the server
    cannot be reached or refuses for another reason, StepAbortedError when cancelled.
    """
    delay = _FIRST_DELAY
    while True:
        try:
            return _connect_once(parameters, cancellation)
        except psycopg.Error as error:
            reason = str(error).strip()
            if not is_shortage(reason):
                failure = _failure(parameters, reason)
                raise StepError(failure, cause=CONNECTION) from None
            on_shortage()
            if delay == _FIRST_DELAY:
                output.line(f"waiting for a free connection: {reason}")
        cancellation.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 (jitter)
        delay = min(2 * delay, _LONGEST_DELAY)


def is_shortage(reason: str) -> bool:
    """Tell whether a connection failed only because there were too many."""
    return _SHORTAGE.search(reason) is not None


def describe_target(values: Mapping[str, object]) -> str:
    """Give the line that tells where a step ran; `values` may hold secrets."""
    shown = {name: values.get(name) for name in ("host", "port", "dbname", "user")}
    return "target: " + make_conninfo("", **{k: str(v) for k, v in shown.items() if v})


def _connect_once(parameters: Parameters, cancellation: Cancellation) -> pq.abc.PGconn:
    """Try each host and address in turn; raise psycopg.Error when all have failed.

    psycopg's own loop could not be cancelled, and libpq's knows no time-out.
    """
    timeout = _timeout(parameters)
    failures = []
    for attempt in _attempts(parameters):
        pgconn = pq.PGconn.connect_start(make_conninfo("", **attempt).encode())
        try:
            _poll_until_connected(pgconn, timeout, cancellation)
        except psycopg.Error as error:
            pgconn.finish()
            failures.append(str(error).strip())
        except BaseException:
            pgconn.finish()
            raise
        else:
            pgconn.nonblocking = 1
            return pgconn
    raise psycopg.OperationalError("\n".join(failures))


def _attempts(parameters: Parameters) -> list[ConnDict]:
    """Look the names of the hosts up, each of which may have several addresses."""
    try:
        return conninfo_attempts(parameters)
    except UnicodeError:  # of Python's codec for host names, which names none
        hosts = str(parameters.get("host")).split(",")
        wrong = next((host for host in hosts if not _can_be_a_name(host)), "")
        raise psycopg.OperationalError(
            f'the host name "{wrong}" can\'t be looked up: between its dots there must'
            " be 1 to 63 characters that names may have"
        ) from None


def _can_be_a_name(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _timeout(parameters: Parameters) -> float:
    """Give the seconds per attempt; as in libpq, zero or less means no limit."""
    try:
        seconds = float(int(parameters["connect_timeout"] or 0))
    except (ValueError, OverflowError):
        raise psycopg.ProgrammingError("connect_timeout is not a number") from None
    return seconds if seconds > 0 else math.inf


def _poll_until_connected(
    pgconn: pq.abc.PGconn, timeout: float, cancellation: Cancellation
) -> None:
    deadline = time.monotonic() + timeout
    while pgconn.status != pq.ConnStatus.BAD:
        state = pgconn.connect_poll()
        if state == pq.PollingStatus.OK:
            return
        if state == pq.PollingStatus.FAILED:
            break
        reading = state == pq.PollingStatus.READING
        events = {pgconn.socket: select.POLLIN if reading else select.POLLOUT}
        ready = wait_ready(events, deadline - time.monotonic(), cancellation.flag)
        cancellation.check()
        if not ready:
            raise psycopg.OperationalError(f"no connection within {timeout:g} s")
    raise psycopg.OperationalError(
        pgconn.error_message.decode(errors="backslashreplace")
    )


def _without_secrets(conninfo: str, error: Exception) -> str:
    """Hide what libpq quotes if it may be a part of a password."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if "password" in conninfo or "://" in conninfo:
        return _QUOTED.sub(r'\1"…"', str(error)).strip()
    return str(error).strip()


def _failure(parameters: Parameters, reason: str) -> str:
    """Say why and where, unless that could show a part of a password.

    libpq splits `postgresql://user:p@ss/word@host/db` at the first "@" or "/".
    """
    if any("@" in str(parameters.get(name)) for name in ("host", "port", "dbname")):
        return (
            "could not connect; the reason is not shown, since it may hold a part of"
            ' a password: in a URI, "@", ":" and "/" inside a password must be'
            " written %40, %3A and %2F"
        )
    defaults = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val
    }
    reason = explain_refusal(reason)
    return f"could not connect: {reason}\n{describe_target({**defaults, **parameters})}"
