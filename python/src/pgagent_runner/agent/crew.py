"""The runs under way: a bounded number of tasks, each with a run."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial

from pgagent_runner.agent.fence import Fence
from pgagent_runner.catalog import CatalogError, Ledger, NotRunningError
from pgagent_runner.model import (
    EndedStep,
    Ending,
    Outcome,
    Run,
    RunStatus,
    StepStatus,
    explain_error,
)
from pgagent_runner.run import execute_run
from pgagent_runner.steps import SessionPool, StepExecutor, StepSettings
from pgagent_runner.tasks import TaskLoop

log = logging.getLogger(__name__)

# Runs that wait for a server that does not answer must not keep others from running:
# after so many seconds each leaves its place to another run, but only this many times
# the number of workers at once.
_STALLED_AFTER = 1.0
_MOST_STALLED = 3


class Crew:
    """The workers of one registration of the agent.

    Three functions are called, from any thread. `on_free`: when a worker has become
    free and at least `wakes_at` are, when all that has ended has been recorded, and
    when runs may start again after an abort. `on_idle`: when no run is left, or one
    could not be recorded. `on_silence`: when all runs have been stopped because nobody
    has extended their time, and still nobody has when the lease is nearly over.
    """

    def __init__(  # noqa: PLR0913
        self,
        size: int,
        tasks: TaskLoop,
        ledger: Ledger,
        settings: StepSettings,
        pool: SessionPool,
        *,
        on_free: Callable[[], None],
        on_idle: Callable[[], None],
        on_silence: Callable[[], None],
    ) -> None:
        """Hire `size` workers."""
        self.size = size
        self._ledger = ledger
        self._settings = settings
        self._pool = pool
        self._on_free = on_free
        self._on_idle = on_idle
        self._tasks = tasks
        self._lock = threading.Lock()
        self._running: dict[int, StepExecutor] = {}
        self._unrecorded: set[int] = set()  # runs, those under way among them
        self._failure: str | None = None
        self._aborted: str | None = None
        self._fence = Fence(self._stop, on_silence)
        self.wakes_at = 1
        self.started = 0  # runs, so far

    @property
    def free(self) -> int:
        """How many more runs can start: none while they would be stopped at once."""
        with self._lock:
            if self._aborted is not None:
                return 0
            running = len(self._running)
            if running < self.size:
                return self.size - running
            stalled = self._count_stalled()
        places = min(self.size + stalled, self.size * (1 + _MOST_STALLED))
        return max(places - running, 0)  # some may have been connected meanwhile

    @property
    def idle(self) -> bool:
        """Whether no run is under way, and all that were have been recorded."""
        return not self._running and not self._unrecorded

    @property
    def stuck_for(self) -> float:
        """For how many seconds one run has kept all others from going on."""
        return self._tasks.stuck_for

    def check(self) -> None:
        """Raise CatalogError if a run has ended and could not be recorded.

        As long as this agent is registered, such a run counts as running.
        """
        if self._failure is not None:
            raise CatalogError(self._failure)

    def start(self, runs: Iterable[Run]) -> None:
        """Have free workers execute these runs."""
        prepared = [self._prepare(run) for run in runs]
        self.started += len(prepared)
        self._tasks.start(*prepared)

    def _prepare(self, run: Run) -> Callable[[], None]:
        executor = StepExecutor(self._settings, run, self._pool)
        with self._lock:
            self._running[run.id] = executor
            self._unrecorded.add(run.id)
            if self._aborted is not None:
                executor.cancel(self._aborted)
        return partial(self._work, run, executor)

    def extend(self, fence: float, lease: float) -> None:
        """Let steps go on for `fence` seconds more, unless they are extended again.

        Otherwise they are stopped then. If this process is frozen, scripts are killed
        in `lease` seconds. A session of the ledger that has been waiting for an answer
        for `fence` seconds is broken off.
        """
        self._fence.extend(fence, lease)
        self._ledger.break_off_silent(fence)
        with self._lock:
            was_aborted, self._aborted = self._aborted, None
            executors = list(self._running.values())
        for executor in executors:
            executor.keep_alive(lease)
        if was_aborted is not None:
            self._on_free()

    def cancel(self, reasons: Mapping[int, str]) -> None:
        """Stop these runs, as far as they are under way here, for these reasons."""
        with self._lock:
            for run_id, reason in reasons.items():
                if executor := self._running.get(run_id):
                    executor.cancel(reason)

    def abort(self, reason: str) -> None:
        """Stop all steps under way, and what is started before the next `extend`.

        The runs end as aborted.
        """
        with self._lock:
            self._aborted = reason
            for executor in self._running.values():
                executor.cancel(reason)

    def dismiss(self) -> None:
        """Record and extend no more: the runs have been aborted, or there is none."""
        self._ledger.close()
        self._fence.close()

    def _stop(self) -> None:
        self.abort("the agent could not show a sign of life in time")

    def _count_stalled(self) -> int:
        latest = time.monotonic() - _STALLED_AFTER
        waiting = (e.connecting_since for e in self._running.values())
        return sum(since is not None and since < latest for since in waiting)

    def _work(self, run: Run, executor: StepExecutor) -> None:
        try:
            self._execute(run, executor)
        except Exception:  # while closing what the run had: its end is handed in
            log.exception("run %s: an error in the runner itself", run.id)
        finally:
            with self._lock:
                del self._running[run.id]
                free = self.size - len(self._running)
            if free >= self.wakes_at:
                self._on_free()
            self._tell_if_idle()

    def _execute(self, run: Run, executor: StepExecutor) -> None:
        """Execute a run and have its end recorded, whatever it is."""
        on_recorded = partial(self._note_recorded, run)
        with ExitStack() as stack:
            try:
                try:
                    stack.enter_context(executor)
                except OSError as e:
                    self._fail(run, str(e), on_recorded)
                else:
                    execute_run(run, self._ledger, executor, on_recorded)
            except CatalogError as e:
                on_recorded(e)
            except Exception as e:
                log.exception("run %s: an error in the runner itself", run.id)
                try:
                    stack.close()
                finally:
                    self._abort(run, explain_error(e))

    def _fail(
        self, run: Run, reason: str, on_recorded: Callable[[Exception | None], None]
    ) -> None:
        """Have it recorded that a run failed whose first step could not start."""
        ended = None
        if run.step_log_id is not None:
            outcome = Outcome(Ending.FAILED, -1, reason, reason)
            ended = EndedStep(run.step_log_id, StepStatus.FAILED, outcome)
        self._ledger.close_run(run.id, ended, RunStatus.FAILED, reason, on_recorded)

    def _abort(self, run: Run, reason: str) -> None:
        """Record that a run ended at nobody knows which point."""
        try:
            self._ledger.abort_run(run.id, reason)
        except Exception as e:  # noqa: BLE001 (noted)
            self._note_recorded(run, e)
        else:
            self._note_recorded(run, None)

    def _note_recorded(self, run: Run, error: Exception | None) -> None:
        """Note, once, that a run has been recorded, or that it could not be."""
        with self._lock:
            if run.id not in self._unrecorded:
                return
            self._unrecorded.remove(run.id)
            all_recorded = self._unrecorded <= self._running.keys()
        if isinstance(error, NotRunningError):
            log.warning("run %s was closed by somebody else: %s", run.id, error)
        elif isinstance(error, CatalogError):
            self._failure = f"run {run.id} could not be recorded: {error}"
        elif error is not None:
            log.error("run %s: an error in the agent", run.id, exc_info=error)
            self._failure = f"run {run.id}: an error in the agent: {error}"
        if all_recorded:
            self._on_free()  # because its job may be due again
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self.idle or self._failure is not None:
            self._on_idle()
