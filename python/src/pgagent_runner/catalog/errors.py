"""The answers of a catalogue that does not do what it was asked.

CatalogError                    any other refusal; the session goes on
├── CatalogLostError            the session is lost, or could not be had
│   └── RefusedError            it was refused, for a reason that somebody can put right
├── LockedError         55P03   somebody has held a lock for too long
├── PoolerError                 a pooler takes sessions away between transactions
├── StrangersError              others have, or may put, functions into the schema
├── NotRegisteredError  PGA03   this agent has been declared dead
├── CutError            PGA04   the record was refused, and part of it left out
└── NotRunningError     PGA01   the run has been closed by somebody else, or deleted

PGA02, a step that is not running any more, is met by the step's own transaction only.
"""

from pgagent_runner.model import RecordError


class CatalogError(RecordError):
    """The catalogue refused or failed."""


class CatalogLostError(CatalogError):
    """The session with the catalogue is lost, or could not be had."""


class RefusedError(CatalogLostError):
    """Somebody has answered, and does not let us in."""


class LockedError(CatalogError):
    """Somebody has held a lock for longer than this session waits for one."""


class PoolerError(CatalogError):
    """A session is not one session of the server: it has not been registered."""


class StrangersError(CatalogError):
    """Functions of others could run with our rights: it has not been registered."""


class NotRegisteredError(CatalogError):
    """The agent has been declared dead."""


class NotRunningError(CatalogError):
    """The run was closed by somebody else, or its job was deleted."""


class CutError(CatalogError):
    """The run is over, but not all that became of it could be recorded."""


BY_SQLSTATE: dict[str, type[CatalogError]] = {
    "55P03": LockedError,
    "PGA01": NotRunningError,
    "PGA03": NotRegisteredError,
    "PGA04": CutError,
}
