"""`pgagent import`: jobs of pg_timetable, pg_cron and crontabs, as a file or as jobs.

What each of them becomes is in `imports/`; here is where it comes from and goes to.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.verbs import documents, toml
from pgagent_runner.verbs.database import Session, connect, fetch, reader_zone, value
from pgagent_runner.verbs.files import apply_document
from pgagent_runner.verbs.frame import Given, VerbError, say
from pgagent_runner.verbs.imports import crontab, pg_cron
from pgagent_runner.verbs.imports.found import Found
from pgagent_runner.verbs.imports.pg_timetable import Timetable, import_chains
from pgagent_runner.verbs.text import visible

# A view, a policy for rows, or a cast of a type of his own would have the owner of the
# tables call his functions by us: there is no more than a plain SELECT.
_LACKING: LiteralString = """
    SELECT min(w.name) FROM unnest(%s::text[]) AS w (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname || '.' || c.relname = w.name
              AND c.relkind = 'r' AND NOT c.relrowsecurity
    )"""
_FORBIDDEN: LiteralString = """
    SELECT min(n.nspname || '.' || c.relname)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname || '.' || c.relname = ANY (%s::text[])
          AND NOT (has_schema_privilege(n.oid, 'USAGE')
                   AND has_table_privilege(c.oid, 'SELECT'))"""
_HAS_NAMES: LiteralString = """
    SELECT count(*) = 2 FROM pg_attribute AS a
    WHERE (a.attrelid, a.attname) IN (
        ('timetable.chain'::regclass, 'chain_name'),
        ('timetable.task'::regclass, 'chain_id')
    ) AND NOT a.attisdropped"""
_SECONDS: LiteralString = "SELECT round(extract(epoch FROM %s::interval))::bigint"
_READ_ONLY: LiteralString = "SET TRANSACTION READ ONLY"
# Not that of this transaction, which is the reader's.
_ZONE: LiteralString = "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'"
_DATABASE: LiteralString = "SELECT current_database()::text"
_PRESENT: LiteralString = """
    SELECT DISTINCT j.jobname::text FROM pgagent.pga_job AS j
    WHERE j.jobname = ANY (%s::text[])"""

# What is still at work after jobs have been made here.
_BOTH = {
    "pg_timetable": "pg_timetable runs these chains, too, while they are live there",
    "pg_cron": "pg_cron runs these jobs, too; cron.unschedule() removes them there",
    "crontab": "cron runs these lines, too; crontab -e removes them there",
}


def import_jobs(given: Given) -> int:
    """Read the jobs of another scheduler; write them into a file, or make them."""
    _check(given)
    found = {
        "pg_timetable": _from_pg_timetable,
        "pg_cron": _from_pg_cron,
        "crontab": _from_crontabs,
    }[given.source](given)
    for job in found.jobs if given.disabled else ():
        job["enabled"] = False
    return _apply(given, found) if given.apply else _write(given, found)


# Where it comes from.


def _check(given: Given) -> None:
    """Raise ConfigurationError for what makes no sense together."""
    is_crontab = given.source == "crontab"
    has_format = given.csv or given.json or given.expanded
    useless = {
        "--client is for pg_timetable": given.client and given.source != "pg_timetable",
        "--timezone is for crontab": given.timezone and not is_crontab,
        "--system is for crontab": given.system and not is_crontab,
        "--from is for pg_timetable and pg_cron": given.database_from and is_crontab,
        "--user is for pg_cron and crontab": given.user
        and given.source == "pg_timetable",
        "--replace is for --apply": given.replace and not given.apply,
        "--csv, --json and -x are for --apply": has_format and not given.apply,
    }
    for reason, is_given in useless.items():
        if is_given:
            raise ConfigurationError(f"import: {reason} only")
    if is_crontab and not given.files:
        raise ConfigurationError(
            "import: which crontab? A FILE, or - for standard input, is wanted"
        )
    if given.files and not is_crontab:
        raise ConfigurationError(
            f"import: {given.source} is read from a database, not from a file"
        )


@contextmanager
def _reading(given: Given) -> Iterator[Session]:
    """Open a session with the database that the other scheduler has, to read only."""
    dbname = given.database_from or given.dbname
    with connect(argparse.Namespace(**vars(given) | {"dbname": dbname})) as session:
        session.execute(_READ_ONLY)
        yield session


def _from_pg_timetable(given: Given) -> Found:
    with _reading(given) as session:
        where = f'database "{session.info.dbname}"'
        tables = ["timetable.chain", "timetable.task", "timetable.parameter"]
        if lacking := value(session, _LACKING, [tables]):
            raise VerbError(
                f"{where}: there is no table {lacking}, of pg_timetable, that anybody"
                " may read without row security"
            )
        _refuse_forbidden(session, tables)
        if not value(session, _HAS_NAMES):
            raise VerbError(
                f"{where}: timetable.chain has no chain_name, or timetable.task no"
                " chain_id: this is pg_timetable 3 or older, which its own --upgrade"
                " brings to a version that can be read"
            )
        timetable = Timetable(
            chains=_rows(session, "SELECT * FROM timetable.chain"),
            tasks=_rows(session, "SELECT * FROM timetable.task"),
            parameters=_rows(session, "SELECT * FROM timetable.parameter"),
            database=value(session, _DATABASE),
            zone=value(session, _ZONE),
            seconds=lambda interval: value(session, _SECONDS, [interval]),
        )
        found = import_chains(timetable, given.client)
    return _elsewhere(given, found)


def _refuse_forbidden(session: Session, tables: Sequence[str]) -> None:
    """Raise VerbError if one of the tables may not be read."""
    if table := value(session, _FORBIDDEN, [tables]):
        raise VerbError(
            f'the role "{session.info.user}" may not read {table}: that takes USAGE on'
            " the schema and SELECT on its tables"
        )


def _rows(session: Session, query: LiteralString) -> list[dict[str, Any]]:
    found = fetch(session, query)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def _from_pg_cron(given: Given) -> Found:
    with _reading(given) as session:
        if session.execute(pg_cron.IS_THERE).fetchone() is None:
            raise VerbError(
                f'database "{session.info.dbname}": there is no table cron.job of the'
                " extension pg_cron; it is in the database that cron.database_name says"
            )
        _refuse_forbidden(session, ["cron.job"])
        found = pg_cron.import_jobs(
            _column(session, pg_cron.JOBS),
            zone=value(session, pg_cron.ZONE),
            user=given.user,
        )
    return _elsewhere(given, found)


def _elsewhere(given: Given, found: Found) -> Found:
    """Say what it means that the jobs may come from another server."""
    if given.database_from:
        found.say_of_all(
            "its database is one of the runner's server; for one of another server a"
            " step needs a connection string"
        )
    return found


def _column(
    session: Session, query: LiteralString, params: Sequence[object] = ()
) -> list[Any]:
    return [row[0] for row in session.execute(query, params).fetchall()]


def _from_crontabs(given: Given) -> Found:
    zone = given.timezone or reader_zone({})
    found = crontab.import_crontabs(
        [_crontab(file) for file in given.files],
        zone=zone,
        has_users=True if given.system else None,
        user=given.user,
    )
    if not given.timezone:
        found.say_of_all(
            f"times are in {zone}, the time zone of this machine, unless there is a"
            " CRON_TZ; --timezone names another"
            if zone
            else "times are in the default time zone of schedules; --timezone names one"
        )
    return found


def _crontab(file: str) -> crontab.Crontab:
    where, name = (file, Path(file).name)
    if file == "-":
        where, name = ("standard input", "crontab")
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return crontab.Crontab(where, name, data.decode())
    except OSError as e:
        raise VerbError(f"{where} can't be read: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise VerbError(f"{where} is not text in UTF-8: {e.reason}") from None


# Where it goes to.


def _write(given: Given, found: Found) -> int:
    """Write a file, with what differs at its top, and say so."""
    lines = [*found.lines()]
    path = None if given.output is None else Path(given.output)
    if path is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(_text(found, lines).encode())
    elif path.exists():
        raise VerbError(f"{path} is there already: name another file")
    else:
        documents.write(path, _text(found, lines))
    if path is not None or not sys.stdout.isatty():
        _tell(given, lines)
    return 0


def _text(found: Found, lines: Iterable[str]) -> str:
    remarks = "".join(f"# {visible(' '.join(line.split()))}\n" for line in lines)
    return f"{remarks}\n{toml.dumps(found.definition)}"


def _apply(given: Given, found: Found) -> int:
    """Make the jobs, after the question whether that is meant."""
    if not given.replace:
        with connect(given) as session:
            _leave_alone(session, found)
    _tell(given, found.lines())
    status = apply_document(given, found.definition)
    if found.jobs and not status:
        say(given, _BOTH[given.source])
    return status


def _leave_alone(session: Session, found: Found) -> None:
    """Leave out the jobs whose names are taken here."""
    names = [job["name"] for job in found.jobs]
    for name in _column(session, _PRESENT, [names]):
        found.jobs[:] = [job for job in found.jobs if job["name"] != name]
        found.leave_out(name, "there is a job of this name; --replace changes it")


def _tell(given: Given, lines: Iterable[str]) -> None:
    for line in lines:
        say(given, line)
