"""The runner's child, which hides from others of its user before all else.

The runner is at the other end of its standard input, a socket: it says what is to be
done when this process is `ready`, in a line of JSON. What is to be logged goes back as
lines, and last of all `report` and JSON: see `agent/children.py`.
"""

import json
import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from pgagent_runner.secrecy import hide

_PATIENCE = 60  # seconds
_LONGEST = 1 << 20  # bytes of what is to be done


def main() -> int:
    """Do what the runner says; return the exit code."""
    hide()
    signal.alarm(_PATIENCE)  # also if the runner is frozen
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        sys.stderr.write("this is for the runner: see pgagent send-alerts --help\n")
        return 2
    with socket.socket(fileno=os.dup(0)) as runner:
        runner.sendall(b"ready\n")
        task = _task(runner)
        if task is None:
            return 0
        with suppress(BrokenPipeError, ConnectionError):  # the runner is no more
            runner.sendall(f"report {json.dumps(_done(task))}\n".encode())
    return 0


def _task(runner: socket.socket) -> dict[str, Any] | None:
    """Return what is to be done; None if the runner is no more."""
    told = b""
    while not told.endswith(b"\n"):
        part = runner.recv(65536)
        if not part or len(told) > _LONGEST:
            return None
        told += part
    task: dict[str, Any] = json.loads(told)
    return task


def _done(task: dict[str, Any]) -> dict[str, Any]:
    """Do it; return the report."""
    # All that takes time to load, in hiding.
    from pgagent_runner.catalog.errors import CatalogError  # noqa: PLC0415
    from pgagent_runner.configuration import (  # noqa: PLC0415
        ConfigurationError,
        load,
    )
    from pgagent_runner.sending import alive, channels, errand  # noqa: PLC0415

    errand.live_shortly(lambda: _say("sending has taken too long"))
    try:
        file = load(Path(task["file"]), {})
        if task["pings"]:
            if error := alive.ping(file):
                _say(f"the URL of [alive] could not be told: {error}")
            return {"failed": bool(error)}
        found = channels.read_channels(file)
        for complaint in found.complaints:
            _say(complaint)
        for name in task["without"]:
            found.found.pop(name, None)
        if task["only_checks"]:
            return {}
        outcome = errand.send_waiting(task["conninfo"], found, _say, lambda _: None)
    except (ConfigurationError, CatalogError) as e:
        _say(str(e))
        return {}
    return {
        "sent": outcome.sent,
        "failed": list(outcome.failed),
        "left": outcome.left,
    }


def _say(text: str) -> None:
    """Have the runner log a sentence."""
    line = " ".join(text.split())
    with suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))


if __name__ == "__main__":
    sys.exit(main())
