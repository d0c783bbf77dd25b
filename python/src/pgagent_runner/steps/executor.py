"""The steps of one run, whatever they are made of."""

from types import TracebackType
from typing import Self

from pgagent_runner.model import Ending, Outcome, Run, Step, StepKind
from pgagent_runner.steps.batch import run_script
from pgagent_runner.steps.cancel import Cancellation
from pgagent_runner.steps.errors import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.steps.sql import SqlSteps


class StepExecutor:
    """Executes the steps of one run, one after the other, in one thread.

    SQL steps on the same target share a session, which lives until `close`.
    """

    def __init__(self, settings: StepSettings, run: Run) -> None:
        """Open nothing but a file descriptor; raise OSError if there is none left."""
        self._settings = settings
        self._run = run
        self._cancellation = Cancellation()
        self._sql = SqlSteps(settings, run, self._cancellation)

    def __enter__(self) -> Self:
        """Give the executor itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def execute(self, step: Step) -> Outcome:
        """Execute a step to its end; whatever the step does becomes the outcome."""
        output = BoundedOutput(self._settings.output_limit)
        try:
            self._cancellation.check()
            result = self._dispatch(step, output)
        except StepError as error:
            aborted = isinstance(error, StepAbortedError)
            ending = Ending.ABORTED if aborted else Ending.FAILED
            output.line(str(error))
            return Outcome(ending, error.result, output.text(), error.reason)
        except (OSError, MemoryError) as error:
            reason = str(error) or "out of memory"
            output.line(reason)
            return Outcome(Ending.FAILED, -1, output.text(), reason)
        return Outcome(Ending.SUCCEEDED, result, output.text())

    def cancel(self, reason: str) -> None:
        """End the step under way, from any thread, and every later one at once."""
        self._cancellation.cancel(reason)

    def close(self) -> None:
        """End the sessions of the run."""
        self._sql.close()
        self._cancellation.close()

    def _dispatch(self, step: Step, output: BoundedOutput) -> int:
        if step.kind == StepKind.SQL:
            return self._sql.execute(step, output)
        if step.kind == StepKind.BATCH:
            return run_script(
                step, self._run, self._settings, self._cancellation, output
            )
        raise StepError(f'unknown step kind "{step.kind}"; allowed: s (SQL), b (batch)')
