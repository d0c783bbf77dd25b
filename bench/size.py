"""What a hundred thousand jobs and their log cost."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Self

import psycopg
from agents import OURS, ours, running
from delay import due_delays
from server import DATABASE, Bench

DELAYED_JOBS = 100
CLAIM_AT_ONCE = 16
# What the runner does without: see pgagent_runner/catalog/connection.py.
PLANNING = [
    *("enable_seqscan", "enable_bitmapscan", "enable_sort"),
    *("enable_hashjoin", "enable_mergejoin", "jit"),
]
JOBS_AT_ONCE = 500  # of retention, as the runner does it
RUNS_AT_ONCE = 500

LOG = """
INSERT INTO pgagent.pga_joblog
    (jlgid, jlgjobid, jlgstatus, jlgstart, jlgduration, jlgagentid, jlgscheduled)
SELECT i, 1 + i %% %(jobs)s, 's', at, '20 ms', 1, at
FROM generate_series(1, %(rows)s) AS i,
LATERAL (
    SELECT now() - (%(rows)s - i) / %(rows)s::float8 * interval '60 days'
) AS t (at)
"""
STEP_LOG = """
INSERT INTO pgagent.pga_jobsteplog
    (jsljlgid, jsljstid, jslstatus, jslresult, jslstart, jslduration)
SELECT jlgid, jlgjobid, 's', 1, jlgstart, jlgduration FROM pgagent.pga_joblog
"""
# Which the table above has none of, for the sake of ten million rows.
OUTPUT_BYTES = 200
OUTPUTS = f"""
UPDATE pgagent.pga_jobsteplog SET jsloutput = repeat('output ', {OUTPUT_BYTES} / 7)
"""
# As pgAdmin 4 asks.
QUERIES = {
    "pgAdmin's statistics of a job": """
SELECT jlgid, jlgstatus, jlgstart, jlgduration, (jlgstart + jlgduration) AS endtime
FROM pgagent.pga_joblog WHERE jlgjobid = 47 ORDER BY jlgid DESC LIMIT 250""",
    "pgAdmin's statistics of a step": """
SELECT jslid, jslstatus, jslresult, jslstart, (jslstart + jslduration) AS endtime,
       jslduration, jsloutput
FROM pgagent.pga_jobsteplog WHERE jsljstid = 47 ORDER BY jslid DESC LIMIT 250""",
    "pgAdmin's grid of all jobs": """
SELECT j.jobid, j.jobname, j.jobenabled, j.jobdesc, j.jobhostagent, j.jobcreated,
       j.jobchanged, ag.jagstation AS jagagent, sub.jlgstatus AS jlgstatus,
       j.jobagentid, j.jobnextrun, j.joblastrun, j.jobjclid, jc.jclname AS jobclass
FROM pgagent.pga_job AS j
LEFT JOIN pgagent.pga_jobagent AS ag ON ag.jagpid = jobagentid
LEFT JOIN (
    SELECT DISTINCT ON (jlgjobid) jlgstatus, jlgjobid FROM pgagent.pga_joblog
    ORDER BY jlgjobid, jlgid DESC
) AS sub ON sub.jlgjobid = j.jobid
LEFT JOIN pgagent.pga_jobclass AS jc ON j.jobjclid = jc.jclid
ORDER BY j.jobname""",
}
# As people, verbs and monitors ask. A verb's session does without jit.
LOOKED_AT_JOBS, LOOKED_AT_RUNS = 500, 1_000  # of each
LATELY = "run_history of 24 hours"
LOOKS = {
    "problems": "SELECT * FROM pgagent.problems",
    "a watch of alerts": "SELECT * FROM pgagent.pga_alert_watch()",
    "job_status, states": """
SELECT job, state, next_run, last_run, last_status, last_duration, consecutive_failures
FROM pgagent.job_status""",
    "job_status, all but percentiles": """
SELECT job_id, job, enabled, state, next_run, last_run, last_status, last_message,
       last_duration, consecutive_failures, recent_runs, schedule, problem, promised,
       paused, paused_until
FROM pgagent.job_status""",
    "job_status, all": "SELECT * FROM pgagent.job_status",
    LATELY: """
