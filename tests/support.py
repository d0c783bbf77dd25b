"""What several tests need beside fixtures."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
import pytest
from psycopg import sql

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
    begin = time.monotonic()
    while not (value := predicate()):
        waited = time.monotonic() - begin
        if waited > deadline:
            pytest.fail(f"waited {deadline} s in vain for {what}")
        # Long waits ask less often: what is waited for needs the processor, too.
        time.sleep(min(max(0.01, waited / 10), 0.03))
    return value


def peer(pattern: str) -> Path:
    """Return a file that dev/peers has unpacked, such as "usr/bin/pgagent".

    An asterisk may stand for the name of the architecture. Tests that ask for it are
    marked as needing it.
    """
    found = next((PEERS / "root").glob(pattern), None)
    assert found is not None, f"{pattern} is not below build/peers/root"
    return found


@contextmanager
def database(
    admin: psycopg.Connection[Any],
    name: str,
    template: str = "template1",
    options: LiteralString = "",
) -> Iterator[str]:
    """Make a database, a copy of another one, and drop it at the end; give its name."""
    # The other strategy logs each page, and omits what new sessions are made from.
    strategy = "STRATEGY file_copy" if admin.info.server_version >= 150000 else ""
    command = sql.SQL(f"CREATE DATABASE {{}} TEMPLATE {{}} {options} {strategy}")
    admin.execute(command.format(*map(sql.Identifier, (name, template))))
    try:
        yield name
    finally:
        # DROP DATABASE alone would look for sessions that are ending every 0.1 s only.
        poll(lambda: not admin.execute(_TERMINATE, [name]).fetchall())
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        admin.execute(drop.format(sql.Identifier(name)))


_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


def end_session(
    conn: psycopg.Connection[Any], session: psycopg.Connection[Any]
) -> None:
    """Close a session, and wait until the server has ended it, too."""
    pid = session.info.backend_pid
    session.close()
    there = "SELECT FROM pg_stat_activity WHERE pid = %s"
    poll(lambda: not conn.execute(there, [pid]).fetchall())


def free_from_extension(conn) -> None:
    """Leave the catalogue as it is, but to nobody but its owner."""
    for kind, identity in conn.execute(_MEMBERS).fetchall():
        conn.execute(f"ALTER EXTENSION pgagent DROP {kind} {identity}")
    conn.execute("DROP EXTENSION pgagent")
