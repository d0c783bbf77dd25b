"""Be the command `pgagent` again and again, without loading what each call loads anew.

    python forking_server.py MODULE...

It imports these modules once, and forks for each request that comes through its standard
input, a socket: a length, the files that become those of the new process and a socket
for the answer beside it, and JSON. The child runs the installed script; the answer is the
child's process id, and, when it has ended, what wait() says. See `forking.py`.
"""

import ctypes
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

FILES = 3
HEADER = 4  # bytes
_PR_SET_NAME = 15
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork until nobody is there who asks; return, in each child, what was asked."""
    woken, waker = socket.socketpair()
    woken.setblocking(False)  # noqa: FBT003
    waker.setblocking(False)  # noqa: FBT003
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    answers: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _tell_ends(answers)
        if control not in ready:
            continue
        header, files, _, _ = socket.recv_fds(control, HEADER, FILES + 1)
        if not header:
            return None
        request = json.loads(_received(control, int.from_bytes(header)))
        with socket.socket(fileno=files.pop()) as answer:
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for end in (control, woken, waker, *answers.values()):
                    end.close()
                return dict(request) | {"files": files}
            answer.sendall(f"{pid}\n".encode())
            answers[pid] = answer.dup()
        for number in files:
            os.close(number)


def become(asked: dict[str, Any]) -> None:
    """Take on the arguments, variables, directory and files of a new process."""
    if asked["new_session"]:
        os.setsid()
    for place, number in enumerate(asked["files"]):
        os.dup2(number, place)
    os.closerange(FILES, max(asked["files"]) + 1)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    sys.argv = asked["words"]
    if sys.platform == "linux":
        program = Path(sys.argv[0]).name.encode()
        ctypes.CDLL(None).prctl(_PR_SET_NAME, program, 0, 0, 0)
    for place, (name, mode) in enumerate(_STREAMS):
        old: TextIO = getattr(sys, name)
        new = io.TextIOWrapper(
            open(place, f"{mode}b", closefd=False),  # noqa: SIM115
            encoding=old.encoding,
            errors=old.errors,
            newline="\n",
        )
        new.reconfigure(line_buffering=name == "stderr" or new.isatty())
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _received(control: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += control.recv(size - len(data))
    return bytes(data)


def _tell_ends(answers: dict[int, socket.socket]) -> None:
    while answers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with answers.pop(pid) as answer:
            try:
                answer.sendall(f"{status}\n".encode())
            except BrokenPipeError:  # nobody waits for it
                continue


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    asked = serve(socket.socket(fileno=os.dup(0)))
    if asked is not None:
        become(asked)
        runpy.run_path(sys.argv[0], run_name="__main__")
