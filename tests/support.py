"""What several tests need beside fixtures."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

ROOT = Path(__file__).resolve().parent.parent

T = TypeVar("T")


def poll(
    predicate: Callable[[], T], deadline: float = 10, what: str = "the expected state"
) -> T:
    """Return the first true value of `predicate`, or fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (value := predicate()):
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline} s in vain for {what}")
        time.sleep(0.01)
    return value


def peer(pattern: str) -> Path:
    """Return a file that dev/peers has unpacked, such as "usr/bin/pgagent".

    An asterisk may stand for the name of the architecture.
    """
    peers = ROOT / "build/peers"
    found = next(peers.glob(f"root/{pattern}"), None)
    if found is None:
        missing = peers / "missing"
        why = missing.read_text() if missing.exists() else "Run dev/peers."
        unavailable(f"{pattern} is not below build/peers/root. {why}".strip())
    return found


def need_extension(conn, name: str) -> None:
    """Create an extension of another package, if its files could be had."""
    known = "SELECT FROM pg_available_extensions WHERE name = %s"
    if conn.execute(known, (name,)).fetchone() is None:
        unavailable(f"The server has no extension {name} (see build/peers/missing).")
    conn.execute(f'CREATE EXTENSION "{name}"')


def unavailable(reason: str) -> NoReturn:
    """Skip the test, but fail it where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
