"""What several tests need beside fixtures."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build/peers"

T = TypeVar("T")

_MEMBERS = """
    SELECT o.type, o.identity
    FROM pg_depend AS d
    CROSS JOIN pg_identify_object(d.classid, d.objid, d.objsubid) AS o
    -- From PostgreSQL 17 on the types of tables' rows are members and go with the tables.
    WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
          AND (d.classid <> 'pg_type'::regclass
               OR (SELECT y.typtype = 'd' FROM pg_type AS y WHERE y.oid = d.objid))
          AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pgagent')
"""


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

    An asterisk may stand for the name of the architecture. Tests that ask for it are
    marked as needing it.
    """
    found = next((PEERS / "root").glob(pattern), None)
    assert found is not None, f"{pattern} is not below build/peers/root"
    return found


def free_from_extension(conn) -> None:
    """Leave the catalogue as it is, but to nobody but its owner."""
    for kind, identity in conn.execute(_MEMBERS).fetchall():
        conn.execute(f"ALTER EXTENSION pgagent DROP {kind} {identity}")
    conn.execute("DROP EXTENSION pgagent")
