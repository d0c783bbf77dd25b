"""A script and all that it starts: its start, its output and its end.

A guardian (see `guardian.py`) stands between the two: it starts the script, and sees to
it that nothing is left when the runner dies or when the script has to stop.
"""

import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.output import BoundedOutput

_PIPE_SIZE = 64 * 1024
_KILL_TIME = 3.0  # seconds from a kill until the guardian has nothing left to report
_FOR_EVER = 1e9  # seconds

_GUARDIAN = Path(__file__).with_name("guardian.py")


def _guardian(channel: int, seconds: float, directory: Path) -> list[str | bytes]:
    program = [sys.executable, "-I", "-S", os.fspath(_GUARDIAN)]
    return [*program, str(channel), str(seconds), os.fspath(directory)]


@contextmanager
def supervised(
    command: Sequence[bytes],
    directory: Path,
    environment: Mapping[bytes, bytes],
    output: BoundedOutput,
    lease: float | None,
) -> Iterator["Script"]:
    """Run a command under a guardian while the block lasts.

    Everything is killed if the block is left by an exception, or if more than `lease`
    seconds pass without `Script.keep_alive`; if this process dies, the directory, in
    which the script lies, is removed. Raise OSError if the command can't be
    started.
    """
    seconds = _FOR_EVER if lease is None else lease
    ours, guardians = socket.socketpair()
    with ours:
        with guardians:
            guardian = subprocess.Popen(
                [*_guardian(guardians.fileno(), seconds, directory), *command],
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=[guardians.fileno()],
            )
        # When the socket is closed without a word, the guardian kills all and ends.
        with guardian, Script(guardian, ours, output) as script:
            script.wait_for_start()
            yield script
            script.leave_the_rest_alone()


class Script:
    """A script under a guardian, and the pipe that takes its output."""

    def __init__(
        self,
        guardian: subprocess.Popen[bytes],
        channel: socket.socket,
        output: BoundedOutput,
    ) -> None:
        """Take what `supervised` has prepared."""
        if guardian.stdout is None:
            raise ValueError("the process has no pipe")
        self._pipe = guardian.stdout
        self._channel = channel
        self._output = output
        self._unread = b""
        self._group = 0  # once there is one
        self._is_started = False
        self._exit_code: int | None = None
        self._is_gone = False

    def __enter__(self) -> Self:
        """Return the script."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the guardian; unless it was told to leave, it kills all."""
        self._pipe.close()
        self._channel.close()

    @property
    def exit_code(self) -> int | None:
        """The script's exit code, -N if signal N killed it, None before its end."""
        return self._exit_code

    def wait_for_start(self) -> None:
        """Wait until the script runs; raise OSError if it can't be started."""
        self._collect(lambda: self._is_started)

    def wait_for_exit(self, cancellation: Cancellation) -> None:
        """Collect output until the script ends; raise StepAbortedError on demand."""
        self._collect(lambda: self._exit_code is not None, cancellation=cancellation)

    def drain(self, seconds: float, cancellation: Cancellation) -> bool:
        """Collect the rest of the output; tell whether it was closed in time."""
        return self._collect(lambda: self._pipe.closed, seconds, cancellation)

    def keep_alive(self, seconds: float) -> None:
        """Let the script go on for so many seconds more; from any thread."""
        self._tell(f"alive {seconds}")

    def terminate(self, grace: float) -> None:
        """Ask all processes to end; `grace` seconds later, kill all that are left.

        This includes those that have left the process group.
        """
        self._end(f"end {grace}", grace)

    def terminate_group(self, grace: float) -> None:
        """Ask the process group to end, and kill it `grace` seconds later."""
        self._end(f"end-group {grace}", grace)

    def leave_the_rest_alone(self) -> None:
        """Let processes go on that the script has left behind."""
        self._tell("leave")

    def _end(self, message: str, grace: float) -> None:
        self._tell(message)
        with suppress(StepError):
            self._collect(lambda: self._is_gone, grace + _KILL_TIME)
        if not self._pipe.closed and wait_ready(
            {self._pipe.fileno(): select.POLLIN}, 0
        ):
            self._read()  # the last words, which the pipe can hold

    def _tell(self, message: str) -> None:
        with suppress(OSError):
            self._channel.sendall(message.encode() + b"\n")

    def _collect(
        self,
        done: Callable[[], bool],
        seconds: float = math.inf,
        cancellation: Cancellation | None = None,
    ) -> bool:
        """Collect output for so many seconds at most; tell whether it is done."""
        deadline = time.monotonic() + seconds
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            ready = wait_ready(self._events(cancellation), remaining)
            if self._channel.fileno() in ready:
                self._hear()
            if not self._pipe.closed and self._pipe.fileno() in ready:
                self._read()
            if cancellation is not None:
                cancellation.check()
        return True

    def _events(self, cancellation: Cancellation | None) -> dict[int, int]:
        awaited: list[IO[bytes] | socket.socket | Cancellation] = [self._channel]
        if not self._pipe.closed:
            awaited.append(self._pipe)
        if cancellation is not None:
            awaited.append(cancellation)
        return {source.fileno(): select.POLLIN for source in awaited}

    def _read(self) -> None:
        if data := self._pipe.read(_PIPE_SIZE):
            self._output.write(data)
        else:
            self._pipe.close()

    def _hear(self) -> None:
        """Take in what the guardian says; raise OSError if it could not start."""
        data = self._channel.recv(4096)
        if not data:
            if self._group:
                with suppress(OSError):
                    os.killpg(self._group, signal.SIGKILL)
            raise StepError(
                "the script's guardian has ended: it was killed, or the agent had not"
                " shown a sign of life for too long; the script was killed"
            )
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            match word:
                case b"forked":
                    self._group = int(number)
                case b"started":
                    self._is_started = True
                case b"failed":
                    raise OSError(int(number), os.strerror(int(number)))
                case b"exited":
                    self._exit_code = int(number)
                case b"gone":
                    self._is_gone = True


def describe_signal(number: int) -> str:
    """Give a signal's number and its name, if it has one."""
    with suppress(ValueError):
        return f"signal {number} ({signal.Signals(number).name})"
    return f"signal {number}"
