"""Rows that are gone, changed or added by hand, and sequences that were set back."""

from collections.abc import Iterable
from typing import Any

from chaos.faults import wait_until
from chaos.harms.cell import QUICK, Cell, Harm, Step, add
from chaos.harms.triggers import OF_CULPRIT, UNKNOWN_TO_42, Statements, statements
from chaos.history import now
from chaos.server import Connection

BUSY: Step = ("s", "CALL chaos.beats({job}, 8)")
GONE = "delete|gone|closed by|not in the log|freed"
OPEN = "jlgjobid = {culprit} AND jlgstatus = 'r'"
WHOLE_LOG = "TRUNCATE pgagent.pga_joblog, pgagent.pga_jobsteplog"


def is_free(cell: Cell) -> Iterable[str]:
    """Expect that the culprit's job is free."""
    free = "SELECT count(*) FROM pgagent.pga_job WHERE jobid = {culprit} AND jobagentid IS NULL"
    if wait_until(lambda: cell.one(free), 10) is None:
        yield "culprit: its job is not free"


def runs_again(cell: Cell) -> Iterable[str]:
    """Expect that the culprit's job is free, and can be run once more."""
    if held := list(is_free(cell)):
        yield from held
        return
    before = now(cell.conn)
    cell.sql(
        "UPDATE pgagent.pga_job SET jobenabled = true, jobnextrun = now()"
        " WHERE jobid = {culprit}"
    )
    # Its row may be gone at once.
    begun = f"SELECT count(*) FROM pgagent.pga_job WHERE jobid = {{culprit}} AND joblastrun >= to_timestamp({before})"
    if wait_until(lambda: cell.one(begun), 10) is None:
        yield "culprit: it does not run again"
        return
    cell.sql(
        "UPDATE pgagent.pga_joblog SET jlgcancel = 'the table' WHERE " + OPEN
        if not cell.subject.is_daemon
        else "SELECT 1"
    )
    done = f"SELECT count(*) FROM pgagent.pga_joblog WHERE {OPEN}"
    wait_until(lambda: not cell.one(done), 15)


def never_overlaps(cell: Cell) -> Iterable[str]:
    """Expect that no two runs of the culprit were under way at once."""
    overlaps = cell.one(
        "SELECT count(*) FROM (SELECT pid, min(at) AS a, max(at) AS z FROM chaos.beat"
        " WHERE job = {culprit} GROUP BY pid) AS x, (SELECT pid, min(at) AS a,"
        " max(at) AS z FROM chaos.beat WHERE job = {culprit} GROUP BY pid) AS y"
        " WHERE x.pid < y.pid AND x.a < y.z AND y.a < x.z"
    )
    if overlaps:
        yield f"culprit: it overlapped with itself {overlaps} times"


def is_closed(cell: Cell) -> Iterable[str]:
    """Expect that no run of the culprit is open without somebody who executes it."""
    unheld = (
        "SELECT count(*) FROM pgagent.pga_joblog JOIN pgagent.pga_job ON jobid = jlgjobid"
        f" WHERE {OPEN} AND jobagentid IS NULL"
    )
    if wait_until(lambda: not cell.one(unheld), 10) is None:
        yield "culprit: a run that nobody executes stays open"


def both(cell: Cell) -> Iterable[str]:
    """Expect all three of these."""
    yield from never_overlaps(cell)
    yield from is_closed(cell)
    yield from runs_again(cell)


def late(*codes: str) -> Statements:
    """Return what executes statements while a run of the culprit is under way."""
    return Statements(codes)


def rows(name: str, do: Statements, **more: Any) -> None:
    """Add a harm of this kind, with a culprit of eight seconds under way."""
    options: dict[str, Any] = {
        "steps": (BUSY,),
        "every": None,
        "running": True,
        "then": both,
        "lasts": 10.0,
    }
    add(Harm(name, "rows", do, **(options | more)))


rows("delete-run", late(f"DELETE FROM pgagent.pga_joblog WHERE {OPEN}"), says=GONE)
rows("delete-steps", late(f"DELETE FROM pgagent.pga_jobsteplog WHERE {OF_CULPRIT}"))
rows("delete-step-definition",
     late("DELETE FROM pgagent.pga_jobstep WHERE jstjobid = {culprit}"),
     then=never_overlaps)  # fmt: skip
