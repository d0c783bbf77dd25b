"""R6, R16: a runner is frozen or cut off for longer than its lease.

Its steps leave a mark every 50 ms. The last of them must be older than the run that
somebody else starts of the same job.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

from psycopg.conninfo import make_conninfo

from chaos.faults import Network, Proxy, processes_with, wait_until, why_no_network
from chaos.fleet import Runner, lease_in_force, runner
from chaos.history import add_interval, add_job, batch, marks, scalar
from chaos.lab import Lab, scenario
from chaos.server import DATABASE, Connection, Server, server

ROUND = 5  # runners that are cut off at the same time
SHORT_LEASE = 6.0
MARGIN = 12.0  # how long after the lease the job may start elsewhere

# The mark is the name of the shell, by which the harness finds and ends what is left.
BATCH_MARKS = """
exec sh -c 'while :; do date +%s.%N >>"$1/$PGAGENT_RUN_ID"; sleep 0.05; done' \\
    {mark} "{directory}"
"""
FIRST_RUNS = """
SELECT jlgjobid, jlgid, jlgstatus::text, jlgmessage, to_jsonb(l)::text,
       (SELECT extract(epoch FROM jlgstart)::float8 FROM pgagent.pga_joblog AS n
        WHERE n.jlgjobid = l.jlgjobid AND n.jlgid > l.jlgid ORDER BY n.jlgid LIMIT 1),
       (SELECT count(*) FROM pgagent.pga_joblog AS n
        WHERE n.jlgjobid = l.jlgjobid AND n.jlgid > l.jlgid)
