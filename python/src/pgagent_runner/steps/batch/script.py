"""A script and all that it starts: its start, its output and its end.

A guardian (see `guardian.py`) stands between the two: it starts the script, and sees to
it that nothing is left when the runner dies or when the script has to stop.
"""

import asyncio
import marshal
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import FileIO
from typing import NamedTuple

from pgagent_runner.steps.batch.nursery import Guardian, Nursery, kill_group
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.waiting import Waiter, in_thread, wait, wake

_PIPE_SIZE = 64 * 1024
_MOST_LEFT = 1024 * 1024  # bytes that are read at the end: what a pipe may hold

# Seconds from the end of the grace.
_HESITATION = 0.3  # until this process kills the process group itself
_KILL_TIME = 2.5  # from then on, until the guardian has nothing left to report

_FOR_EVER = 1e9  # seconds


def _now() -> float:
    """Return seconds of the clock that guardians go by."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class StartError(OSError):
    """The program could not be started."""


class Request(NamedTuple):
    """What a guardian is to start, and how; None: as the runner has it."""

    command: list[bytes]
    environment: dict[bytes, bytes]
    directory: str  # a new one, for the script; it is removed in any case
    code: bytes  # of the script
    umask: int | None = None
    place: str | None = None  # its working directory
    limits: tuple[tuple[int, int, int], ...] = ()  # resource, soft and hard
    user: tuple[int, int, tuple[int, ...], str] | None = None
    """The user's id, his group, all his groups, and his home."""

    def encode(self, seconds: float) -> bytes:
        """Return what the guardian reads, with the first lease."""
        return marshal.dumps((*self[:4], _now() + seconds, *self[4:]))


@asynccontextmanager
async def supervised(
    nursery: Nursery,
    request: Request,
    output: BoundedOutput,
    lease: Callable[[], float] | None,
    cancellation: Cancellation,
) -> AsyncIterator["Script"]:
    """Run a script under a guardian while the block lasts.

    Everything is killed if the block is left by an exception, or if more than `lease`
    seconds pass without `Script.keep_alive`, or if this process dies. Raise OSError if
    there is no room for it.
    """
    reading, writing = os.pipe()
    with FileIO(reading) as pipe:
        with FileIO(writing) as script_output:
            guardian = await _engage(
                nursery, request, lease, cancellation, script_output.fileno()
            )
        script = Script(guardian, request.directory, pipe, output)
        try:
            yield script
        except BaseException:
            script.release(nursery, leave=False)
            if script.has_lost_its_guardian:
                await _remove(request.directory)
            raise
        script.release(nursery, leave=True)


async def _engage(
    nursery: Nursery,
    request: Request,
    lease: Callable[[], float] | None,
    cancellation: Cancellation,
    output: int,
) -> Guardian:
    """Return a guardian that has been asked to start the script."""
    while True:
        guardian = await nursery.guardian(cancellation)
        if cancellation.reason is not None:
            nursery.give_back(guardian)
            cancellation.check()
        seconds = _FOR_EVER if lease is None else lease()
        try:
            await guardian.request(request.encode(seconds), output)
        except (BrokenPipeError, ConnectionResetError):
            guardian.close()  # it had been killed: nothing has started
        except BaseException:
            guardian.close()
            raise
        else:
            return guardian


async def _remove(directory: str) -> None:
    """Remove a script's directory, which takes its time."""
    try:
        await in_thread(shutil.rmtree, directory, ignore_errors=True)
    except OSError:  # no thread is left
        shutil.rmtree(directory, ignore_errors=True)


