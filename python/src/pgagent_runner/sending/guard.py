"""The program between a sender and a command: after some seconds nothing of it is left.

    python -I -S guard.py DESCRIPTOR SECONDS COMMAND...

It starts the command, writes its exit code to the descriptor (-N for signal N), or
`failed ERRNO`, and becomes the parent of whatever the command leaves behind. When the
seconds are over, it kills all of that. It outlives its own parent, and needs nobody.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICK = 0.05  # seconds
_KILL_TIME = 2.0


def main(descriptor: int, seconds: float, command: list[str]) -> None:
    """Guard a command."""
    deadline = time.monotonic() + seconds
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.set_inheritable(descriptor, False)  # noqa: FBT003
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            setsid=True,
            setsigmask=[],
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
    except OSError as e:
        os.write(descriptor, b"failed %d" % (e.errno or 0))
        return
    for inherited in (0, 2):  # the command's alone
        os.close(inherited)
    told = False
    while time.monotonic() < deadline:
        code = _reaped(pid)
        if code is not None and not told:
            told = True
            os.write(descriptor, b"%d" % code)
            os.close(descriptor)
        if not _has_children():
            return
        time.sleep(_TICK)
    _kill_all(pid)


def _reaped(pid: int) -> int | None:
    """Bury whoever has ended; return the exit code if it was the command."""
    found = None
    try:
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if not ended:
                return found
            if ended == pid:
                found = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        return found


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _kill_all(group: int) -> None:
    """Kill the command and all that it has started, whatever that starts meanwhile."""
    end = time.monotonic() + _KILL_TIME
    while time.monotonic() < end and _has_children():
        _kill(-group)
        for pid in _descendants():
            _kill(pid)
        _reaped(group)
        time.sleep(_TICK / 5)


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _descendants() -> Iterator[int]:
    """Yield all processes that descend from this one; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parent = int(status.read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found = [os.getpid()]
    while found:
        below = children.get(found.pop(), [])
        found += below
        yield from below


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
