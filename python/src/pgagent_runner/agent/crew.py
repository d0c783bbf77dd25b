"""The runs under way: a bounded number of tasks, each with a run."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from pgagent_runner.catalog import CatalogError, Ledger
from pgagent_runner.events import Event, Events, RunClaimed, RunRecorded
from pgagent_runner.model import Run, RunStatus, explain_error
from pgagent_runner.run import execute_run
from pgagent_runner.steps import StepExecutor

log = logging.getLogger(__name__)

# Runs that wait for a server that does not answer must not keep others from running:
# after so many seconds each leaves its place to another run, but only this many times
# the number of workers at once.
_STALLED_AFTER = 1.0
_MOST_STALLED = 3


class Crew:
    """The workers of one registration of the agent.

    Two functions are called. `on_free`: when a worker has become free and at least
    `wanted_free` are; if they are fewer, when nothing is left to be recorded but the
    runs under way, which may take their time; and when runs may start again after an
    abort. `on_idle`: when no run is left.
    """

    def __init__(  # noqa: PLR0913
        self,
        size: int,
        tasks: asyncio.TaskGroup,
        ledger: Ledger,
        events: Events,
        executor_of: Callable[[Run], StepExecutor],
        *,
        on_free: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        """Have `size` workers; each run that they execute is a task of this group."""
        self.size = size
        self.wanted_free: float = math.inf
        self._tasks = tasks
        self._ledger = ledger
        self._events = events
        self._executor_of = executor_of
        self._on_free = on_free
        self._on_idle = on_idle
        self._running: dict[int, StepExecutor] = {}
        self._unrecorded: dict[int, Run] = {}  # those under way among them
        self._deleted: set[int] = set()  # runs whose rows in the log are gone
        self._aborting: set[asyncio.Task[None]] = set()
        self._aborted: str | None = None
        events.listen(self._hear)

    @property
    def free(self) -> int:
        """How many more runs can start: none while they would be stopped at once."""
        if self._aborted is not None:
            return 0
        running = len(self._running)
        if running < self.size:
            return self.size - running
        places = min(self.size + self._count_stalled(), self.size * (1 + _MOST_STALLED))
        return max(places - running, 0)  # some may have been connected meanwhile

    @property
    def busy(self) -> int:
        """How many runs are under way."""
        return len(self._running)

    @property
    def unrecorded(self) -> int:
        """How many runs are under way, or have ended and are not recorded yet."""
        return len(self._unrecorded)

    @property
    def scripts(self) -> int:
        """How many scripts are under way."""
        return sum(executor.has_script for executor in self._running.values())

    @property
    def is_idle(self) -> bool:
        """Whether no run is under way, and all that were have been recorded."""
        return not self._running and not self._unrecorded

    def start(self, runs: Iterable[Run]) -> None:
        """Have free workers execute these runs."""
        for run in runs:
            self._events.emit(RunClaimed(run))
            executor = self._executor_of(run)
            self._running[run.id] = executor
            self._unrecorded[run.id] = run
            if self._aborted is not None:
                executor.cancel(self._aborted)
            task = self._tasks.create_task(self._work(run, executor))
            # Not in the task: one that is cancelled at once does not even begin.
            task.add_done_callback(partial(self._let_go, run))

    def cancel(self, reasons: Mapping[int, str | None]) -> None:
        """Stop these runs, as far as they are under way here, for these reasons.

        A run without one is not stopped: its row is gone from the log. It ends with its
        step, because the next one can't be recorded.
        """
        for run_id, reason in reasons.items():
            executor = self._running.get(run_id)
            if executor is not None and reason is not None:
                executor.cancel(reason)
            elif executor is not None and run_id not in self._deleted:
                self._deleted.add(run_id)
                run = self._unrecorded[run_id]
                log.warning(
                    "run %s of job %s (%s): its row in the log was deleted; it ends"
                    " with its step, and nothing is logged",
                    *(run_id, run.job_id, run.job_name),
                    extra=run.about(),
                )

    def under_way(self) -> dict[int, int]:
        """Return the runs that are not recorded yet, and their jobs: for any thread."""
        return {run.id: run.job_id for run in list(self._unrecorded.values())}

    def resize(self, size: int) -> None:
        """Have so many workers; if they are fewer, no run is stopped for that."""
        grows = size > self.size
        self.size = size
        if grows:
            self._on_free()

    def abort(self, reason: str) -> None:
        """Stop all steps under way, and what is started before the next `resume`.

        The runs end as aborted.
        """
        self._aborted = reason
        for executor in self._running.values():
            executor.cancel(reason)

    def resume(self) -> None:
        """Let runs start again after an abort."""
        if self._aborted is not None:
            self._aborted = None
            self._on_free()

    def break_off(self) -> None:
        """Stop all steps without a turn of the loop: from any thread."""
        for executor in list(self._running.values()):
            executor.break_off()

    def keep_alive(self, seconds: float) -> None:
        """Let scripts go on for so many seconds from now: from any thread."""
        for executor in list(self._running.values()):
            executor.keep_alive(seconds)

    def _count_stalled(self) -> int:
        latest = time.monotonic() - _STALLED_AFTER
        waiting = (e.connecting_since for e in self._running.values())
        return sum(since is not None and since < latest for since in waiting)

    async def _work(self, run: Run, executor: StepExecutor) -> None:
        """Execute a run; whatever it raises, no other of the group may hear of it."""
        has_ended = False
        try:
            with executor:
                try:
                    await execute_run(run, self._ledger, executor, self._events)
                except CatalogError as e:
                    self._events.emit(RunRecorded(run, RunStatus.ABORTED, None, e))
                has_ended = True
        except Exception as e:
            text = "run %s: an error in the runner itself"
            log.exception(text, run.id, extra=run.about())
            if not has_ended:
                await self._abort(run, explain_error(e))

    def _let_go(self, run: Run, task: "asyncio.Task[None]") -> None:
        del self._running[run.id]
        if task.cancelled():
            # Not by us. All that it has handed in is recorded; the rest has to be: the
            # run would be nobody's.
            aborting = asyncio.create_task(self._abort(run, "its task was cancelled"))
            self._aborting.add(aborting)
            aborting.add_done_callback(self._aborting.discard)
        if self.size - len(self._running) >= self.wanted_free:
            self._on_free()
        self._tell_if_idle()

    async def _abort(self, run: Run, reason: str) -> None:
        """Record that a run ended at nobody knows which point."""
        error = None
        try:
            await self._ledger.abort_run(run, reason)
        except Exception as e:  # noqa: BLE001 (noted)
            error = e
        if run.id in self._unrecorded:
            self._events.emit(RunRecorded(run, RunStatus.ABORTED, reason, error))

    def _hear(self, event: Event) -> None:
        if isinstance(event, RunRecorded):
            self._note_recorded(event.run)

    def _note_recorded(self, run: Run) -> None:
        """Note, once, that a run has been recorded, or that it could not be."""
        if run.id not in self._unrecorded:
            return
        del self._unrecorded[run.id]
        self._deleted.discard(run.id)
        if self.wanted_free < math.inf and len(self._unrecorded) <= len(self._running):
            self._on_free()
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self.is_idle:
            self._on_idle()
