"""The only speaker to the schema pgagent: its functions that a runner calls."""

from pgagent_runner.catalog.alerts import Watched, watch_alerts
from pgagent_runner.catalog.claims import Claimed, Claims, DueJob
from pgagent_runner.catalog.connection import (
    Connection,
    merge_conninfo,
    parse_conninfo,
    session_for,
)
from pgagent_runner.catalog.errors import (
    CatalogError,
    CatalogLostError,
    CutError,
    LockedError,
    NotRegisteredError,
    NotRunningError,
    RefusedError,
    StrangersError,
)
from pgagent_runner.catalog.ledger import Ledger, Seal
from pgagent_runner.catalog.listener import Listener, listen
from pgagent_runner.catalog.prune import prune_log
from pgagent_runner.catalog.refusals import (
    explain_refusal,
    is_passing,
    was_cancelled,
)
from pgagent_runner.catalog.registration import Registration
from pgagent_runner.catalog.review import Reviewed, review_jobs
from pgagent_runner.catalog.sweeps import Deed, Sweeps, Swept, open_sweeps
from pgagent_runner.catalog.tickets import Tickets

__all__ = [
    "CatalogError",
    "CatalogLostError",
    "Claimed",
    "Claims",
    "Connection",
    "CutError",
    "Deed",
    "DueJob",
    "Ledger",
    "Listener",
    "LockedError",
    "NotRegisteredError",
    "NotRunningError",
    "RefusedError",
    "Registration",
    "Reviewed",
    "Seal",
    "StrangersError",
    "Sweeps",
    "Swept",
    "Tickets",
    "Watched",
    "explain_refusal",
    "is_passing",
    "listen",
    "merge_conninfo",
    "open_sweeps",
    "parse_conninfo",
    "prune_log",
    "review_jobs",
    "session_for",
    "was_cancelled",
    "watch_alerts",
]
