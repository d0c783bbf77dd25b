"""The runner's side of the nursery: guardians that are free, and new ones.

See `guardian.py` for what these are and how they are talked to.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepError
from pgagent_runner.waiting import Waiter, wake

_PROGRAM = Path(__file__).with_name("guardian.py")
_CHANNEL = 3  # where that expects its socket

# Seconds.
_IDLE_TIME = 10.0  # that a guardian without a script is kept
_BIRTH_TIME = 10.0  # until a new guardian must have said that it is there

_MESSAGE = 4096  # bytes read at once

# All that the nursery sees of the environment: where its interpreter's libraries are.
_INHERITED = ("LD_LIBRARY_PATH",)

Listener = Callable[[bytes, list[bytes]], None]
"""Called with each word of a guardian and what follows it, and with b"" at its end."""


class Guardian:
    """A guardian process, as far as the runner can see it: through a socket."""

    def __init__(self, channel: socket.socket, listener: Listener) -> None:
        """Listen to it, in the loop of this thread."""
        channel.setblocking(False)  # noqa: FBT003
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self._hear)
        self._lock = threading.Lock()  # nobody writes to what has been closed
        self._closed = False
        self._ended = False
        self._requesting = False
        self._unread = b""
        self._pid = 0
        self._cgroup = ""
        self.listener = listener
        self.idle_since = 0.0

    def introduce(self, pid: bytes, cgroup: list[bytes]) -> None:
        """Note what it says of itself."""
        self._pid = int(pid)
        self._cgroup = os.fsdecode(b" ".join(cgroup))

    async def request(self, request: bytes, descriptor: int) -> None:
        """Have it start a script; raise OSError if it does not listen."""
        message = b"run %d\n%b" % (len(request), request)
        sent = self._channel.sendmsg([message], _passing(descriptor))
        if sent == len(message):
            return
        self._requesting = True
        try:
            async with asyncio.timeout(_BIRTH_TIME):
                await self._loop.sock_sendall(self._channel, message[sent:])
        finally:
            self._requesting = False

    def tell(self, line: str) -> None:
        """Send a line, from any thread; one that can't be sent at once is lost."""
        with self._lock, suppress(OSError):
            if not self._closed and not self._requesting:
                self._channel.send(line.encode() + b"\n")

    def close(self) -> None:
        """Let go of it; unless it was told to leave, it kills all that it guards."""
        if not self._closed:
            self._loop.remove_reader(self._channel.fileno())
            with self._lock:
                self._closed = True
                self._channel.close()

    def kill(self, group: int) -> None:
        """Kill a process group, and have it kill the rest and end, from any thread."""
        kill_group(group)
        with self._lock, suppress(OSError):
            if not self._closed:
                self._channel.shutdown(socket.SHUT_RDWR)

    def destroy(self, group: int) -> None:
        """Kill a guardian that does not do what it should, and all it has.

        Processes in neither the process group nor a cgroup fall to the nursery.
        """
        kill_group(group)
        if self._cgroup:
            with suppress(OSError):
                Path(self._cgroup, "cgroup.kill").write_bytes(b"1")
        if self._pid and not self._ended:
            with suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)

    def _hear(self) -> None:
        try:
            data = self._channel.recv(_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended = True
            self.listener(b"", [])
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, *rest = line.split(b" ")
            self.listener(word, rest)


class Nursery:
    """Where guardians come from, and where they go when they are free.

    All of it belongs to the loop's thread. No process is started before a script needs
    it; a nursery that has died, or does not do anything, is replaced by another one.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._channel: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[Guardian] = []  # the one that was used last is used next
        self._leaving: set[Guardian] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def guardian(self, cancellation: Cancellation) -> Guardian:
        """Return a guardian that is free.

        Raise StepAbortedError on demand, OSError or StepError if there can be none.
        """
        if self._idle:
            return self._idle.pop()
        for _ in range(2):
            if (guardian := await self._beget(cancellation)) is not None:
                return guardian
        raise StepError(
            "no guardian for the script could be started: those that were asked for"
            f" ended at once, or gave no sign of life for {_BIRTH_TIME:g} s"
        )

    def give_back(self, guardian: Guardian) -> None:
        """Take a guardian that is free, for other scripts."""
        guardian.listener = partial(self._note_end, guardian)
        guardian.idle_since = time.monotonic()
        self._idle.append(guardian)
        if self._timer is None:
            self._end_later(_IDLE_TIME)

    def leave(self, guardian: Guardian) -> None:
        """Take a guardian, which may let processes go on that its script has left."""
        guardian.listener = partial(self._note_freedom, guardian)
        self._leaving.add(guardian)
        guardian.tell("leave")

    def close(self) -> None:
        """End the nursery and all guardians that are free."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for guardian in (*self._idle, *self._leaving):
            guardian.close()
        self._idle.clear()
        self._leaving.clear()
        self._abandon()

    async def _beget(self, cancellation: Cancellation) -> Guardian | None:
        """Have a guardian made; return None if the nursery seems to be dead.

        Then it is asked no more.
        """
        waiter: Waiter = asyncio.get_running_loop().create_future()
        said: list[tuple[bytes, list[bytes]]] = []

        def note(word: bytes, rest: list[bytes]) -> None:
            said.append((word, rest))
            wake(waiter)

        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._hand_over(theirs)
            except BaseException:
                ours.close()
                raise
        guardian, asked = Guardian(ours, note), self._channel
        try:
            await cancellation.wait(waiter, _BIRTH_TIME)
            cancellation.check()
        except BaseException:
            guardian.close()
            raise
        match said:
            case [(b"ready", [pid, *cgroup]), *_]:
                guardian.introduce(pid, cgroup)
                return guardian
            case [(b"failed", [number]), *_]:
                guardian.close()
                raise OSError(int(number), os.strerror(int(number)))
        guardian.close()
        if self._channel is asked:
            self._abandon()
        return None

    def _hand_over(self, end: socket.socket) -> None:
        """Give the nursery the socket of a new guardian."""
        passed = _passing(end.fileno())
        if self._channel is not None:
            try:
                self._channel.sendmsg([b"g"], passed)
            except OSError:  # it is dead, or has not listened for very long
                self._abandon()
            else:
                return
        self._channel = _start()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._channel.fileno(), self._abandon)
        try:
            self._channel.sendmsg([b"g"], passed)
        except (BrokenPipeError, ConnectionResetError):  # it has ended already
            self._abandon()

    def _abandon(self) -> None:
        """Let go of the nursery: it ends, and guardians at work live on."""
        if self._channel is not None and self._loop is not None:
            self._loop.remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _note_end(self, guardian: Guardian, word: bytes, _: list[bytes]) -> None:
        """Forget a free guardian that somebody has killed."""
        if not word:
            self._idle.remove(guardian)
            guardian.close()

    def _note_freedom(self, guardian: Guardian, word: bytes, _: list[bytes]) -> None:
        """Note whether a guardian that was told to leave is free, or has gone."""
        if word in {b"free", b""}:
            self._leaving.discard(guardian)
            if word:
                self.give_back(guardian)
            else:
                guardian.close()

    def _end_later(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._end_idle)

    def _end_idle(self) -> None:
        """End the guardians that have not been needed for long."""
        self._timer = None
        now = time.monotonic()
        while self._idle and (age := now - self._idle[0].idle_since) >= _IDLE_TIME:
            self._idle.pop(0).close()
        if self._idle:
            self._end_later(_IDLE_TIME - age)


def reap() -> None:
    """Bury all children of this process that have ended.

    These are nurseries; and strangers, if it is the first process of a container.
    """
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def kill_group(group: int) -> None:
    """Kill a process group, if there is one: not 0."""
    if group:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)


def _passing(descriptor: int) -> list[tuple[int, int, bytes]]:
    """Return what sends a descriptor along with a message."""
    passed = descriptor.to_bytes(4, sys.byteorder)
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)]


def _start() -> socket.socket:
    """Start a nursery; return the socket that leads there."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", os.fspath(_PROGRAM)],
                {name: os.environ[name] for name in _INHERITED if name in os.environ},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CHANNEL),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)  # noqa: FBT003
    return ours
