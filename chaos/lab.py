"""What a scenario is, and what it is given to work with."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.checker import Run, Verdict
from chaos.fleet import Fleet
from chaos.report import Findings


@dataclass
class Lab:
    """The workplace of one scenario.

    count: how often to try, or for how long: see the scenario.
    long: whether there is time for the full length of every wait.
    """

    findings: Findings
    count: int
    long: bool
    rng: random.Random
    directory: Path
    stack: ExitStack = field(default_factory=ExitStack)

    @contextmanager
    def fleet(self) -> Iterator[Fleet]:
        """Give a fleet whose runners end with the block."""
        with ExitStack() as stack:
            yield Fleet(stack)

    def judge(self, verdict: Verdict, runs: list[Run]) -> None:
        """Expect no fault of any kind, and keep what explains those there are."""
        for kind, count in verdict.faults().items():
            self.findings.expect(kind, count, 0)
        self.findings.figures["left out, with a reason"] = str(len(verdict.skipped))
        for target in verdict.lost:
            near = [
                (r.id, r.start, r.end, r.status)
                for r in runs
                if r.job == target.job and abs(r.start - target.due) < 20
            ]
            self.note(f"lost: {target}; runs near it: {near}")
        for target, run in verdict.late:
            self.note(f"late: {target} by {run}")
        for kind in ("extra", "doubled", "untrue", "incomplete", "unexplained"):
            for run in getattr(verdict, kind):
                self.note(f"{kind}: {run}")

    def note(self, text: str) -> None:
        """Keep a detail that explains a failure."""
        self.findings.notes.append(f"{time.strftime('%H:%M:%S')} {text}")


@dataclass(frozen=True)
class Scenario:
    """A promise and the code that tries it."""

    name: str
    promise: str
    run: Callable[[Lab], None]
    short: int
    full: int
    seconds: float
    """About how long a short run takes: the longest are started first."""

    on_request: bool = False
    """Whether a short run of everything leaves it out."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str,
    promise: str,
    *,
    short: int,
    full: int,
    seconds: float,
    on_request: bool = False,
) -> Callable[[Callable[[Lab], None]], Callable[[Lab], None]]:
    """Register a function as a scenario, with its counts for both suites."""

    def register(run: Callable[[Lab], None]) -> Callable[[Lab], None]:
        SCENARIOS[name] = Scenario(name, promise, run, short, full, seconds, on_request)
        return run

    return register
