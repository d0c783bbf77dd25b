"""Classes of jobs that limit how many run at once, while runners are killed."""

import statistics
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

from chaos.checker import Run, crowded
from chaos.fleet import runner
from chaos.history import (
    add_interval,
    add_job,
    batch,
    effect,
    read_runs,
    scalar,
    settle,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, server

RUNNERS = 3
JOBS = {1: 6, 2: 14, 3: 4}  # of each class
LIMITS = {1: 1, 2: 3}
LATEST = 1.0  # seconds until a place is taken again, but for kills
PERIOD = 2.0


@scenario(
    "classes",
    "class limits: never more jobs at once, over three runners that are killed",
    short=10,
    full=300,
    seconds=50,
)
def classes(lab: Lab) -> None:
    """Kill one of three runners, and start it again, every two seconds."""
    with server() as cluster, closing(cluster.connect()) as conn, lab.fleet() as fleet:
        for number in range(RUNNERS):
            fleet.add(runner(cluster.dsn, name=f"runner-{number}")).ready()
        class_of = add_jobs(lab, conn)
        time.sleep(PERIOD)
        for _ in range(lab.count):
            begun = time.monotonic()
            victim = lab.rng.choice(fleet.living)
            time.sleep(lab.rng.uniform(0, 0.3))  # the moment is the trial
            victim.kill()
            victim.start()
            time.sleep(max(0.0, begun + PERIOD - time.monotonic()))
        settle(conn, 40)
        judge(lab, conn, class_of)


def add_jobs(lab: Lab, conn: Connection) -> dict[int, int]:
    """Create jobs that are due more often than their classes allow; return those."""
    class_of = {}
    for group, count in JOBS.items():
        for number in range(count):
            name = f"class {group}, job {number}"
            seconds = lab.rng.choice((0.05, 0.2, 0.5))
            step = effect(seconds) if number % 3 else batch(f"sleep {seconds}")
            job = add_job(conn, name, step)
            class_of[job] = group
            conn.execute(
                "UPDATE pgagent.pga_job SET jobjclid = %s WHERE jobid = %s",
                [group, job],
            )
    for group, limit in LIMITS.items():
        conn.execute(
            "UPDATE pgagent.pga_jobclass SET jcllimit = %s WHERE jclid = %s",
            [limit, group],
        )
    for job in class_of:
        add_interval(conn, job, 1)
    return class_of


def judge(lab: Lab, conn: Connection, class_of: dict[int, int]) -> None:
    """Count from the log who ran at once."""
    expect, figures = lab.findings.expect, lab.findings.figures
    runs = read_runs(conn, list(class_of))
    excess = crowded(runs, class_of, LIMITS)
    for run in excess:
        lab.note(f"one too many of class {class_of[run.job]}: {run}")
    expect("runs beyond the limit of their class", len(excess), 0)
    reached = crowded(runs, class_of, {2: LIMITS[2] - 1})
    expect("the limit of class 2 was reached", bool(reached), expected=True)
    victim = lab.rng.choice([run for run in runs if class_of[run.job] == 1])
    planted = replace(victim, id=runs[-1].id + 1)
    found = [run.id for run in crowded([*runs, planted], class_of, LIMITS)]
    expect("a planted excess is found", found, [planted.id])
    aborted = sum(run.status == "d" for run in runs)
    expect("runs were under way when their runner was killed", aborted > 0, True)  # noqa: FBT003
    without_run = "SELECT count(*) FROM pgagent.pga_job WHERE jobagentid IS NOT NULL"
    expect("jobs that are still held", scalar(conn, without_run), 0)
    figures["runs of each class"] = str(
        dict(sorted(Counter(class_of[run.job] for run in runs).items()))
    )
    figures["aborted"] = str(aborted)
    gaps = idle_times(run for run in runs if class_of[run.job] == 1)
    figures["median time in which a place is free"] = (
        f"{statistics.median(gaps) * 1000:.0f} ms of {len(gaps)}"
    )
    lab.findings.at_most(
        "median time in which a place is free", statistics.median(gaps), LATEST, "s"
    )


def idle_times(runs: Iterable[Run]) -> list[float]:
    """Return how long nothing ran between one run and the next, in seconds."""
    ordered = sorted(runs, key=lambda run: run.start)
    return [
        after.start - before.end
        for before, after in pairwise(ordered)
        if before.end is not None
    ]
