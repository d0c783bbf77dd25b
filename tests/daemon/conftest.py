import pytest

from .runner_process import Runner


@pytest.fixture
def runner(dsn):
    """A runner that waits for jobs."""
    with Runner(dsn) as process:
        yield process.ready()


@pytest.fixture
def gate(tmp_path):
    """The code of a batch step that runs until the gate is opened, and the opener."""
    path = tmp_path / "gate"
    code = f"until test -e {path}; do sleep 0.02; done"
    return code, path.touch
