"""Steps: executing one step of a job, an SQL session or a process group."""

from pgagent_runner.steps.batch import batch_environment
from pgagent_runner.steps.executor import StepExecutor
from pgagent_runner.steps.pool import SessionPool
from pgagent_runner.steps.settings import StepSettings

__all__ = ["SessionPool", "StepExecutor", "StepSettings", "batch_environment"]
