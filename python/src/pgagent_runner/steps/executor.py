"""The steps of one run, whatever they are made of."""

import asyncio
import logging
from types import TracebackType
from typing import Self

from pgagent_runner.model import (
    TIMEOUT,
    Ending,
    Outcome,
    RecordError,
    Run,
    Step,
    StepKind,
    explain_error,
)
from pgagent_runner.steps.batch.batch_step import run_script
from pgagent_runner.steps.batch.nursery import Nursery
from pgagent_runner.steps.batch.script import Script
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.steps.sql.pool import SessionPool
from pgagent_runner.steps.sql.sql_steps import Seal, SqlSteps

log = logging.getLogger(__name__)


class StepExecutor:
    """Executes the steps of one run, one after the other.

    SQL steps on the same target share a session, which is given back at the end of the
    block.
    """

    def __init__(
        self, settings: StepSettings, run: Run, pool: SessionPool, nursery: Nursery
    ) -> None:
        """Open nothing yet; sessions are the pool's, scripts those of the nursery."""
        self._settings = settings
        self._run = run
        self._nursery = nursery
        self._cancellation = Cancellation()
        self._script: Script | None = None
        self._sql = SqlSteps(settings, run, self._cancellation, pool)
        self._time_limit = self._cancellation.limited(
            run.timeout, "the run", Ending.EXPIRED
        )

    @property
    def connecting_since(self) -> float | None:
        """Since when, by the monotonic clock, a step waits to be connected."""
        return self._sql.connecting_since

    @property
    def has_script(self) -> bool:
        """Whether a script is under way."""
        return self._script is not None and self._script.cpu is None

    def __enter__(self) -> Self:
        """Start the time of the run."""
        self._time_limit.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give back the sessions of the run."""
        self._time_limit.__exit__(kind, value, traceback)
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._sql.abandon()  # a statement may still be running there
        self._sql.close()

    async def execute(self, step: Step, seal: Seal | None = None) -> Outcome:
        """Execute a step to its end; whatever the step does becomes the outcome.

        A step with a seal commits together with its row in the log. Only `RecordError`
        goes through.
        """
        self._script = None
        output = BoundedOutput(self._settings.output_limit)
        try:
            self._cancellation.check()
            self._sql.let_go(step)
            if step.refusal is not None:
                raise StepError(step.refusal)  # noqa: TRY301
            result = await self._dispatch(step, seal, output)
        except StepError as error:
            # It comes first: a list shows no more than the beginning.
            output.put_first(str(error))
            outcome = self._outcome(error, output)
        except (OSError, MemoryError) as error:
            outcome = _failed(str(error) or "out of memory", output)
        except RecordError:
            raise
        except asyncio.CancelledError:
            self._sql.abandon()  # no other run may have to wait for its statement
            raise
        except Exception as error:
            text = "run %s: an error in the runner itself"
            log.exception(text, self._run.id, extra=self._run.about(step))
            self._sql.abandon()
            outcome = _failed(explain_error(error), output)
        else:
            outcome = Outcome(Ending.SUCCEEDED, result, output.text())
        finally:
            self._cancellation.forget_time_limit()
        if (script := self._script) is not None:
            outcome = outcome._replace(cpu=script.cpu, memory=script.memory)
        return outcome

    async def pause(self, seconds: float) -> Outcome | None:
        """Wait for the next attempt; return the outcome if that is cut short."""
        try:
            await self._cancellation.sleep(seconds)
        except StepAbortedError as error:
            return self._outcome(error, BoundedOutput(0))
        return None

    def cancel(self, reason: str) -> None:
        """End the step under way, and every later one at once."""
        self._cancellation.cancel(reason)

    def keep_alive(self, seconds: float) -> None:
        """Let a script under way go on for so many seconds more, from any thread."""
        if (script := self._script) is not None:
            script.keep_alive(seconds)

    def break_off(self) -> None:
        """Stop the step under way without a turn of the loop, from any thread."""
        self._sql.break_off()
        if (script := self._script) is not None:
            script.kill()

    def _note_script(self, script: Script) -> None:
        self._script = script

    def _outcome(self, error: StepError, output: BoundedOutput) -> Outcome:
        ending, cause = Ending.FAILED, error.cause
        if isinstance(error, StepAbortedError):
            ending = self._cancellation.ending
            cause = TIMEOUT if ending is Ending.FAILED else ""
        return Outcome(ending, error.result, output.text(), error.reason, cause)

    async def _dispatch(
        self, step: Step, seal: Seal | None, output: BoundedOutput
    ) -> int:
        limit = self._cancellation.limited(step.timeout, "the step", Ending.FAILED)
        if step.kind == StepKind.SQL:
            return await self._sql.execute(step, seal, output, limit)
        if step.kind == StepKind.BATCH:
            with limit:
                return await self._run_script(step, output)
        raise StepError(f'unknown step kind "{step.kind}"; allowed: s (SQL), b (batch)')

    async def _run_script(self, step: Step, output: BoundedOutput) -> int:
        return await run_script(
            *(step, self._run, self._settings, self._cancellation, output),
            *(self._nursery, self._note_script),
        )


def _failed(reason: str, output: BoundedOutput) -> Outcome:
    output.put_first(reason)
    return Outcome(Ending.FAILED, -1, output.text(), reason)
