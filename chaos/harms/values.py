"""Values that no dialog writes, and clocks that jump."""

from collections.abc import Iterable
from typing import Any

import psycopg

from chaos.faults import wait_until
from chaos.harms.cell import Cell, Harm, add
from chaos.harms.triggers import UNKNOWN_TO_42, Statements

VIEWS = ("agents", "run_history", "running", "skipped_runs", "job_status")


def answers(cell: Cell) -> Iterable[str]:
    """Expect that every view and explain_job answer."""
    if cell.subject.is_daemon:
        return
    # As text: what Python makes of a time is not the catalogue's business.
    queries = [f"SELECT t::text FROM pgagent.{view} AS t" for view in VIEWS]
    queries += [
        "SELECT t::text FROM pgagent.explain_job({culprit}::bigint) AS t",
        "SELECT * FROM pgagent.pga_log_prune(0, 1000, 1000)",
    ]
    for query in queries:
        try:
            cell.conn.execute(cell.text(query)).fetchall()
        except psycopg.Error as e:
            yield f"refused: {query}: {e}"


def stored(name: str, *codes: str, **more: Any) -> None:
    """Add a harm: what stands in the rows, whoever has put it there."""
    transaction = "; ".join(
        ["BEGIN", "SET LOCAL session_replication_role = replica", *codes, "COMMIT"]
    )
    options: dict[str, Any] = {"then": answers}
    add(Harm(name, "values", Statements((transaction,)), **(options | more)))


ROW = "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration) VALUES"
SCHEDULE = "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, "
HALF = "array_fill(false, ARRAY[{0}, 1])"
stored(
    "infinite-start",
    f"{ROW} (900000, {{culprit}}, 's', 'infinity', NULL), (900001, {{culprit}}, 's', '-infinity', '1 s')",
)
stored(
    "infinite-open-run",
    f"{ROW} (900000, {{culprit}}, 'r', 'infinity', NULL), (900001, {{culprit}}, 'r', '-infinity', NULL)",
)
stored(
    "huge-durations",
    f"{ROW} (900000, {{culprit}}, 's', now(), '170000000 years'), (900001, {{culprit}}, 's', '290000-01-01', '-100000000 years')",
)
stored(
    "null-durations",
    f"{ROW} (900000, {{culprit}}, 's', now(), NULL), (900001, {{culprit}}, 'f', now(), NULL)",
)
stored(
    "next-run-infinite",
    "UPDATE pgagent.pga_job SET jobnextrun = 'infinity' WHERE jobid = {culprit}",
    every=None,
)
stored(
    "next-run-before-time",
    "UPDATE pgagent.pga_job SET jobnextrun = '-infinity' WHERE jobid = {culprit}",
)
stored(
    "array-of-two-dimensions",
    SCHEDULE + "jscminutes) VALUES ({culprit}, 'odd', array_fill(true, ARRAY[60, 1]))",
    SCHEDULE + "jschours) VALUES ({culprit}, 'odd', array_fill(true, ARRAY[24, 2]))",
)
stored(
    "array-of-nulls",
    SCHEDULE
    + "jscminutes) VALUES ({culprit}, 'odd', array_fill(NULL::boolean, ARRAY[60]))",
    SCHEDULE
    + "jscmonthdays) VALUES ({culprit}, 'odd', array_fill(NULL::boolean, ARRAY[32]))",
)
stored(
    "array-from-zero",
    SCHEDULE
    + "jscminutes) VALUES ({culprit}, 'odd', array_fill(true, ARRAY[61], ARRAY[0]))",
    SCHEDULE
    + "jschours) VALUES ({culprit}, 'odd', array_fill(true, ARRAY[4], ARRAY[21]))",
)
stored(
    "infinite-schedule",
    SCHEDULE + "jscstart) VALUES ({culprit}, 'odd', 'infinity')",
    SCHEDULE + "jscstart, jscend) VALUES ({culprit}, 'odd', '-infinity', '-infinity')",
)
stored(
    "huge-limits",
    "UPDATE pgagent.pga_job SET jobtimeout = '170000000 years', jobkeepfor = '170000000 years',"
    " jobmissedlimit = '170000000 years', jobkeepruns = 2147483647 WHERE jobid = {culprit}",
    "UPDATE pgagent.pga_jobstep SET jsttimeout = '170000000 years', jstretrydelay = '170000000 years', jstretries = 1"
    " WHERE jstjobid = {culprit}",
    without_42=UNKNOWN_TO_42,
)
stored(
    "no-parts",
    "DELETE FROM pgagent.pga_jobstep WHERE jstjobid = {culprit}",
    "DELETE FROM pgagent.pga_jobclass",
)
stored("orphans", "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) VALUES (900000, 424242, 'r'), (900001, 424242, 's')",
       "INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus) VALUES (900000, 424242, 424242, 'r')",
       undo=Statements((
           ("BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM pgagent.pga_jobsteplog WHERE jslid = 900000;"
           " DELETE FROM pgagent.pga_joblog WHERE jlgjobid = 424242; COMMIT"),)))  # fmt: skip