rows("delete-job", late("DELETE FROM pgagent.pga_job WHERE jobid = {culprit}"),
     then=never_overlaps)  # fmt: skip
rows("truncate-log", late(WHOLE_LOG), afterwards=True, says=GONE)
rows(
    "truncate-log-cascade", late("TRUNCATE pgagent.pga_joblog CASCADE"), afterwards=True
)
rows("truncate-steps", late("TRUNCATE pgagent.pga_jobsteplog"), afterwards=True)
rows("delete-everything-of-it",
     late("BEGIN; SET LOCAL session_replication_role = replica;"
          " DELETE FROM pgagent.pga_job WHERE jobid = {culprit};"
          " DELETE FROM pgagent.pga_jobstep WHERE jstjobid = {culprit};"
          f" DELETE FROM pgagent.pga_joblog WHERE {OPEN}; COMMIT"),
     then=never_overlaps)  # fmt: skip
rows("delete-run-without-triggers",
     late("BEGIN; SET LOCAL session_replication_role = replica;"
          f" DELETE FROM pgagent.pga_joblog WHERE {OPEN}; COMMIT"))  # fmt: skip
rows("delete-agent", late("DELETE FROM pgagent.pga_jobagent"), runners=2, lasts=25)
rows("truncate-sessions", late("TRUNCATE pgagent.pga_jobsession"),
     without_42=UNKNOWN_TO_42)  # fmt: skip


def step(name: str, code: str, **more: Any) -> None:
    """Add a harm that a step of the culprit does to its own run."""
    options: dict[str, Any] = {
        "steps": (("s", code),),
        "every": 2.0,
        "then": runs_again,
    }
    add(Harm(name, "rows", lambda _: None, **(options | more)))


step("deletes-own-run", "DELETE FROM pgagent.pga_joblog WHERE jlgjobid = {job}")
step("deletes-own-steps", "DELETE FROM pgagent.pga_jobsteplog WHERE jsljstid IN"
     " (SELECT jstid FROM pgagent.pga_jobstep WHERE jstjobid = {job})")  # fmt: skip
step(
    "deletes-own-job",
    "DELETE FROM pgagent.pga_job WHERE jobid = {job}",
    then=lambda _: (),
)
step("deletes-own-schedule", "DELETE FROM pgagent.pga_schedule WHERE jscjobid = {job}")
step("purges-the-log", "DELETE FROM pgagent.pga_joblog AS l USING pgagent.pga_job AS j"
     " WHERE j.jobid = l.jlgjobid AND j.jobname <> 'long'"
     " AND (l.jlgstatus <> 'r' OR j.jobname = 'culprit')")  # fmt: skip
step("truncates-the-log", WHOLE_LOG, every=None, afterwards=True, then=is_free)


def prune(cell: Cell) -> None:
    """Have everything deleted that may be, again and again."""
    cell.sql("UPDATE pgagent.pga_job SET jobkeepruns = 1, jobkeepfor = '1 s'")

    def work(other: Connection) -> None:
        other.execute("SELECT * FROM pgagent.pga_log_prune(0, 100, 1000)")

    cell.again_and_again(work, 0.1)


add(Harm("retention-while-running", "rows", prune, lasts=6, without_42=UNKNOWN_TO_42))

# --- by hand


def by_hand(name: str, do: Statements, **more: Any) -> None:
    """Add a harm of this kind."""
    options: dict[str, Any] = {
        "steps": (BUSY,),
        "every": None,
        "running": True,
        "then": both,
        "lasts": 10.0,
    }
    add(Harm(name, "hands", do, **(options | more)))


