"""The runner's children: beside steps, the only module that starts a process.

    python -P -m pgagent_runner.sending

A child sends alerts, or pings, and ends: see `sending/__main__.py`. It is told what to
do through a socket, its standard input and output, as soon as it has hidden: neither
its command line nor its environment has anything of it. It is the leader of a process
group, and ends by itself within a minute if this process does not live to see to that.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

_MODULE = "pgagent_runner.sending"
_LIFE_TIME = 90.0  # seconds
_LAST_WORDS = 1.0  # seconds to end in good order
_KEPT = 32 * 1024  # bytes of each end of what a child says
_MOST_LINES = 20
_PIECE = 16 * 1024
_READY = b"ready\n"
_REPORT = "report "


class Answer(NamedTuple):
    """What a child has said: its report, if it got so far, and lines for the log."""

    report: Mapping[str, Any] | None
    lines: list[str]


async def errand(task: Mapping[str, Any], seconds: float = _LIFE_TIME) -> Answer:
    """Have a child do something; whatever it does after so many seconds, it is killed.

    Whoever is cancelled in here gives it a moment to end. Raises OSError if there can't
    be one.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)  # noqa: FBT003
        pid = _start(theirs)
        theirs.close()
        said = bytearray()
        try:
            async with asyncio.timeout(seconds):
                await _talk(ours, task, said)
        except TimeoutError:
            _signal(pid, signal.SIGKILL)
            return Answer(None, [f"a child has not ended for {seconds:g} s"])
        except BaseException:
            await _end(pid, ours)
            raise
    return _answer(bytes(said))


async def _end(pid: int, ours: socket.socket) -> None:
    """Have a child end: in good order, if that does not take long."""
    _signal(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_LAST_WORDS):
            await _read(ours, bytearray())
    except TimeoutError:
        _signal(pid, signal.SIGKILL)


def _start(theirs: socket.socket) -> int:
    """Start a child, as this process was started; return its id."""
    flag = "-I" if sys.flags.isolated else "-P"
    return os.posix_spawn(
        sys.executable,
        [sys.executable, flag, "-m", _MODULE],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), number) for number in (0, 1, 2)
        ],
        setpgroup=0,
        setsigmask=[],
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT),
    )


async def _talk(ours: socket.socket, task: Mapping[str, Any], said: bytearray) -> None:
    """Tell a child what to do when it has hidden; take what it says until its end."""
    loop = asyncio.get_running_loop()
    while len(said) < len(_READY):
        data = await loop.sock_recv(ours, len(_READY) - len(said))
        if not data:
            return
        said += data
    if said == _READY:
        said.clear()
        await loop.sock_sendall(ours, f"{json.dumps(task)}\n".encode())
    await _read(ours, said)


async def _read(ours: socket.socket, said: bytearray) -> None:
    """Read to the end, and keep its beginning and its end."""
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while data := await loop.sock_recv(ours, _PIECE):
            said += data
            del said[_KEPT : max(len(said) - _KEPT, _KEPT)]


def _answer(said: bytes) -> Answer:
    report = None
    lines = []
    for line in said.decode(errors="backslashreplace").splitlines():
        if line.startswith(_REPORT):
            with suppress(ValueError):
                report = json.loads(line.removeprefix(_REPORT))
        elif line.strip():
            lines.append(line)
    if report is None:
        lines = lines[-_MOST_LINES:]  # what has ended it
    return Answer(report, lines[:_MOST_LINES])


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a child's process group, if that is there."""
    with suppress(OSError):
        os.killpg(pid, number)
