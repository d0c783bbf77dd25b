"""What it costs that jobs run as their owners, in sessions that are kept."""

from agents import OURS, ours, running
from cost import Meter
from floor import JOBS, rearm_for
from server import Bench

AT_ONCE = 30
WARM_UP = 5.0  # seconds: a role's sessions are opened one after the other
OWNERS = {
    "jobs without owners": "NULL",
    "jobs of one owner": "'team_1'",
    "jobs of four owners": "'team_' || 1 + jobid % 4",
}

Figures = dict[str, list[float]]


def owners(bench: Bench) -> Figures:
    """Measure the same jobs with and without owners, in rounds."""
    rounds, seconds = (2, 3.0) if bench.quick else (6, 6.0)
    for number in range(1, 5):
        bench.conn.execute(
            f"CREATE ROLE team_{number}; GRANT INSERT ON effect TO team_{number}"
        )
        bench.one(f"SELECT pgagent.allow_run_as('team_{number}') IS NOT NULL")
    figures: Figures = {}
    for number in range(rounds):
        for kind in list(OWNERS)[:: -1 if number % 2 else 1]:
            name = OURS if OWNERS[kind] == "NULL" else f"{OURS}, {kind}"
            for what, figure in of_kind(bench, kind, seconds).items():
                figures.setdefault(f"{name} | {what}", []).append(figure)
    return figures


def of_kind(bench: Bench, kind: str, seconds: float) -> dict[str, float]:
    """Return the figures of jobs with such owners."""
    bench.clear()
    bench.add_jobs(JOBS)
    bench.conn.execute(f"UPDATE pgagent.pga_job SET jobowner = {OWNERS[kind]}")
    bench.conn.execute("VACUUM FULL ANALYZE pgagent.pga_job")
    bench.make_due("now()")
    with running(bench, ours(workers=AT_ONCE)) as pids:
        rearm_for(bench, WARM_UP)
        with Meter(bench, pids) as meter:
            before = bench.count("s")
            meter.rearm_for(seconds)
            runs = bench.count("s") - before
        bench.settle()
        failed = bench.count("f")
    return {
        "runs/s": runs / meter.seconds,
        "processor time a run, µs": 1e6 * (meter.runner + meter.server) / runs,
        "… of the runner, µs": 1e6 * meter.runner / runs,
        "… of the server, µs": 1e6 * meter.server / runs,
        "runs failed": failed,
    }
