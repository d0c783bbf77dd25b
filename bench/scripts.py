"""Batch steps: how many scripts a second, how late, and what stays beside each.

The peers are pgAgent 4.2's daemon, with more connections than it needs, and the floor:
one process that starts `sh -c` by posix_spawn, with as many at a time as the runner has
workers, and nothing else.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import processes
from agents import DAEMON, OURS, Agent, daemon, ours, running
from burst import END_OF_RUNS
from delay import PICKS
from floor import WARM_UP, rearm_for, successes_per_second
from proxy import between
from server import DATABASE, Bench, wait_until

CONNECTIONS = "1200"  # the daemon starts all that is due at once, each with its own
BURSTS = 300, 1000
SUSTAINED_JOBS = 2000
OLD_JOBS = 200, 1000
WORKERS = 64, 16  # the runner's on a server with so many connections, and fewer
SLEEPING = 200
SCRIPTS_A_SECOND = 50
SQL_JOBS = 3000  # beside them; more, and scripts would wait behind what is due longer
DEADLINE = 120.0

FLOOR = "floor"
NOTHING = "true"
SLEEP = "exec sleep 600"

Figures = dict[str, list[float]]


def scripts(bench: Bench) -> Figures:
    """Measure everybody, one after the other, in rounds."""
    figures: Figures = {}
    bench.restart(max_connections=CONNECTIONS)
    rounds = 1 if bench.quick else 3
    for _ in range(rounds):
        for part in (burst, sustained, start_delay, overhead, mixed):
            for name, figure in part(bench):
                figures.setdefault(name, []).append(figure)
    for name, figure in memory(bench):
        figures[name] = [figure]
    bench.restart()
    return figures


def everybody() -> list[Agent]:
    """Return the runner and, if it is there, the daemon at its best."""
    return [ours(), *([daemon("-t", "1")] if DAEMON.exists() else [])]


def burst(bench: Bench) -> Iterator[tuple[str, float]]:
    """Measure jobs that fall due at once."""
    for count in BURSTS[:1] if bench.quick else BURSTS:
        what = f"{count} at once"
        rates = {
            f"{FLOOR}, {at_once} at a time": rate_of_spawning(at_once, count=count)
            for at_once in WORKERS
        }
        for agent in everybody():
            bench.clear()
            bench.add_jobs(count, script=NOTHING)
            with running(bench, agent):
                bench.make_due("now()")
                due = bench.one("SELECT min(jobnextrun) FROM pgagent.pga_job")
                wait_until(bench.ended(count), DEADLINE)
                seconds = (bench.one(END_OF_RUNS) - due).total_seconds()
                rates[agent.name] = bench.count("s") / seconds
            yield f"{agent.name} | {what}, not good", count - bench.count("s")
        yield from compared(what, rates)


def sustained(bench: Bench) -> Iterator[tuple[str, float]]:
    """Measure while there is always something due."""
    seconds = 4.0 if bench.quick else 10.0
    rates = {
        f"{FLOOR}, {at_once} at a time": rate_of_spawning(at_once, seconds=seconds)
        for at_once in WORKERS
    }
    for agent in everybody():
        for jobs in OLD_JOBS if agent.old else (SUSTAINED_JOBS,):
            bench.clear()
            bench.add_jobs(jobs, script=NOTHING)
            bench.make_due("now()")
            name = f"{agent.name}, {jobs} jobs" if agent.old else agent.name
            with running(bench, agent):
                rates[name] = successes_per_second(bench, seconds)
            yield f"{name} | sustained, runs failed", bench.count("f")
    yield from compared("sustained", rates)


def compared(what: str, rates: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Return scripts a second, and the runner's beside the best of each peer's."""
    for name, rate in rates.items():
        yield f"{name} | {what}, scripts/s", rate
    for peer in (FLOOR, "daemon"):
        best = max((r for name, r in rates.items() if name.startswith(peer)), default=0)
        if best:
            yield f"{OURS} | {what}, in multiples of the {peer}", rates[OURS] / best


