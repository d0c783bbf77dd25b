"""The extension as the catalogs have it."""

import re
from pathlib import Path

_QUERY = (Path(__file__).parent / "members.sql").read_text()


def members(conn):
    """Return every fact about every object of the extension, as lines of text."""
    return sorted(line for (line,) in conn.execute(_QUERY))


def definitions(conn):
    """Return the members without the rows that the extension comes with."""
    return [line for line in members(conn) if not line.startswith("row of ")]


def catalogue(conn):
    """Return the definitions without what only an extension has.

    From PostgreSQL 17 on the types of tables' rows are its members too.
    """
    of_an_extension = (
        *("member ", "extension ", "dump of ", "privileges of ", "on type "),
    )
    return [line for line in definitions(conn) if not line.startswith(of_an_extension)]


def as_owned_by(role, lines):
    """Return the lines as they are where `role` owns what here the superuser does.

    The word is also a style of intervals, and the scheme of addresses.
    """
    return sorted(re.sub(r"(?<![=^'])\bpostgres\b", role, line) for line in lines)
