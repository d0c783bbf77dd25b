"""What the service that a connection string names stands for: libpq knows."""

import os
from collections.abc import Mapping

from psycopg import pq
from psycopg.conninfo import make_conninfo

from pgagent_runner.steps.failures import StepError

Parameters = dict[str, str | int | None]

# The way there, which we look up and try ourselves, and what the runner would set
# itself; the rest, passwords too, libpq takes from the service when it connects.
_WANTED = (
    *("host", "hostaddr", "port", "dbname", "user", "options", "connect_timeout"),
    *("target_session_attrs", "load_balance_hosts"),
)
_FOR_OWN_SERVER = {"hostaddr": "PGHOSTADDR", "options": "PGOPTIONS"}

_NO_VALUE = "of-no-meaning"


def with_service(
    target: Mapping[str, str | int | None],
) -> tuple[Parameters, str | None]:
    """Return the target with the way to its service, if it names one.

    And the ways to authenticate that the service, or the environment, permits. Raise
    StepError if there is no such service.
    """
    if not target.get("service"):
        return dict(target), os.environ.get("PGREQUIREAUTH")
    found = _ask(target)
    for name, variable in _FOR_OWN_SERVER.items():
        if found.get(name) == os.environ.get(variable):
            found.pop(name, None)
    way = {name: found[name] for name in _WANTED if name in found}
    return {**target, **way}, found.get("require_auth")


def _ask(target: Mapping[str, str | int | None]) -> dict[str, str]:
    """Have libpq read the service; a value that it refuses keeps it from connecting."""
    conninfo = make_conninfo("", **{**target, "gssencmode": _NO_VALUE})
    asked = pq.PGconn.connect_start(conninfo.encode())
    try:
        reason = asked.error_message.decode(errors="backslashreplace").strip()
        if _NO_VALUE not in reason:
            raise StepError(f"could not connect: {reason}")
        return {
            option.keyword.decode(): option.val.decode(errors="surrogateescape")
            for option in asked.info
            if option.val
        }
    finally:
        asked.finish()
