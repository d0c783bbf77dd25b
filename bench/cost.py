"""The processor time that runs cost the runner and the server."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import processes
from server import Bench

REARM = 0.25  # seconds
POLL = 0.05
TICK = 0.05  # seconds


@dataclass
class Meter:
    """What a runner and its server use while the block lasts.

    The server is all of its processes but the session of this harness.
    """

    bench: Bench
    pids: list[int]
    threads: int = 0
    """The most that the runner had whenever it was looked at."""

    runner: float = field(init=False)
    server: float = field(init=False)
    seconds: float = field(init=False)
    """Processor time of both, and the time that has passed."""

    def __enter__(self) -> Self:
        """Begin to measure."""
        self._begin = self._used()
        return self

    def __exit__(self, *_: object) -> None:
        """Note what was used."""
        used = [
            end - begin for begin, end in zip(self._begin, self._used(), strict=True)
        ]
        self.runner, self.server, self.seconds = used

    def look(self) -> None:
        """Note the number of threads."""
        self.threads = max(self.threads, processes.threads(self.pids))

    def rearm_for(self, seconds: float) -> None:
        """Make finished jobs due again for so long, and look."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(REARM, left))
            self.bench.rearm()
            self.look()

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Look until a condition has come true; raise TimeoutError if it does not."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the jobs do not run")
            time.sleep(POLL)
            self.look()

    def _used(self) -> tuple[float, float, float]:
        file = self.bench.cluster.data / "postmaster.pid"
        postmaster = int(file.read_text().split()[0])
        return (
            sum(_seconds_of_tree(pid) for pid in self.pids),
            _seconds_of_tree(postmaster, but=self.bench.conn.info.backend_pid),
            time.monotonic(),
        )


def _seconds_of_tree(root: int, but: int = 0) -> float:
    """Return the processor time of a process and its children, ended ones too."""
    while True:
        own = processes.cpu_seconds([root], children=True)
        others = [pid for pid in processes.descendants(root) if pid != but]
        total = own + processes.cpu_seconds(others, children=True)
        # Otherwise one has ended meanwhile, and may be missing or counted twice.
        if processes.cpu_seconds([root], children=True) - own < TICK:
            return total
