"""What the catalogue can answer instead of doing what it was asked.

CatalogError                    any other refusal; the session goes on
├── CatalogLostError            the session is lost, or could not be had
├── NotRegisteredError  PGA03   this agent has been declared dead
├── NotRunningError     PGA01   the run, or (PGA02) the step of it, has been closed
└── StepGoneError       PGA04   the step was deleted before it could start
"""


class CatalogError(Exception):
    """The catalogue refused or failed."""


class CatalogLostError(CatalogError):
    """The session with the catalogue is lost, or could not be had."""


class NotRegisteredError(CatalogError):
    """The agent has been declared dead."""


class NotRunningError(CatalogError):
    """The run or step was closed by somebody else, or deleted."""


class StepGoneError(CatalogError):
    """The step was deleted before it could start."""


BY_SQLSTATE: dict[str, type[CatalogError]] = {
    "PGA01": NotRunningError,
    "PGA02": NotRunningError,
    "PGA03": NotRegisteredError,
    "PGA04": StepGoneError,
}
