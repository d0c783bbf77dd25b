"""Messages, rows, errors and texts of 200 MB."""

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from chaos.faults import wait_until
from chaos.harms.cell import Cell, Harm, Step, add
from chaos.harms.triggers import UNKNOWN_TO_42

MB = 1_000_000
SIZE = 200 * MB
ALLOWANCE = 64 * 1024  # kB above what a bare connection takes
BARE = """
import sys, psycopg
from contextlib import suppress
def peak():
    return int(next(l for l in open('/proc/self/status') if 'VmHWM' in l).split()[1])
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    # Who shows what the server says has to read it, as the agent does for its log.
    conn.add_notice_handler(lambda said: said.message_primary)
    before = peak()
    with suppress(psycopg.Error):
        conn.execute(sys.argv[2])
    print(peak() - before)
"""
OF_TEXT = f"repeat('x', {SIZE})"
STATEMENTS = {
    "notice": f"DO $$ BEGIN RAISE NOTICE '%', {OF_TEXT}; END $$",
    "row": f"SELECT {OF_TEXT}",
    "error": f"DO $$ BEGIN RAISE EXCEPTION '%', {OF_TEXT}; END $$",
    "detail": f"DO $$ BEGIN RAISE EXCEPTION 'x' USING DETAIL = {OF_TEXT}; END $$",
    "many-notices": "DO $$ BEGIN FOR i IN 1..200 LOOP RAISE NOTICE '%', repeat('x', 1000000); END LOOP; END $$",
    "column-name": "SELECT * FROM json_each_text(json_build_object('a', repeat('x', 100000000)))",
}


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in kB."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        return int(next(line for line in file if "VmHWM" in line).split()[1])


def take_down(cell: Cell) -> None:
    """Note how much memory the agent has had before."""
    cell.before = peak(cell.agents[0].pid)


def bounded(cell: Cell) -> Iterable[str]:
    """Expect that the agent has taken little more than a bare connection."""
    grown = peak(cell.agents[0].pid) - cell.before
    statement = STATEMENTS.get(cell.harm.name.removeprefix("huge-"), "SELECT 1")
    command = [sys.executable, "-c", BARE, cell.dsn, statement]
    bare = subprocess.run(command, check=True, capture_output=True, text=True)
    allowed = int(bare.stdout) + ALLOWANCE
    if grown > allowed:
        yield f"the agent grew by {grown / 1024:.0f} MB, a bare connection by {int(bare.stdout) / 1024:.0f} MB"
    ended = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgjobid = {culprit} AND jlgstatus IN ('s', 'f', 'd')"
    if wait_until(lambda: cell.one(ended), 20) is None:
        yield "culprit: its run has not ended"


def huge(name: str, *steps: Step, **more: Any) -> None:
    """Add a harm of this kind, whose culprit runs once."""
    options: dict[str, Any] = {
        "steps": steps,
        "every": None,
        "then": bounded,
        "lasts": 15.0,
    }
    add(Harm(f"huge-{name}", "sizes", take_down, **(options | more)))


for name, statement in STATEMENTS.items():
    huge(name, ("s", statement))
huge("output", ("b", f"head -c {SIZE} /dev/zero | tr '\\0' x"))
huge("line-of-script", ("b", f"head -c {SIZE} /dev/zero | tr '\\0' x; echo; exit 3"))


def huge_text(cell: Cell) -> None:
    """Have the culprit's step be a comment of 200 MB."""
    take_down(cell)
    cell.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        " UPDATE pgagent.pga_jobstep SET jstcode = '/* ' || repeat('x', 200000000)"
        " || ' */ SELECT 1' WHERE jstjobid = {culprit}; COMMIT"
    )


def text_bounded(cell: Cell) -> Iterable[str]:
    """Expect some copies of the text at most: it has to be sent."""
    grown = peak(cell.agents[0].pid) - cell.before
    # It is received once, and sent once: a bare connection has both copies too.
    allowed = 4 * SIZE // 1024 + ALLOWANCE
    if grown > allowed:
        yield f"the agent grew by {grown / 1024:.0f} MB"


add(Harm("huge-step-text", "sizes", huge_text, steps=(("s", "SELECT 1"),), every=None,
         then=text_bounded, lasts=15))  # fmt: skip


def huge_name(cell: Cell) -> None:
    """Give the culprit a name of 50 MB."""
    cell.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        " UPDATE pgagent.pga_job SET jobname = repeat('x', 50000000)"
        " WHERE jobid = {culprit}; COMMIT"
    )


add(Harm("huge-name", "sizes", huge_name, every=2.0, lasts=15))


def huge_reason(cell: Cell) -> None:
    """Have the culprit cancelled for a reason of 100 MB."""
    cell.sql(
        "UPDATE pgagent.pga_joblog SET jlgcancel = repeat('x', 100000000)"
        " WHERE jlgjobid = {culprit} AND jlgstatus = 'r'"
    )


add(Harm("huge-reason", "sizes", huge_reason, steps=(("s", "SELECT pg_sleep(20)"),),
         every=None, running=True, lasts=15, without_42=UNKNOWN_TO_42))  # fmt: skip
