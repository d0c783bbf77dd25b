"""Start the command `pgagent` as often as tests like.

Each call is a process of its own, with arguments, variables and files of its own, which
runs the installed script. But it is forked by a process that has loaded what every call
loads before it looks at its arguments (`forking_server.py`), and takes a tenth of the
processor's time. What has to do with how a process begins, with its command line or with
a terminal is tested with programs that are started as users do it.
"""

import atexit
import json
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import forking_server

PGAGENT = Path(sysconfig.get_path("scripts")) / "pgagent"

# What Python, and what it has loaded, only ask for at their start.
_AT_START = re.compile("PYTHON|LANG|LC_|LD_|MALLOC_|GLIBC_|PSYCOPG_|OPENSSL_")
# What verbs, and what the runner, load whatever they are to do.
_VERB = (
    "pgagent_runner.cli",
    "pgagent_runner.verbs.frame",
    "pgagent_runner.verbs.table",
)
_RUN = ("pgagent_runner.cli", "pgagent_runner.agent")
_ENVIRON = dict(os.environ)
_MOST_INPUT = 32 * 1024  # bytes, which a pipe takes at once


class Forked:
    """A process that was forked: what tests need of subprocess.Popen."""

    def __init__(self, answer: socket.socket) -> None:
        self._answer = answer
        self._said = b""
        self.returncode: int | None = None
        self.pid = int(self._line(None) or 0)

    def poll(self) -> int | None:
        """Return its exit code, if it has ended."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, or raise subprocess.TimeoutExpired; return its exit code."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(str(PGAGENT), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and (line := self._line(seconds)) is not None:
            self.returncode = os.waitstatus_to_exitcode(int(line))
            self._answer.close()
        return self.returncode

    def _line(self, seconds: float | None) -> str | None:
        """Return the next line of the answer, or None if it does not come in time."""
        until = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._said:
            left = None if until is None else max(until - time.monotonic(), 0)
            if not select.select([self._answer], [], [], left)[0]:
                return None
            data = self._answer.recv(64)
            assert data, "the forking server has ended"
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()


class _Server:
    """The process that forks."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(forking_server.__file__), *modules],
                env=_ENVIRON,
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        atexit.register(self._end)

    def fork(self, request: dict[str, Any], files: Sequence[int]) -> Forked:
        body = json.dumps(request).encode()
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            header = len(body).to_bytes(forking_server.HEADER)
            socket.send_fds(self._control, [header], [*files, theirs.fileno()])
            self._control.sendall(body)
        return Forked(ours)

    def _end(self) -> None:
        self._control.close()
        self._process.wait()


_server = cache(_Server)


def is_forkable(words: Sequence[object], environ: Mapping[str, str]) -> bool:
    """Whether a process would begin as the forking server has."""
    asked = {name: value for name, value in environ.items() if _AT_START.match(name)}
    given = {name: value for name, value in _ENVIRON.items() if _AT_START.match(name)}
    is_verb = len(words) > 1 and re.match(r"\w", os.fsdecode(str(words[1])))
    return words[0] == PGAGENT and bool(is_verb) and asked == given


def start(
    words: Sequence[object],
    environ: Mapping[str, str],
    files: Sequence[int],
    directory: object = None,
    *,
    new_session: bool = False,
) -> Forked:
    """Start the command, of which `is_forkable` is true, with these standard files."""
    texts = [os.fsdecode(w) if isinstance(w, bytes) else str(w) for w in words]
    request = {
        "words": texts,
        "environ": dict(environ),
        "directory": str(directory or Path.cwd()),
        "new_session": new_session,
    }
    return _server(_RUN if texts[1] == "run" else _VERB).fork(request, files)


def run(
    words: Sequence[object],
    *,
    env: Mapping[str, str],
    cwd: object = None,
    input: str = "",  # noqa: A002
    text: bool = True,
    timeout: float = 30,
) -> subprocess.CompletedProcess[Any]:
    """Run the command to its end, as subprocess.run does, which takes what is special."""
    data = input.encode()
    if not is_forkable(words, env) or len(data) > _MOST_INPUT:
        return _run_as_users_do(words, env, cwd, data, timeout, text=text)
    pipes = [os.pipe() for _ in range(forking_server.FILES)]
    (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = pipes
    try:
        process = start(words, env, (stdin, stdout, stderr), cwd)
        os.write(to_stdin, data)
    finally:
        for number in (stdin, to_stdin, stdout, stderr):
            os.close(number)
    try:
        said = _read(time.monotonic() + timeout, from_stdout, from_stderr)
        process.wait(timeout)
    finally:
        process.kill()
        os.close(from_stdout)
        os.close(from_stderr)
    return _completed(words, process.wait(), said, text=text)


def _run_as_users_do(
    words: Sequence[Any],
    environ: Mapping[str, str],
    directory: Any,
    data: bytes,
    timeout: float,
    *,
    text: bool,
) -> subprocess.CompletedProcess[Any]:
    done = subprocess.run(
        words,
        env=environ,
        cwd=directory,
        input=data,
        capture_output=True,
        check=False,
        timeout=timeout,
    )
    return _completed(words, done.returncode, [done.stdout, done.stderr], text=text)


def _completed(
    words: Sequence[Any], code: int, said: Sequence[bytes], *, text: bool
) -> subprocess.CompletedProcess[Any]:
    texts = [_text(part) for part in said] if text else said
    return subprocess.CompletedProcess(words, code, *texts)


def _read(until: float, *numbers: int) -> list[bytes]:
    """Read these files to their ends, as bytes."""
    said = {number: bytearray() for number in numbers}
    with selectors.DefaultSelector() as selector:
        for number in numbers:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(until - time.monotonic(), 0))
            if not ready:
                raise subprocess.TimeoutExpired(str(PGAGENT), 0)
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                said[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [bytes(part) for part in said.values()]


def _text(data: bytes) -> str:
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")
