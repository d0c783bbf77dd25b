"""Sessions of steps that run as another role than the runner's login.

Such a step may say whatever SQL can say, RESET ROLE first of all. So its session is not
the runner's: it belongs to a login that can do nothing but become that one role again,
or to the role itself. Before each step the session is made to be the role, and asked
who it is.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg
from psycopg import pq

from pgagent_runner import libpq
from pgagent_runner.backoff import Backoff
from pgagent_runner.model import Login, LoginError
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.sql.connecting import failure, is_shortage
from pgagent_runner.steps.sql.permitted import Parameters
from pgagent_runner.waiting import wake

ROLE = "role"  # what keeps sessions of different roles apart; no parameter of libpq

LogIn = Callable[[int, str], Awaitable[Login]]

# All names are qualified: the search_path is what the role, or a step, has made it.
_BECOME = b"SET ROLE %(role)b"
_WHO = b"""
    SELECT current_user OPERATOR(pg_catalog.=) %(role)b::pg_catalog.name
           AND session_user OPERATOR(pg_catalog.=) %(login)b::pg_catalog.name
"""

# Another runner may have made a password for the same login in between.
_MOST_ATTEMPTS = 10
_FIRST_DELAY = 0.01  # seconds
_LONGEST_DELAY = 0.5
# Somebody else has altered the login at the same moment, or has locked it.
_PASSING = frozenset(("XX000", "40001", "40P01"))

_HOW_BY_TICKET = (
    'HINT:  "{}" has to be let in by its password (scram-sha-256 in pg_hba.conf), from'
    " where this runner connects, as this runner does"
)
_HOW_BY_LOGIN = (
    'HINT:  This runner has to be let in as "{}": by a map of user names, a'
    " certificate, or a password in its .pgpass"
)


@dataclass(frozen=True, slots=True)
class Persona:
    """Who a session is to be: this role, and nobody else behind it but this login."""

    role: str
    login: str

    @property
    def line(self) -> str:
        """The line of a step's output that tells as whom it runs."""
        return f"role: {self.role}"

    def statements(self, pgconn: pq.abc.PGconn) -> list[bytes]:
        """Return what makes a session this; the last one answers whether it is."""
        escaping = pq.Escaping(pgconn)
        role = self.role.encode(errors="surrogateescape")
        login = self.login.encode(errors="surrogateescape")
        names = {
            b"role": escaping.escape_literal(role),
            b"login": escaping.escape_literal(login),
        }
        return [_BECOME % {b"role": escaping.escape_identifier(role)}, _WHO % names]

    def explain(self, said: str) -> str:
        """Say that a session did not become this."""
        reason = said.removeprefix("ERROR:").strip() or "the server says it is not"
        return f'the session of "{self.login}" can\'t be role "{self.role}": {reason}'


class Logins:
    """Opens sessions for roles: one for each at a time, since each has one password."""

    def __init__(self) -> None:
        """Have opened none yet."""
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(
        self, role: str, run_id: int, parameters: Parameters, log_in: LogIn
    ) -> tuple[pq.abc.PGconn, Persona]:
        """Open a session that can become the role.

        Raises psycopg.Error if the server has no connection left, StepError if it does
        not let that login in, `LoginError` if there is none.
        """
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        attempts = 0
        while True:
            attempts += 1
            is_last = attempts == _MOST_ATTEMPTS
            try:
                async with self._turns[role]:
                    login = await log_in(run_id, role)
                    own = parameters | identity_of(login)
                    pgconn = await libpq.connect(own)
            except LoginError as e:
                if is_last or e.sqlstate not in _PASSING:
                    raise
            except psycopg.Error as e:
                reason = str(e).strip()
                if is_shortage(reason):
                    raise
                if is_last or not _was_outrun(login, reason):
                    raise failure(own, reason, _how(login, reason)) from None
            else:
                return pgconn, Persona(role, login.name)
            await asyncio.sleep(backoff.next())


class RoleLogin:
    """Logs in for a step of a run that has a role; call it."""

    persona: Persona | None = None
    """As whom, once that is known."""

    def __init__(  # noqa: PLR0913, PLR0917 (all that a login needs)
        self,
        role: str,
        run_id: int,
        parameters: Parameters,
        log_in: LogIn,
        logins: Logins,
        cancellation: Cancellation,
    ) -> None:
        """Prepare to connect with these parameters, but as somebody else."""
        self._role = role
        self._asked = (role, run_id, parameters, log_in)
        self._logins = logins
        self._cancellation = cancellation

    async def __call__(self) -> pq.abc.PGconn:
        """Open a session.

        Raises psycopg.Error if the server has no connection left, StepError if it does
        not let the role in, StepAbortedError when cancelled.
        """
        opening = asyncio.create_task(self._logins.open(*self._asked))
        waiter = asyncio.get_running_loop().create_future()
        opening.add_done_callback(lambda _: wake(waiter))
        try:
            await self._cancellation.wait(waiter)
            self._cancellation.check()
            pgconn, self.persona = opening.result()
        except LoginError as e:
            text = f'there is no login for role "{self._role}": {e}'
            raise StepError(text, cause=e.sqlstate) from None
        except BaseException:
            opening.add_done_callback(_let_go)
            opening.cancel()
            raise
        return pgconn


def _let_go(opening: "asyncio.Task[tuple[pq.abc.PGconn, Persona]]") -> None:
    """Close what may just have been opened, for which there is no use any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].finish()


def identity_of(login: Login) -> Parameters:
    """Return the parameters that say who logs in, and nothing of the runner's own.

    An empty password keeps PGPASSWORD out of it, and has .pgpass looked up.
    """
    keys: Parameters = {"scram_client_key": None, "scram_server_key": None}
    return {**keys, "user": login.name, "password": login.password or ""}


def _was_outrun(login: Login, reason: str) -> bool:
    """Tell, in whatever language, whether the password may be another one by now."""
    return login.password is not None and login.name in reason


def _how(login: Login, reason: str) -> str:
    """Say what a server wants that lets somebody in, if that is what is missing."""
    if login.name not in reason and "password" not in reason:
        return ""
    how = _HOW_BY_LOGIN if login.password is None else _HOW_BY_TICKET
    return how.format(login.name)
