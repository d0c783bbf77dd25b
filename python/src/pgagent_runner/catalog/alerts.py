"""Alerts: deciding what people are told, and what waits to be sent."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.errors import Diagnostic

from pgagent_runner.catalog.connection import (
    BlockingConnection,
    Connection,
    connect,
    translated_errors,
)
from pgagent_runner.catalog.errors import CatalogError
from pgagent_runner.logs import Repeated

log_repeated = Repeated(logging.getLogger(__name__))

_LOCK_TIMEOUT = 10.0  # seconds
_OURS = "pgagent: "

_WATCH: LiteralString = "SELECT claimable, look_again FROM pgagent.pga_alert_watch()"
_CLAIM: LiteralString = """
    SELECT message::text, attempt, alert, channel, events
    FROM pgagent.pga_alert_claim(%s::text[])
"""
_SENT: LiteralString = "SELECT pgagent.pga_alert_sent(%s::uuid, %s::integer, %s::text)"


class Watched(NamedTuple):
    """What a look has found: what waits for a sender, and when to look again."""

    claimable: int
    look_again: float  # seconds


class ClaimedMessage(NamedTuple):
    """A message that is this sender's for a minute."""

    id: str
    attempt: int
    alert: str
    channel: str
    events: list[dict[str, Any]]


async def watch_alerts(session: Connection) -> Watched | None:
    """Decide what people are told, and deliver what needs no sender.

    None where the catalogue is that of an older version, which knows of no alerts.
    Raises `CatalogError`.
    """
    hear = _warning(_log)
    session.add_notice_handler(hear)
    try:
        row = await (await session.ask(_WATCH)).fetchone()
    except CatalogError as e:
        if isinstance(e.__cause__, psycopg.errors.UndefinedFunction):
            return None
        raise
    finally:
        session.remove_notice_handler(hear)
    return None if row is None else Watched(*row)


class Alerts:
    """A sender's session with the catalogue, for any of its threads.

    All raise `CatalogError`.
    """

    def __init__(self, session: BlockingConnection) -> None:
        """Ask through this session."""
        self._session = session

    @property
    def database(self) -> str:
        """The name of the database."""
        return self._session.info.dbname

    @property
    def host(self) -> str:
        """The host of the server, or a folder, if it is this one."""
        return self._session.info.host

    def watch(self) -> Watched:
        """Do as `watch_alerts` does."""
        ((claimable, look_again),) = self._ask(_WATCH)
        return Watched(claimable, look_again)

    def claim(self, channel: str) -> ClaimedMessage | None:
        """Claim the next message for a channel; None if there is none."""
        rows = self._ask(_CLAIM, ([channel],))
        return ClaimedMessage(*rows[0]) if rows else None

    def note_sent(self, message: str, attempt: int, error: str | None) -> None:
        """Note that a message was sent in this attempt, or why not."""
        self._ask(_SENT, (message, attempt, error))

    def _ask(
        self, query: LiteralString, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        with translated_errors(self._session):
            return self._session.execute(query, parameters or None).fetchall()


@contextlib.contextmanager
def open_alerts(conninfo: str, say: Callable[[str], object]) -> Iterator[Alerts]:
    """Open a session for a sender, and close it in the end; raises `CatalogError`.

    `say` is called with what a watch warns of.
    """
    session = connect(conninfo, _LOCK_TIMEOUT)
    session.add_notice_handler(_warning(say))
    try:
        yield Alerts(session)
    finally:
        session.close()


def _warning(say: Callable[[str], object]) -> Callable[[Diagnostic], None]:
    """Return what takes a watch's own warnings, and no words of others' triggers."""

    def hear(said: Diagnostic) -> None:
        told = said.message_primary or ""
        if told.startswith(_OURS):
            say(told.removeprefix(_OURS))

    return hear


def _log(told: str) -> None:
    log_repeated(logging.WARNING, "%s", told)
