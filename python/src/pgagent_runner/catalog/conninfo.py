"""Connection strings that hold secrets."""

from psycopg import OperationalError
from psycopg.pq import Conninfo

from pgagent_runner.configuration import Configuration


def has_secret(conninfo: str) -> bool:
    """Whether it holds a password, or what else libpq would not show.

    One that can't be parsed might, if it speaks of one.
    """
    try:
        found = Conninfo.parse(conninfo.encode(errors="surrogateescape"))
    except (OperationalError, ValueError):
        return "password" in conninfo
    return any(one.val and one.dispchar == b"*" for one in found)


def refuse_readable_secret(configuration: Configuration) -> None:
    """Raise ConfigurationError if the file has a password that others can read."""
    conninfo = configuration.table("run").get("conninfo")
    if isinstance(conninfo, str) and has_secret(conninfo):
        configuration.keep_secret("[run] conninfo has a password")
