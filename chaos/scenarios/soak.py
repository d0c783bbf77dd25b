"""A long time under load: nothing grows."""

import os
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from chaos.checker import check
from chaos.fleet import Runner, knows, runner
from chaos.history import (
    add_interval,
    add_job,
    batch,
    effect,
    grid,
    read_runs,
    read_skips,
    scalar,
    settle,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, server

JOBS = 100
INTERVAL = 10.0  # seconds: 600 runs a minute altogether
WARM_UP = 0.25  # of the time

# How much a figure may grow over the time, as the straight line through it says.
LIMITS = {
    "memory, kB": 2048.0,
    "threads": 2.0,
    "file descriptors": 4.0,
    "sessions": 3.0,
}


@dataclass
class Samples:
    """What was measured, and when."""

    times: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in LIMITS}
    )

    def take(self, it: Runner, conn: Connection) -> None:
        """Measure the runner, and its sessions."""
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{it.pid}/status").read_text().splitlines()
        )
        sessions = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        measured = (
            float(status["VmRSS"].split()[0]),
            float(status["Threads"]),
            float(len(os.listdir(f"/proc/{it.pid}/fd"))),  # noqa: PTH208
            float(scalar(conn, sessions)),
        )
        self.times.append(time.monotonic())
        for name, value in zip(LIMITS, measured, strict=True):
            self.values[name].append(value)

    def growth(self, name: str) -> float:
        """Return how much the figure has grown, by the line of least squares."""
        line = statistics.linear_regression(self.times, self.values[name])
        return line.slope * (self.times[-1] - self.times[0])


@scenario(
    "soak",
    "600 runs a minute: memory, threads, sessions and file descriptors stay flat",
    short=2,
    full=30,
    seconds=140,
)
def soak(lab: Lab) -> None:
    """Run for so many minutes; judge what comes after the warm-up."""
    with server() as cluster, closing(cluster.connect()) as conn:
        firsts = {}
        for number in range(JOBS):
            step = batch("echo some output") if number % 10 == 0 else effect(0.01)
            job = add_job(conn, f"job {number}", step)
            delay = 1 + number * INTERVAL / JOBS
            firsts[job] = add_interval(conn, job, INTERVAL, delay)
        shown = ["--debuggable"] if knows("--debuggable") else []  # its descriptors
        with runner(cluster.dsn, *shown) as it:
            it.ready()
            samples = Samples()
            total = 60.0 * lab.count
            time.sleep(total * WARM_UP)
            end = time.monotonic() + total * (1 - WARM_UP)
            while time.monotonic() < end:
                samples.take(it, conn)
                time.sleep(max(0.5, total / 400))
            last = settle(conn)
        report(lab, samples)
        targets = [
            target
            for job, first in firsts.items()
            for target in grid(job, first, INTERVAL, last.start)
        ]
        runs = read_runs(conn, list(firsts))
        lab.judge(
            check(targets, runs, epsilon=5, windows=[last], skips=read_skips(conn)),
            runs,
        )
        lab.findings.figures["runs a minute"] = f"{len(targets) / lab.count:.0f}"


def report(lab: Lab, samples: Samples) -> None:
    """Put down the growth of each figure, and its course."""
    for name, limit in LIMITS.items():
        values = samples.values[name]
        growth = samples.growth(name)
        lab.findings.at_most(f"{name}: growth", growth, limit, "")
        course = [values[int(i * (len(values) - 1) / 4)] for i in range(5)]
        shown = " → ".join(f"{value:.0f}" for value in course)
        lab.findings.figures[name] = f"{shown} (mean {statistics.mean(values):.0f})"
