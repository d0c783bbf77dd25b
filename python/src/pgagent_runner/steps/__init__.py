"""Steps: executing one step of a job, in an SQL session or as a process group."""

from pgagent_runner.steps.batch.batch_step import batch_environment
from pgagent_runner.steps.batch.nursery import Nursery, reap
from pgagent_runner.steps.executor import StepExecutor
from pgagent_runner.steps.settings import StepSettings
from pgagent_runner.steps.sql.pool import SessionPool

__all__ = [
    "Nursery",
    "SessionPool",
    "StepExecutor",
    "StepSettings",
    "batch_environment",
    "reap",
]
