"""Runs a second while there is always something due."""

from agents import DAEMON, Agent, daemon, ours, running
from floor import JOBS, rate, successes_per_second
from server import Bench

OLD_JOBS = 50  # the daemon starts all at once, with two connections for each


def sustained(bench: Bench) -> dict[str, list[float]]:
    """Measure the floor and everybody, one after the other, in rounds."""
    seconds = 3 if bench.quick else 15
    everybody = [ours(), ours(workers=32), ours(runners=2), ours(runners=4)]
    if DAEMON.exists():
        everybody.append(daemon("-t", "1"))
    figures: dict[str, list[float]] = {}

    def note(who: str, what: str, figure: float) -> None:
        figures.setdefault(f"{who} | {what}", []).append(figure)

    for _ in range(1 if bench.quick else 3):
        bench.clear()
        bench.add_jobs(JOBS)
        for clients in (4, 8):
            note(f"floor, {clients} clients", "runs/s", rate(bench, 1, clients, 5))
            note(
                f"floor, batches of 100, {clients} clients",
                "runs/s",
                rate(bench, 100, clients, 5),
            )
        for agent in everybody:
            good, doubled, failed = rate_of(bench, agent, seconds)
            note(agent.name, "runs/s", good)
            note(agent.name, "runs doubled or lost", doubled)
            note(agent.name, "runs failed", failed)
    return figures


def rate_of(bench: Bench, agent: Agent, seconds: float) -> tuple[float, int, int]:
    """Return good runs a second, how many have no effect of their own, and failures."""
    bench.clear()
    bench.add_jobs(OLD_JOBS if agent.old else JOBS)
    bench.conn.execute("UPDATE pgagent.pga_job SET jobnextrun = now()")
    with running(bench, agent):
        good = successes_per_second(bench, seconds)
    doubled = abs(int(bench.one("SELECT count(*) FROM effect")) - bench.count("s"))
    failed = bench.one(
        "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgstatus IN ('f', 'i', 'd')"
    )
    return good, doubled, int(failed)
