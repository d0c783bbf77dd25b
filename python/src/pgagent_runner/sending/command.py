"""A command: the event as JSON on its standard input, its words in its environment."""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pgagent_runner.sending.channels import Channel
from pgagent_runner.sending.failures import NotSentError
from pgagent_runner.sending.messages import Message, as_json, payload, values

_GUARD = Path(__file__).with_name("guard.py")
_KEPT = 4000  # bytes of what it says
_LINES = 5
_PIECE = 65536
_LONGEST = 16_000  # characters of a variable
_WORDS = ("event", "event_id", "alert", "job", "job_id", "run_id", "subject", "text")


def send(
    channel: Channel, message: Message, subject: str, text: str, deadline: float
) -> str:
    """Have a command take a message; raises NotSentError.

    Whatever it has started is killed when its time is over: by its guard, also if this
    process is no more. What it leaves behind, as mail programs do, has the same time.
    """
    body = as_json(payload(message, subject, text)).encode()
    words = values(message) | {"subject": subject, "text": text}
    seconds = max(deadline - time.monotonic(), 0.1)
    reading, writing = os.pipe()
    try:
        guard = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", os.fspath(_GUARD), str(writing)),
                *(f"{seconds:.3f}", *channel.values["command"]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(os.environ, words),
            pass_fds=[writing],
            start_new_session=True,
        )
    except OSError as e:
        os.close(reading)
        raise NotSentError(f"no process could be started: {e.strerror}") from None
    finally:
        os.close(writing)
    try:
        return _judged(guard, reading, body, deadline)
    finally:
        os.close(reading)


def _judged(
    guard: "subprocess.Popen[bytes]", reading: int, body: bytes, deadline: float
) -> str:
    """Return '' if the command has succeeded; raises NotSentError."""
    said = _Said(guard)
    threading.Thread(target=guard.wait, daemon=True).start()  # bury it
    threading.Thread(target=_write, args=(guard, body), daemon=True).start()
    left = max(deadline - time.monotonic(), 0)
    is_over = select.select([reading], [], [], left)[0]
    word = os.read(reading, 100).decode() if is_over else ""
    if word == "0":
        return ""
    told = said.last_lines()
    if not is_over:
        raise NotSentError(f"it has not ended in time, and was killed{told}")
    if word.startswith("failed "):
        why = os.strerror(int(word.removeprefix("failed ")))
        raise NotSentError(f"the command can't be started: {why}")
    if not word:
        raise NotSentError(f"its guard has been killed{told}")
    code = int(word)
    raise NotSentError(
        f"{f'signal {-code}' if code < 0 else f'exit code {code}'}{told}"
    )


class _Said:
    """The end of what a command says on its standard error."""

    def __init__(self, guard: "subprocess.Popen[bytes]") -> None:
        self._pipe = guard.stderr
        self._end = b""
        self._is_complete = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def last_lines(self) -> str:
        """Return its last lines, and do not wait long: somebody may hold it open."""
        self._is_complete.wait(0.2)
        lines = self._end.decode(errors="backslashreplace").splitlines()
        shown = " / ".join(line.strip() for line in lines if line.strip())
        shown = " / ".join(shown.split(" / ")[-_LINES:])
        return f": {shown}" if shown else ""

    def _read(self) -> None:
        pipe = self._pipe
        while pipe is not None and (data := os.read(pipe.fileno(), _PIECE)):
            self._end = (self._end + data)[-_KEPT:]
        self._is_complete.set()
        if pipe is not None:
            pipe.close()


def _write(guard: "subprocess.Popen[bytes]", body: bytes) -> None:
    pipe = guard.stdin
    if pipe is not None:
        with suppress(OSError), pipe:  # it need not read
            pipe.write(body)


def _environment(
    environ: Mapping[str, str], words: Mapping[str, str]
) -> dict[str, str]:
    """Return what a command sees: nothing of libpq's, and the words of the event."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PG")}
    told = {
        f"PGAGENT_{name.upper()}": words[name].replace("\0", "")[:_LONGEST]
        for name in _WORDS
    }
    encodable = {
        name: value.encode(errors="backslashreplace").decode()
        for name, value in told.items()
    }
    return kept | encodable
