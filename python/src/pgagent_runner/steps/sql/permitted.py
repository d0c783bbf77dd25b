"""What the connection string of a step may ask for.

Its author names the server, and the runner has passwords, files, tickets and an
environment that are not his. So what a string may set is listed, and no password is
sent in clear. The runner's options widen both.
"""

import functools
from collections.abc import Iterable, Mapping

from psycopg import pq

from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.sql.passfiles import Secret

Parameters = dict[str, str | int | None]

# Where to, as whom, and how: they take nothing from this machine but what belongs to
# that target, and show it to nobody else. None has libpq open a file: it might be a
# pipe, and libpq reads it while Python can execute nothing else.
_PERMITTED = frozenset(
    (
        *("host", "port", "dbname", "user", "password"),
        *("target_session_attrs", "load_balance_hosts"),
        *("application_name", "fallback_application_name", "client_encoding"),
        *("connect_timeout", "tcp_user_timeout", "keepalives", "keepalives_idle"),
        *("keepalives_interval", "keepalives_count"),
        *("sslmode", "sslnegotiation", "sslsni", "sslcompression", "sslcertmode"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("min_protocol_version", "max_protocol_version"),
        *("channel_binding", "gssencmode", "requirepeer"),
    )
)

_BESIDE_SERVICE = frozenset(("service", "dbname"))

_PERMITTED_VALUES = frozenset((("sslrootcert", "system"),))

_FILE = "it names a file of the runner's machine"
_IDENTITY = "the runner's identities are not for the author of a step to choose"
_TICKET = "the runner's Kerberos tickets would serve another purpose"
_WEB = "the runner would send requests to an address on the web"
_WHY_NOT = {
    "hostaddr": "the password of one host would go to another",
    "passfile": (
        f"{_FILE}, whose contents would go to a server"
        " (one of the runner's own folder is permitted: passfile=secrets/NAME)"
    ),
    "servicefile": _FILE,
    "options": "settings would count before the runner has made its own",
    "replication": "such a session executes no statements as others do",
    "require_auth": "a password could be sent in clear",
    "sslcert": _IDENTITY,
    "sslkey": _IDENTITY,
    "sslpassword": _IDENTITY,
    "sslrootcert": (
        f"{_FILE}, and a pipe among those would stop the whole runner"
        " (the value system is permitted)"
    ),
    "sslcrl": _FILE,
    "sslcrldir": _FILE,
    "sslkeylogfile": f"{_FILE}, in which the keys of the connection would be written",
    "krbsrvname": _TICKET,
    "gsslib": _TICKET,
    "gssdelegation": _TICKET,
    "scram_client_key": "it is as good as a password, but not treated as one",
    "scram_server_key": "it is as good as a password, but not treated as one",
    "oauth_issuer": _WEB,
    "oauth_client_id": _WEB,
    "oauth_client_secret": _WEB,
    "oauth_scope": _WEB,
}

# The runner's environment has these (PGHOSTADDR, PGOPTIONS, PGGSSDELEGATION) for its
# own server; an empty value keeps libpq from looking there.
_NOT_FROM_ENVIRONMENT: Parameters = {
    "hostaddr": "",
    "options": "",
    "gssdelegation": "0",
}

_KNOWS_REQUIRE_AUTH = 160000
_NO_CLEAR_PASSWORD = "!password"  # noqa: S105


def check_permitted(target: Mapping[str, object], allowed: Iterable[str]) -> None:
    """Raise StepError if a connection string sets what it may not."""
    permitted = {name for name, value in _PERMITTED_VALUES & target.items()}
    if isinstance(target.get("passfile"), Secret):
        permitted.add("passfile")
    if "service" in target and "service" not in allowed:
        permitted.add("service")
        _check_beside_service(target.keys() - set(allowed))
    for name in target.keys() - _PERMITTED - permitted - set(allowed):
        reason = _WHY_NOT.get(name, "the runner does not know what it would do")
        raise StepError(
            f"the connection string sets {name}, which it may not: {reason};"
            f" the runner's option --allow-parameter {name} allows it"
        )


def _check_beside_service(names: Iterable[str]) -> None:
    """Raise StepError if more is set beside a service than may be.

    What the runner's user has put together, a server and its password, stays together.
    """
    for name in sorted(set(names) - _BESIDE_SERVICE):
        raise StepError(
            "the connection string sets service, which it may not: beside it only"
            f" dbname is permitted, not {name}; the runner's option --allow-parameter"
            " service allows it"
        )


def precautions(methods: str | None, *, clear_password: bool) -> Parameters:
    """Return parameters for every target that a step names, unless it sets them.

    `methods` are the ways to authenticate to which it is limited already. Raise
    StepError if this libpq could not keep a password from being sent in clear.
    """
    found = {k: v for k, v in _NOT_FROM_ENVIRONMENT.items() if k in _known()}
    if clear_password:
        return found
    if pq.version() < _KNOWS_REQUIRE_AUTH:
        raise StepError(
            f"libpq {pq.version_pretty(pq.version())}, which this runner uses, would"
            " send a password in clear to any server that asks for one; libpq 16 would"
            " not, and the runner's option --allow-clear-password allows it"
        )
    return found | {"require_auth": _without_clear(methods)}


def explain_refusal(reason: str) -> str:
    """Say which option helps if a server wanted a password in clear."""
    if f'"{_NO_CLEAR_PASSWORD}"' not in reason:
        return reason
    return f"{reason}\nthe runner's option --allow-clear-password allows it"


def _without_clear(methods: str | None) -> str:
    """Take the password in clear from a list of methods as libpq knows them."""
    listed = [method for method in (methods or "").split(",") if method]
    if any(method.startswith("!") for method in listed):
        return ",".join(dict.fromkeys([*listed, _NO_CLEAR_PASSWORD]))
    return ",".join(m for m in listed if m != "password") or _NO_CLEAR_PASSWORD


@functools.lru_cache
def _known() -> frozenset[str]:
    """Return the parameters that this libpq knows."""
    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
