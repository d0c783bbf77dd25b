"""The only speaker to the schema pgagent: its functions that a runner calls."""

from pgagent_runner.catalog.claims import Claimed, Claims
from pgagent_runner.catalog.connection import merge_conninfo, parse_conninfo
from pgagent_runner.catalog.errors import (
    CatalogError,
    CatalogLostError,
    LockedError,
    NotRegisteredError,
    NotRunningError,
    RefusedError,
    StrangersError,
)
from pgagent_runner.catalog.ledger import Ledger, Seal
from pgagent_runner.catalog.listener import Listener, listen
from pgagent_runner.catalog.prune import prune_log
from pgagent_runner.catalog.registration import Registration

__all__ = [
    "CatalogError",
    "CatalogLostError",
    "Claimed",
    "Claims",
    "Ledger",
    "Listener",
    "LockedError",
    "NotRegisteredError",
    "NotRunningError",
    "RefusedError",
    "Registration",
    "Seal",
    "StrangersError",
    "listen",
    "merge_conninfo",
    "parse_conninfo",
    "prune_log",
]
