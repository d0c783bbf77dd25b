"""Runners as processes that can be killed, frozen, cut off and given another clock."""

import os
import re
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Self

from cluster import LIBPQ, Cluster
from farm import PEERS

from chaos.faults import is_alive, wait_until

PGAGENT = Path(sysconfig.get_path("scripts")) / "pgagent"
DEFAULT_LEASE = 20.0


@cache
def knows(option: str) -> bool:
    """Whether `pgagent run` has this option."""
    command = [str(PGAGENT), "run", "--help"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return option in answer.stdout


class Runner:
    """A process that runs jobs: `with Runner([...]) as runner: ... runner.kill()`."""

    def __init__(
        self,
        command: Sequence[object],
        environ: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        """Prepare to start it; of libpq's variables it sees those in `environ` only."""
        self.name = name
        self._command = [str(word) for word in command]
        inherited = {k: v for k, v in os.environ.items() if not LIBPQ.match(k)}
        inherited.pop("PYTHONPATH", None)
        self._environ = inherited | dict(environ or {})
        self._log = tempfile.NamedTemporaryFile(prefix="pgagent-chaos-")  # noqa: SIM115

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go in good order, if it can, so that it leaves nothing behind."""
        self.thaw()
        with suppress(subprocess.TimeoutExpired, ProcessLookupError):
            self.process.terminate()
            self.process.terminate()
            self.process.wait(5)
        self.kill()
        self._log.close()

    def start(self) -> None:
        """Start it, again if it has ended."""
        self.process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """All that it has written."""
        return Path(self._log.name).read_text(errors="backslashreplace")

    def ready(self, seconds: float = 20, times: int = 1) -> Self:
        """Wait until it has registered, `times` times altogether."""
        if (
            wait_until(lambda: self.log.count(" serves database ") >= times, seconds)
            is None
        ):
            raise TimeoutError(f"runner {self.name} is not ready:\n{self.log}")
        return self

    def kill(self) -> None:
        """Kill it, and it alone."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop it without telling anybody."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)

    def acknowledged(self, what: str) -> list[int]:
        """Return the runs of which its log says that they "started" or "succeeded"."""
        pattern = {
            "started": r"run (\d+) of job .* starts",
            "succeeded": r"run (\d+) of job .* ended: succeeded",
        }[what]
        return [int(run) for run in re.findall(pattern, self.log)]


def runner(
    dsn: str,
    *options: object,
    name: str = "runner",
    environ: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    lease: float | None = None,
) -> Runner:
    """Prepare `pgagent run`, with a shorter lease if that can be had."""
    command = [*before, PGAGENT, "run", "--station", name]
    if lease is not None and knows("--lease"):
        command += ["--lease", lease]
    return Runner([*command, *options, dsn], environ, name)


def lease_in_force(wanted: float | None) -> float:
    """Return how long a silent runner counts as alive."""
    return wanted if wanted is not None and knows("--lease") else DEFAULT_LEASE


def daemon_42(cluster: Cluster, dsn: str, name: str = "daemon") -> Runner:
    """Prepare pgAgent 4.2's daemon at its fastest, or raise FileNotFoundError."""
    program = PEERS / "usr/bin/pgagent"
    if not program.exists():
        raise FileNotFoundError(program)
    command = [program, "-f", "-t", "1", "-l", "2", dsn]
    return Runner(command, {"LD_LIBRARY_PATH": cluster.libraries}, name)


class Fleet:
    """Several runners; those that were killed can be followed by others."""

    def __init__(self, stack: ExitStack) -> None:
        """Leave stopping them to `stack`."""
        self._stack = stack
        self.runners: list[Runner] = []

    def add(self, runner: Runner) -> Runner:
        """Start one more."""
        self.runners.append(self._stack.enter_context(runner))
        return runner

    @property
    def living(self) -> list[Runner]:
        """Those that have not ended."""
        return [r for r in self.runners if r.alive and is_alive(r.pid)]
