"""Settings that the steps of all runs share."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pgagent_runner.model import Login, LoginError, ServerSession
from pgagent_runner.users import AS_THE_RUNNER, BatchUsers


async def _forget(_: ServerSession) -> None:
    """Note nothing of a new session."""


async def _know_no_login(*_: object) -> Login:
    """Let steps run with the runner's own login only."""
    raise LoginError("this runner has no catalogue that could give it one")


@dataclass(frozen=True, slots=True)
class StepSettings:
    """How this runner executes steps."""

    server_conninfo: str = field(repr=False)
    """The agent's own server, password included: for steps that name a database."""

    output_limit: int = 1024 * 1024
    """Bytes of a step's output that are kept."""

    connect_timeout: int = 10
    """Seconds, for connection strings that set none."""

    kill_grace: float = 1.0
    """Seconds between asking a step to stop and making it stop."""

    lease: Callable[[], float] | None = None
    """Tells how many seconds a script that starts now may go on without
    `StepExecutor.keep_alive`; None: for ever."""

    on_session: Callable[[ServerSession], Awaitable[None]] = _forget
    """Awaited with each new session that may be on the agent's own server."""

    log_in: Callable[[int, str], Awaitable[Login]] = _know_no_login
    """Returns how to log in to become this role for a step of this run; raises
    `LoginError` if the run's steps may not."""

    drain_time: float = 5.0
    """Seconds that a background process may hold a script's output open."""

    allowed_parameters: frozenset[str] = frozenset()
    """Parameters that connection strings may set although they could do harm."""

    clear_password: bool = False
    """Whether a password may go in clear to the server that a step names."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """The environment of batch steps: see `batch_environment`."""

    batch_users: BatchUsers = AS_THE_RUNNER
    """Whom of the operating system batch steps run as."""

    passfiles: Path | None = None
    """The folder of the files that `passfile=secrets/NAME` means."""
