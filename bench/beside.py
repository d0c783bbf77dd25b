"""Whether this runner costs more than that of an older commit.

    make bench-beside OLD=COMMIT [PAIRS=10] [BOUND=1.05] [QUICK=1]

The older commit is unpacked and built in build/beside, with the same Python and the
same psycopg, and has a server of its own with its own extension. First the old runner
is measured beside itself, in as many pairs: that is the noise. Then follow the pairs of
old and new. Prints the median of the pairs' ratios with its 90 % interval; all rounds
stay in build/bench/beside.json. Ends with 1 if a figure that is judged is dearer.
"""

import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from agents import ROOT, Agent, ours, running
from cluster import Cluster
from cost import Meter
from delay import due_delays
from floor import WARM_UP, cores, rearm_for
from older import built, git
from report import shown
from server import Bench, timestamp

RESULT = ROOT / "build/bench/beside.json"

CPU = "processor time a run, µs"
RATE = "sustained, runs/s"
DELAY = "start delay, due, p50, ms"
JUDGED = CPU, RATE, DELAY
RATES = {RATE}

JOBS = 10_000
SETTINGS = {"autovacuum": "off", "max_wal_size": "4GB", "max_connections": "200"}
RESAMPLES = 10_000
SHARE = 0.9

Round = dict[str, float]
Pair = dict[str, Round]


@dataclass(frozen=True)
class Side:
    """A runner on a server with its own extension."""

    name: str
    agent: Agent
    bench: Bench


@dataclass(frozen=True)
class Interval:
    """The median of the pairs' ratios, and where it lies with 90 % certainty."""

    low: float
    middle: float
    high: float

    @property
    def noise(self) -> float:
        """How far from one it may lie by chance, if nothing differs."""
        return max(self.high, 1 / self.low)

    def __str__(self) -> str:
        """Return it as it stands in the table."""
        return f"{self.middle:.3f} ({self.low:.3f} to {self.high:.3f})"


def main() -> int:
    """Measure, print and judge; return the exit code."""
    old = os.environ.get("OLD") or sys.exit("usage: make bench-beside OLD=COMMIT")
    pairs = int(os.environ.get("PAIRS") or 10)
    bound = float(os.environ.get("BOUND") or 1.05)
    quick = bool(os.environ.get("QUICK"))
    commit = git("rev-parse", "--short", f"{old}^{{commit}}")
    tree = built(commit)
    program = str(tree / "build/venv/bin/pgagent")
    result: dict[str, Any] = {
        "old": commit,
        "new": git("describe", "--always", "--dirty"),
        "taken": timestamp(),
        "cores": cores(),
        "load before": round(os.getloadavg()[0], 1),
        "quick": quick,
        "bound": bound,
    }
    with (
        side("old", Agent(f"old, {commit}", (program, "run")), tree, quick) as a,
        side("new", ours(), ROOT, quick) as b,
    ):
        result["server"] = b.bench.one("SHOW server_version")
        for cold in (a, b):
            measure(cold)
        for key, new in (("noise", a), ("pairs", b)):
            result[key] = []
            for number in range(pairs):
                print(f"{key}, {number + 1} of {pairs} …", file=sys.stderr)
                result[key].append(pair(a, new, swapped=bool(number % 2)))
                store(result)
    lines, dearer = judged(result, bound)
    result["verdict"] = lines
    store(result)
    print("\n".join(lines))
    return int(dearer)


@contextmanager
def side(name: str, agent: Agent, tree: Path, quick: bool) -> Iterator[Side]:  # noqa: FBT001
    """Have a server with the extension of these files while the block lasts."""
    with Cluster(SETTINGS, durable=True, extension=tree / "extension") as cluster:
        bench = Bench(cluster, quick=quick)
        bench.create()
        yield Side(name, agent, bench)


def pair(old: Side, new: Side, *, swapped: bool) -> Pair:
    """Measure both, in this order or the other."""
    sides = {"old": old, "new": new}
    order = list(sides)[:: -1 if swapped else 1]
    measured = {name: measure(sides[name]) for name in order}
    return {name: measured[name] for name in sides}


def measure(side: Side) -> Round:
    """Return the figures of one round."""
    bench = side.bench
    seconds = 2.0 if bench.quick else 4.0
    delayed, span = (20, 2.0) if bench.quick else (100, 5.0)
    bench.clear()
    bench.add_jobs(JOBS)
    with running(bench, side.agent) as pids:
        with Meter(bench, pids) as burst:
            bench.make_due("now()")
            burst.wait_until(bench.ended(JOBS))
        rearm_for(bench, WARM_UP)
        with Meter(bench, pids) as sustained:
            before = bench.count("s")
            sustained.rearm_for(seconds)
            runs = bench.count("s") - before
        bench.settle()
        bench.reset()
        with Meter(bench, pids) as single:
            delays = due_delays(bench, delayed, span)
    return {
        CPU: 1e6 * (burst.runner + burst.server) / JOBS,
        "… of the runner": 1e6 * burst.runner / JOBS,
        "… of the server": 1e6 * burst.server / JOBS,
        RATE: runs / sustained.seconds,
        "processor time a run while sustained, µs": (
            1e6 * (sustained.runner + sustained.server) / runs
        ),
        DELAY: median(delays),
        "start delay, due, p99, ms": quantiles(delays, n=100)[98],
        "processor time a run, one at a time, µs": (
            1e6 * (single.runner + single.server) / delayed
        ),
        "threads of the runner, at most": max(burst.threads, sustained.threads),
    }


def judged(result: dict[str, Any], bound: float) -> tuple[list[str], bool]:
    """Return the table of what was measured, and whether something judged is dearer."""
    lines = [
        f"{result['new']} beside {result['old']}, {len(result['pairs'])} pairs:",
        f"median and {SHARE:.0%} interval of new/old, of rates old/new",
        "",
        "| figure | old | new | ratio | old beside itself | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    dearer = False
    for figure in result["pairs"][0]["old"]:
        ratio, noise = (interval(result[key], figure) for key in ("pairs", "noise"))
        verdict = ""
        if figure in JUDGED:
            allowed = max(bound, noise.noise)
            is_dearer = ratio.low > allowed
            dearer |= is_dearer
            verdict = f"{'DEARER' if is_dearer else 'no dearer'} than {allowed:.3f}"
        old, new = (
            shown(median(pair[name][figure] for pair in result["pairs"]))
            for name in ("old", "new")
        )
        lines.append(f"| {figure} | {old} | {new} | {ratio} | {noise} | {verdict} |")
    return lines, dearer


def interval(pairs: list[Pair], figure: str) -> Interval:
    """Return how much dearer new is than old: the median of the pairs' ratios.

    The interval is the bootstrap's: that of the medians of pairs drawn again and again,
    always in the same way.
    """
    ratios = [pair["new"][figure] / pair["old"][figure] for pair in pairs]
    if figure in RATES:
        ratios = [1 / ratio for ratio in ratios]
    draw = random.Random(1)
    medians = sorted(
        median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    outside = round(RESAMPLES * (1 - SHARE) / 2)
    return Interval(medians[outside], median(ratios), medians[-outside - 1])


def store(result: dict[str, Any]) -> None:
    """Write down what has been measured so far."""
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
