"""The checker: compares what should have run with what did. It knows no database.

After Jepsen's checker for Chronos: every target, a time at which a job was due, must be
met by a run of its own. A run that no target needs is one too many.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

ABORTED = "d"
RUNNING = "r"
EXACT = 0.001  # seconds by which two readings of one time may differ
CLAIM = 1.0  # seconds in which a job that is due is claimed, if all is well


class Target(NamedTuple):
    """A time, in seconds, at which a job was due."""

    job: int
    due: float


class Window(NamedTuple):
    """A time in which a fault was at work, with the recovery that is granted."""

    start: float
    end: float
    fault: str = ""


@dataclass(frozen=True)
class Run:
    """A run as the log has it, with what was seen of it elsewhere.

    effects: how often its step took effect; None if nobody has counted.
    atomic: whether its effect and its status had to be committed together.
    """

    id: int
    job: int
    start: float
    status: str
    end: float | None = None
    scheduled: float | None = None
    message: str | None = None
    effects: int | None = None
    atomic: bool = False


@dataclass(frozen=True)
class Skip:
    """Times of a job that were left out, with a reason: from `start` to `end`."""

    job: int
    start: float
    end: float


@dataclass
class Verdict:
    """What the checker found; what `faults` returns should be nothing."""

    met: int = 0
    """Targets with a completed run of their own, in time."""

    excused: int = 0
    """Targets that fell into a fault window: met late, or passed over."""

    missed: list[Target] = field(default_factory=list)
    """Those of the excused targets that no run met at all."""

    skipped: list[Target] = field(default_factory=list)
    """Targets of which the database says that they were left out, and why."""

    aborted: list[Run] = field(default_factory=list)
    """Runs that met a target but were closed as aborted, with a reason."""

    lost: list[Target] = field(default_factory=list)
    late: list[tuple[Target, Run]] = field(default_factory=list)
    extra: list[Run] = field(default_factory=list)
    doubled: list[Run] = field(default_factory=list)
    untrue: list[Run] = field(default_factory=list)
    incomplete: list[Run] = field(default_factory=list)
    unexplained: list[Run] = field(default_factory=list)

    def faults(self) -> dict[str, int]:
        """Return how many there are of each kind of fault."""
        return {
            "lost": len(self.lost),
            "late": len(self.late),
            "extra": len(self.extra),
            "doubled": len(self.doubled),
            "untrue": len(self.untrue),
            "incomplete": len(self.incomplete),
            "unexplained": len(self.unexplained),
        }

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not any(self.faults().values())


def check(
    targets: Iterable[Target],
    runs: Iterable[Run],
    *,
    epsilon: float,
    windows: Iterable[Window] = (),
    skips: Iterable[Skip] = (),
) -> Verdict:
    """Judge a history that has come to rest.

    A target must be met within `epsilon` seconds, unless it fell due in a window, or
    so shortly before that it may not have been claimed, or is recorded as left out.
    Runs are told apart by their start, which only the database's clock has set; what
    they say they were scheduled for is not believed, but must not be said twice.
    """
    windows, skips = list(windows), list(skips)
    verdict = Verdict()
    by_job: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_job[run.job].append(run)
    wanted: dict[int, list[Target]] = defaultdict(list)
    for target in targets:
        wanted[target.job].append(target)
    for job in by_job.keys() | wanted.keys():
        own = [skip for skip in skips if skip.job == job]
        left_out = {
            t
            for t in wanted[job]
            if any(s.start - EXACT <= t.due <= s.end for s in own)
        }
        verdict.skipped += sorted(left_out)
        due = sorted(t for t in wanted[job] if t not in left_out)
        _match(due, by_job[job], epsilon, windows, verdict)
        _check_rows(by_job[job], verdict)
    return verdict


def crowded(
    runs: Iterable[Run], class_of: Mapping[int, int], limits: Mapping[int, int]
) -> list[Run]:
    """Return the runs that began when as many of their class as may were under way.

    A run lasts from its start to its end, as the log has them; one without an end
    lasts for ever.
    """
    found = []
    under_way: dict[int, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: (r.start, r.id)):
        group = class_of[run.job]
        others = [
            other
            for other in under_way[group]
            if other.end is None or other.end > run.start
        ]
        if len(others) >= limits.get(group, len(others) + 1):
            found.append(run)
        under_way[group] = [*others, run]
    return found


def _match(
    targets: list[Target],
    runs: list[Run],
    epsilon: float,
    windows: list[Window],
    verdict: Verdict,
) -> None:
    """Give each target of a job a run of its own."""
    excused = {t for t in targets if _overlaps(t.due, t.due + CLAIM, windows)}
    pairs = assign(targets, runs, epsilon)
    matched = {run.id for run in pairs.values()}
    rest = sorted((r for r in runs if r.id not in matched), key=lambda r: r.start)
    # Targets that a fault held up are made up for later, by one run for all of them.
    for run in rest:
        open_targets = [t for t in targets if t not in pairs and t.due <= run.start]
        if not open_targets:
            verdict.extra.append(run)
            continue
        target = next((t for t in open_targets if t in excused), open_targets[0])
        pairs[target] = run
        if target not in excused:
            verdict.late.append((target, run))
    for target in targets:
        verdict.excused += target in excused
        if target in pairs:
            aborted = pairs[target].status == ABORTED
            verdict.met += target not in excused and not aborted
            if aborted:
                verdict.aborted.append(pairs[target])
        elif target in excused:
            verdict.missed.append(target)
        else:
            verdict.lost.append(target)


def assign(targets: list[Target], runs: list[Run], epsilon: float) -> dict[Target, Run]:
    """Pair runs with targets that they met in time, as many as possible.

    Going through the runs in order and taking the target that closes first is optimal,
    because the windows are intervals and the runs are points (Glover, 1967).
    """
    pairs: dict[Target, Run] = {}
    for run in sorted(runs, key=lambda r: r.start):
        fitting = (
            t
            for t in targets
            if t not in pairs and t.due <= run.start <= t.due + epsilon
        )
        target = min(fitting, key=lambda t: t.due, default=None)
        if target is not None:
            pairs[target] = run
    return pairs


def _check_rows(runs: list[Run], verdict: Verdict) -> None:
    """Judge each run of a job, and what they say together."""
    said = Counter(run.scheduled for run in runs if run.scheduled is not None)
    first: set[float] = set()
    for run in runs:
        if run.scheduled is not None and said[run.scheduled] > 1:
            if run.scheduled in first:
                verdict.doubled.append(run)
            first.add(run.scheduled)
        if run.status == RUNNING or run.end is None:
            verdict.incomplete.append(run)
        if run.status == ABORTED and not run.message:
            verdict.unexplained.append(run)
        if run.effects is not None:
            _check_effects(run, run.effects, verdict)


def _check_effects(run: Run, effects: int, verdict: Verdict) -> None:
    if effects > 1:
        verdict.doubled.append(run)
    if run.status == "s" and effects == 0:
        verdict.untrue.append(run)
    # Elsewhere, "aborted" means that the effect is unknown.
    if run.atomic and run.status != "s" and effects > 0:
        verdict.untrue.append(run)


def _overlaps(start: float, end: float, windows: list[Window]) -> bool:
    return any(w.start <= end and start <= w.end for w in windows)
