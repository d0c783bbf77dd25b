"""The session that hears of changes of jobs."""

import asyncio
import math

from psycopg import pq

from pgagent_runner import libpq
from pgagent_runner.catalog.connection import (
    Connection,
    open_in_loop,
    translated_errors,
)
from pgagent_runner.catalog.errors import CatalogError
from pgagent_runner.model import Heard
from pgagent_runner.waiting import wait

_CANCEL = b"cancel"
_ALERT = b"alert"


class Listener:
    """Hears what is notified, in a session that does nothing else.

    Every role may notify, and as long as there is something new the server sends it and
    takes no statement. So this session can be flooded, and then it is closed.
    """

    def __init__(self, session: Connection) -> None:
        """Ask to hear of changes through this session, which is the listener's now.

        As soon as they are heard, `take` says that there may have been one before.
        Raises `CatalogLostError`.
        """
        self._session = session
        self._pgconn = session.pgconn
        self._listens = False
        with translated_errors(session):
            self._pgconn.send_query(b"LISTEN pgagent")
            self._pgconn.flush()  # so few bytes always go at once

    async def wait(self, seconds: float = math.inf) -> None:
        """Wait until something may have been notified, or for so many seconds."""
        waiter = asyncio.get_running_loop().create_future()
        with (
            translated_errors(self._session),
            libpq.watched(self._session.fileno(), waiter, read=True, write=False),
        ):
            await wait(waiter, seconds)

    def take(self, most: int) -> Heard:
        """Return what has been notified since the last call; do not wait.

        If there is much more than `most`, it may be left for the next call. Raises
        `CatalogLostError` when the session is lost.
        """
        heard = Heard(0, cancel=False)
        with translated_errors(self._session):
            while heard.times <= most and libpq.is_readable(self._session.fileno()):
                self._pgconn.consume_input()
                if not self._listens:
                    heard = self._note_start(heard)
                self._pgconn.is_busy()  # which takes in what has come
                while (notify := self._pgconn.notifies()) is not None:
                    heard = heard.plus(_heard(notify))
        return heard

    def close(self) -> None:
        """Close the session, whatever the server is about to send."""
        self._session.finish()

    def _note_start(self, heard: Heard) -> Heard:
        """Take the answer to LISTEN; what was notified before, it may have missed."""
        while not (self._listens or self._pgconn.is_busy()):
            result = self._pgconn.get_result()
            if result is None:
                self._listens = True
            elif result.status == pq.ExecStatus.COMMAND_OK:
                heard = heard.plus(Heard(1, cancel=True))
            else:
                raise CatalogError(
                    result.error_message.decode(errors="replace").strip()
                )
        return heard


def _heard(notify: pq.PGnotify) -> Heard:
    if notify.extra == _ALERT:
        return Heard(1, cancel=False, alerts=1)
    sender = frozenset((notify.be_pid,))
    return Heard(1, notify.extra == _CANCEL, sender)


async def listen(conninfo: str) -> Listener:
    """Connect, and hear of changes; raises `CatalogLostError`."""
    session = await open_in_loop(conninfo)
    try:
        return Listener(session)
    except BaseException:
        session.finish()
        raise
