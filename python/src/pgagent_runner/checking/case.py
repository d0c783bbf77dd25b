"""What is examined, and how: each look for a limited time, whatever it meets."""

import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from pgagent_runner.checking.database import Database
from pgagent_runner.checking.findings import Finding, fault, warning
from pgagent_runner.configuration import Configuration
from pgagent_runner.options import AgentOptions

_CANCELLED = "57014"
_LOCKED = "55P03"
_NOT_PERMITTED = "42501"


@dataclass(slots=True)
class Case:
    """An installation, as a runner with these options would find it.

    database: the session with the catalogue; None if there is none.
    is_served: whether a runner is alive, as far as that is known.
    is_fit: whether sessions with the server of the catalogue can be relied upon.
    workers: how many jobs run at once, of which the server has a say.
    """

    options: AgentOptions
    file: Configuration
    environ: MutableMapping[str, str]
    database: Database | None = None
    is_served: bool = False
    is_fit: bool = True
    workers: int = 33

    def ask(self) -> Database:
        """Return the session with the catalogue, which those that need it have."""
        if self.database is None:
            raise psycopg.OperationalError("there is no database")
        return self.database


class Subject(NamedTuple):
    """Something to look at.

    look: yields what it finds; nothing, if there is nothing to be said.
    seconds: how long that may take.
    needs_database: whether it makes sense with a session with the catalogue only.
    """

    check: str
    look: Callable[[Case], Iterable[Finding]]
    seconds: float = 10.0
    needs_database: bool = True


def within(seconds: float, look: Callable[[], None]) -> bool:
    """Do something in a thread of its own; tell whether it has ended in time.

    Raises RuntimeError if no thread is left.
    """
    thread = threading.Thread(target=look, name="look", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def examine(case: Case, subject: Subject) -> list[Finding]:
    """Look at a subject for its time at most, and return what was found.

    What hangs is left behind: nobody waits for its thread.
    """
    found: list[Finding] = []

    def look() -> None:
        found.extend(_looked(case, subject))

    try:
        if within(subject.seconds, look):
            return found
    except RuntimeError as e:  # no thread is left
        return [fault(subject.check, f"{e}", "ulimit -u, or systemd's TasksMax=")]
    if subject.needs_database and case.database is not None:
        case.database.break_off()
    hangs = f"it could not be looked at within {subject.seconds:g} s"
    return [*found, warning(subject.check, hangs, "pgagent check, once more")]


def _looked(case: Case, subject: Subject) -> Iterator[Finding]:
    try:
        yield from subject.look(case)
    except psycopg.Error as e:
        yield _of_error(case, subject, e)
    except Exception as e:  # noqa: BLE001 (the rest is to be looked at even so)
        told = f"an error in the check itself: {type(e).__name__}: {e}"
        yield warning(subject.check, told, "please report it")


def _of_error(case: Case, subject: Subject, error: psycopg.Error) -> Finding:
    """Return what an error of the server's means, that nobody has foreseen."""
    told = error.diag.message_primary or str(error).strip() or type(error).__name__
    if case.database is not None and case.database.is_lost:
        return fault(
            subject.check,
            f"the connection with the database is lost: {told}",
            "look into the log of the server; then pgagent check, once more",
        )
    if error.sqlstate in (_CANCELLED, _LOCKED):
        return warning(
            subject.check,
            f"the server does not answer in time: {told}",
            "SELECT pid, query FROM pg_stat_activity WHERE"
            " cardinality(pg_blocking_pids(pid)) > 0",
        )
    if error.sqlstate == _NOT_PERMITTED and case.database is not None:
        return fault(subject.check, told, case.database.grant)
    return fault(subject.check, told, "look into the log of the server")
