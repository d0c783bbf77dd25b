"""Points in time as people type them: the server reads them, in the reader's zone."""

import re
from typing import LiteralString

import psycopg

from pgagent_runner.verbs.database import Session, value
from pgagent_runner.verbs.frame import VerbError

_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
_AT: LiteralString = "SELECT %s::timestamptz"
_AGO: LiteralString = (
    "SELECT pg_catalog.now() - CASE WHEN s.span < interval '0' THEN - s.span"
    " ELSE s.span END FROM (SELECT %s::interval AS span) AS s"
)
_AHEAD: LiteralString = "SELECT pg_catalog.now() + %s::interval"


def moment(session: Session, text: str) -> str:
    """Return the point in time that a text stands for.

    Raises VerbError if it stands for none.
    """
    return _asked(session, text, _AT, "a point in time such as '2030-01-31 06:00'")


def moment_ago(session: Session, text: str) -> str:
    """Return the point in time that a text stands for, or that long ago.

    Raises VerbError if it stands for neither.
    """
    try:
        return moment(session, text)
    except VerbError:
        wanted = "a point in time such as '2030-01-31 06:00', nor a span of time"
        return _asked(session, text, _AGO, wanted)


def moment_after(session: Session, span: str) -> str:
    """Return the point in time after a span of time from now on.

    Raises VerbError if it is none.
    """
    return _asked(session, span, _AHEAD, "a span of time such as '2 hours'")


def _asked(session: Session, text: str, query: LiteralString, wanted: str) -> str:
    whole = f"today {text}" if query is _AT and _CLOCK.fullmatch(text) else text
    try:
        with session.transaction():
            return str(value(session, query, [whole]))
    except psycopg.DataError:
        raise VerbError(f"{text!r} is not {wanted}") from None