def negative(cell: Cell) -> None:
    """Give the culprit negative ids."""
    cell.sql(
        "INSERT INTO pgagent.pga_job (jobid, jobjclid, jobname) VALUES (-5, 1, 'culprit')"
    )
    cell.culprit = -5
    cell.sql(
        "INSERT INTO pgagent.pga_jobstep (jstid, jstjobid, jstname, jstkind, jstcode, jstdbname)"
        " VALUES (-7, -5, 'step', 's', 'SELECT chaos.effect(-5, 0.01)', current_database())"
    )
    cell.sql(
        "INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus) VALUES (-9, -5, 's')"
    )


def negative_runs(cell: Cell) -> Iterable[str]:
    """Expect that it ran, and that everything answers."""
    yield from answers(cell)
    if not cell.one("SELECT count(*) FROM chaos.effect WHERE job = -5"):
        yield "culprit: it did not run"


add(Harm("negative-ids", "values", negative, then=negative_runs))


def unknown_zone(cell: Cell) -> None:
    """Take away the zone of the culprit's schedule, as an update of zones does."""
    set_zone(cell, "Mars/Olympus")


def set_zone(cell: Cell, zone: str) -> None:
    """Change it without a trigger's notice."""
    cell.sql(
        "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscevery)"
        " SELECT {culprit}, 'by the zone', '1 s' WHERE NOT EXISTS"
        " (SELECT FROM pgagent.pga_schedule WHERE jscjobid = {culprit})"
    )
    cell.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        f" UPDATE pgagent.pga_schedule SET jsctimezone = '{zone}', jscevery = NULL"
        " WHERE jscjobid = {culprit}; COMMIT"
    )


def zone_back(cell: Cell) -> Iterable[str]:
    """Expect that the next run comes back within two minutes."""
    yield from answers(cell)
    set_zone(cell, "UTC")
    computed = "SELECT count(*) FROM pgagent.pga_job WHERE jobid = {culprit} AND jobnextrun IS NOT NULL"
    cell.sql(
        "UPDATE pgagent.pga_job SET jobenabled = true WHERE jobid = {culprit} AND NOT jobenabled"
    )
    if wait_until(lambda: cell.one(computed), 125) is None:
        yield "culprit: it has no next run 2 minutes after its zone is known again"


add(Harm("unknown-zone", "values", unknown_zone, "time zone.*(unknown|does not know)|Mars/Olympus",
         every=None, then=zone_back, without_42="pgAgent 4.2 has no zones", lasts=6))  # fmt: skip


# --- clocks


def step_by(offset: str) -> "ClockStep":
    """Return what lets the server's clock jump."""
    return ClockStep(offset)


class ClockStep:
    """Lets the server's clock jump."""

    def __init__(self, offset: str) -> None:
        """Take down by how much."""
        self._offset = offset

    def __call__(self, cell: Cell) -> None:
        """Let it jump."""
        assert cell.clock is not None
        before = cell.one("SELECT extract(epoch FROM clock_timestamp())::bigint")
        cell.clock.step(self._offset)
        after = cell.one("SELECT extract(epoch FROM clock_timestamp())::bigint")
        # A hundred of the times that were jumped over are made up for.
        cell.delayed.append((before - 1, after + 5))
        cell.jumped = after - before


def sane(cell: Cell) -> Iterable[str]:
    """Expect that no duration is negative, and that nobody was buried."""
    if count := cell.one(
        "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgduration < interval '0'"
    ):
        yield f"{count} negative durations of runs"
    if count := cell.one(
        "SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslduration < interval '0'"
    ):
        yield f"{count} negative durations of steps"
    if "aborted" in cell.log():
        yield "somebody alive was buried"


CLOCKS: tuple[tuple[str, str, str], ...] = (
    ("clock-ahead-by-an-hour", "+3600", ""),
    ("clock-ahead-of-the-lease", "+25", ""),
    ("clock-back-by-an-hour", "-3600", "clock"),
    ("clock-back-a-little", "-25", "clock"),
)
for name, offset, says in CLOCKS:
    add(
        Harm(
            name,
            "clocks",
            step_by(offset),
            says,
            clock=True,
            runners=2,
            lasts=8,
            then=sane,
        )
    )
