"""What it costs to ask for the metrics of the whole database, and to be scraped."""

import re
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from agents import OURS, ours
from pgagent_runner import exposition
from processes import cpu_seconds
from server import DATABASE, Bench, wait_until
from size import fill_log

SIZES = ((500, 1000), (10_000, 100))  # jobs, and runs of each in the log
CACHED = 5.5  # seconds in which a runner does not ask the database again
BUSY = """
UPDATE pgagent.pga_job
SET joblastrun = now(), joblastsuccess = now(), jobsucceeded = 1000,
    jobnextrun = now() + interval '1 hour'
"""
SESSIONS = """
SELECT array_agg(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
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
        scraped = scrape(bench, 2 if bench.quick else 10)
        figures[f"{OURS} | CPU of a scrape, runner and server, ms, {at_size}"] = scraped
    return figures


def scrape(bench: Bench, times: int) -> list[float]:
    """Return what a scrape costs a runner and its sessions."""
    command = [*ours().command, "--listen", "0", bench.cluster.conninfo(DATABASE)]
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log) as runner,
    ):
        told = re.compile(r"listens on ([\d.:]+)")
        wait_until(lambda: bool(told.search(Path(log.name).read_text())))
        found = told.search(Path(log.name).read_text())
        assert found
        url = f"http://{found[1]}/metrics"
        with urlopen(url) as answer:  # that opens the session
            answer.read()
        pids = [runner.pid, *(int(pid) for pid in bench.one(SESSIONS))]
        cost = 0.0
        for _ in range(times):
            time.sleep(CACHED)
            began = cpu_seconds(pids)
            with urlopen(url) as answer:
                answer.read()
            cost += 1000 * (cpu_seconds(pids) - began)
        runner.terminate()
    return [cost / times]


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
