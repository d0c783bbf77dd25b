"""The program between runner and scripts: no process of a step outlives its runner.

    python -I -S guardian.py

It is three kinds of processes, all in one session, in which no script ever is:

- The *nursery* forks a guardian for each socket that comes through its own, file
  descriptor 3. When that is closed, it has nothing more to do.
- A *guardian* talks to the runner through its socket. It starts one script at a time,
  in a session of its own, and becomes the parent of whatever that leaves behind
  (PR_SET_CHILD_SUBREAPER). When the socket is closed without a word, the runner has
  died; when the time is over that the last message gave, the runner is frozen, and
  others are about to declare it dead. Then every descendant is killed, and the
  directory of the script is removed.
- The *keeper* is the nursery's parent, and only waits.

A guardian that is stopped for a second, which a script can do, is killed by the
nursery, and that by the keeper. What a guardian that was killed leaves behind falls to
the nursery, or to the keeper if there is no nursery any more; both kill whatever is not
of their session. Where the runner has a cgroup to itself (systemd: Delegate=yes), each
guardian has one below it, together with its script, and everything can be killed at
once. On other systems than Linux only the process group of the script is killed.

A script may be another user's. Then the guardian stays the runner's, and out of the
reach of the script; what it does to the script's files it does with that user's rights,
and it kills with them where its own are not enough.

Messages to a guardian are lines:

- `run BYTES`, followed by the request, and with the script's output as a descriptor;
- `alive DEADLINE`, on the clock that goes on while the machine sleeps;
- `end SECONDS`: ask the process group to end, and kill every descendant so much later;
- `end-group SECONDS`: the same, but leave those alone that have left the group;
- `leave`: what the script has left may go on.

And from it:

- `ready PID CGROUP`, or `failed ERRNO` if there can't be another guardian;
- `started PID`, `failed ERRNO`, `powerless ERRNO` if the script can't become another
  user's, or `unwritten ERRNO NAMED` if it could not be written, NAMED 1 if its name
  helps to understand why;
- `exited CODE CPU MEMORY FREE`: -N for signal N, seconds, bytes, 1 if none is left;
- `gone`: nothing is left of what was to end;
- `free`, after `leave`; or it closes its socket, and waits for what goes on.
"""

import ctypes
import errno
import gc
import marshal
import os
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_LOWER = 3

# What makes other users of scripts, and signals to those: no script has any of it.
_POWERS = (5, 6, 7)  # CAP_KILL, CAP_SETGID, CAP_SETUID
_CAPABILITY_VERSION = 0x20080522
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1

_CHANNEL = 3  # the nursery's socket

_KILL_TIME = 2.0  # seconds to go on killing what is there
_PARTING_TIME = 0.1  # seconds for processes to end that have closed their output
_STOPPED_TIME = 1.0  # seconds that a guardian may be stopped
_TICK = 0.02  # seconds; a process group, unlike a child, ends silently
_FOR_EVER = 1e9  # seconds
_BECOMING_TIME = 10.0  # seconds for a child to become somebody else, and a program

_MESSAGE = 64 * 1024  # bytes read at once
_ONE_DESCRIPTOR = socket.CMSG_SPACE(4)

_KIBIBYTE = 1024 if sys.platform == "linux" else 1  # the unit of ru_maxrss

# What Python ignores, and what has a handler here.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)

_libc = ctypes.CDLL(None)

# A user's id, his group, all his groups, and his home.
_User = tuple[int, int, tuple[int, ...], str]


