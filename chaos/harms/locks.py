"""Locks that others hold, and maintenance."""

import time

from chaos.faults import cpu_seconds
from chaos.harms.cell import QUICK, Cell, Harm, add
from chaos.harms.triggers import UNKNOWN_TO_42
from chaos.server import Connection

HOLD = 8.0


def lock(*tables: str) -> "Lock":
    """Return what holds tables for a while, against everybody."""
    return Lock(tables)


class Lock:
    """Holds tables."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        """Take down which."""
        self._tables = ", ".join(f"pgagent.{table}" for table in tables)

    def __call__(self, cell: Cell) -> None:
        """Hold them."""
        cell.for_a_while(f"LOCK TABLE {self._tables} IN ACCESS EXCLUSIVE MODE")


ALL = (
    "pga_job", "pga_joblog", "pga_jobsteplog", "pga_jobagent", "pga_jobstep", "pga_schedule",
)  # fmt: skip
for name, tables, runners in (
    ("lock-log", ("pga_joblog",), 2),
    ("lock-steplog", ("pga_jobsteplog",), 1),
    ("lock-job", ("pga_job",), 2),
    ("lock-agent", ("pga_jobagent",), 2),
    ("lock-jobstep", ("pga_jobstep",), 1),
    ("lock-schedule", ("pga_schedule",), 1),
    ("lock-all", ALL, 2),
):
    add(Harm(name, "locks", lock(*tables), lasts=HOLD, delays=True, runners=runners))
add(Harm("lock-session", "locks", lock("pga_jobsession"), lasts=HOLD, delays=True,
         without_42=UNKNOWN_TO_42))  # fmt: skip
add(
    Harm(
        "lock-agent-long",
        "locks",
        lock("pga_jobagent"),
        lasts=30,
        delays=True,
        runners=2,
    )
)


def behind_reader(statement: str) -> "Maintenance":
    """Return what waits behind a reader that does not end, and has others wait."""
    return Maintenance(statement)


class Maintenance:
    """Has somebody read a table for a while, and somebody else maintain it."""

    def __init__(self, statement: str) -> None:
        """Take it down."""
        self._statement = statement

    def __call__(self, cell: Cell) -> None:
        """Begin with the reader."""
        cell.for_a_while(
            "SELECT count(*) FROM pgagent.pga_joblog",
            "SELECT count(*) FROM pgagent.pga_jobsteplog",
            "SELECT count(*) FROM pgagent.pga_job",
            "SELECT count(*) FROM pgagent.pga_jobagent",
        )
        time.sleep(0.3)  # the reader is to be first

        def maintain() -> None:
            with cell.session(autocommit=True) as other:
                other.execute(self._statement.encode())

        cell.aside(maintain)


for name, statement in (
    ("vacuum-full-log", "VACUUM FULL pgagent.pga_joblog"),
    ("vacuum-full-agent", "VACUUM FULL pgagent.pga_jobagent"),
    ("cluster-log", "CLUSTER pgagent.pga_joblog USING pga_joblog_pkey"),
    ("reindex-log", "REINDEX TABLE pgagent.pga_jobsteplog"),
    ("add-column-log", "ALTER TABLE pgagent.pga_joblog ADD COLUMN note text"),
    ("add-column-job", "ALTER TABLE pgagent.pga_job ADD COLUMN note text DEFAULT ''"),
):
    add(
        Harm(
            name, "locks", behind_reader(statement), lasts=HOLD, delays=True, runners=2
        )
    )


def row_lock(query: str) -> "RowLock":
    """Return what locks a row for a while."""
    return RowLock(query)


class RowLock:
    """Holds a row."""

    def __init__(self, query: str) -> None:
        """Take down which."""
        self._query = query

    def __call__(self, cell: Cell) -> None:
        """Hold it."""
        cell.for_a_while(self._query)


add(Harm("row-of-job", "locks", row_lock("SELECT FROM pgagent.pga_job WHERE jobid = {culprit} FOR UPDATE"),
         lasts=15))  # fmt: skip
add(Harm("row-of-running-job", "locks", row_lock("SELECT FROM pgagent.pga_job WHERE jobid = {culprit} FOR UPDATE"),
         lasts=15, running=True, every=None, steps=(("s", "SELECT pg_sleep(3)"),)))  # fmt: skip
add(Harm("row-of-run", "locks", row_lock("SELECT FROM pgagent.pga_joblog WHERE jlgjobid = {culprit} AND jlgstatus = 'r' FOR UPDATE"),
         lasts=15, running=True, every=None, steps=(("s", "SELECT pg_sleep(3)"), QUICK)))  # fmt: skip
add(Harm("row-of-agent", "locks", row_lock("SELECT FROM pgagent.pga_jobagent FOR UPDATE"),
         lasts=30, delays=True, runners=2))  # fmt: skip
add(Harm("edit-left-open", "locks", row_lock("UPDATE pgagent.pga_schedule SET jscdesc = 'x' WHERE jscjobid = {culprit}"),
         lasts=15, running=True, steps=(("s", "SELECT pg_sleep(1)"),), every=2.0,
         without_42=""))  # fmt: skip


def flood(cell: Cell) -> None:
    """Notify the channel of the runner all the time; it may use little of a core."""
    agent = cell.agents[0]
    before, begun = cpu_seconds(agent.pid), time.monotonic()

    def work(other: Connection) -> None:
        other.execute(
            "SELECT pg_notify('pgagent', repeat('x', 1000) || n) FROM generate_series(1, 50) AS n"
        )

    cell.again_and_again(work, 0.01)

    def measure() -> None:
        cell._ending.wait(cell.harm.lasts)  # noqa: SLF001
        passed = time.monotonic() - begun
        share = 100 * (cpu_seconds(agent.pid) - before) / passed
        if share > FLOOD_SHARE:
            cell.facts.append(f"the agent took {share:.1f} % of a core")

    cell.aside(measure)


FLOOD_SHARE = 10.0  # per cent, with the bystander's own runs
add(Harm("notify-flood", "sizes", flood, lasts=15))
