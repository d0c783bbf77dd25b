"""Copies of a busy database: silent until armed, and then true to their rules."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from chaos.checker import EXACT, Run, Skip, Target, Window, check
from chaos.faults import wait_until
from chaos.fleet import runner
from chaos.history import (
    add_interval,
    add_job,
    effect,
    grid,
    now,
    read_runs,
    read_skips,
    scalar,
    settle,
)
from chaos.lab import Lab, scenario
from chaos.server import Connection, Server, server

COPY = "copy"
FORMATS = (["-Fp"], ["-Fc"], ["-Fd"], ["-Fp", "--inserts"], ["-Fp", "--column-inserts"])
AS_DUMPED = "was running when the database was dumped"
HOUR = 3600
CATCH_UP = 3.0  # seconds in which short jobs have been made up for
LATE = 1.0  # seconds after which a job that skips what it misses has missed a time


@dataclass(frozen=True)
class Rule:
    """A kind of job: what it does, how often, and what becomes of times it misses."""

    name: str
    seconds: float
    every: float
    missed: str
    overlap: str = "skip"


RULES = (
    Rule("short, one makes up", 0.02, 1, "latest"),
    Rule("short, none makes up", 0.02, 1, "skip"),
    Rule("short, all are made up for", 0.02, 1, "all"),
    Rule("longer than its interval", 2.5, 1, "latest"),
    Rule("long, none makes up", 1.5, 2, "skip"),
    Rule("long, all are made up for", 1.5, 2, "all"),
    Rule("queued, all are made up for", 1.5, 2, "all", "queue"),
)


@dataclass(frozen=True)
class Copied:
    """What was in a copy before it was armed, and when the dump was made."""

    begun: float
    dumped: float
    runs: list[Run]


@scenario(
    "copies",
    "copies start nothing until armed, then repeat nothing, and make up by the rules",
    short=3,
    full=50,
    seconds=60,
)
def copies(lab: Lab) -> None:
    """Dump a busy server so often, at any moment; restore and arm each dump."""
    with server() as cluster, closing(cluster.connect()) as conn, lab.fleet() as fleet:
        for number in range(2):
            fleet.add(runner(cluster.dsn, name=f"original-{number}")).ready()
        jobs = {add_rule(conn, rule): rule for rule in RULES}
        firsts = {job: add_interval(conn, job, rule.every, delay=0.5 + n / 7)
                  for n, (job, rule) in enumerate(jobs.items())}  # fmt: skip
        time.sleep(3)
        counts = dict.fromkeys(("early", "open", "repeated", "wrong", "under way"), 0)
        for _ in range(lab.count):
            time.sleep(lab.rng.uniform(0, 2))
            try_copy(lab, cluster, jobs, firsts, counts)
        expect(lab, counts)
        stopped = now(conn)
        disable_between_runs(conn)
        end = Window(stopped, settle(conn).end, "the end")
        runs = read_runs(conn, list(jobs), counted=frozenset(jobs))
        targets = [
            t
            for job, rule in jobs.items()
            for t in grid(job, firsts[job], rule.every, end.start)
        ]
        # Whoever restores databases beside it may delay a job.
        verdict = check(targets, runs, epsilon=3, windows=[end], skips=read_skips(conn))
        found = verdict.faults()
        lab.findings.expect("faults of the original", found, dict.fromkeys(found, 0))


def disable_between_runs(conn: Connection) -> None:
    """Disable each job when the end of a run has said what became of times in it.

    That of a job which is disabled meanwhile has nothing to say of them.
    """
    disable = """
        UPDATE pgagent.pga_job SET jobenabled = false
        WHERE jobenabled AND jobagentid IS NULL AND jobnextrun > now()
    """

    def all_are_disabled() -> bool:
        conn.execute(disable)
        return (
            scalar(conn, "SELECT count(*) FROM pgagent.pga_job WHERE jobenabled") == 0
        )

    wait_until(all_are_disabled, 30)


def expect(lab: Lab, counts: dict[str, int]) -> None:
    """Say what was found in all copies."""
    found = lab.findings.expect
    found("runs of copies before they were armed", counts["early"], 0)
    found("runs that were left open", counts["open"], 0)
    found("times that had run in the original, and again", counts["repeated"], 0)
    found("jobs that were not made up for by their rule", counts["wrong"], 0)
    lab.findings.figures["runs under way in dumps"] = str(counts["under way"])


def add_rule(conn: Connection, rule: Rule) -> int:
    """Create the job of a rule."""
    job = add_job(conn, rule.name, effect(rule.seconds))
    conn.execute(
        "UPDATE pgagent.pga_job SET jobmissed = %s, joboverlap = %s, jobmissedlimit ="
        " CASE %s WHEN 'skip' THEN make_interval(secs => %s) END WHERE jobid = %s",
        [rule.missed, rule.overlap, rule.missed, LATE, job],
    )
    return job


def try_copy(
    lab: Lab,
    cluster: Server,
    jobs: dict[int, Rule],
    firsts: dict[int, float],
    counts: dict[str, int],
) -> None:
    """Make a copy, leave it unarmed for a while, arm it, and judge what it does."""
    begun = time.time()
    archive, options = dump(cluster, lab.rng, lab.directory)
    dumped = time.time()
    with copy_of(cluster, archive) as copy:
        # Its steps are to take effect in the copy, not in what it was copied from.
        copy.execute("UPDATE pgagent.pga_jobstep SET jstdbname = current_database()")
        restored = read_runs(copy, list(jobs))
        before = Copied(begun, dumped, restored)
        counts["under way"] += sum(r.message == AS_DUMPED for r in restored)
        armed, end = run_copy(lab, cluster, copy, counts, len(restored))
        runs = read_runs(copy, list(jobs), counted=frozenset(jobs))
        counts["open"] += sum(r.status == "r" for r in runs)
        for job, rule in jobs.items():
            own = [r for r in runs if r.job == job]
            wrong = judge(copy, rule, own, before, (armed, end), firsts[job])
            counts["wrong"] += bool(wrong)
            for text in wrong:
                lab.note(f"{' '.join(options)}, job {job} ({rule.name}): {text}")
            repeated = repeats(own, {r.id for r in restored})
            counts["repeated"] += len(repeated)
            for run in repeated:
                lab.note(f"{' '.join(options)}: repeated: {run}")


def run_copy(
    lab: Lab, cluster: Server, copy: Connection, counts: dict[str, int], known: int
) -> tuple[float, Window]:
    """Let a runner find the copy unarmed, then arm it; return when, and until when."""
    dsn = cluster.conninfo(COPY)
    ended = "SELECT count(*) FROM pgagent.pga_joblog"
    with runner(dsn, name="copy") as it:
        it.ready()
        time.sleep(lab.rng.uniform(1, 3))
        counts["early"] += scalar(copy, ended) - known
        if "this is a copy" not in it.log:
            lab.note("the runner of a copy has said nothing")
            counts["early"] += 1
        if by_hand := lab.rng.random() < 0.5:
            armed = now(copy)
            copy.execute("SELECT pgagent.arm()")
            time.sleep(5)
            end = settle(copy)
    if not by_hand:
        armed = now(copy)
        with runner(dsn, "--arm", name="copy") as it:
            it.ready()
            time.sleep(5)
            end = settle(copy)
    return armed, end


def repeats(runs: list[Run], restored: set[int]) -> list[Run]:
    """Return the runs of a copy for times that had a run in what it was copied from."""
    done = {round(r.scheduled, 3) for r in runs if r.id in restored and r.scheduled}
    return [
        r
        for r in runs
        if r.id not in restored and r.scheduled and round(r.scheduled, 3) in done
    ]


def judge(
    copy: Connection,
    rule: Rule,
    runs: list[Run],
    before: Copied,
    after: tuple[float, Window],
    first: float,
) -> list[str]:
    """Return what is wrong with how a job made up for the times that it missed."""
    armed, end = after
    job = runs[0].job
    known = {r.id for r in before.runs if r.job == job}
    new = [r for r in runs if r.id not in known]
    last = max((r.scheduled or 0 for r in runs if r.id in known), default=0)
    skips = [s for s in read_skips(copy) if s.job == job]
    targets = [
        t for t in grid(job, first, rule.every, end.start) if t.due > last + EXACT
    ]
    # What the original had left out, or was leaving out when it was dumped: times that
    # had passed while the run was under way.
    busy = [t for t in targets if t.due <= before.dumped and is_left_out(t, skips)]
    missed = [t for t in targets if t not in busy and t.due <= armed]
    made_up = [r for r in new if r.scheduled is not None and r.scheduled <= armed]
    wrong = []
    if rule.missed == "all":
        silent = {round(t.due, 3) for t in missed} - {
            round(r.scheduled or 0, 3) for r in made_up
        }
        # One that outlasts the end of the trial keeps the next ones waiting.
        busy_until = max((r.end or r.start for r in new), default=armed)
        if silent and busy_until < end.start - rule.every:
            wrong.append(f"not made up for: {sorted(silent)}")
    elif rule.missed == "latest" and len(made_up) != bool(missed):
        wrong.append(f"{len(made_up)} runs made up for {len(missed)} times")
    elif rule.missed == "skip":
        late = [r for r in made_up if r.start > (r.scheduled or 0) + LATE + 0.1]
        wrong += [f"made up for: {r}" for r in late]
    # A job that takes nearly as long as its interval is behind for longer.
    caught_up = armed + CATCH_UP if rule.seconds < 1 else end.end
    verdict = check(
        [t for t in targets if t not in busy],
        new,
        epsilon=1,
        windows=[Window(before.begun - HOUR, caught_up, "the copy"), end],
        skips=skips,
    )
    wrong += [f"{kind}: {n}" for kind, n in verdict.faults().items() if n]
    return wrong


def is_left_out(target: Target, skips: list[Skip]) -> bool:
    """Whether the database says that this time was left out."""
    return any(s.start - EXACT <= target.due <= s.end for s in skips)


def dump(
    cluster: Server, rng: random.Random, directory: Path
) -> tuple[Path, list[str]]:
    """Dump the database in one of the formats."""
    options = list(rng.choice(FORMATS))
    archive = directory / "dump"
    subprocess.run(["rm", "-rf", str(archive)], check=True)
    client(cluster, "pg_dump", *options, f"--file={archive}", "chaos")
    return archive, options


@contextmanager
def copy_of(cluster: Server, archive: Path) -> Iterator[Connection]:
    """Restore a dump into a database of its own, for the time of the block."""
    name = sql.Identifier(COPY)
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        if archive.is_file() and archive.read_bytes().startswith(b"--"):
            client(cluster, "psql", "-Xq", "-vON_ERROR_STOP=1", "-f", archive, COPY)
        else:
            client(cluster, "pg_restore", f"--dbname={COPY}", archive)
        try:
            dsn = cluster.conninfo(COPY)
            with closing(psycopg.connect(dsn, autocommit=True)) as copy:
                yield copy
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def client(cluster: Server, program: str, *arguments: object) -> None:
    """Run a client program of PostgreSQL."""
    subprocess.run(
        [cluster.bindir / program, *map(str, arguments)],
        env=cluster.client_environ(),
        check=True,
        capture_output=True,
    )
