"""R9: a fleet under one fault after the other, as in Jepsen's test of Chronos."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from psycopg.conninfo import make_conninfo

from chaos.checker import Target, Window, check
from chaos.faults import Proxy, wait_until
from chaos.fleet import DEFAULT_LEASE, Runner, runner
from chaos.history import (
    add_interval,
    add_job,
    batch,
    count_lines,
    effect,
    grid,
    has_column,
    read_runs,
    read_skips,
    scalar,
    settle,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server, standby_of

RUNNERS = 3
JOBS = 50
EPSILON = 15.0
RECOVERY = 10.0  # granted after a fault


class Nemesis:
    """Causes one fault at a time and keeps account of when."""

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        """Start the servers and the runners, each behind a proxy of its own."""
        self.lab = lab
        self.windows: list[Window] = []
        self.log: list[str] = []
        replication = {"wal_level": "replica", "max_wal_senders": "5"}
        self.server: Server = stack.enter_context(server(replication))
        self.standby = stack.enter_context(standby_of(self.server))
        self._replicate()
        self.ways = [
            stack.enter_context(Proxy(self.server.socket)) for _ in range(RUNNERS)
        ]
        self.runners = [
            stack.enter_context(self._runner(number, way))
            for number, way in enumerate(self.ways)
        ]
        for it in self.runners:
            it.ready()

    def _replicate(self) -> None:
        """Have every commit wait for the standby, as a failover without loss needs."""
        with closing(self.server.connect()) as conn:
            sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            conn.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            conn.execute("SELECT pg_reload_conf()")
            if wait_until(lambda: scalar(conn, sync) > 0, 20) is None:
                raise TimeoutError("the standby does not follow")

    def _runner(self, number: int, way: Proxy) -> Runner:
        dsn = make_conninfo(self.server.dsn, host="127.0.0.1", port=way.port)
        return runner(dsn, "--retry", 5, name=f"runner-{number}")

    def strike(self) -> None:
        """Cause a fault, wait until it is over, and write down its window."""
        faults: dict[str, Callable[[int], float]] = {
            "kill": self.kill,
            "freeze": self.freeze,
            "cut": self.cut,
            "fast": lambda _: self.restart("fast"),
            "immediate": lambda _: self.restart("immediate"),
            "kill postmaster": lambda _: self.restart("kill"),
            "crash backend": lambda _: self.crash_backend(),
        }
        name = self.lab.rng.choice(list(faults))
        victim = self.lab.rng.randrange(RUNNERS)
        self._cause(name, faults[name], victim)

    def _cause(self, name: str, fault: Callable[[int], float], victim: int) -> None:
        start = time.time()
        recovery = fault(victim)
        end = time.time() + recovery
        self.windows.append(Window(start, end, name))
        self.log.append(f"{name} {victim}: {end - start:.1f} s")

    def kill(self, victim: int) -> float:
        """Kill a runner and start it again, as a service manager does."""
        self.runners[victim].kill()
        time.sleep(3)
        self.runners[victim].start()
        return 5.0

    def freeze(self, victim: int) -> float:
        """Stop a runner for longer than its lease; in a short run, for less."""
        self.runners[victim].freeze()
        time.sleep(DEFAULT_LEASE + 5 if self.lab.long else 5)
        self.runners[victim].thaw()
        return RECOVERY if self.lab.long else 2.0

    def cut(self, victim: int) -> float:
        """Cut a runner off."""
        self.ways[victim].cut()
        time.sleep(30 if self.lab.long else 5)
        self.ways[victim].mend()
        return RECOVERY if self.lab.long else 2.0

    def restart(self, mode: str) -> float:
        """Restart the server."""
        self.server.restart_by(mode, down=self.lab.rng.uniform(0, 2))
        return RECOVERY

    def crash_backend(self) -> float:
        """Kill the server process of a session; all others end with it."""
        with closing(self.server.wait_to_connect()) as conn:
            os.kill(conn.info.backend_pid, signal.SIGKILL)
        return RECOVERY

    def promote(self) -> None:
        """Kill the primary for good; the standby takes over its address."""

        def fail_over(_: int) -> float:
            self.server.kill_postmaster()
            self.standby.promote()
            self.server = self.standby
            for way in self.ways:
                way.retarget(self.server.socket)
            return RECOVERY

        self._cause("promote", fail_over, 0)


class Work:
    """Fifty jobs of all kinds, at intervals that leave room between two runs."""

    def __init__(self, lab: Lab, conn: Connection) -> None:
        """Create them."""
        self.jobs: dict[int, tuple[float, float]] = {}
        self.files: dict[int, Path] = {}
        self.atomic: set[int] = set()
        modes = has_column(conn, "pga_jobstep", "jstmode")
        for number in range(JOBS):
            seconds = lab.rng.choice((0.05, 0.5, 1, 2))
            name = f"job {number}"
            if number % 3 == 0:
                file = Path(lab.directory, name)
                code = f'sleep {seconds}; echo "$PGAGENT_RUN_ID" >>"{file}"'
                job = add_job(conn, name, batch(code))
                self.files[job] = file
            elif number % 3 == 1 and modes:
                job = add_job(conn, name, effect(seconds) | {"jstmode": "atomic"})
                self.atomic.add(job)
            else:
                job = add_job(conn, name, effect(seconds))
            interval = lab.rng.choice((20, 30, 45) if lab.long else (8, 10, 12))
            first = add_interval(
                conn, job, interval, delay=lab.rng.uniform(1, interval)
            )
            self.jobs[job] = (first, interval)

    def targets(self, until: float) -> list[Target]:
        """Return all times at which a job was due."""
        return [
            target
            for job, (first, interval) in self.jobs.items()
            for target in grid(job, first, interval, until)
        ]


@scenario(
    "R9",
    "a fleet under one fault after the other: 0 extra, every target met within 15 s",
    short=3,
    full=60,
    seconds=240,
)
def fleet(lab: Lab) -> None:
    """Let 50 jobs run for so many minutes, with a fault every 60 s (short: 15 s)."""
    period = 60.0 if lab.long else 15.0
    with ExitStack() as stack:
        nemesis = Nemesis(lab, stack)
        with closing(nemesis.server.connect()) as conn:
            work = Work(lab, conn)
        end = time.monotonic() + 60 * lab.count
        promotion = time.monotonic() + 60 * lab.count * 2 / 3
        while (begun := time.monotonic()) < end:
            if nemesis.server is not nemesis.standby and begun > promotion:
                nemesis.promote()
            else:
                nemesis.strike()
            time.sleep(max(0.0, begun + period - time.monotonic()))
        with closing(nemesis.server.wait_to_connect()) as conn:
            last = settle(conn, 40)
            judge(lab, conn, work, nemesis, last)


def judge(
    lab: Lab, conn: Connection, work: Work, nemesis: Nemesis, last: Window
) -> None:
    """Check the whole history."""
    files = {job: count_lines(file) for job, file in work.files.items()}
    sql_jobs = frozenset(work.jobs) - frozenset(files)
    runs = read_runs(
        conn,
        list(work.jobs),
        atomic=frozenset(work.atomic),
        counted=sql_jobs,
        files=files,
    )
    targets = work.targets(last.start)
    windows = [*nemesis.windows, last]
    verdict = check(
        targets, runs, epsilon=EPSILON, windows=windows, skips=read_skips(conn)
    )
    expect = lab.findings.expect
    lab.judge(verdict, runs)
    share = verdict.met / max(1, len(targets))
    expect(
        "targets met outside fault windows", f"{share:.0%}", "> 5 %", ok=share > 0.05
    )
    expect("runners that ended", sum(not it.alive for it in nemesis.runners), 0)
    figures = lab.findings.figures
    figures["faults"] = "; ".join(nemesis.log[:40])
    longest = max((r.end - r.start for r in runs if r.end), default=0.0)
    figures["longest run"] = f"{longest:.1f} s"
    figures["targets"] = str(len(targets))
    figures["runs"] = str(len(runs))
    figures["met outside fault windows"] = str(verdict.met)
    figures["inside fault windows"] = str(verdict.excused)
    figures["of these never met"] = str(len(verdict.missed))
    figures["aborted, with a reason"] = str(len(verdict.aborted))
