"""What it costs to wait, and how long it takes to be ready to."""

import time

import psycopg
from agents import Agent, everybody, running
from processes import cpu_seconds, rss
from server import DATABASE, Bench

JOBS = 100
TRANSACTIONS = (
    "SELECT xact_commit + xact_rollback FROM pg_stat_database"
    f" WHERE datname = '{DATABASE}'"
)
SETTLED = 12.0  # an idle session reports its transactions within ten seconds

Figures = dict[str, list[float]]


def idle(bench: Bench) -> Figures:
    """Measure everybody, one after the other, while nothing is due."""
    bench.restart(autovacuum="off")  # its transactions would count
    bench.clear()
    bench.add_jobs(JOBS)
    figures: Figures = {}
    for agent in everybody():
        values = wait(bench, agent, 12 if bench.quick else 60)
        for _ in range(1 if bench.quick else 5):
            values["start to ready, ms"].append(milliseconds_to_ready(bench, agent))
        for what, figure in values.items():
            figures[f"{agent.name} | {what}"] = figure
    bench.restart()
    return figures


def wait(bench: Bench, agent: Agent, seconds: float) -> Figures:
    """Return what an agent uses while it waits."""
    # In another database, the harness does not count itself.
    with (
        running(bench, agent) as pids,
        psycopg.connect(bench.cluster.conninfo(), autocommit=True) as conn,
    ):
        time.sleep(SETTLED)
        cpu, transactions = cpu_seconds(pids), count(conn)
        time.sleep(seconds)
        per_minute = 60 / seconds
        return {
            "transactions/s": [(count(conn) - transactions) / seconds],
            "CPU of a minute, s": [(cpu_seconds(pids) - cpu) * per_minute],
            "RSS, MB": [rss(pids)],
            "start to ready, ms": [],
        }


def count(conn: psycopg.Connection) -> int:
    """Return how many transactions there have been in the database."""
    row = conn.execute(TRANSACTIONS).fetchone()
    assert row
    return int(row[0])


def milliseconds_to_ready(bench: Bench, agent: Agent) -> float:
    """Return how long an agent takes from its start until it has registered."""
    begin = time.monotonic()
    with running(bench, agent):
        return 1000 * (time.monotonic() - begin)