SELECT * FROM pgagent.run_history WHERE started > now() - interval '24 hours'""",
    "run_history of a job": "SELECT * FROM pgagent.run_history WHERE job_id = 47",
}
VERBS = ["list", "list --json", "runs", "runs --running", "next", "problems", "health"]

Figures = dict[str, list[float]]


def size(bench: Bench) -> Figures:
    """Measure with few jobs and no log, and with many and the log of N runs."""
    rows = int(os.environ.get("N") or (100_000 if bench.quick else 10_000_000))
    jobs = 10_000 if bench.quick else 100_000
    figures: Figures = {}
    seconds = 10 if bench.quick else 30

    def note(what: str, values: list[float]) -> None:
        figures[f"{OURS} | {what}"] = values

    def note_delays(when: str, values: list[float]) -> None:
        note(f"start delay, {when}, p50, ms", [median(values)])
        note(f"start delay, {when}, p99, ms", [p99(values)])

    for name, values in looks(bench).items():
        note(name, values)
    bench.clear()
    bench.add_jobs(DELAYED_JOBS)
    note("claim, empty log, p99, ms", [p99(claims(bench))])
    note_delays("empty log", delays(bench, seconds))
    bench.clear()
    bench.add_jobs(jobs)
    fill_log(bench, jobs, rows)
    bench.conn.execute("VACUUM ANALYZE")
    bench.conn.execute("CHECKPOINT")  # what was loaded is not to be written meanwhile
    at_size = f"{jobs:,} jobs, {rows:,} runs logged"
    note(f"claim, {at_size}, p99, ms", [p99(claims(bench))])
    with isolated(bench):
        note(f"claim, {at_size}, isolated and owned, p99, ms", [p99(claims(bench))])
    for name, query in QUERIES.items():
        times = [milliseconds(partial(fetch, bench, query)) for _ in range(10)]
        note(f"{name}, {at_size}, ms", times)
    note_delays(at_size, delays(bench, seconds))
    late = []
    with Retention(bench) as retention:
        while retention.deleted < rows // 20:
            late += delays(bench, seconds)
    note_delays("meanwhile retention", late)
    note("runs deleted by retention, each with a row of its step", [retention.deleted])
    note("runs deleted a second", [retention.deleted / retention.seconds])
    return figures


def looks(bench: Bench) -> Figures:
    """Return how many ms each look at a usual size takes, as clients see it."""
    jobs, rows = LOOKED_AT_JOBS, LOOKED_AT_JOBS * LOOKED_AT_RUNS
    at_size = f"{jobs:,} jobs, {rows:,} runs logged"
    bench.clear()
    bench.add_jobs(jobs)
    fill_log(bench, jobs, rows)
    bench.conn.execute("VACUUM ANALYZE")
    figures: Figures = {}
    times = [_server_time(bench, LOOKS[LATELY]) for _ in range(20)]
    figures[f"{LATELY}, {at_size} without output, CPU of the server, ms"] = times
    bench.conn.execute(OUTPUTS)
    bench.conn.execute("VACUUM FULL ANALYZE pgagent.pga_jobsteplog")
    bench.conn.execute("VACUUM ANALYZE")
    bench.conn.execute("SELECT pgagent.add_alert('looked at', 'nobody')")
    for name, query in (QUERIES | LOOKS).items():
        times = [_server_time(bench, query) for _ in range(20)]
        figures[f"{name}, {at_size}, CPU of the server, ms"] = times
    for verb in VERBS:
        times = [milliseconds(partial(_call, bench, verb)) for _ in range(5)]
        figures[f"pgagent {verb}, {at_size}, ms"] = times
    bench.conn.execute("SELECT pgagent.drop_alert('looked at')")
    return figures


def _server_time(bench: Bench, query: str) -> float:
    """Return how many ms of processor time the server takes for a query."""
    schedule = Path(f"/proc/{bench.conn.info.backend_pid}/schedstat")
    before = int(schedule.read_text().split()[0])
    fetch(bench, query)
    return (int(schedule.read_text().split()[0]) - before) / 1e6


def _call(bench: Bench, verb: str) -> None:
    """Call a verb; what it prints does not count, nor how things are."""
    command = [sys.executable, "-m", "pgagent_runner", *verb.split()]
    conninfo = bench.cluster.conninfo(DATABASE)
    subprocess.run([*command, "-d", conninfo], stdout=subprocess.DEVNULL, check=False)


def fill_log(bench: Bench, jobs: int, rows: int) -> None:
    """Log so many runs, without the checks that would take half an hour."""
    bench.conn.execute("SET session_replication_role = replica")
    bench.conn.execute(LOG, {"jobs": jobs, "rows": rows})
    bench.conn.execute(STEP_LOG)
    bench.conn.execute("RESET session_replication_role")
    bench.conn.execute(
        "SELECT setval('pgagent.pga_joblog_jlgid_seq', max(jlgid))"
        " FROM pgagent.pga_joblog"
    )


class Retention:
    """Delete what need not be kept as the runner does, while others measure."""

    def __init__(self, bench: Bench) -> None:
        """Have it ready for this server."""
        self.conninfo = bench.cluster.conninfo(DATABASE)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.deleted, self.seconds = 0, 0.0

    def __enter__(self) -> Self:
        """Start."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, done or not."""
        self.stopped.set()
        self.thread.join()

    def work(self) -> None:
        """Delete in small transactions, and rest as long after each."""
        begin = time.monotonic()
        last: int | None = 0
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            while last is not None and not self.stopped.is_set():
                began = time.monotonic()
                last, deleted = conn.execute(
                    "SELECT * FROM pgagent.pga_log_prune(%s, %s, %s)",
                    [last, JOBS_AT_ONCE, RUNS_AT_ONCE],
                ).fetchone() or (None, 0)
                self.deleted += deleted
                time.sleep(time.monotonic() - began)
        self.seconds = time.monotonic() - begin


