"""The catalogue where no extension can be installed: what makes and updates it.

The scripts are those of the extension, which `make` puts beside this module: tables,
a look at whose they are and what is in the way, changes from older ones, functions.
The version of a schema is read from the text of its function pgagent_version(), which
is not called: it could be anybody's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from psycopg.errors import Diagnostic

from pgagent_runner.catalog.connection import (
    BlockingConnection,
    connect,
    translated_errors,
)
from pgagent_runner.catalog.errors import CatalogError

_SCRIPTS = Path(__file__).parent / "sql"
# As CREATE EXTENSION has it for an extension's script.
_HEAD = """\
SET LOCAL check_function_bodies = off;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
"""
_NEW_SCHEMA = "CREATE SCHEMA IF NOT EXISTS pgagent;\n"

# Running jobs wait behind an update that waits for a lock on all of a table: in the end
# for so long that their runner gives them up.
_LOCK_TIMEOUT = 3.0  # seconds

_ONE_AT_A_TIME = "SELECT pg_catalog.pg_advisory_xact_lock(7421990250172911::bigint)"

# The tables of 3.4 to 4.2 are the same; 5.0.0 had no function that tells. A column does
# not tell either, for it may be the user's own.
_FOUND = """
    SELECT (SELECT e.extversion FROM pg_catalog.pg_extension AS e
            WHERE e.extname = 'pgagent'),
           COALESCE(
               (SELECT pg_catalog.regexp_replace(p.prosrc, '[^0-9.]+', '', 'g')
                FROM pg_catalog.pg_proc AS p
                WHERE p.oid = pg_catalog.to_regprocedure('pgagent.pgagent_version()')),
               (SELECT CASE WHEN EXISTS (
                    SELECT FROM pg_catalog.pg_proc AS p
                    WHERE p.pronamespace = c.relnamespace
                          AND p.proname = 'pga_agent_register'
                ) THEN '5.0.0' ELSE '4.2' END
                FROM pg_catalog.pg_class AS c
                WHERE c.oid = pg_catalog.to_regclass('pgagent.pga_job'))
           )
"""


@dataclass(frozen=True)
class Change:
    """What is done to the catalogue of a database, or would be.

    before, after: versions; `before` is None where there was no catalogue.
    script: the SQL that it takes, for one transaction; empty if nothing is to be done.
    warnings: what the database had to say about it.
    """

    database: str
    before: str | None
    after: str
    script: str
    warnings: tuple[str, ...] = ()


def init(conninfo: str, *, dry_run: bool = False) -> Change:
    """Make the catalogue in a database that has none.

    One that is there already, extension or not, is left as it is. Raises CatalogError
    if it is of another version, if the database refuses, or if this package has no
    scripts.
    """
    return _change(conninfo, _script_of_init, dry_run=dry_run)


def update(conninfo: str, *, dry_run: bool = False) -> Change:
    """Bring a catalogue that was made without CREATE EXTENSION to this version.

    That of pgAgent 3.4 to 4.2 is taken over with all its rows. Raises CatalogError if
    there is none, if it belongs to an extension, if it is newer, if tables or functions
    in the schema are another role's (not a superuser's), if somebody has locked it, if
    the database refuses, if something that people have made is in the way, or if this
    package has no scripts.
    """
    return _change(conninfo, _script_of_update, dry_run=dry_run)


def _change(
    conninfo: str, script_of: Callable[[str | None, str], str], *, dry_run: bool
) -> Change:
    after = version("pgagent-runner")
    session = connect(conninfo, _LOCK_TIMEOUT)
    warnings: list[str] = []
    session.add_notice_handler(lambda d: warnings.append(_text_of(d)))
    database = session.info.dbname
    with session, translated_errors(session), session.transaction():
        session.execute(_ONE_AT_A_TIME)
        extension, before = _found(session)
        if extension is not None and extension != after:
            raise CatalogError(
                f'database "{database}" has the extension pgagent {extension}; the'
                " statement ALTER EXTENSION pgagent UPDATE brings it to the version"
                " whose files the server has"
            )
        script = "" if before == after else script_of(before, after)
        if script and not dry_run:
            session.execute(f"{_HEAD}{script}".encode())
    return Change(
        *(database, before, after, script and f"{_HEAD}{script}", tuple(warnings))
    )


def _text_of(notice: Diagnostic) -> str:
    texts = (notice.message_primary, notice.message_detail)
    return "\n".join(text for text in texts if text)


def _found(session: BlockingConnection) -> tuple[str | None, str | None]:
    """Return the versions of the extension and of the catalogue, None for none."""
    extension, catalogue = session.execute(_FOUND).fetchone() or (None, None)
    return extension, extension or catalogue


def _script_of_init(before: str | None, after: str) -> str:
    if before is not None:
        raise CatalogError(
            f'the schema "pgagent" is there already, in version {before}, and this is'
            f" {after}: pgagent update is for that"
        )
    return _NEW_SCHEMA + _read("tables.sql") + _read("functions.sql")


def _script_of_update(before: str | None, after: str) -> str:
    if before is None:
        raise CatalogError(
            'there is no schema "pgagent" with its tables yet: pgagent init makes it'
        )
    deltas = {
        path.stem.partition("--")[0]: path.stem.partition("--")[2]
        for path in _SCRIPTS.glob("*--*.sql")
    }
    script, at = _read("trust.sql") + _read("obstacles.sql"), before
    while at != after:
        if at not in deltas:
            raise CatalogError(
                f'the schema "pgagent" is of version {before}, from which no way leads'
                f" to {after}, that of this program"
            )
        script += _read(f"{at}--{deltas[at]}.sql")
        at = deltas[at]
    return script + _read("functions.sql")


def _read(name: str) -> str:
    try:
        return (_SCRIPTS / name).read_text()
    except FileNotFoundError:
        raise CatalogError(
            f"this installation of pgagent has no file {name}: it was built from a"
            " checkout without `make`"
        ) from None
