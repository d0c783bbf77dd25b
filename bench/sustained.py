"""Runs a second while there is always something due."""

from agents import DAEMON, Agent, daemon, ours, running
from floor import JOBS, rate, successes_per_second
from server import Bench

OLD_JOBS = 50, 200  # the daemon starts all at once, with two connections for each
CONNECTIONS = "500"
FLOORS = {"floor": 1, "floor, batches of 100": 100}


def sustained(bench: Bench) -> dict[str, list[float]]:
    """Measure the floor and everybody, one after the other, in rounds."""
    seconds = 3 if bench.quick else 15
    runners = [ours(), ours(workers=32), ours(runners=2), ours(runners=4)]
    everybody = [(agent.name, agent, JOBS) for agent in runners]
    if DAEMON.exists():
        agent = daemon("-t", "1")
        everybody += [(f"{agent.name}, {n} jobs", agent, n) for n in OLD_JOBS]
    bench.restart(max_connections=CONNECTIONS)
    figures: dict[str, list[float]] = {}

    def note(who: str, what: str, figure: float) -> None:
        figures.setdefault(f"{who} | {what}", []).append(figure)

    for _ in range(1 if bench.quick else 3):
        for clients in (4, 8, 16, 32):
            # As long as the runners: what is dead slows all of them down.
            for kind, batch in FLOORS.items():
                bench.clear()
                bench.add_jobs(JOBS)
                measured = rate(bench, batch, clients, seconds)
                note(f"{kind}, {clients} clients", "runs/s", measured)
        for name, agent, jobs in everybody:
            good, faults = rate_of(bench, agent, jobs, seconds)
            note(name, "runs/s", good)
            for what, count in faults.items():
                note(name, what, count)
    bench.restart()
    return figures


FAULTS = {
    "due times run twice": """
        SELECT count(*) - count(DISTINCT (jlgjobid, jlgscheduled))
        FROM pgagent.pga_joblog""",
    "effects too many or missing": """
        SELECT abs(effects - runs) FROM
            (SELECT count(*) FROM effect) AS e (effects),
            (SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus = 's') AS r (runs)
        """,
    "runs failed": """
        SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus IN ('f', 'i', 'd')""",
}


def rate_of(
    bench: Bench, agent: Agent, jobs: int, seconds: float
) -> tuple[float, dict[str, int]]:
    """Return good runs a second, and what went wrong how often."""
    bench.clear()
    bench.add_jobs(jobs)
    bench.make_due("now()")
    with running(bench, agent):
        good = successes_per_second(bench, seconds)
    return good, {what: int(bench.one(query)) for what, query in FAULTS.items()}
