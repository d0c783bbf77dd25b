"""The program between runner and script: no process of a step outlives the runner.

    python -I -S guardian.py FD SECONDS DIRECTORY PROGRAM [ARGUMENT]...

It starts the program in a session of its own and becomes the parent of whatever that
leaves behind (PR_SET_CHILD_SUBREAPER). The socket FD leads to the runner. When that is
closed without a word the runner has died; when nothing has come for SECONDS, or for as
long as the last message said, the runner is frozen, and others are about to declare it
dead. Then every descendant is killed, and the directory in which the script lies is
removed. On other systems than Linux only the program's process group is killed.

Messages are lines. From the runner: `alive SECONDS`, `end SECONDS` (ask the process
group to end, and kill every descendant so much later), `end-group SECONDS` (the same,
but leave those alone that have left the group), `leave` (go, and let them be). To the
runner: `forked PID`, before the program can do anything, then `started` or
`failed ERRNO`; `exited CODE` (-N for signal N), `gone`.

Imports delay every script, so contextlib is not used here.
"""

import ctypes
import os
import select
import signal
import sys
import time
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_KILL_TIME = 2.0  # seconds to go on killing what is there
_TICK = 0.02  # seconds; a process group, unlike a child, ends silently


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class _Guardian:
    def __init__(self, runner: int, seconds: float, directory: str) -> None:
        self._runner = runner
        self._directory = directory
        self._deadline = _now() + seconds
        self._script = 0
        self._ending: float | None = None  # when to kill
        self._whole = False  # whether also those that have left the group
        self._unread = b""

    def start(self, command: list[bytes]) -> None:
        """Start the program; tell the runner that it is, or why not."""
        report, child_report = os.pipe()
        self._script = os.fork()
        if self._script == 0:
            _become(command, child_report, os.getppid(), self._runner)
        os.close(child_report)
        # Only the program and what it starts may hold its output open.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        with os.fdopen(report, "rb") as errors:
            error = errors.read()
        if error:
            self._tell(b"failed " + error)
            os._exit(0)
        self._tell(b"started")

    def watch(self, child_ended: int) -> None:
        """Do what the runner says, and notice when it or a child ends."""
        poll = select.poll()
        poll.register(self._runner, select.POLLIN)
        poll.register(child_ended, select.POLLIN)
        while True:
            self._reap()
            if self._ending is not None:
                self._see_to_the_end()
            left = self._deadline - _now()
            if left <= 0:
                self._clear_up()
            wait = min(left, 3600 if self._ending is None else _TICK)
            for descriptor, _ in poll.poll(wait * 1000 + 1):
                if descriptor == self._runner:
                    self._hear()
                else:
                    os.read(child_ended, 512)

    def _hear(self) -> None:
        try:
            data = os.read(self._runner, 4096)
        except OSError:
            data = b""
        if not data:
            self._clear_up()
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, _, seconds = line.partition(b" ")
            if word == b"leave":
                os._exit(0)
            elif word == b"alive":
                self._deadline = _now() + float(seconds)
            elif self._ending is None:
                self._whole = word == b"end"
                self._ending = _now() + float(seconds)
                self._signal_group(signal.SIGTERM)

    def _see_to_the_end(self) -> None:
        """Kill what has not ended in time; tell the runner when nothing is left."""
        if self._ending is None or (self._group_lives() and _now() < self._ending):
            return
        self._signal_group(signal.SIGKILL)
        if self._whole:
            self._kill_all()
        if not self._group_lives() or _now() > self._ending + _KILL_TIME:
            self._reap()
            self._tell(b"gone")
            self._ending = None

    def _clear_up(self) -> NoReturn:
        """Leave nothing, and go: the runner can't."""
        self._kill_all()
        import shutil  # noqa: PLC0415 (it delays)

        shutil.rmtree(self._directory, ignore_errors=True)
        os._exit(0)

    def _kill_all(self) -> None:
        """Kill every descendant: those whose parents die become children of ours."""
        give_up = _now() + _KILL_TIME
        self._signal_group(signal.SIGKILL)
        # Ask the kernel instead of looking at /proc: a process that forks and exits may
        # be gone at the time of the look, and its child not be there yet.
        while self._reap() and _now() < give_up:
            for child in _children():
                _kill(child)

    def _reap(self) -> bool:
        """Bury children that have ended; tell whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._script:
                self._tell(b"exited %d" % os.waitstatus_to_exitcode(status))

    def _group_lives(self) -> bool:
        """Tell whether the group is more than zombies, which wait for others."""
        try:
            os.killpg(self._script, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return any(
            group == self._script and state != b"Z" for group, state in _groups()
        )

    def _signal_group(self, number: int) -> None:
        try:  # noqa: SIM105
            os.killpg(self._script, number)
        except OSError:
            pass

    def _tell(self, line: bytes) -> None:
        try:  # noqa: SIM105
            os.write(self._runner, line + b"\n")
        except OSError:
            pass  # its end is noticed by reading


def _become(command: list[bytes], report: int, guardian: int, runner: int) -> NoReturn:
    """Turn this child into the program, or report the number of the error."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(1)
        # Whatever becomes of the guardian: the runner knows what to kill.
        os.write(runner, b"forked %d\n" % os.getpid())
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        os.write(report, b"%d" % (error.errno or 0))
    os._exit(127)


def _kill(pid: int) -> None:
    try:  # noqa: SIM105
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def _stat(pid: str) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []


def _children() -> list[int]:
    """Return the children of this process, from one file if the kernel has it."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        parent = b"%d" % own
        return [int(pid) for pid in _processes() if parent in _stat(pid)[1:2]]


def _groups() -> list[tuple[int, bytes]]:
    """Return each process's group and state; without Linux' /proc, nothing."""
    stats = (_stat(pid) for pid in _processes())
    return [(int(fields[2]), fields[0]) for fields in stats if fields]


def main() -> None:
    """Guard one program."""
    runner, seconds = int(sys.argv[1]), float(sys.argv[2])
    os.set_inheritable(runner, False)  # noqa: FBT003
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child_ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    guardian = _Guardian(runner, seconds, sys.argv[3])
    guardian.start([os.fsencode(word) for word in sys.argv[4:]])
    guardian.watch(child_ended)


if __name__ == "__main__":
    main()
