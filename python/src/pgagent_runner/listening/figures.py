"""The runner's own figures: what it has done since it started, and how long it took."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from pgagent_runner.events import Event, RunEnded, RunRecorded, RunStarted
from pgagent_runner.exposition import Family
from pgagent_runner.model import RunStatus

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_DELAYS = (*_SHORT, 10.0, 30.0, 60.0, 300.0)
_RUNS = (0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0)
_LAGS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Histogram:
    """Observations, counted by their size."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Count those up to each of these bounds, and those beyond."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def family(self, name: str, help_: str) -> Family:
        """Return it as a metric."""
        family = Family(name, "histogram", help_)
        family.add_histogram(self._bounds, self._counts, self._total)
        return family


class Figures:
    """Counts what happens; `note` is a listener to `Events`, for the loop's thread."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._began: dict[int, float] = {}  # runs under way, and since when
        self._ended: Counter[RunStatus] = Counter(dict.fromkeys(_ENDINGS, 0))
        self._claims = 0
        self._records = 0
        self._delays = Histogram(_DELAYS)
        self._runs = Histogram(_RUNS)
        self._claiming = Histogram(_SHORT)
        self._recording = Histogram(_SHORT)
        self._lags = Histogram(_LAGS)

    def note(self, event: Event) -> None:
        """Hear of what happens to a run."""
        kind = type(event)
        if kind is RunStarted:
            run = event.run
            self._began[run.id] = now = time.monotonic()
            if run.due_at is not None:
                self._delays.observe(max(now - run.due_at, 0.0))
        elif kind is RunEnded:
            began = self._began.pop(event.run.id, None)
            if began is not None:
                self._runs.observe(time.monotonic() - began)
        elif isinstance(event, RunRecorded):
            self._began.pop(event.run.id, None)
            self._ended[event.status] += 1

    def note_claim(self, seconds: float, runs: int) -> None:
        """Hear of a claim that was answered after so long, with so many runs."""
        self._claims += runs
        self._claiming.observe(seconds)

    def note_record(self, seconds: float, entries: int) -> None:
        """Hear of a transaction that has recorded so many entries."""
        self._records += entries
        self._recording.observe(seconds)

    def note_lag(self, seconds: float) -> None:
        """Hear of how late the loop has done what was due."""
        self._lags.observe(seconds)

    def families(self) -> Iterator[Family]:
        """Yield them as metrics."""
        yield self._delays.family(
            "pgagent_start_delay_seconds",
            "From the moment at which a run was due to that at which this runner began"
            " its first step.",
        )
        yield self._runs.family(
            "pgagent_run_duration_seconds",
            "How long the runs of this runner took, from the first step to the last.",
        )
        ended = Family(
            *("pgagent_runner_runs_total", "counter"),
            "Runs that have ended at this runner since it started, by their outcome.",
        )
        for status in _ENDINGS:
            ended.add(self._ended[status], {"status": status.name.lower()})
        yield ended
        claims = Family(
            *("pgagent_claims_total", "counter", "Runs that this runner has claimed.")
        )
        claims.add(self._claims)
        yield claims
        yield self._claiming.family(
            "pgagent_claim_duration_seconds",
            "How long the database took to answer when this runner asked for due jobs.",
        )
        records = Family(
            *("pgagent_records_total", "counter"),
            "Steps and runs whose start or end this runner has recorded.",
        )
        records.add(self._records)
        yield records
        yield self._recording.family(
            "pgagent_record_duration_seconds",
            "How long the transactions took in which this runner recorded.",
        )
        yield self._lags.family(
            "pgagent_loop_lag_seconds",
            "How late this runner was, in samples, with what was due in it.",
        )


_ENDINGS = [status for status in RunStatus if status is not RunStatus.RUNNING]
