"""What time limits of jobs and steps cost."""

from agents import OURS, ours, running
from cost import Meter
from floor import JOBS, WARM_UP, rearm_for
from server import Bench

AT_ONCE = 30
LIMITS = {"without limits": "NULL", "with limits": "interval '1 minute'"}
LONG = "1.5"  # seconds

Figures = dict[str, list[float]]


def limits(bench: Bench) -> Figures:
    """Measure the same jobs with and without limits, in rounds."""
    rounds, seconds = (1, 3.0) if bench.quick else (6, 6.0)
    figures: Figures = {}
    for number in range(rounds):
        for kind in list(LIMITS)[:: -1 if number % 2 else 1]:
            for what, figure in of_kind(bench, kind, seconds).items():
                name = f"{OURS}, {kind}" if kind != "without limits" else OURS
                figures.setdefault(f"{name} | {what}", []).append(figure)
    return figures


def of_kind(bench: Bench, kind: str, seconds: float) -> dict[str, float]:
    """Return the figures of jobs of which so many run at once."""
    bench.clear()
    bench.add_jobs(JOBS)
    bench.conn.execute(f"UPDATE pgagent.pga_job SET jobtimeout = {LIMITS[kind]}")
    bench.conn.execute(f"UPDATE pgagent.pga_jobstep SET jsttimeout = {LIMITS[kind]}")
    bench.conn.execute("VACUUM ANALYZE")
    bench.make_due("now()")
    with running(bench, ours(workers=AT_ONCE)) as pids:
        rearm_for(bench, WARM_UP)
        with Meter(bench, pids) as short:
            before = bench.count("s")
            short.rearm_for(seconds)
            runs = bench.count("s") - before
        bench.settle()
        bench.conn.execute(
            f"UPDATE pgagent.pga_jobstep SET jstcode = 'SELECT pg_sleep({LONG})'"
        )
        bench.reset()
        with Meter(bench, pids) as long:
            bench.make_due("now()", AT_ONCE)
            long.wait_until(bench.ended(AT_ONCE))
        failed = AT_ONCE - bench.count("s")
    return {
        "runs/s": runs / short.seconds,
        "processor time a run, µs": 1e6 * (short.runner + short.server) / runs,
        "… of the runner, µs": 1e6 * short.runner / runs,
        "… of the server, µs": 1e6 * short.server / runs,
        f"threads, {AT_ONCE} short runs at once": short.threads,
        f"threads, {AT_ONCE} long runs at once": long.threads,
        "long runs failed": failed,
    }
