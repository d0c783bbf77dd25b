"""The command `pgagent import`, called in this process."""

from typing import NamedTuple

import pytest
from pgagent_runner.cli import main

from .timetable import TABLES


class Done(NamedTuple):
    """What a call has returned and said."""

    status: int
    out: str
    err: str


@pytest.fixture
def import_(capsys, dsn):
    """Call `pgagent import ... -d DSN`; return status, output and messages."""

    def call(*arguments):
        status = main(["import", *map(str, arguments), "-d", dsn])
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture
def pg_timetable(conn):
    """A database that has both, with no chains."""
    conn.execute(TABLES)
    return conn
