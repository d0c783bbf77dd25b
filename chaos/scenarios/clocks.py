"""R21, R22, R23: wrong clocks, missed runs and runs that overlap."""

import itertools
import time
from contextlib import closing

from chaos.checker import check
from chaos.faults import Clock, faketime_library, wait_until
from chaos.fleet import runner
from chaos.history import (
    add_interval,
    add_job,
    effect,
    grid,
    now,
    read_runs,
    read_skips,
    scalar,
    settle,
    sql_step,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, server

HOUR = 3600
EVERY = 2.0  # seconds


@scenario(
    "R21",
    "clocks of runners that are wrong or jump: jobs start within 1 s all the same",
    short=20,
    full=300,
    seconds=35,
)
def skew(lab: Lab) -> None:
    """Let three runners, an hour ahead, an hour behind and jumping, work a while."""
    if faketime_library() is None:
        lab.findings.left_out.append("libfaketime could not be fetched")
        return
    jumping = Clock(lab.directory)
    clocks = [
        Clock(lab.directory, f"+{HOUR}"),
        Clock(lab.directory, f"-{HOUR}"),
        jumping,
    ]
    with server() as cluster, closing(cluster.connect()) as conn, lab.fleet() as fleet:
        for number, clock in enumerate(clocks):
            it = runner(cluster.dsn, name=f"clock-{number}", environ=clock.environ)
            fleet.add(it).ready()
        jobs = [add_job(conn, f"job {n}", effect(0.02)) for n in range(9)]
        firsts = {job: add_interval(conn, job, EVERY, delay=1 + n / 3)
                  for n, job in enumerate(jobs)}  # fmt: skip
        end = time.monotonic() + lab.count
        while time.monotonic() < end:
            jumping.step(f"{lab.rng.choice((-2, -1, 0, 1, 2)) * HOUR:+d}")
            time.sleep(min(2, max(0, end - time.monotonic())))
        end_window = settle(conn)
        until = end_window.start
        targets = [t for job in jobs for t in grid(job, firsts[job], EVERY, until)]
        runs = read_runs(conn, jobs, counted=frozenset(jobs))
        verdict = check(
            targets, runs, epsilon=1, windows=[end_window], skips=read_skips(conn)
        )
        lab.judge(verdict, runs)
        lab.findings.figures["targets"] = str(len(targets))
        by_station = conn.execute(
            "SELECT jlgstation, count(*) FROM pgagent.pga_joblog GROUP BY 1 ORDER BY 1"
        ).fetchall()
        lab.findings.figures["runs by runner"] = str(dict(by_station))


@scenario(
    "R22",
    "runs that were missed: exactly one is made up for, then the schedule goes on",
    short=10,
    full=600,
    seconds=30,
)
def missed(lab: Lab) -> None:
    """Have no runner for so many seconds while a job falls due ten times."""
    interval = max(1.0, lab.count / 10)
    with server() as cluster, closing(cluster.connect()) as conn:
        job = add_job(conn, "every now and then", effect(0.01))
        first = add_interval(conn, job, interval, delay=0.5)
        time.sleep(lab.count)
        # In the middle between two times, so that neither is near.
        into = (now(conn) - first) % interval
        time.sleep((1.5 * interval - into) % interval)
        begin = now(conn)
        with runner(cluster.dsn) as it:
            it.ready()
            wait_until(lambda: done(conn) >= 3, 3 * interval + 10)
            end = settle(conn)
        runs = read_runs(conn, [job])
        early = [r for r in runs if r.scheduled is not None and r.scheduled < begin]
        lab.findings.expect("runs that made up for the missed ones", len(early), 1)
        later = [r for r in runs if r not in early]
        online = [t for t in grid(job, first, interval, end.start) if t.due > begin]
        verdict = check(online, later, epsilon=1, windows=[end], skips=read_skips(conn))
        lab.judge(verdict, runs)
        policies = conn.execute(
            "SELECT attname::text FROM pg_attribute WHERE attname ~ 'miss|catch'"
            " AND attrelid IN ('pgagent.pga_job'::regclass,"
            " 'pgagent.pga_schedule'::regclass)"
        ).fetchall()
        lab.findings.expect(
            "a policy can be chosen", [p for (p,) in policies], "a column for it",
            ok=bool(policies),
        )  # fmt: skip


@scenario(
    "R23",
    "a job longer than its interval: no overlap, and what is skipped is recorded",
    short=10,
    full=120,
    seconds=25,
)
def overlap(lab: Lab) -> None:
    """Have two runners execute a job of 2.5 s every second."""
    with server() as cluster, closing(cluster.connect()) as conn, lab.fleet() as fleet:
        for number in range(2):
            fleet.add(runner(cluster.dsn, name=f"runner-{number}")).ready()
        job = add_job(conn, "too long", sql_step("SELECT pg_sleep(2.5)"))
        first = add_interval(conn, job, 1)
        time.sleep(lab.count)
        settle(conn)
        runs = read_runs(conn, [job])
        real = sorted((r for r in runs if r.status != "i"), key=lambda r: r.start)
        overlaps = sum(
            later.start < (earlier.end or later.start + 1)
            for earlier, later in itertools.pairwise(real)
        )
        # Times that pass while a run is under way are recorded when that has ended.
        slots = [t.due for t in grid(job, first, 1, real[-1].start)]
        used = {round(r.scheduled or 0, 3) for r in real}
        passed_over = [due for due in slots if round(due, 3) not in used]
        skips = read_skips(conn)
        silent = [
            due
            for due in passed_over
            if not any(skip.start - 0.001 <= due <= skip.end for skip in skips)
        ]
        lab.findings.expect("runs that overlapped", overlaps, 0)
        lab.findings.expect(
            f"slots passed over without a record, of {len(passed_over)}", len(silent), 0
        )


def done(conn: Connection) -> int:
    """Return how many runs have ended."""
    return scalar(
        conn, "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'"
    )