def claims(bench: Bench) -> list[float]:
    """Return how many ms it takes to claim due jobs, again and again, and undo it."""
    bench.conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid <= 100"
    )
    agent = bench.one(
        "INSERT INTO pgagent.pga_jobagent (jagpid, jagstation)"
        " VALUES (pg_backend_pid(), 'claims') RETURNING jagpid"
    )
    query = f"SELECT * FROM pgagent.pga_run_claim({agent}, {CLAIM_AT_ONCE}, 60)"
    for name in PLANNING:
        bench.conn.execute(f"SET {name} = off")
    times = []
    for _ in range(200):
        with bench.conn.transaction(force_rollback=True):
            times.append(milliseconds(lambda: fetch(bench, query)))
    for name in PLANNING:
        bench.conn.execute(f"RESET {name}")
    bench.conn.execute("DELETE FROM pgagent.pga_jobagent")
    bench.conn.execute(
        "UPDATE pgagent.pga_job SET jobnextrun = NULL WHERE jobid <= 100"
    )
    return times


@contextmanager
def isolated(bench: Bench) -> Iterator[None]:
    """Have jobs of a team in an isolated catalogue, and be a runner's login."""
    bench.conn.execute("CREATE ROLE team; CREATE ROLE runner LOGIN")
    _own(bench, "'team'")
    bench.conn.execute(
        "SELECT pgagent.allow_run_as('team');"
        " SELECT pgagent.grant_access('runner', to_role => 'runner');"
        " SELECT pgagent.isolate();"
        " SET SESSION AUTHORIZATION runner"
    )
    yield
    bench.conn.execute("RESET SESSION AUTHORIZATION; SELECT pgagent.isolate(false)")
    _own(bench, "NULL")


def _own(bench: Bench, owner: str) -> None:
    """Give all jobs to a role, without the checks and the history of that."""
    bench.conn.execute(
        "SET session_replication_role = replica;"
        f" UPDATE pgagent.pga_job SET jobowner = {owner},"
        f" jobownerid = {owner}::regrole;"
        " RESET session_replication_role"
    )
    bench.conn.execute("VACUUM FULL ANALYZE pgagent.pga_job")


def delays(bench: Bench, seconds: int) -> list[float]:
    """Return how late, in ms, some of the jobs start."""
    bench.conn.execute("TRUNCATE effect")
    with running(bench, ours()):
        return due_delays(bench, DELAYED_JOBS, seconds)


def fetch(bench: Bench, query: str) -> list[tuple[object, ...]]:
    """Return a query's rows."""
    return bench.conn.execute(query).fetchall()


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    begin = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begin)


def p99(values: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(values, n=100)[98]