def start_delay(bench: Bench) -> Iterator[tuple[str, float]]:
    """Measure from the time when a script is due until it says that it has begun."""
    count, seconds = (20, 5.0) if bench.quick else (100, 20.0)
    with said(bench) as (fifo, heard):
        script = f"echo {{job}} > {fifo}"
        for agent in everybody():
            bench.clear()
            bench.add_jobs(count, script=script)
            with running(bench, agent):
                bench.make_due(f"now() + (2 + i * {seconds / count}) * interval '1 s'")
                heard.listen(count, seconds + 3)
                end = time.monotonic() + DEADLINE
                while not bench.ended(count)() and time.monotonic() < end:
                    heard.listen(count, 0.1)
                due = bench.conn.execute(
                    "SELECT jlgjobid, extract(epoch FROM jlgscheduled)::float8"
                    " FROM pgagent.pga_joblog"
                ).fetchall()
            late = [heard.at[job] - at for job, at in due if job in heard.at]
            heard.at.clear()
            yield f"{agent.name} | start delay, not run", count - len(late)
            yield from percentiles(f"{agent.name} | start delay", late)
        late = []
        for job in range(1, count + 1):
            begin = time.time()
            os.waitpid(spawn(script.format(job=job)), 0)
            heard.listen(job, DEADLINE)
            late.append(heard.at[job] - begin)
        yield from percentiles(f"{FLOOR} | start delay", late)


def overhead(bench: Bench) -> Iterator[tuple[str, float]]:
    """Measure a script's run without the SQL around it.

    From the server's answer that names it to the runner's message with its output, as
    they pass a proxy; less what it takes to start it barely, read its output, and wait
    for its end.
    """
    count = 30 if bench.quick else 150
    bench.clear()
    bench.add_jobs(count, script="echo mark-{job}.")
    conninfo = bench.cluster.conninfo(DATABASE)
    with (
        between(conninfo) as (proxy, detour),
        running(bench, ours(), detour),
    ):
        bench.make_due("now() + (2 + i * 0.05) * interval '1 s'")
        if not wait_until(bench.ended(count)):
            raise TimeoutError("the scripts do not end")
    inside = [
        proxy.from_runner[job] - begin
        for job, begin in proxy.to_runner.items()
        if job in proxy.from_runner
    ]
    bare = [bare_seconds() for _ in range(count)]
    name = f"{OURS} | one script without SQL"
    yield f"{name}, p50, ms", 1000 * median(inside)
    yield f"{name}, p50 over bare spawn, ms", 1000 * (median(inside) - median(bare))
    yield f"{FLOOR} | one script without SQL, p50, ms", 1000 * median(bare)
    logged = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY jslduration)"
    duration = bench.one(f"{logged} FROM pgagent.pga_jobsteplog")
    yield f"{OURS} | one script in the log, p50, ms", 1000 * duration.total_seconds()


def mixed(bench: Bench) -> Iterator[tuple[str, float]]:
    """Measure SQL alone, and with scripts beside it, once in either order."""
    for order in ((False, True), (True, False)):
        rates = {beside: sql_and_scripts(bench, beside=beside) for beside in order}
        yield f"{OURS} | SQL alone, runs/s", rates[False][0]
        yield f"{OURS} | SQL with scripts beside it, runs/s", rates[True][0]
        yield f"{OURS} | … these scripts/s", rates[True][1]
        yield f"{OURS} | … share of SQL alone", rates[True][0] / rates[False][0]


def sql_and_scripts(bench: Bench, *, beside: bool) -> tuple[float, float]:
    """Return runs of SQL and scripts a second, while SQL is always due."""
    seconds = 3.0 if bench.quick else 8.0
    warm_up = 3 * WARM_UP
    bench.clear()
    bench.add_jobs(SQL_JOBS)
    bench.make_due("now()")
    if beside:
        lasting = int(SCRIPTS_A_SECOND * (warm_up + seconds + 10))
        bench.add_jobs(lasting, first=SQL_JOBS + 1, script=NOTHING)
    with running(bench, ours()):
        bench.conn.execute(
            "UPDATE pgagent.pga_job SET jobnextrun ="
            f" now() + (jobid - {SQL_JOBS}) * interval '1 s' / {SCRIPTS_A_SECOND}"
            f" WHERE jobid > {SQL_JOBS}"
        )
        rearm_for(bench, warm_up, SQL_JOBS)
        begin, before = time.monotonic(), successes(bench)
        rearm_for(bench, seconds, SQL_JOBS)
        after, passed = successes(bench), time.monotonic() - begin
    runs, scripts_run = (new - old for new, old in zip(after, before, strict=True))
    return runs / passed, scripts_run / passed


def successes(bench: Bench) -> tuple[int, int]:
    """Return how many runs of SQL and how many scripts have succeeded."""
    runs, everything = bench.count("s", SQL_JOBS), bench.count("s")
    return runs, everything - runs


