"""A process group: its start, its output and its end."""

import errno
import math
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pgagent_runner.steps.cancel import Cancellation, wait_ready
from pgagent_runner.steps.output import BoundedOutput

_PIPE_SIZE = 64 * 1024
_KILL_TIME = 1.0  # seconds until the killed processes of a group have vanished
_POLL_INTERVAL = 0.02  # seconds; a process group, unlike a process, ends silently


def start(
    command: Sequence[bytes], environment: Mapping[bytes, bytes]
) -> subprocess.Popen[bytes]:
    """Start a process as the leader of a session, with one pipe for all its output.

    Raise OSError if that is impossible.
    """
    return subprocess.Popen(
        command,
        bufsize=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


@contextmanager
def supervised(
    process: subprocess.Popen[bytes], output: BoundedOutput
) -> Iterator["ProcessGroup"]:
    """Give the group of a started process; kill it if the block is left early."""
    with process:
        try:
            with _exit_notice(process) as notice:
                yield ProcessGroup(process, notice, output)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


class ProcessGroup:
    """A process with all that it starts, and the pipe that takes their output."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        exit_notice: socket.socket,
        output: BoundedOutput,
    ) -> None:
        """Take what `supervised` has prepared."""
        if process.stdout is None:
            raise ValueError("the process has no pipe")
        self._process = process
        self._pipe = process.stdout
        self._exit_notice = exit_notice
        self._output = output
        self._has_ended = False

    @property
    def exit_code(self) -> int:
        """The exit code of the process, -N if signal N killed it; waits for it."""
        return self._process.wait()

    def wait_for_exit(self, cancellation: Cancellation) -> None:
        """Collect output until the process ends; raise StepAbortedError if asked to."""
        self._collect(lambda: self._has_ended, cancellation=cancellation)

    def drain(self, seconds: float, cancellation: Cancellation) -> bool:
        """Collect the rest of the output; tell whether it was closed in time."""
        return self._collect(lambda: self._pipe.closed, seconds, cancellation)

    def terminate(self, grace: float) -> None:
        """Ask every process of the group to end, and kill it `grace` seconds later."""
        self._signal(signal.SIGTERM)
        if not self._collect(self._is_gone, grace, interval=_POLL_INTERVAL):
            self._signal(signal.SIGKILL)
            self._collect(self._is_gone, _KILL_TIME, interval=_POLL_INTERVAL)
        if not self._pipe.closed and wait_ready(
            {self._pipe.fileno(): select.POLLIN}, 0
        ):
            self._read()  # the last words, which the pipe can hold

    def _collect(
        self,
        done: Callable[[], bool],
        seconds: float = math.inf,
        cancellation: Cancellation | None = None,
        interval: float = math.inf,
    ) -> bool:
        """Collect output for so many seconds at most; tell whether it is done.

        `interval` is for what raises no event: how often to look whether it is done.
        """
        deadline = time.monotonic() + seconds
        while not done():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            ready = wait_ready(self._events(cancellation), min(remaining, interval))
            self._has_ended = self._has_ended or self._exit_notice.fileno() in ready
            if not self._pipe.closed and self._pipe.fileno() in ready:
                self._read()
            if cancellation is not None:
                cancellation.check()
        return True

    def _events(self, cancellation: Cancellation | None) -> dict[int, int]:
        awaited: list[IO[bytes] | socket.socket | Cancellation] = []
        if not self._pipe.closed:
            awaited.append(self._pipe)
        if not self._has_ended:
            awaited.append(self._exit_notice)
        if cancellation is not None:
            awaited.append(cancellation)
        return {source.fileno(): select.POLLIN for source in awaited}

    def _read(self) -> None:
        if data := self._pipe.read(_PIPE_SIZE):
            self._output.write(data)
        else:
            self._pipe.close()

    def _is_gone(self) -> bool:
        """Tell whether no process of the group is left."""
        if not self._has_ended:
            return False
        self._process.wait()  # until here, its zombie keeps the group's number taken
        return not (self._signal(0) and _has_living_member(self._process.pid))

    def _signal(self, number: int) -> bool:
        """Send a signal to the group; tell whether there is any process in it."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:  # there is one, of another user
            return True
        return True


def _has_living_member(group: int) -> bool:
    """Tell whether the group, which exists, is more than zombies.

    Those stay where nobody reaps orphans, as in many containers. Without Linux'
    /proc, the answer is yes.
    """
    states = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process that ends meanwhile
            fields = path.read_bytes().rpartition(b")")[2].split()
            if int(fields[2]) == group:
                states.add(fields[0])
    return states != {b"Z"}


def describe_signal(number: int) -> str:
    """Give a signal's number and its name, if it has one."""
    with suppress(ValueError):
        return f"signal {number} ({signal.Signals(number).name})"
    return f"signal {number}"


def _exit_notice(process: subprocess.Popen[bytes]) -> socket.socket:
    """Give a socket that becomes readable when the process has ended.

    Raise OSError if the system has no room for it.
    """
    reader, writer = socket.socketpair()

    def watch() -> None:
        with writer, suppress(ChildProcessError):
            if hasattr(os, "waitid"):
                # Not reaped yet: its number must not become another process's.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            else:
                process.wait()

    try:
        threading.Thread(target=watch, name="step-exit", daemon=True).start()
    except RuntimeError as error:
        reader.close()
        writer.close()
        raise OSError(errno.EAGAIN, str(error)) from None
    return reader
