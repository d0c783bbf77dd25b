"""Measure this runner beside pgAgent 4.2's daemon: same server, same schema, one run.

Prints medians over alternating rounds, and the ratio. Times are the server's: from the
time at which a run was due to the start of its job, and from there to its last run.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "dev"))

from cluster import Cluster  # noqa: E402

ROUNDS = 3
DELAYED_JOBS = 40  # one due every 250 ms
BURST = 50  # pgAgent's daemon needs two of the server's 100 connections for each

Agent = Callable[[Cluster], list[str]]


def our_runner(cluster: Cluster) -> list[str]:
    """Return the command line of this project's runner."""
    return [str(ROOT / "build/venv/bin/pgagent"), "run", cluster.conninfo("bench")]


def old_daemon(cluster: Cluster) -> list[str]:
    """Return that of pgAgent 4.2's daemon, at its fastest."""
    daemon = next((ROOT / "build/peers/root").glob("usr/bin/pgagent"))
    libraries = f"LD_LIBRARY_PATH={cluster.library_path}"
    return ["env", libraries, str(daemon), "-f", "-t", "1", cluster.conninfo("bench")]


AGENTS: dict[str, Agent] = {"pgagent 5": our_runner, "daemon 4.2 -t 1": old_daemon}


def main() -> None:
    """Measure and print."""
    with Cluster(durable=True) as cluster:
        with psycopg.connect(cluster.conninfo(), autocommit=True) as conn:
            conn.execute("CREATE DATABASE bench")
        with psycopg.connect(cluster.conninfo("bench"), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pgagent; CREATE TABLE effect (job integer)")
            delays: dict[str, list[float]] = {name: [] for name in AGENTS}
            rates: dict[str, list[float]] = {name: [] for name in AGENTS}
            for round_number in range(ROUNDS):
                print(f"round {round_number + 1} of {ROUNDS} …", file=sys.stderr)
                for name, agent in AGENTS.items():
                    with running(agent, cluster, conn):
                        delays[name] += start_delays(conn)
                        rates[name].append(burst_rate(conn))
    report(delays, rates)


@contextmanager
def running(agent: Agent, cluster: Cluster, conn: psycopg.Connection) -> Iterator[None]:
    """Run an agent, alone, until it has registered and the block is done."""
    process = subprocess.Popen(
        agent(cluster),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(conn, "SELECT EXISTS (SELECT FROM pgagent.pga_jobagent)")
        yield
    finally:
        process.terminate()
        process.wait()
        conn.execute("DELETE FROM pgagent.pga_job")
        wait_until(
            conn,
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'bench'",
        )
        conn.execute("DELETE FROM pgagent.pga_jobagent; DELETE FROM effect")


def start_delays(conn: psycopg.Connection) -> list[float]:
    """Return how late, in ms, jobs started that fell due one after the other."""
    add_jobs(conn, DELAYED_JOBS, "now() + (2 + i * 0.25) * interval '1 s'")
    wait_for_runs(conn, DELAYED_JOBS)
    rows = conn.execute(
        "SELECT 1000 * extract(epoch FROM jlgstart - jlgscheduled)::float8"
        " FROM pgagent.pga_joblog"
    ).fetchall()
    conn.execute("DELETE FROM pgagent.pga_job")
    return [delay for (delay,) in rows]


def burst_rate(conn: psycopg.Connection) -> float:
    """Return the successful runs a second of jobs that are all due at once."""
    add_jobs(conn, BURST, "now()")
    wait_for_runs(conn, BURST)
    row = conn.execute(
        "SELECT count(*) FILTER (WHERE jlgstatus = 's')::float8"
        " / extract(epoch FROM max(jlgstart + jlgduration) - min(jlgscheduled))::float8"
        " FROM pgagent.pga_joblog"
    ).fetchone()
    conn.execute("DELETE FROM pgagent.pga_job")
    assert row
    return float(row[0])


def add_jobs(conn: psycopg.Connection, count: int, due: str) -> None:
    """Create jobs with one step, due at an SQL expression (of their number i)."""
    with conn.transaction():
        conn.execute(
            "INSERT INTO pgagent.pga_job (jobjclid, jobname)"
            " SELECT 1, i::text FROM generate_series(1, %s) AS i",
            [count],
        )
        conn.execute(
            "INSERT INTO pgagent.pga_jobstep"
            " (jstjobid, jstname, jstkind, jstdbname, jstcode)"
            " SELECT jobid, 'step', 's', 'bench', 'INSERT INTO effect VALUES (1)'"
            " FROM pgagent.pga_job"
        )
        conn.execute(
            f"UPDATE pgagent.pga_job SET jobnextrun = {due}"
            " FROM generate_series(1, 100000) AS i WHERE jobname = i::text"
        )


def wait_for_runs(conn: psycopg.Connection, count: int) -> None:
    """Wait until so many runs have ended."""
    wait_until(
        conn,
        f"SELECT count(*) >= {count} FROM pgagent.pga_joblog WHERE jlgstatus <> 'r'",
    )


def wait_until(conn: psycopg.Connection, query: str, deadline: float = 120) -> None:
    """Wait until a query returns true."""
    end = time.monotonic() + deadline
    while conn.execute(query).fetchone() != (True,):
        if time.monotonic() > end:
            raise TimeoutError(query)
        time.sleep(0.02)


def report(delays: dict[str, list[float]], rates: dict[str, list[float]]) -> None:
    """Print the table."""
    ours, theirs = AGENTS
    print(f"{'':32}{ours:>16}{theirs:>18}{'ratio':>9}")
    for label, pick in (("p50", 49), ("p99", 98)):
        a, b = (quantiles(delays[name], n=100)[pick] for name in AGENTS)
        print(f"start delay {label}, ms{'':13}{a:16.1f}{b:18.1f}{b / a:9.1f}")
    a, b = (median(rates[name]) for name in AGENTS)
    print(f"burst of {BURST} jobs, good runs/s{'':5}{a:15.1f}{b:18.1f}{a / b:9.1f}")


if __name__ == "__main__":
    main()