FROM pgagent.pga_joblog AS l WHERE jlgid = ANY (%s) ORDER BY jlgid
"""


@dataclass
class Cut:
    """What to do to the runners of a round, and how they reach the server."""

    kind: str
    do: Callable[[list[Runner]], None]
    undo: Callable[[list[Runner]], None]
    dsn: str
    before: list[str]
    seconds: float


class Round:
    """Some runners, each with an SQL and a batch job, and one that takes over."""

    def __init__(self, lab: Lab, cluster: Server, conn: Connection, cut: Cut) -> None:
        """Prepare; nothing runs yet."""
        self.lab, self.cluster, self.conn, self.cut = lab, cluster, conn, cut
        self.lease = None if lab.long else SHORT_LEASE
        self.mark = f"chaos-mark-{lab.directory.name}"
        self.overlaps: list[str] = []
        self.rewritten = self.third = self.not_aborted = self.not_taken = 0
        self.stops: list[float] = []

    def run(self, count: int) -> None:
        """Cut off `count` runners at once and see what comes of their jobs."""
        with ExitStack() as stack:
            cut_off = [self._busy_runner(stack, number) for number in range(count)]
            first = [
                run for (run,) in self.conn.execute(
                    "SELECT jlgid FROM pgagent.pga_joblog WHERE jlgstatus = 'r'"
                )
            ]  # fmt: skip
            successor = runner(
                self.cluster.dsn, "--workers", 100, name="successor", lease=self.lease
            )
            stack.enter_context(successor).ready()
            start = time.time()
            self.cut.do(cut_off)
            taken = self._wait_for_successors(first, start)
            self.cut.undo(cut_off)
            self._judge(first, start, taken)
            before = self._rows(first)
            # Whatever the runners do now that they are back must change nothing.
            time.sleep(3)
            self._judge_awake(before, self._rows(first))
        self._clear()

    def _busy_runner(self, stack: ExitStack, number: int) -> Runner:
        """Start a runner that has no worker free beside its two jobs."""
        conn, name = self.conn, f"cut-off-{number}"
        it = runner(
            self.cut.dsn, "--workers", 2, name=name, before=self.cut.before,
            lease=self.lease,
        )  # fmt: skip
        stack.enter_context(it).ready()
        code = BATCH_MARKS.format(directory=self.lab.directory, mark=self.mark)
        jobs = [
            add_job(conn, f"sql {name}", marks()),
            add_job(conn, f"batch {name}", batch(code)),
        ]
        for job in jobs:
            add_interval(conn, job, 1)
        running = "SELECT count(*) FROM pgagent.pga_jobsteplog WHERE jslstatus = 'r'"
        if wait_until(lambda: scalar(conn, running) == 2 * (number + 1), 20) is None:
            raise TimeoutError(f"the jobs of {name} did not start:\n{it.log}")
        return it

    def _wait_for_successors(self, first: list[int], start: float) -> bool:
        """Wait for each job's next run, and at least as long as the cut lasts."""
        limit = lease_in_force(self.lease) + MARGIN

        def all_taken() -> bool:
            return all(row[6] != 0 for row in self._rows(first))

        taken = wait_until(all_taken, limit) is not None
        time.sleep(max(0.0, start + self.cut.seconds - time.time()))
        return taken

    def _rows(self, first: list[int]) -> list[tuple[object, ...]]:
        return self.conn.execute(FIRST_RUNS, [first]).fetchall()

    def _judge(self, first: list[int], start: float, taken: bool) -> None:  # noqa: FBT001
        self.not_taken += not taken
        for job, run, status, message, _, next_start, _ in self.conn.execute(
            FIRST_RUNS, [first]
        ).fetchall():
            self.not_aborted += status != "d" or not message
            last = self._last_mark(run)
            self.stops.append(last - start)
            self.lab.note(
                f"{self.cut.kind}: job {job} run {run}: last mark after"
                f" {last - start:.2f} s, next run after"
                f" {(next_start or start) - start:.2f} s"
            )
            if next_start is not None and last > next_start:
                late = f"{last - next_start:.2f} s after the next run's start"
                self.overlaps.append(f"job {job} run {run} left a mark {late}")

    def _last_mark(self, run: int) -> float:
        file = self.lab.directory / str(run)
        if file.exists():
            return float(file.read_text().split()[-1])
        (at,) = self.conn.execute(
            "SELECT extract(epoch FROM max(at))::float8 FROM chaos.mark WHERE run = %s",
            [run],
        ).fetchone() or (0.0,)
        return float(at or 0)

    def _judge_awake(
        self, before: list[tuple[object, ...]], after: list[tuple[object, ...]]
    ) -> None:
        for old, new in zip(before, after, strict=True):
            self.rewritten += old[4] != new[4]
            self.third += new[6] != 1

    def _clear(self) -> None:
        conn = self.conn
        conn.execute("DELETE FROM pgagent.pga_job")
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        conn.execute("DELETE FROM pgagent.pga_jobagent; TRUNCATE chaos.mark")
        for pid in processes_with(self.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def report(self) -> None:
        """Put down all rounds."""
        expect, kind = self.lab.findings.expect, self.cut.kind
        for text in self.overlaps:
            self.lab.note(text)
        expect(f"{kind}: jobs nobody took over", self.not_taken, 0)
        expect(
            f"{kind}: steps at work after their job's next run", len(self.overlaps), 0
        )
        expect(f"{kind}: runs not d with a reason", self.not_aborted, 0)
        expect(f"{kind}: rows changed by those who came back", self.rewritten, 0)
        expect(f"{kind}: jobs without exactly one further run", self.third, 0)
        slowest = max(self.stops, default=0)
        limit = lease_in_force(self.lease) + 5
        self.lab.findings.at_most(f"{kind}: last mark after", slowest, limit, "s")


def rounds(lab: Lab, cluster: Server, cut: Cut) -> None:
    """Cut off so many runners, some at a time."""
    with closing(cluster.connect()) as conn:
        it = Round(lab, cluster, conn, cut)
        left = lab.count
        while left:
            it.run(min(left, ROUND))
            left -= min(left, ROUND)
        it.report()


def duration(lab: Lab, full: float) -> float:
    """Return how long a cut lasts: longer than the lease in any case."""
    return full if lab.long else lease_in_force(SHORT_LEASE) + 8


@scenario(
    "R6",
    "SIGSTOP for longer than the lease: the step stops before others start the job",
    short=2,
    full=20,
    seconds=60,
)
def frozen(lab: Lab) -> None:
    """Freeze runners, wake them when their jobs run elsewhere."""

    def freeze(runners: list[Runner]) -> None:
        for it in runners:
            it.freeze()

    def thaw(runners: list[Runner]) -> None:
        for it in runners:
            it.thaw()

    with server() as cluster:
        cut = Cut("frozen", freeze, thaw, cluster.dsn, [], duration(lab, 60))
        rounds(lab, cluster, cut)


@scenario(
    "R16",
    "a network that swallows packets: the step stops before others start the job",
    short=2,
    full=10,
    seconds=110,
)
def cut_off(lab: Lab) -> None:
    """Cut runners off: by a proxy that forwards nothing, and by a mute router."""
    through_proxy(lab)
    if why := why_no_network():
        lab.findings.left_out.append(why)
    else:
        behind_router(lab)


def through_proxy(lab: Lab) -> None:
    """Cut at a proxy: the server sees a client that is there but silent."""
    with server() as cluster, Proxy(cluster.socket) as proxy:
        dsn = make_conninfo(cluster.dsn, host="127.0.0.1", port=proxy.port)
        cut = Cut(
            "proxy",
            lambda _: proxy.cut(),
            lambda _: proxy.mend(),
            *(dsn, [], duration(lab, 60)),
        )
        rounds(lab, cluster, cut)


def behind_router(lab: Lab) -> None:
    """Cut at a router: no packet of either end arrives."""
    with Network() as network:
        addresses = f"127.0.0.1,{network.server_address}"
        with server({"listen_addresses": addresses}, tcp=True) as cluster:
            cluster.add_hba("host all all 10.213.0.0/16 scram-sha-256")
            dsn = make_conninfo(
                cluster.conninfo(DATABASE, tcp=True), host=network.server_address
            )
            cut = Cut(
                "router",
                lambda _: network.cut(),
                lambda _: network.mend(),
                *(dsn, network.command(), duration(lab, 60)),
            )
            rounds(lab, cluster, cut)
