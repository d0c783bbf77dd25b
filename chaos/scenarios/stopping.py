"""R19, R20: stopping in good order, and starting and stopping without end."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

from chaos.faults import processes_with, wait_until
from chaos.fleet import Runner, runner
from chaos.history import add_job, at_rest, batch, make_due, now, scalar, sql_step
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server

STEPS = 5
RUNNING = "SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r'"
STATUSES = """
SELECT COALESCE(string_agg(jlgstatus::text, '' ORDER BY jlgid), '')
FROM pgagent.pga_joblog WHERE jlgjobid = ANY (%s)
"""


@scenario(
    "R19",
    "SIGTERM with 5 running steps: no new claim, an end in time, every row terminal",
    short=1,
    full=10,
    seconds=25,
)
def graceful_stop(lab: Lab) -> None:
    """Stop while steps can end, while they can't, and with impatience."""
    with server() as cluster, closing(cluster.connect()) as conn:
        for _ in range(lab.count):
            with busy(lab, cluster, conn, seconds=3, grace=30) as (it, jobs):
                stop_and_check(lab, conn, it, jobs, "in time", "s" * STEPS, limit=8)
            with busy(lab, cluster, conn, seconds=600, grace=1) as (it, jobs):
                stop_and_check(lab, conn, it, jobs, "too long", "d" * STEPS, limit=5)
            with busy(lab, cluster, conn, seconds=600, grace=600) as (it, jobs):
                it.terminate()
                wait_until(lambda: "stopping" in it.log, 5)
                stop_and_check(lab, conn, it, jobs, "told twice", "d" * STEPS, limit=3)


@contextmanager
def busy(
    lab: Lab, cluster: Server, conn: Connection, seconds: float, grace: float
) -> Iterator[tuple[Runner, list[int]]]:
    """Give a runner with five steps under way, SQL and batch."""
    mark = f"chaos-{lab.directory.name}"
    steps = [
        sql_step(f"SELECT pg_sleep({seconds})"),
        batch(f"exec sh -c 'sleep {seconds}; :' {mark}"),
    ]
    with runner(cluster.dsn, "--grace", grace) as it:
        it.ready()
        jobs = [add_job(conn, f"step {n}", steps[n % 2]) for n in range(STEPS)]
        make_due(conn, jobs)
        wait_until(lambda: scalar(conn, RUNNING) == STEPS, 10)
        yield it, jobs
        lab.findings.expect("processes left", len(processes_with(mark)), 0)
    conn.execute("DELETE FROM pgagent.pga_job")


def stop_and_check(
    lab: Lab,
    conn: Connection,
    it: Runner,
    jobs: list[int],
    case: str,
    letters: str,
    limit: float,
) -> None:
    """Send SIGTERM, keep jobs falling due, and see how it ends."""
    expect = lab.findings.expect
    stream = add_job(conn, f"stream {case} {time.monotonic()}", sql_step("SELECT 1"))
    asked = now(conn)
    it.terminate()

    def ended() -> bool:
        conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun = now()"
            " WHERE jobid = %s AND jobagentid IS NULL",
            [stream],
        )
        return not it.alive

    took = wait_until(ended, limit + 5)
    lab.findings.at_most(f"{case}: ended after", took, limit, "s")
    expect(f"{case}: exit code", it.process.poll(), 0)
    late = (
        "SELECT count(*) FROM pgagent.pga_joblog WHERE jlgjobid = %s"
        " AND jlgstart > to_timestamp(%s) + interval '100 ms'"
    )
    expect(f"{case}: claims after 100 ms", scalar(conn, late, stream, asked), 0)
    (seen,) = conn.execute(STATUSES, [jobs]).fetchone() or ("",)
    expect(f"{case}: runs", seen, letters)
    expect(f"{case}: every row terminal", at_rest(conn), expected=True)
    agents = "SELECT count(*) FROM pgagent.pga_jobagent"
    expect(f"{case}: agents left", scalar(conn, agents), 0)


THREADS = 10


@scenario(
    "R20",
    "10 times 50 starts and stops leave nothing: sessions, agents, files, processes",
    short=3,
    full=50,
    seconds=35,
)
def start_and_stop(lab: Lab) -> None:
    """Start and stop runners side by side, at any moment of their lives."""
    with server() as cluster, closing(cluster.connect()) as conn:
        job = add_job(conn, "busy", batch("sleep 0.05"))
        conn.execute(
            "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscevery)"
            " VALUES (%s, 'often', '1 s')",
            [job],
        )
        seeds = [lab.rng.random() for _ in range(THREADS)]
        with ThreadPoolExecutor(THREADS if lab.long else 4) as pool:
            codes = [
                code
                for codes in pool.map(lambda s: repeat(lab, cluster, Random(s)), seeds)
                for code in codes
            ]
        # A runner that is not up yet is ended by the signal itself.
        odd = [code for code in codes if code not in (0, -15)]
        others = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        wait_until(lambda: scalar(conn, others) == 0, 5)
        expect = lab.findings.expect
        lab.findings.figures["starts"] = str(len(codes))
        lab.findings.figures["ended before they were up"] = str(codes.count(-15))
        expect("other exit codes", odd, [])
        expect("sessions left", scalar(conn, others), 0)
        expect(
            "agents left", scalar(conn, "SELECT count(*) FROM pgagent.pga_jobagent"), 0
        )
        expect("rows not terminal", at_rest(conn), expected=True)
        expect("temporary files left", os.listdir(lab.directory), [])  # noqa: PTH208


def repeat(lab: Lab, cluster: Server, rng: Random) -> list[int | None]:
    """Start and stop one runner after the other; return their exit codes."""
    codes = []
    environ = {"TMPDIR": str(Path(lab.directory))}
    for _ in range(lab.count):
        it = runner(cluster.dsn, "--grace", 5, name="brief", environ=environ)
        with it:
            time.sleep(rng.uniform(0, 1.5))  # the moment is the trial
            it.terminate()
            wait_until(lambda: not it.alive, 15)  # noqa: B023
            codes.append(it.process.poll())
    return codes
