"""What it costs to ask for the metrics of the whole database, and to be scraped."""

import time

from pgagent_runner import exposition
from processes import cpu_seconds
from server import Bench
from size import fill_log

SIZES = ((500, 1000), (10_000, 100))  # jobs, and runs of each in the log
OURS = "pgagent"
BUSY = """
UPDATE pgagent.pga_job
SET joblastrun = now(), joblastsuccess = now(), jobsucceeded = 1000,
    jobnextrun = now() + interval '1 hour'
"""
ONE_NAME = "SELECT value FROM pgagent.metrics WHERE name = 'pgagent_job_enabled'"

Figures = dict[str, list[float]]


def metrics(bench: Bench) -> Figures:
    """Measure the view, one name of it, and the text that is made of it."""
    figures: Figures = {}
    for jobs, runs in SIZES:
        bench.clear()
        bench.add_jobs(jobs)
        fill_log(bench, jobs, jobs * runs)
        bench.conn.execute(BUSY)
        bench.conn.execute("VACUUM ANALYZE")
        at_size = f"{jobs:,} jobs with {runs:,} runs each"
        for what, values in ask(bench, 10 if bench.quick else 50).items():
            figures[f"{OURS} | {what}, {at_size}"] = values
    return figures


def ask(bench: Bench, times: int) -> Figures:
    """Return what it costs to ask so many times, in processor time, and its size."""
    rows = bench.conn.execute(exposition.VIEW).fetchall()  # what is cached, is
    server = bench.conn.info.backend_pid
    began = cpu_seconds([server])
    ours = time.process_time()
    for _ in range(times):
        rows = bench.conn.execute(exposition.VIEW).fetchall()
        text = exposition.text(exposition.of_view(rows)).encode()
    ours = time.process_time() - ours
    view = cpu_seconds([server]) - began
    began = cpu_seconds([server])
    for _ in range(times):
        bench.conn.execute(ONE_NAME).fetchall()
    one = cpu_seconds([server]) - began
    return {
        "CPU of the server, ms": [1000 * view / times],
        "CPU of whoever reads and formats, ms": [1000 * ours / times],
        "CPU of the server for one name, ms": [1000 * one / times],
        "samples": [float(len(rows))],
        "text, KB": [len(text) / 1000],
    }
