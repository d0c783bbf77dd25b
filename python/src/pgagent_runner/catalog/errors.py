"""What the catalogue can answer instead of doing what it was asked.

CatalogError                    any other refusal; the session goes on
├── CatalogLostError            the session is lost, or could not be had
├── NotRegisteredError  PGA03   this agent has been declared dead
├── NotRunningError     PGA01   the run has been closed by somebody else, or deleted
└── StepGoneError       PGA02   the step, or its row in the log, was deleted or closed
"""


class CatalogError(Exception):
    """The catalogue refused or failed."""


class CatalogLostError(CatalogError):
    """The session with the catalogue is lost, or could not be had."""


class NotRegisteredError(CatalogError):
    """The agent has been declared dead."""


class NotRunningError(CatalogError):
    """The run was closed by somebody else, or its job was deleted."""


class StepGoneError(CatalogError):
    """The step, or its row in the log, was deleted, or closed by somebody else."""


BY_SQLSTATE: dict[str, type[CatalogError]] = {
    "PGA01": NotRunningError,
    "PGA02": StepGoneError,
    "PGA03": NotRegisteredError,
}
