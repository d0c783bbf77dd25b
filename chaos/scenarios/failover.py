"""R11, R12: the primary dies and its standby takes over.

Acknowledged is whatever the world outside saw: a runner's log says that a run started
or succeeded, or a script has written its line.
"""

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import make_conninfo

from chaos.faults import Proxy, wait_until
from chaos.fleet import Fleet, runner
from chaos.history import add_interval, add_job, batch, now, scalar
from chaos.lab import Lab, scenario
from chaos.server import DATABASE, Connection, Server, Standby, server, standby_of

JOBS = 6
INTERVAL = 1.0
LAG = 1.0
USABLE = 2.0
LINE = 'echo "{job} $PGAGENT_RUN_ID $(date +%s.%N)" >>"{file}"'


@dataclass
class Outcome:
    """What a failover has cost."""

    lost_starts: int = 0
    lost_ends: int = 0
    usable: list[float | None] = field(default_factory=list)
    repeats: int = 0
    repeats_outside_lag: int = 0
    unrecorded: int = 0
    open_rows: int = 0
    dead_runners: int = 0


@scenario(
    "R11",
    "failover, synchronous: nothing that was acknowledged is lost",
    short=2,
    full=10,
    seconds=40,
)
def synchronous(lab: Lab) -> None:
    """Kill the primary; the standby has every commit that anybody was told of."""
    outcome = Outcome()
    for _ in range(lab.count):
        settings = {"synchronous_standby_names": "*"}
        with server(_primary_settings()) as primary, standby_of(primary) as standby:
            _follow(primary)
            _set(primary, settings)
            fail_over(lab, primary, standby, outcome, lag=None)
    expect = lab.findings.expect
    expect("acknowledged claims lost", outcome.lost_starts, 0)
    expect("acknowledged ends lost", outcome.lost_ends, 0)
    expect("runs that were repeated", outcome.repeats, 0)
    report(lab, outcome)


@scenario(
    "R12",
    "failover, asynchronous: repeats only inside the lag, each recorded",
    short=2,
    full=10,
    seconds=40,
)
def asynchronous(lab: Lab) -> None:
    """Cut the standby off for a second before the primary dies."""
    outcome = Outcome()
    for _ in range(lab.count):
        with server(_primary_settings()) as primary, Proxy(primary.socket) as way:
            conninfo = (
                f"host=127.0.0.1 port={way.port} user={primary.user}"
                " application_name=standby"
            )
            with standby_of(primary, conninfo) as standby:
                _follow(primary)
                fail_over(lab, primary, standby, outcome, lag=way)
    expect = lab.findings.expect
    expect("repeats outside the lag", outcome.repeats_outside_lag, 0)
    expect("repeats without a row of their own", outcome.unrecorded, 0)
    lab.findings.figures["repeats inside the lag"] = str(outcome.repeats)
    lab.findings.figures["acknowledged claims lost"] = str(outcome.lost_starts)
    report(lab, outcome)


def report(lab: Lab, outcome: Outcome) -> None:
    """Put down what both kinds of failover promise."""
    slowest = None if None in outcome.usable else max(t or 0 for t in outcome.usable)
    lab.findings.at_most("first claim after the promotion", slowest, USABLE, "s")
    lab.findings.expect("runners that ended", outcome.dead_runners, 0)
    lab.findings.expect("rows still open 10 s later", outcome.open_rows, 0)


