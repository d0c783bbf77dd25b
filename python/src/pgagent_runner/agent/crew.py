"""The workers: a bounded number of threads, each with a run."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pgagent_runner.catalog import CatalogError, Ledger, NotRunningError
from pgagent_runner.model import Run, RunStatus
from pgagent_runner.run import execute_run
from pgagent_runner.steps import StepExecutor, StepSettings

log = logging.getLogger(__name__)


class Crew:
    """The workers of one registration of the agent."""

    def __init__(
        self,
        size: int,
        ledger: Ledger,
        settings: StepSettings,
        on_end: Callable[[], None],
    ) -> None:
        """Hire `size` workers; `on_end` is called, in a worker, after each run."""
        self._size = size
        self._ledger = ledger
        self._settings = settings
        self._on_end = on_end
        self._threads = ThreadPoolExecutor(size, "worker")
        self._lock = threading.Lock()
        self._running: dict[int, StepExecutor] = {}
        self._unrecorded: str | None = None

    @property
    def free(self) -> int:
        """How many more runs can start at once."""
        return self._size - len(self._running)

    @property
    def idle(self) -> bool:
        """Whether no run is under way."""
        return not self._running

    def check(self) -> None:
        """Raise CatalogError if a run has ended and could not be recorded.

        As long as this agent is registered, such a run counts as running.
        """
        if self._unrecorded is not None:
            raise CatalogError(self._unrecorded)

    def start(self, run: Run) -> None:
        """Have a free worker execute this run."""
        try:
            executor = StepExecutor(self._settings, run)
        except OSError as e:  # no file descriptor left
            self._ledger.finish_run(run.id, RunStatus.FAILED, str(e))
            return
        with self._lock:
            self._running[run.id] = executor
        self._threads.submit(self._work, run, executor)

    def abort(self, reason: str) -> None:
        """Stop all steps under way; the runs end as aborted."""
        with self._lock:
            for executor in self._running.values():
                executor.cancel(reason)

    def dismiss(self) -> None:
        """Wait for all runs to end; no more can be started."""
        self._threads.shutdown()

    def _work(self, run: Run, executor: StepExecutor) -> None:
        try:
            with executor:
                execute_run(run, self._ledger, executor)
        except NotRunningError as e:
            log.warning("run %s was closed by somebody else: %s", run.id, e)
        except CatalogError as e:
            self._unrecorded = f"run {run.id} could not be recorded: {e}"
        except Exception as e:
            log.exception("run %s: an error in the agent itself", run.id)
            self._unrecorded = f"run {run.id} could not be recorded: {e}"
        finally:
            with self._lock:
                del self._running[run.id]
            self._on_end()
