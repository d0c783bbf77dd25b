import os
from contextlib import closing
from pathlib import Path

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


class Leash:
    """A named pipe that shows whether any process still holds its other end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_held(self) -> bool:
        try:
            return os.read(self._reader, 1) != b""
        except BlockingIOError:
            return True

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def leash(tmp_path):
    with closing(Leash(tmp_path / "leash")) as leash:
        yield leash
