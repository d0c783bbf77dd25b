"""Connection strings that hold secrets, or what no connection can have."""

import os
import re
from collections.abc import MutableMapping

from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn

from pgagent_runner.catalog.connection import merge_conninfo
from pgagent_runner.configuration import Configuration, ConfigurationError


def has_secret(conninfo: str) -> bool:
    """Whether it holds a password, or what else libpq would not show.

    One that can't be parsed might, if it speaks of one.
    """
    try:
        found = Conninfo.parse(conninfo.encode(errors="surrogateescape"))
    except (OperationalError, ValueError):
        return "password" in conninfo
    return any(one.val and one.dispchar == b"*" for one in found)


def without_secrets(conninfo: str) -> tuple[str, bool]:
    """Return it as key=value without what `has_secret` finds, and whether that was so.

    Raises ValueError with libpq's reason if it can't be parsed.
    """
    try:
        found = Conninfo.parse(conninfo.encode(errors="surrogateescape"))
    except OperationalError as e:
        raise ValueError(str(e).strip()) from None
    given = [one for one in found if one.val]
    kept = {
        one.keyword.decode(): (one.val or b"").decode(errors="surrogateescape")
        for one in given
        if one.dispchar != b"*"
    }
    return make_conninfo("", **kept), len(kept) < len(given)


def refuse_readable_secret(configuration: Configuration) -> None:
    """Raise ConfigurationError if the file has a password that others can read."""
    conninfo = configuration.table("run").get("conninfo")
    if isinstance(conninfo, str) and has_secret(conninfo):
        configuration.keep_secret("[run] conninfo has a password")


def take_whole(conninfo: str, environ: MutableMapping[str, str]) -> str:
    """Return the connection string with what the environment has for it alone.

    PGPASSWORD and PGSERVICE become part of it and leave the environment: they are for
    this server, not for whichever one a job's connection string names. Raises
    ConfigurationError if no server could be reached with it.
    """
    own = {"password": "PGPASSWORD", "service": "PGSERVICE"}
    defaults = {
        name: environ.pop(variable, "") or None for name, variable in own.items()
    }
    try:
        whole = merge_conninfo(conninfo, defaults)
        refuse_malformed(whole)
    except ValueError as e:
        raise ConfigurationError(f"the connection string is wrong: {e}") from None
    return whole


# What libpq says of values before it looks for a server.
_MALFORMED = re.compile(
    r"invalid (?:port number|integer value|\S+ value)|could not match \d+"
)
_SPLIT = ("host", "port", "dbname")  # where parts of such a password come to be
_NOWHERE = "/nowhere/pgagent"  # a socket's directory that is not there
_OFF = ("", "0", "f", "false", "n", "no", "off")


def refuse_malformed(conninfo: str) -> None:
    """Raise ValueError with the reason if no server could be reached with this.

    libpq itself is asked, variables of the environment included; no server is.
    """
    parameters = conninfo_to_dict(conninfo)
    replication = str(parameters.get("replication") or "")
    if replication.lower() not in _OFF:
        raise ValueError(
            f"replication={replication} opens a session for replication, in which no"
            " job could run: leave it out"
        )
    timeout = parameters.get("connect_timeout") or os.environ.get("PGCONNECT_TIMEOUT")
    if timeout and not re.fullmatch(r"\s*[+-]?\d+\s*", str(timeout)):
        raise ValueError(
            f'the value "{timeout}" of connect_timeout is no number of seconds'
            " (PGCONNECT_TIMEOUT, if the connection string has none)"
        )
    if not parameters.get("service"):
        _ask_libpq(parameters)


def _ask_libpq(parameters: dict[str, str | int | None]) -> None:
    hosts = str(
        parameters.get("hostaddr")
        or parameters.get("host")
        or os.environ.get("PGHOSTADDR")
        or os.environ.get("PGHOST")
        or ""
    )
    nowhere = ",".join([_NOWHERE] * (hosts.count(",") + 1))
    asked = make_conninfo("", **(parameters | {"host": nowhere, "hostaddr": ""}))
    connection = PGconn.connect_start(asked.encode())
    told = connection.get_error_message().strip()
    connection.finish()
    # A part of a password that holds an @ may have been taken for the port.
    if _MALFORMED.match(told) and "@" not in told:
        if any("@" in str(parameters.get(name, "")) for name in _SPLIT):
            raise ValueError(
                "it is a URI whose password has an @, : or /, which are written %40,"
                " %3A and %2F there"
            )
        is_port = '"port"' in told or "port number" in told
        variable = " (PGPORT, if the connection string has none)" if is_port else ""
        raise ValueError(told + variable)
