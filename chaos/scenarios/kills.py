"""R1 to R5: runners are killed at random; the others notice and tell the truth."""

import statistics
import time
from contextlib import closing
from pathlib import Path

from chaos.checker import Target, check
from chaos.faults import wait_until
from chaos.fleet import Fleet, Runner, daemon_42, runner
from chaos.history import (
    add_job,
    at_rest,
    batch,
    claims_without_run,
    count_lines,
    effect,
    has_column,
    make_due,
    read_runs,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server

SURVIVORS = 2
LIMIT = 5.0  # seconds until every row is terminal
PATIENCE = 30.0


class Trials:
    """Three kinds of jobs that fall due again and again while runners are killed."""

    def __init__(self, lab: Lab, conn: Connection) -> None:
        """Create the jobs: two of each kind."""
        self.lab, self.conn = lab, conn
        self.files: dict[int, Path] = {}
        self.single = [add_job(conn, f"single {n}", effect(0.1)) for n in (1, 2)]
        self.batches = [self._add_batch(n) for n in (1, 2)]
        self.atomic: list[int] = []
        if has_column(conn, "pga_jobstep", "jstmode"):
            step = effect(0.1) | {"jstmode": "atomic"}
            self.atomic = [add_job(conn, f"atomic {n}", step) for n in (1, 2)]
        self.jobs = self.single + self.batches + self.atomic
        self.targets: list[Target] = []
        self.times: list[float] = []
        self.stuck = 0

    def _add_batch(self, number: int) -> int:
        file = Path(self.lab.directory) / f"batch {number}"
        # The daemon tells its scripts no run: for it, lines are only counted.
        code = f'sleep 0.05; echo "${{PGAGENT_RUN_ID:-0}}" >>"{file}"; sleep 0.05'
        job = add_job(self.conn, f"batch {number}", batch(code))
        self.files[job] = file
        return job

    def kill_one(self, victim: Runner, spread: float) -> None:
        """Kill a runner around the time at which all jobs are due."""
        jobs = self.jobs.copy()
        self.lab.rng.shuffle(jobs)
        pause = self.lab.rng.uniform(0.2, 0.3 + spread)
        for job in jobs:  # each on its own, so that several runners get some
            due = make_due(self.conn, [job], 0.25 + self.lab.rng.uniform(0, 0.1))
            self.targets.append(Target(job, due))
        time.sleep(pause)  # the moment is the trial
        victim.kill()

    def settle(self) -> bool:
        """Wait until all is terminal; tell whether it was."""
        took = wait_until(self._settled, PATIENCE)
        if took is None:
            self.stuck += 1
        else:
            self.times.append(took)
        return took is not None

    def _settled(self) -> bool:
        due = "SELECT count(*) FROM pgagent.pga_job WHERE jobnextrun IS NOT NULL"
        return at_rest(self.conn) and self.conn.execute(due).fetchone() == (0,)

    def judge(self) -> None:
        """Check the whole history."""
        counted = frozenset(self.single + self.atomic)
        lines: dict[int, dict[int, int]] = {
            job: count_lines(file) for job, file in self.files.items()
        }
        runs = read_runs(
            self.conn,
            self.jobs,
            atomic=frozenset(self.atomic),
            counted=counted,
            files=lines,
        )
        verdict = check(self.targets, runs, epsilon=PATIENCE)
        self.lab.judge(verdict, runs)
        expect = self.lab.findings.expect
        expect("claims without a run", claims_without_run(self.conn), 0)
        figures = self.lab.findings.figures
        figures["targets"] = str(len(self.targets))
        figures["completed"] = str(verdict.met)
        figures["aborted, with a reason"] = str(len(verdict.aborted))


@scenario(
    "R1-R5",
    "kill -9 of a runner: nothing lost, doubled or untrue; terminal within 5 s",
    short=12,
    full=200,
    seconds=70,
)
def kills(lab: Lab) -> None:
    """Kill one of three, let the two others settle it, and only then add a new one."""
    with server() as cluster, closing(cluster.connect()) as conn, lab.fleet() as fleet:
        trials = Trials(lab, conn)
        for number in range(SURVIVORS + 1):
            add(fleet, cluster, number)
        for number in range(lab.count):
            victim = lab.rng.choice(fleet.living)
            trials.kill_one(victim, spread=0.2)
            trials.settle()
            add(fleet, cluster, SURVIVORS + 1 + number)
        trials.judge()
        findings = lab.findings
        findings.expect("trials that never settled", trials.stuck, 0)
        slowest = max(trials.times) if not trials.stuck else None
        findings.at_most("every row terminal after", slowest, LIMIT, "s")
        findings.figures["median until terminal"] = f"{median(trials.times):.2f} s"
        findings.expect(
            "atomic steps could be tried", bool(trials.atomic), expected=True
        )


def add(fleet: Fleet, cluster: Server, number: int) -> Runner:
    """Start one more runner and wait until it serves."""
    return fleet.add(runner(cluster.dsn, name=f"runner-{number}")).ready()


@scenario(
    "R1-R5-4.2",
    "the same with pgAgent 4.2's daemon, for comparison: figures only",
    short=5,
    full=200,
    seconds=60,
)
def kills_of_daemons(lab: Lab) -> None:
    """Kill one of three daemons; start another when nothing more happens."""
    with (
        server({"max_connections": "300"}, version="4.2") as cluster,
        closing(cluster.connect()) as conn,
        lab.fleet() as fleet,
    ):
        trials = Trials(lab, conn)
        try:
            for _ in range(SURVIVORS + 1):
                fleet.add(daemon_42(cluster, cluster.dsn))
        except FileNotFoundError as e:
            lab.findings.left_out.append(f"{e} could not be fetched")
            return
        registered = "SELECT count(*) >= %s FROM pgagent.pga_jobagent"
        wait_until(lambda: conn.execute(registered, [3]).fetchone() == (True,), 10)
        unsettled = 0
        for _ in range(lab.count):
            trials.kill_one(lab.rng.choice(fleet.living), spread=1.0)
            settled = wait_until(lambda: at_rest(conn) and not due(conn), LIMIT + 2)
            unsettled += settled is None
            # Only a daemon that starts looks for what dead ones have left.
            fleet.add(daemon_42(cluster, cluster.dsn))
            wait_until(lambda: at_rest(conn) and not due(conn), 10)
        report_daemons(lab, trials, unsettled)


def due(conn: Connection) -> bool:
    """Whether a job waits to be claimed."""
    query = "SELECT count(*) FROM pgagent.pga_job WHERE jobnextrun IS NOT NULL"
    return conn.execute(query).fetchone() != (0,)


def report_daemons(lab: Lab, trials: Trials, unsettled: int) -> None:
    """Put down what the daemons did, without a judgement."""
    runs = read_runs(trials.conn, trials.jobs, counted=frozenset(trials.single))
    real = [run for run in runs if run.status != "i"]  # lost races are logged as "i"
    verdict = check(trials.targets, real, epsilon=PATIENCE)
    figures = lab.findings.figures
    figures["targets"] = str(len(trials.targets))
    figures |= {kind: str(count) for kind, count in verdict.faults().items()}
    figures["aborted though their effect happened"] = str(
        sum(run.status == "d" and bool(run.effects) for run in runs)
    )
    figures["rows of lost races (status i)"] = str(len(runs) - len(real))
    figures["trials not terminal after 7 s"] = f"{unsettled} of {lab.count}"


def median(values: list[float]) -> float:
    """Return the median, of nothing too."""
    return statistics.median(values) if values else 0.0
