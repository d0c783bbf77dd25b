"""How late a job starts: when it falls due, and when somebody says "now"."""

import random
import time
from statistics import quantiles

from agents import everybody, running
from server import Bench, wait_until

PICKS = {"p50": 49, "p95": 94, "p99": 98}
RUN_NOW_PAUSE = 0.2


def delay(bench: Bench) -> dict[str, list[float]]:
    """Measure everybody, one after the other, in rounds, of which all jobs count."""
    rounds, count, seconds = (1, 40, 10) if bench.quick else (4, 50, 22.5)
    delays: dict[str, list[float]] = {}
    for _ in range(rounds):
        for agent in everybody():
            bench.clear()
            bench.add_jobs(count)
            with running(bench, agent):
                due = due_delays(bench, count, seconds)
                bench.reset()
                now = run_now_delays(bench, count // 5 if agent.old else count)
            for what, values in (("due", due), ("run now", now)):
                name = f"{agent.name} | start delay, {what}"
                delays.setdefault(name, []).extend(values)
    return {
        f"{name}, {pick}, ms": [quantiles(values, n=100)[place]]
        for name, values in delays.items()
        for pick, place in PICKS.items()
    }


def due_delays(bench: Bench, count: int, seconds: float) -> list[float]:
    """Return how late, in ms, jobs start that fall due one after the other."""
    bench.make_due(f"now() + (2 + i * {seconds / count}) * interval '1 s'", count)
    time.sleep(seconds)
    return start_delays(bench, count)


def run_now_delays(bench: Bench, count: int) -> list[float]:
    """Return how late, in ms, jobs start that are made due one after the other."""
    for job in range(1, count + 1):
        bench.conn.execute(
            f"UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = {job}"
        )
        # At every phase of a poll alike.
        time.sleep(RUN_NOW_PAUSE * (0.5 + random.random()))
    return start_delays(bench, count)


def start_delays(bench: Bench, count: int) -> list[float]:
    """Return how late, in ms, each step's own statement was executed.

    By the server's clock; each job has run once since `effect` was emptied.
    """
    if not wait_until(lambda: bench.one("SELECT count(*) FROM effect") >= count):
        raise TimeoutError("the jobs do not run")
    rows = bench.conn.execute(
        "SELECT 1000 * extract(epoch FROM at - (SELECT jlgscheduled"
        " FROM pgagent.pga_joblog WHERE jlgjobid = job ORDER BY jlgid DESC LIMIT 1"
        "))::float8 FROM effect"
    ).fetchall()
    return [delay for (delay,) in rows]