def fail_over(
    lab: Lab, primary: Server, standby: Standby, outcome: Outcome, lag: Proxy | None
) -> None:
    """Let two runners work, kill the primary, promote, and compare."""
    file = lab.directory / f"lines-{standby.directory.name}"
    dsn = make_conninfo(
        "",
        host=f"{primary.host},{standby.host}",
        port=f"{primary.port},{standby.port}",
        user=primary.user,
        dbname=DATABASE,
        target_session_attrs="read-write",
    )
    with ExitStack() as stack:
        fleet = Fleet(stack)
        for number in range(2):
            fleet.add(runner(dsn, name=f"runner-{number}")).ready()
        with closing(primary.connect()) as conn:
            _add_jobs(conn, file)
        time.sleep(2 + lab.rng.uniform(0, 1))  # some runs, and a random moment
        if lag is not None:
            lag.cut()
            time.sleep(LAG)
        killed = time.time()
        primary.kill_postmaster()
        standby.promote()
        with closing(standby.wait_to_connect()) as conn:
            promoted = now(conn)
            _wait_for_claim(conn, promoted, outcome)
            time.sleep(2 * INTERVAL)  # whatever is to be repeated has been by then
            settled = "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 'r'"
            stopped = "UPDATE pgagent.pga_job SET jobenabled = false"
            conn.execute(stopped)
            if wait_until(lambda: scalar(conn, settled) == 0, 10) is None:
                outcome.open_rows += scalar(conn, settled)
            _compare(lab, conn, fleet, file, killed, outcome)
        outcome.dead_runners += len(fleet.runners) - len(fleet.living)


def _primary_settings() -> dict[str, str]:
    return {"wal_level": "replica", "max_wal_senders": "5"}


def _follow(primary: Server) -> None:
    """Wait until the standby streams."""
    with closing(primary.connect()) as conn:
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        if wait_until(lambda: scalar(conn, streaming) > 0, 20) is None:
            raise TimeoutError("the standby does not follow")


def _set(primary: Server, settings: dict[str, str]) -> None:
    with closing(primary.connect()) as conn:
        for name, value in settings.items():
            conn.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        conn.execute("SELECT pg_reload_conf()")
        synchronous = (
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        )
        wait_until(lambda: scalar(conn, synchronous) > 0, 10)


def _add_jobs(conn: Connection, file: Path) -> None:
    for number in range(JOBS):
        code = LINE.replace("{file}", str(file))
        job = add_job(conn, f"job {number}", batch(code))
        add_interval(conn, job, INTERVAL, delay=number / JOBS)


def _wait_for_claim(conn: Connection, promoted: float, outcome: Outcome) -> None:
    claimed = (
        "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstart > to_timestamp(%s)"
    )
    took = wait_until(lambda: scalar(conn, claimed, promoted) > 0, 30)
    outcome.usable.append(took)


def _compare(
    lab: Lab,
    conn: Connection,
    fleet: Fleet,
    file: Path,
    killed: float,
    outcome: Outcome,
) -> None:
    """Compare what the runners and scripts said with what the new primary knows."""
    rows = {
        run: (job, status, scheduled, start)
        for run, job, status, scheduled, start in conn.execute(
            "SELECT jlgid, jlgjobid, jlgstatus::text,"
            " extract(epoch FROM jlgscheduled)::float8,"
            " extract(epoch FROM jlgstart)::float8 FROM pgagent.pga_joblog"
        )
    }
    for it in fleet.runners:
        lost = [run for run in it.acknowledged("started") if run not in rows]
        undone = [
            run
            for run in it.acknowledged("succeeded")
            if run in rows and rows[run][1] != "s"
        ]
        outcome.lost_starts += len(lost)
        outcome.lost_ends += len(undone)
        for run in lost + undone:
            lab.note(f"run {run}: {rows.get(run, 'no row')}")
    executed = [line.split() for line in file.read_text().splitlines()]
    before = [(int(j), float(t)) for j, _, t in executed if float(t) < killed]
    for job, status, scheduled, start in rows.values():
        if start < killed or scheduled > killed or status != "s":
            continue
        # A slot of the old primary, run by the new one: has it been run already?
        times = [t for j, t in before if j == job and 0 <= t - scheduled < INTERVAL]
        outcome.repeats += len(times)
        outside = [t for t in times if t < killed - LAG - 0.5]
        outcome.repeats_outside_lag += len(outside)
    known = {(row[0], run) for run, row in rows.items()}
    outcome.unrecorded += sum(
        float(t) > killed + 0.5 and (int(j), int(r)) not in known
        for j, r, t in executed
    )