def _prctl(option: int, value: int | bytes, more: int = 0) -> None:
    if sys.platform == "linux":
        _libc.prctl(option, value, more, 0, 0)


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class _Guardian:
    """Starts one script after the other, and guards what comes of it."""

    def __init__(self, runner: socket.socket, cgroup: str) -> None:
        self._runner = runner
        self._cgroup = cgroup
        self._child_ended = _notice_children()
        self._poll = select.poll()
        self._poll.register(runner, select.POLLIN)
        self._poll.register(self._child_ended, select.POLLIN)
        self._unread = b""
        self._output = -1  # for the script that is about to start
        self._reusable = True
        self._speaks = True
        self._forget()

    def _forget(self) -> None:
        """Have no script."""
        self._script = 0
        self._directory = ""
        self._user: _User | None = None  # if it is another one than the runner's
        self._deadline = _now() + _FOR_EVER
        self._ending: float | None = None  # when to kill
        self._whole = False  # whether also those that have left the group
        self._leaving: float | None = None  # when to leave what has not ended

    def serve(self) -> NoReturn:
        """Do what the runner says, and notice when it or a child ends."""
        self._tell(b"ready %d %s" % (os.getpid(), os.fsencode(self._cgroup)))
        while True:
            left = self._deadline - _now()
            if left <= 0:
                self._clear_up()
            busy = self._ending is not None or self._leaving is not None
            wait = min(left, _TICK if busy else 3600)
            for descriptor, _ in self._poll.poll(wait * 1000 + 1):
                if descriptor == self._child_ended:
                    os.read(descriptor, 512)
                else:
                    self._hear()
            self._reap()
            if self._ending is not None:
                self._see_to_the_end()
            if self._leaving is not None:
                self._leave()

    def _hear(self) -> None:
        try:
            data, passed, _, _ = self._runner.recvmsg(_MESSAGE, _ONE_DESCRIPTOR)
        except OSError:
            data, passed = b"", []
        if not data:
            if self._leaving is not None:
                _outlive_children()
            self._clear_up()
        for _, _, descriptor in passed:
            self._output = _private(int.from_bytes(descriptor[:4], sys.byteorder))
        data = self._unread + data
        while b"\n" in data:
            line, _, data = data.partition(b"\n")
            word, _, number = line.partition(b" ")
            if word == b"run":
                data = self._take_request(int(number), data)
            elif self._script:
                self._obey(word, number)
        self._unread = data

    def _take_request(self, size: int, data: bytes) -> bytes:
        """Start what is asked for, of which the beginning is there; return the rest."""
        parts, missing = [data[:size]], size - len(data)
        while missing > 0:
            part = self._runner.recv(min(missing, _MESSAGE))
            if not part:
                os._exit(0)
            parts.append(part)
            missing -= len(part)
        self._start(*marshal.loads(b"".join(parts)))  # noqa: S302 (the runner's)
        return data[size:]

    def _obey(self, word: bytes, number: bytes) -> None:
        """Do what one line says about the script."""
        if word == b"leave":
            self._leaving = _now() + _PARTING_TIME
        elif word == b"alive":
            self._deadline = float(number)
        elif word.startswith(b"end") and self._ending is None:
            self._whole = word == b"end"
            self._ending = _now() + float(number)
            self._signal_group(signal.SIGTERM)

    def _start(  # noqa: PLR0913, PLR0917 (the request)
        self,
        command: list[bytes],
        environment: dict[bytes, bytes],
        directory: str,
        code: bytes,
        deadline: float,
        umask: int | None,
        place: str | None,
        limits: tuple[tuple[int, int, int], ...],
        user: _User | None,
    ) -> None:
        """Start a script; tell the runner that it is, or why not."""
        if deadline <= _now():
            self._clear_up()
        try:
            self._user = user
            self._write(directory, code)
            with _as_asked(umask, place if user is None else None):
                self._limit(limits)
                if user is None:
                    script = _spawn(command, environment, self._output)
                else:
                    script = _spawn_as(user, command, environment, self._output, place)
        except _UnwrittenError as error:
            self._remove_directory()
            self._tell(b"unwritten %d %d" % error.args)
        except _PowerlessError as error:
            self._remove_directory()
            self._tell(b"powerless %d" % (error.errno or 0))
        except OSError as error:
            self._remove_directory()
            self._tell(b"failed %d" % (error.errno or 0))
        else:
            self._script = script
            self._deadline = deadline
            self._tell(b"started %d" % script)
        finally:
            # Only the script and what it starts may hold its output open.
            os.close(self._output)

    def _write(self, directory: str, code: bytes) -> None:
        """Write a script to a new directory that nobody else can look into."""
        try:
            with _acting_as(self._user):
                os.mkdir(directory, 0o700)  # noqa: PTH102
                self._directory = directory
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                file = os.open(_script_in(directory), flags, 0o600)
                try:
                    written = 0
                    while written < len(code):
                        written += os.write(file, code[written:])
                finally:
                    os.close(file)
        except _PowerlessError:
            raise
        except OSError as error:
            named = error.filename is not None
            raise _UnwrittenError(error.errno or 0, named) from None

    def _remove_directory(self) -> None:
        """Remove the script, and what it has put beside it."""
        directory, self._directory = self._directory, ""
        if not directory:
            return
        with suppress(_PowerlessError), _acting_as(self._user):
            try:
                os.unlink(_script_in(directory))  # noqa: PTH108
                os.rmdir(directory)  # noqa: PTH106
            except OSError:
                _remove_tree(directory)

    def _limit(self, limits: tuple[tuple[int, int, int], ...]) -> None:
        """Limit what is started from now on; there is no way back from that."""
        if not limits:
            return
        import resource  # noqa: PLC0415 (memory beside each script)

        self._reusable = False
        for number, soft, hard in limits:
            resource.setrlimit(number, (soft, hard))

    def _leave(self) -> None:
        """Be free; or guard no more what the script has left, but stay its parent."""
        self._remove_directory()
        if not self._reap() and self._reusable:
            self._forget()
            self._tell(b"free")
        elif self._leaving is not None and _now() >= self._leaving:
            self._runner.close()
            _outlive_children()

    def _see_to_the_end(self) -> None:
        """Kill what has not ended in time; tell the runner when nothing is left."""
        if self._ending is None or (self._group_lives() and _now() < self._ending):
            return
        self._signal_group(signal.SIGKILL)
        if self._whole:
            self._kill_all()
        if not self._group_lives() or _now() > self._ending + _KILL_TIME:
            self._reap()
            if self._whole:
                self._remove_directory()
            self._tell(b"gone")
            self._ending = None

    def _clear_up(self) -> NoReturn:
        """Leave nothing, and go: the runner can't."""
        self._speaks = False  # a script that is killed has not ended
        if self._script:
            self._kill_all()
            self._remove_directory()
            _kill_cgroup(self._cgroup)  # with this process
        os._exit(0)

    def _kill_all(self) -> None:
        """Kill every descendant: those whose parents die become children of ours."""
        give_up = _now() + _KILL_TIME
        self._signal_group(signal.SIGKILL)
        # Ask the kernel instead of looking at /proc: a process that forks and exits may
        # be gone at the time of the look, and its child not be there yet.
        while self._reap() and _now() < give_up:
            for child in _children():
                _send(child, signal.SIGKILL)

    def _reap(self) -> bool:
        """Bury children that have ended; tell whether there are others."""
        ended = b""
        others = True
        while others:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                others = False
                break
            if pid == 0:
                break
            if pid == self._script:
                ended = b"exited %d %f %d" % (
                    os.waitstatus_to_exitcode(status),
                    usage.ru_utime + usage.ru_stime,
                    usage.ru_maxrss * _KIBIBYTE,
                )
        if ended:
            free = not others and self._ending is None and self._reusable
            if free:
                self._remove_directory()
                self._forget()
            self._tell(ended + b" %d" % free)
        return others

    def _group_lives(self) -> bool:
        """Tell whether the group is more than zombies, which wait for others."""
        try:
            self._send_to_group(0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return any(
            group == self._script and state != b"Z" for group, state in _groups()
        )

    def _signal_group(self, number: int) -> None:
        with suppress(OSError):
            self._send_to_group(number)

    def _send_to_group(self, number: int) -> None:
        try:
            os.killpg(self._script, number)
        except PermissionError:
            if self._user is None:
                raise
            with _acting_as(self._user):
                os.killpg(self._script, number)

    def _tell(self, line: bytes) -> None:
        with suppress(OSError):  # its end is noticed by reading
            if self._speaks:
                self._runner.sendall(line + b"\n")


class _UnwrittenError(Exception):
    """The script could not be written: the error's number, and if it has a name."""


class _PowerlessError(OSError):
    """Nobody here can become the user."""


class _Nursery:
    """Forks guardians."""

    def __init__(self, channel: socket.socket, cgroup: str) -> None:
        self._channel = channel
        self._cgroup = cgroup

    def serve(self) -> NoReturn:
        """Fork a guardian for each socket that comes, as long as the runner lives."""
        child_ended = _notice_children()
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(child_ended, select.POLLIN)
        stopped: dict[int, float] = {}
        while True:
            for descriptor, _ in poll.poll(_TICK * 1000 if stopped else None):
                if descriptor == child_ended:
                    os.read(child_ended, 512)
                elif not self._fork_guardian():
                    _outlive_children(self._cgroup, stopped, adopted=False)
            while _bury(self._cgroup, os.WNOHANG | os.WUNTRACED, stopped):
                _kill_strangers()
            _kill_stopped(stopped)

    def _fork_guardian(self) -> bool:
        """Fork a guardian, if the runner is there to ask for one."""
        try:
            data, passed, _, _ = self._channel.recvmsg(1, _ONE_DESCRIPTOR)
        except OSError:
            data, passed = b"", []
        for _, _, descriptor in passed:
            number = int.from_bytes(descriptor[:4], sys.byteorder)
            with socket.socket(fileno=_private(number)) as runner:
                try:
                    guardian = os.fork()
                except OSError as error:
                    runner.sendall(b"failed %d\n" % (error.errno or 0))
                    continue
                if guardian == 0:
                    self._become_guardian(runner)
        return bool(data)

    def _become_guardian(self, runner: socket.socket) -> NoReturn:
        try:
            self._channel.close()
            _prctl(_PR_SET_NAME, b"pgagent-guard")
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
            _Guardian(runner, _enter_cgroup(self._cgroup)).serve()
        finally:
            os._exit(1)  # what it had falls to the nursery


def _script_in(directory: str) -> str:
    return f"{directory}/script"


def _remove_tree(directory: str) -> None:
    """Remove whatever can be removed, and follow no link (shutil costs memory).

    There may be nothing, or folders in folders without end.
    """
    with suppress(OSError, RecursionError):
        _empty(directory)
        os.rmdir(directory)  # noqa: PTH106
        return
    with suppress(OSError, RecursionError):  # it is gone, or locked
        _unlock(directory)
        _empty(directory)
        os.rmdir(directory)  # noqa: PTH106


def _empty(directory: str) -> None:
    for _, folders, files, place in os.fwalk(directory, topdown=False):
        for name in (*files, *folders):
            try:
                os.unlink(name, dir_fd=place)
            except OSError:
                with suppress(OSError):
                    os.rmdir(name, dir_fd=place)


def _unlock(directory: str) -> None:
    """Let this user into all folders that are his."""
    if not stat.S_ISDIR(os.lstat(directory).st_mode):
        return
    os.chmod(directory, 0o700)  # noqa: PTH101
    for _, folders, _, place in os.fwalk(directory):
        for name in folders:
            with suppress(OSError):
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    os.chmod(name, 0o700, dir_fd=place)


def _private(descriptor: int) -> int:
    """Let nobody inherit a descriptor that has come through a socket."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003
    return descriptor


def _notice_children() -> int:
    """Return what can be read when a child ends, in this process."""
    child_ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    before = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    if before >= 0:
        os.close(before)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return child_ended


@contextmanager
def _as_asked(umask: int | None, place: str | None) -> Iterator[None]:
    """Have this umask and working directory for as long as the block lasts."""
    before = None if umask is None else os.umask(umask)
    here = -1
    try:
        if place is not None:
            here = os.open(".", os.O_RDONLY)
            os.chdir(place)
        yield
    finally:
        if before is not None:
            os.umask(before)
        if here >= 0:
            os.chdir(here)
            os.close(here)


def _spawn(command: list[bytes], environment: dict[bytes, bytes], output: int) -> int:
    """Start a program in a session of its own, looked up as execvp does."""
    refused: OSError | None = None
    for program in _candidates(command[0], environment):
        try:
            return os.posix_spawn(
                program,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_RESTORED,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing


@contextmanager
def _acting_as(user: _User | None) -> Iterator[None]:
    """Have the rights of a user, not those of his other groups, while the block lasts.

    Not root's: the way back would cost all other powers.
    """
    if user is None:
        yield
        return
    own_group, own = os.getegid(), os.geteuid()
    try:
        os.setegid(user[1])
        os.seteuid(user[0])
    except OSError as error:
        os.setegid(own_group)
        raise _PowerlessError(error.errno, error.strerror) from None
    try:
        yield
    finally:
        os.seteuid(own)
        os.setegid(own_group)


def _spawn_as(
    user: _User,
    command: list[bytes],
    environment: dict[bytes, bytes],
    output: int,
    place: str | None,
) -> int:
    """Start a program as `_spawn` does, but as another user's."""
    # Who opens /dev/stdout opens this anew, and nobody else gets at it.
    os.fchmod(output, 0o622)
    reading, writing = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _execute_as(user, command, environment, output, place, writing)
        os.close(writing)
        writing = -1
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        if poll.poll(_BECOMING_TIME * 1000):
            said = os.read(reading, 64)
        else:  # somebody has stopped it on the way
            said = b"failed %d" % errno.ETIMEDOUT
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if not said:  # the descriptor was closed by the program's start
        return child
    _send(child, signal.SIGKILL)
    os.waitpid(child, 0)
    word, _, number = said.partition(b" ")
    kind = _PowerlessError if word == b"powerless" else OSError
    raise kind(int(number), os.strerror(int(number)))


def _execute_as(  # noqa: PLR0913, PLR0917
    user: _User,
    command: list[bytes],
    environment: dict[bytes, bytes],
    output: int,
    place: str | None,
    report: int,
) -> NoReturn:
    """Become a user and then a program, in a child; report why not."""
    word = b"powerless"
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _become(user)
        word = b"failed"
        _go_to(place, user[3])
        _execute(command, environment)
    except OSError as error:
        os.write(report, b"%b %d" % (word, error.errno or 0))
    finally:
        os._exit(127)


def _become(user: _User) -> None:
    """Be a user for good, with nothing left of the powers that this takes."""
    uid, gid, groups, _ = user
    if sys.platform == "linux":
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
        if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
            raise PermissionError(errno.EPERM, "the capabilities stay")
        _prctl(_PR_SET_DUMPABLE, 0)  # until this is another program
        if keyctl := _KEYCTL.get(os.uname().machine):
            # The keys of this session can be those of the runner's user.
            _libc.syscall(keyctl, _KEYCTL_JOIN_SESSION_KEYRING, None)
        return
    raise PermissionError(errno.EPERM, "for Linux only")


def _go_to(place: str | None, home: str) -> None:
    """Enter the directory that was asked for, or else the user's home."""
    if place is not None:
        os.chdir(place)
        return
    try:
        os.chdir(home)
    except (OSError, ValueError):
        os.chdir("/")


def _execute(command: list[bytes], environment: dict[bytes, bytes]) -> NoReturn:
    """Become a program, looked up as execvp does."""
    refused: OSError | None = None
    for program in _candidates(command[0], environment):
        try:
            os.execve(program, command, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing


def _candidates(program: bytes, environment: dict[bytes, bytes]) -> list[bytes]:
    if b"/" in program:
        return [program]
    path = environment.get(b"PATH", os.fsencode(os.defpath))
    return [os.path.join(folder, program) for folder in path.split(b":")]  # noqa: PTH118


def _outlive_children(
    cgroup: str = "", stopped: dict[int, float] | None = None, *, adopted: bool = True
) -> NoReturn:
    """Wait until no child is left, and go.

    Adopted children, those from other sessions, are left alone or killed; and so are
    the others if they are `stopped`, some since before.
    """
    options = 0 if adopted else os.WUNTRACED
    stopped = {} if stopped is None else stopped
    while _bury(cgroup, options | (os.WNOHANG if stopped else 0), stopped) or stopped:
        if not adopted:
            _kill_strangers()
        if stopped:
            time.sleep(_TICK)
            _kill_stopped(stopped)
    _remove_empty_cgroups(cgroup)
    os._exit(0)


def _bury(cgroup: str, options: int, stopped: dict[int, float]) -> bool:
    """Bury a child that has ended; tell whether there was one.

    If it was a guardian with a cgroup, nothing is left in there. With WUNTRACED, one
    that somebody has stopped is noted instead.
    """
    try:
        pid, status = os.waitpid(-1, options)
    except ChildProcessError:
        return False
    if pid and os.WIFSTOPPED(status):
        stopped[pid] = _now()
        return True
    stopped.pop(pid, None)
    if pid and cgroup:
        own = _cgroup_of(cgroup, pid)
        if os.path.isdir(own):  # noqa: PTH112
            _kill_cgroup(own)
            _remove_cgroup(own)
    return pid != 0


def _kill_stopped(stopped: dict[int, float]) -> None:
    """Kill the children that have been stopped for some time: they guard nothing."""
    for pid, since in list(stopped.items()):
        if _now() - since >= _STOPPED_TIME:
            del stopped[pid]
            if _stat(str(pid))[:1] == [b"T"]:
                with suppress(OSError):
                    _send(pid, signal.SIGKILL)


def _kill_strangers() -> None:
    """Kill the children that a guardian has left."""
    session = os.getsid(0)
    for child in _children():
        with suppress(OSError):
            if os.getsid(child) != session:
                _send(child, signal.SIGKILL)


def _send(pid: int, number: int) -> None:
    """Send a signal to a process, with the rights of its user if need be."""
    try:
        os.kill(pid, number)
    except PermissionError:
        with suppress(OSError, ValueError):
            uid = _user_of(pid)
            if uid:
                with _acting_as((uid, os.getegid(), (), "")):
                    os.kill(pid, number)
    except OSError:
        pass


def _user_of(pid: int) -> int:
    """Return the real user id of a process."""
    with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
        (line,) = [line for line in file if line.startswith(b"Uid:")]
    return int(line.split()[1])


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


# --- cgroups: all of this may fail, and then there is none


def _delegated_cgroup() -> str:
    """Return the directory of this process's cgroup if it may have others below it."""
    try:
        with open("/proc/self/cgroup") as file:  # noqa: PTH123
            (path,) = [line[3:-1] for line in file if line.startswith("0::")]
        with open("/proc/self/mountinfo") as file:  # noqa: PTH123
            mounts = [line.split() for line in file if " - cgroup2 " in line]
        cgroup = mounts[0][4] + path.rstrip("/")
        if os.geteuid() == 0:
            # Root may write everywhere. This is how systemd marks what it hands over.
            marks = [m for m in os.listxattr(cgroup) if m.endswith(".delegate")]
            return cgroup if marks else ""
    except (OSError, ValueError, IndexError, AttributeError):
        return ""
    return cgroup if os.access(f"{cgroup}/cgroup.procs", os.W_OK) else ""


def _cgroup_of(cgroup: str, pid: int) -> str:
    return f"{cgroup}/pgagent-{pid}"


def _enter_cgroup(cgroup: str) -> str:
    """Move this process to a cgroup of its own below that one, and return it."""
    if not cgroup:
        return ""
    own = _cgroup_of(cgroup, os.getpid())
    with suppress(OSError):
        os.mkdir(own)  # noqa: PTH102
        if os.path.exists(f"{own}/cgroup.kill"):  # noqa: PTH110
            _write(f"{own}/cgroup.procs", b"0")
            return own
    _remove_cgroup(own)
    return ""


def _kill_cgroup(cgroup: str) -> None:
    with suppress(OSError):
        if cgroup:
            _write(f"{cgroup}/cgroup.kill", b"1")


def _remove_cgroup(cgroup: str) -> None:
    """Remove a cgroup as soon as all in it have ended, which has begun."""
    give_up = _now() + _KILL_TIME
    while True:
        try:
            os.rmdir(cgroup)  # noqa: PTH106
        except OSError as error:
            if error.errno == errno.EBUSY and _now() < give_up:
                time.sleep(_TICK / 10)
                continue
        return


def _remove_empty_cgroups(cgroup: str) -> None:
    """Remove what a nursery could not that was killed after it had buried a guardian.

    Those of others that live are not empty.
    """
    if not cgroup:
        return
    with suppress(OSError):
        for name in os.listdir(cgroup):  # noqa: PTH208
            if name.startswith("pgagent-"):
                with suppress(OSError):
                    os.rmdir(f"{cgroup}/{name}")  # noqa: PTH106


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def _close_what_was_inherited() -> None:
    """Close all but the usual descriptors and the socket; there may be a billion."""
    try:
        there = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208
    except OSError:
        there = list(range(os.sysconf("SC_OPEN_MAX")))
    for descriptor in there:
        if descriptor > _CHANNEL:
            with suppress(OSError):
                os.close(descriptor)


def main() -> NoReturn:
    """Be the keeper, and the nursery's parent."""
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for power in _POWERS:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, power)
    _close_what_was_inherited()
    channel = socket.socket(fileno=_private(_CHANNEL))
    cgroup = _delegated_cgroup()
    # Memory is shared with what is forked, as long as nobody writes to it.
    gc.disable()
    gc.freeze()
    if os.fork() == 0:
        _prctl(_PR_SET_NAME, b"pgagent-nursery")
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _Nursery(channel, cgroup).serve()
    _prctl(_PR_SET_NAME, b"pgagent-keeper")
    channel.close()
    _outlive_children(cgroup, adopted=False)


if __name__ == "__main__":
    main()