class Script:
    """A script under a guardian, and the pipe that takes its output.

    Only `keep_alive` and `kill` may be called in other threads than the loop's.
    """

    def __init__(
        self,
        guardian: Guardian,
        directory: str,
        pipe: FileIO,
        output: BoundedOutput,
    ) -> None:
        """Take what `supervised` has prepared."""
        self._guardian = guardian
        self._directory = directory
        self._pipe = pipe
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._group = 0  # as long as the script is there
        self._error: StepError | OSError | None = None
        self._is_gone = False
        self._is_free = False  # the guardian, for other scripts
        self.has_lost_its_guardian = False
        self._is_awaited: Callable[[], bool] = lambda: False
        self._waiter: Waiter | None = None
        self.exit_code: int | None = None
        """-N if signal N killed it, None before its end."""
        self.cpu: float | None = None
        """Seconds of CPU that it and the children that it waited for have used."""
        self.memory: int | None = None
        """Bytes that the largest of these processes had in memory."""
        os.set_blocking(pipe.fileno(), False)
        guardian.listener = self._note
        self._loop.add_reader(pipe.fileno(), self._read)

    async def wait_for_exit(self, cancellation: Cancellation) -> None:
        """Collect output until the script ends.

        Raise StepAbortedError on demand, StartError if it can't be started.
        """
        await self._until(lambda: self.exit_code is not None, math.inf, cancellation)

    async def drain(self, seconds: float, cancellation: Cancellation) -> bool:
        """Collect the rest of the output; tell whether it was closed in time."""
        return await self._until(lambda: self._pipe.closed, seconds, cancellation)

    def keep_alive(self, seconds: float) -> None:
        """Let the script go on for so many seconds more; from any thread."""
        self._guardian.tell(f"alive {_now() + seconds}")

    def kill(self) -> None:
        """Kill the script and all that it has started; from any thread."""
        self._guardian.kill(self._group)

    async def terminate(self, grace: float) -> None:
        """Ask all processes to end; `grace` seconds later, kill all that are left.

        This includes those that have left the process group.
        """
        await self._end(f"end {grace}", grace)

    async def terminate_group(self, grace: float) -> None:
        """Ask the process group to end, and kill it `grace` seconds later."""
        await self._end(f"end-group {grace}", grace)

    def release(self, nursery: Nursery, *, leave: bool) -> None:
        """Let go of the guardian; unless it may leave the rest alone, it kills all."""
        self._close_pipe()
        if self._is_free:
            nursery.give_back(self._guardian)
        elif leave:
            nursery.leave(self._guardian)
        else:
            self._guardian.close()

    async def _end(self, message: str, grace: float) -> None:
        self._guardian.tell(message)
        with suppress(StepError):
            if not await self._until(lambda: self._is_gone, grace + _HESITATION):
                kill_group(self._group)  # as the guardian should have done
            if not await self._until(lambda: self._is_gone, _KILL_TIME):
                self.has_lost_its_guardian = True
                self._guardian.destroy(self._group)
        self._read_rest()  # the last words

    async def _until(
        self,
        done: Callable[[], bool],
        seconds: float,
        cancellation: Cancellation | None = None,
    ) -> bool:
        """Collect output for so many seconds at most; tell whether it is done."""
        deadline = time.monotonic() + seconds
        self._is_awaited = done
        while not done():
            if self._error is not None:
                raise self._error
            if (remaining := deadline - time.monotonic()) <= 0:
                return False
            self._waiter = self._loop.create_future()
            if cancellation is None:
                await wait(self._waiter, remaining)
            else:
                await cancellation.wait(self._waiter, remaining)
                cancellation.check()
        return True

    def _wake(self) -> None:
        """End the wait if there is nothing to wait for any more."""
        if self._error is not None or self._is_awaited():
            wake(self._waiter)

    def _read(self) -> None:
        """Take what the pipe has, a little at a time: others wait for their turn."""
        data = self._pipe.read(_PIPE_SIZE)
        if data:
            self._output.write(data)
        elif data is not None:
            self._close_pipe()
            self._wake()

    def _read_rest(self) -> None:
        """Take what the pipe still holds when nobody writes any more."""
        for _ in range(_MOST_LEFT // _PIPE_SIZE):
            if self._pipe.closed or not (data := self._pipe.read(_PIPE_SIZE)):
                return
            self._output.write(data)

    def _close_pipe(self) -> None:
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()

    def _note(self, word: bytes, rest: list[bytes]) -> None:
        """Take in what the guardian says."""
        match word, rest:
            case b"started", [group]:
                self._group = int(group)
            case b"failed", [number]:
                self._error = StartError(int(number), os.strerror(int(number)))
                self._is_free = True
            case b"powerless", [number]:
                self._error = StepError(
                    "the runner could not start the script as another user of the"
                    f" operating system: {os.strerror(int(number))}"
                )
                self._is_free = True
            case b"unwritten", [number, named]:
                place = self._directory if named == b"1" else None
                self._error = OSError(int(number), os.strerror(int(number)), place)
                self._is_free = True
            case b"exited", [code, cpu, memory, free]:
                self.exit_code, self._group = int(code), 0
                self.cpu, self.memory = float(cpu), int(memory)
                self._is_free = self._is_gone = free == b"1"
                if self._is_free:
                    self._read_rest()
            case b"gone", _:
                self._is_gone = True
            case b"", _:
                self._note_loss()
        self._wake()

    def _note_loss(self) -> None:
        """Note that the guardian has died."""
        self._is_free = False
        self.has_lost_its_guardian = True
        self._guardian.destroy(self._group)
        self._guardian.close()
        self._error = StepError(
            "the script's guardian has ended: it was killed, or the agent had not"
            " shown a sign of life for too long; the script was killed"
        )


def describe_signal(number: int) -> str:
    """Give a signal's number and its name, if it has one."""
    with suppress(ValueError):
        return f"signal {number} ({signal.Signals(number).name})"
    return f"signal {number}"
