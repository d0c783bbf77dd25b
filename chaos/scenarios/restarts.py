"""R10: the server is restarted in every way; the runner stays and comes back."""

import os
import signal
import time
from contextlib import closing

from chaos.checker import Window, check
from chaos.faults import wait_until
from chaos.fleet import runner
from chaos.history import (
    add_interval,
    add_job,
    effect,
    grid,
    now,
    read_runs,
    read_skips,
    settle,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server

LIMIT = 5.0
CRASHED = "all server processes terminated; reinitializing"
MODES = ("fast", "immediate", "kill", "backend")


@scenario(
    "R10",
    "server restarts and crashes: the runner never exits, claims again within 5 s",
    short=2,
    full=20,
    seconds=50,
)
def restarts(lab: Lab) -> None:
    """Restart `count` times in each mode, with a job every second."""
    with server() as cluster, lab.fleet() as fleet:
        it = fleet.add(runner(cluster.dsn)).ready()
        with closing(cluster.connect()) as conn:
            job = add_job(conn, "each second", effect(0.5))
            first = add_interval(conn, job, 1)
        windows = []
        for mode in MODES:
            slowest: float | None = 0.0
            for _ in range(lab.count):
                took, window = restart_once(lab, cluster, job, mode)
                windows.append(window)
                slowest = (
                    None if None in (slowest, took) else max(slowest or 0, took or 0)
                )
            lab.findings.at_most(f"{mode}: first claim after", slowest, LIMIT, "s")
        lab.findings.expect("the runner's process lives on", it.alive, expected=True)
        with closing(cluster.wait_to_connect()) as conn:
            windows.append(settle(conn))
            counted = frozenset([job])
            runs = read_runs(conn, [job], counted=counted)
            targets = grid(job, first, 1, windows[-1].start)
            verdict = check(
                targets, runs, epsilon=1, windows=windows, skips=read_skips(conn)
            )
        lab.judge(verdict, runs)
        lab.findings.figures["targets"] = str(len(targets))
        lab.findings.figures["aborted, with a reason"] = str(len(verdict.aborted))


def restart_once(
    lab: Lab, cluster: Server, job: int, mode: str
) -> tuple[float | None, Window]:
    """Restart; return how long the runner took to claim again, and the fault's time."""
    time.sleep(lab.rng.uniform(0.5, 1.5))  # at any moment of the job's second
    start = time.time()
    if mode == "backend":
        crash_backend(cluster)
    else:
        cluster.restart_by(mode, down=lab.rng.uniform(0, 2))
    with closing(cluster.wait_to_connect()) as conn:
        accepted = now(conn)
        wait_until(lambda: first_claim(conn, job, accepted) is not None, 40)
        took = first_claim(conn, job, accepted)
    if took is None or took > LIMIT:
        lab.note(f"{mode}: claimed {took} s after the server accepted")
    return took, Window(start, accepted + LIMIT, mode)


def first_claim(conn: Connection, job: int, after: float) -> float | None:
    """Return how long after a time the job was first claimed, if it was."""
    (took,) = conn.execute(
        "SELECT extract(epoch FROM min(jlgstart))::float8 - %s FROM pgagent.pga_joblog"
        " WHERE jlgjobid = %s AND jlgstart > to_timestamp(%s)",
        [after, job, after],
    ).fetchone() or (None,)
    return took


def crash_backend(cluster: Server) -> None:
    """Kill the server process of a session: the server restarts all of them."""
    with closing(cluster.connect()) as conn:
        victim = conn.info.backend_pid
        crashes = cluster.log.read_text().count(CRASHED)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: cluster.log.read_text().count(CRASHED) > crashes, 10)