FREE = "UPDATE pgagent.pga_job SET jobagentid = NULL WHERE jobid = {culprit}"
AGAIN = "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = {culprit}"
CLOSE = f"UPDATE pgagent.pga_joblog SET jlgstatus = 'd' WHERE {OPEN}"
CLOSE_STEPS = f"UPDATE pgagent.pga_jobsteplog SET jslstatus = 'd' WHERE jslstatus = 'r' AND {OF_CULPRIT}"
by_hand("free-by-hand", late(FREE, AGAIN), says="freed")
by_hand(
    "free-with-due",
    late(
        "UPDATE pgagent.pga_job SET jobagentid = NULL, jobnextrun = now() WHERE jobid = {culprit}"
    ),
)
by_hand("close-by-hand", late(CLOSE), says="closed")
by_hand("close-and-free", late(CLOSE, CLOSE_STEPS, FREE, AGAIN))
by_hand(
    "delete-and-free", late(f"DELETE FROM pgagent.pga_joblog WHERE {OPEN}", FREE, AGAIN)
)
by_hand(
    "disable-by-hand",
    late("UPDATE pgagent.pga_job SET jobenabled = false WHERE jobid = {culprit}"),
)
by_hand("open-row-by-hand", late("INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus) VALUES ({culprit}, 'r')"),
        running=False, idle=True)  # fmt: skip
by_hand("open-row-of-agent", late("INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgagentid)"
        " SELECT {culprit}, 'r', min(jagpid) FROM pgagent.pga_jobagent"),
        running=False, idle=True, lasts=30, without_42=UNKNOWN_TO_42)  # fmt: skip
by_hand("old-open-row", late("INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgstart)"
        " VALUES ({culprit}, 'r', now() - interval '1 day')"), early=True, running=False, idle=True)  # fmt: skip
by_hand("hold-by-hand", late("UPDATE pgagent.pga_job SET jobnextrun = now(), jobagentid ="
        " (SELECT min(jagpid) FROM pgagent.pga_jobagent) WHERE jobid = {culprit}",
        "UPDATE pgagent.pga_job SET jobagentid = (SELECT min(jagpid) FROM pgagent.pga_jobagent)"
        " WHERE jobid = {culprit}"),
        running=False, lasts=40, steps=(QUICK,))  # fmt: skip
by_hand("rows-reopened", late("UPDATE pgagent.pga_joblog SET jlgstatus = 'r' WHERE jlgjobid = {culprit}"),
        running=False, early=False, lasts=10, steps=(QUICK,))  # fmt: skip

# --- sequences


def sequences(name: str, do: Statements, **more: Any) -> None:
    """Add a harm of this kind."""
    add(Harm(name, "sequences", do, **more))


def back(table: str, key: str) -> str:
    """Return what sets a sequence back to its beginning."""
    return f"SELECT setval('pgagent.{table}_{key}_seq', 1)"


OLD_RUNS = (
    "BEGIN; SET LOCAL session_replication_role = replica;"
    " INSERT INTO pgagent.pga_joblog (jlgid, jlgjobid, jlgstatus)"
    " SELECT n, {culprit}, 's' FROM generate_series(1, 500) AS n ON CONFLICT DO NOTHING;"
    " INSERT INTO pgagent.pga_jobsteplog (jslid, jsljlgid, jsljstid, jslstatus)"
    " SELECT n, n, (SELECT min(jstid) FROM pgagent.pga_jobstep WHERE jstjobid = {culprit}), 's'"
    " FROM generate_series(1, 500) AS n ON CONFLICT DO NOTHING; COMMIT"
)
RUNS_BACK, STEPS_BACK = back("pga_joblog", "jlgid"), back("pga_jobsteplog", "jslid")
sequences("sequences-before-start", statements(OLD_RUNS), early=True)
sequences("sequence-of-runs-back", statements(OLD_RUNS, RUNS_BACK))
sequences("sequence-of-steps-back", statements(OLD_RUNS, STEPS_BACK))
sequences(
    "sequences-back-twice", statements(OLD_RUNS, RUNS_BACK, STEPS_BACK, RUNS_BACK)
)
sequences("sequence-behind-a-promise",
          statements(OLD_RUNS, RUNS_BACK, "SELECT pgagent.run_job({culprit}::bigint)", RUNS_BACK),
          every=None, without_42="pgAgent 4.2 has no run_job()")  # fmt: skip
sequences("sequence-of-skips-back", statements(
    "INSERT INTO pgagent.pga_jobskip (jskid, jskjobid, jskfrom, jskuntil, jskreason)"
    " SELECT n, {culprit}, '2000-01-01', '2000-01-01', 'of old' FROM generate_series(1, 50) AS n",
    back("pga_jobskip", "jskid")),
    steps=(("s", "SELECT pg_sleep(2.5)"),), every=1.0, without_42=UNKNOWN_TO_42)  # fmt: skip
