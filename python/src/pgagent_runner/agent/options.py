"""The choices that a user has about an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_WORKERS = 64  # unless the user wants more


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """The options of an agent; all times are in seconds."""

    conninfo: str = field(repr=False)
    """The database that holds the catalogue, as libpq takes it."""

    station: str
    """The name of this host: jobs may be bound to it by their `jobhostagent`."""

    workers: int | None = None
    """How many jobs run at the same time; None: see `workers_for`."""

    poll: float = 10.0
    """The longest time between two looks for due jobs: the safety net."""

    retry: float = 3.0
    """The longest time between two attempts to reconnect."""

    lease: float = 20.0
    """How long the agent counts as alive after a heartbeat."""

    target_sessions: int | None = None
    """How many sessions all jobs may have on one target; None: any number."""

    grace: float = 30.0
    """How long running jobs may go on when the agent is asked to stop."""

    output_limit: int = 1024 * 1024
    """Bytes of a step's output that are kept."""

    allowed_parameters: frozenset[str] = frozenset()
    """Parameters that connection strings of steps may set besides the usual ones."""

    clear_password: bool = False
    """Whether a password may go in clear to the server that a step names."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """The environment of batch steps."""

    def workers_for(self, max_connections: int) -> int:
        """Return how many jobs run at once on a server with so many connections.

        A job usually takes one connection. Jobs take at most a third of them, to leave
        some for others when many jobs are due; beyond `MOST_WORKERS` there is little to
        be gained.
        """
        return self.workers or max(1, min(max_connections // 3, MOST_WORKERS))