def memory(bench: Bench) -> Iterator[tuple[str, float]]:
    """Measure what is there beside scripts that sleep, and was not before."""
    count = 30 if bench.quick else SLEEPING
    for agent in (ours(workers=count), *everybody()[1:]):
        bench.clear()
        bench.add_jobs(count, script=SLEEP)
        with running(bench, agent) as (root, *_):
            time.sleep(2 * WARM_UP)
            before = beside(root)
            bench.make_due("now()")
            found = wait_for_sleep(root, count)
            after = beside(root)
            for pid in sleeping(root):
                os.kill(pid, signal.SIGKILL)
            wait_until(bench.ended(count), 60)
        name = OURS if not agent.old else agent.name
        yield f"{name} | scripts that sleep", found
        yield f"{name} | threads of the program, with them", after.threads
        yield f"{name} | threads of the program, before", before.threads
        yield f"{name} | processes beside them", after.processes
        if after.pss is None or before.pss is None:
            print("left out: memory, which only root may read", file=sys.stderr)
        else:
            yield f"{name} | PSS beside each, MB", (after.pss - before.pss) / found
            yield f"{name} | PSS of the program before, MB", before.pss


@dataclass(frozen=True)
class Beside:
    """What a program has beside the scripts that sleep."""

    processes: int
    threads: int
    """Of the program itself."""

    pss: float | None
    """In MB; None: it can't be read."""


def beside(root: int) -> Beside:
    """Return what a program has now beside the scripts that sleep."""
    scripts_now = set(sleeping(root))
    pids = [root, *(p for p in processes.descendants(root) if p not in scripts_now)]
    try:
        pss = processes.pss(pids)
    except PermissionError:
        pss = None
    return Beside(len(pids), processes.threads([root]), pss)


def sleeping(root: int) -> list[int]:
    """Return the scripts that sleep."""
    return [p for p in processes.descendants(root) if processes.name(p) == "sleep"]


def wait_for_sleep(root: int, count: int) -> int:
    """Wait until so many scripts sleep, but not for ever; return how many do."""
    wait_until(lambda: len(sleeping(root)) >= count, 60)
    time.sleep(2 * WARM_UP)
    return len(sleeping(root))


def percentiles(name: str, seconds: list[float]) -> Iterator[tuple[str, float]]:
    """Return the percentiles of a delay."""
    for pick, place in PICKS.items():
        yield f"{name}, {pick}, ms", 1000 * quantiles(seconds, n=100)[place]


class Heard:
    """When which script has said its number."""

    def __init__(self, fifo: int) -> None:
        """Listen to this descriptor."""
        self._fifo = fifo
        self.at: dict[int, float] = {}

    def listen(self, count: int, seconds: float) -> None:
        """Listen until so many have, for so long at most."""
        end = time.monotonic() + seconds
        while len(self.at) < count and (left := end - time.monotonic()) > 0:
            if select.select([self._fifo], [], [], left)[0]:
                now = time.time()
                for number in os.read(self._fifo, 4096).split():
                    self.at[int(number)] = now


@contextmanager
def said(bench: Bench) -> Iterator[tuple[Path, Heard]]:
    """Yield a FIFO for scripts to write their numbers into, and who hears them."""
    path = Path(bench.cluster.host, "said")
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)  # a reader that never sees its end
    try:
        yield path, Heard(fifo)
    finally:
        os.close(fifo)
        path.unlink()


def rate_of_spawning(
    at_once: int, count: int = sys.maxsize, seconds: float = DEADLINE
) -> float:
    """Return how many scripts a second, so many at a time, are started and ended."""
    begin = time.monotonic()
    begun = ended = 0
    while ended < count and time.monotonic() - begin < seconds:
        while begun - ended < at_once and begun < count:
            spawn(NOTHING)
            begun += 1
        os.wait()
        ended += 1
    passed = time.monotonic() - begin
    for _ in range(begun - ended):
        os.wait()
    return ended / passed


def bare_seconds() -> float:
    """Return how long a script takes that says something, with nothing around it."""
    begin = time.monotonic()
    output, end = os.pipe()
    pid = spawn("echo mark-1.", end)
    os.close(end)
    while os.read(output, 4096):
        pass
    os.close(output)
    os.waitpid(pid, 0)
    return time.monotonic() - begin


def spawn(script: str, output: int | None = None) -> int:
    """Start a script in a session of its own; return its pid."""
    actions = [] if output is None else [(os.POSIX_SPAWN_DUP2, output, 1)]
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", script],
        {"PATH": os.environ["PATH"]},
        file_actions=actions,
        setsid=True,
    )
