"""Tickets: how steps get to be other roles than the runner's own."""

import asyncio
import logging
import secrets
from typing import LiteralString

import psycopg

from pgagent_runner.backoff import Backoff
from pgagent_runner.catalog.connection import Connection, open_unless_closed
from pgagent_runner.catalog.errors import CatalogError, CatalogLostError
from pgagent_runner.catalog.reopening import GIVEN_UP, is_set_within
from pgagent_runner.model import Login, LoginError

log = logging.getLogger(__name__)

_TICKET: LiteralString = """
    SELECT t.login::text, t.rasby = 'ticket'::text
    FROM pgagent.pga_login_ticket(%s::bigint, %s::name, %s::text) AS t
"""
_MAY_END: LiteralString = """
    SELECT r.rolsuper OR pg_has_role('pg_signal_backend'::name, 'USAGE'::text)
                     AND pg_has_role('pg_read_all_stats'::name, 'USAGE'::text),
           quote_ident(r.rolname)
    FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user
"""
_MAY_NOT_END = (
    "nobody could end sessions that steps have as other roles, should this runner stand"
    " still: GRANT pg_signal_backend, pg_read_all_stats TO %s"
)

_PASSWORD = 32  # random bytes
_LOCK_TIMEOUT = 5.0  # seconds: a job that runs as a role may lock that one's login
_FIRST_DELAY = 0.05  # seconds between attempts
_LONGEST_DELAY = 2.0


class Tickets:
    """Gives logins with which steps become the roles as which they are to run.

    As a rule that is a login without any other right, and a password that nobody has
    known before, nor will after some seconds: the catalogue gets its verifier only.
    """

    def __init__(self, conninfo: str) -> None:
        """Prepare; nothing is connected before it is needed."""
        self._conninfo = conninfo
        self._closed = asyncio.Event()
        self._idle: Connection | None = None
        self._busy: set[Connection] = set()
        self._has_warned = False

    async def log_in(self, run_id: int, role: str) -> Login:
        """Return how to become this role for a step of this run.

        Raises `LoginError` if that is refused, and `CatalogLostError` once this is
        closed; until then a session that is lost is opened anew.
        """
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                return await self._ask(run_id, role)
            except CatalogLostError as e:
                if await is_set_within(self._closed, backoff):
                    raise
                log.debug("no ticket yet: %s", e)
            except CatalogError as e:
                cause = e.__cause__
                state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
                raise LoginError(str(e), state or "") from None

    def break_off_silent(self, seconds: float) -> None:
        """Break off what has waited for an answer for so long."""
        for session in self._busy:
            session.break_off_silent(seconds)

    def close(self) -> None:
        """Close the sessions; nothing is given any more."""
        self._closed.set()
        for session in self._busy:
            session.break_off()
        if self._idle is not None:
            self._idle.finish()
            self._idle = None

    async def _ask(self, run_id: int, role: str) -> Login:
        """Ask in a session that nobody else uses: who locks one role delays no other.

        A wait that is cancelled closes it.
        """
        session = await self._session()
        self._busy.add(session)
        try:
            password = secrets.token_urlsafe(_PASSWORD)
            verifier = session.pgconn.encrypt_password(
                password.encode(), role.encode(errors="replace"), b"scram-sha-256"
            )
            cursor = await session.ask(_TICKET, (run_id, role, verifier.decode()))
            row = await cursor.fetchone()
        finally:
            self._busy.discard(session)
            self._keep(session)
        if row is None:
            raise CatalogError("there is no answer")
        name, is_ticket = row
        return Login(name, password if is_ticket else None)

    async def _session(self) -> Connection:
        if self._closed.is_set():
            raise CatalogLostError(GIVEN_UP)
        session, self._idle = self._idle, None
        if session is not None and not session.closed:
            return session
        session = await open_unless_closed(
            self._conninfo, self._closed, lock_timeout=_LOCK_TIMEOUT
        )
        if not self._has_warned:
            try:
                await self._warn(session)
            except BaseException:
                session.finish()
                raise
        return session

    def _keep(self, session: Connection) -> None:
        if session.closed or self._closed.is_set() or self._idle is not None:
            session.finish()
        else:
            self._idle = session

    async def _warn(self, session: Connection) -> None:
        row = await (await session.ask(_MAY_END)).fetchone()
        if row is not None and not row[0]:
            log.warning(_MAY_NOT_END, row[1])
        self._has_warned = True
