import pytest

from .runner_process import Runner


@pytest.fixture
def runner(dsn):
    """A runner that waits for jobs."""
    with Runner(dsn) as process:
        yield process.ready()
