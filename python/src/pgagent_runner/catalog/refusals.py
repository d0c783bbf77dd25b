"""Why the database has refused something, in one sentence that names the remedy."""

import re

import psycopg

from pgagent_runner.catalog.errors import CatalogError

# What a name that is not qualified is not found as: table, function, type, schema.
_UNKNOWN_NAMES = frozenset(("42P01", "42883", "42704", "3F000"))
_FUNCTION = re.compile(r"^PL/\S+ function (?!pgagent\.)(.+?\)) line ", re.MULTILINE)
_SCHEMA = re.compile(r"""("(?:[^"]|"")*"|[^.("]+)\.""")

# Errors that say nothing of the job, by their class or as they are: serialization,
# resources, an operator, a server that only reads, a lock.
_PASSING_CLASSES = frozenset(("40", "53", "57"))
_PASSING = frozenset(("25006", "55P03"))
_CANCELLED = "57014"
_OUR_KEY = re.compile(r"pga_[a-z]+_pkey")


def diagnosis(error: CatalogError) -> psycopg.errors.Diagnostic | None:
    """Return what the server has said, if it has."""
    cause = error.__cause__
    return cause.diag if isinstance(cause, psycopg.Error) else None


def is_passing(error: CatalogError) -> bool:
    """Tell whether the same may well succeed a little later."""
    sqlstate = _sqlstate(error)
    return sqlstate[:2] in _PASSING_CLASSES or sqlstate in _PASSING


def was_cancelled(error: CatalogError) -> bool:
    """Tell whether it took too long, or somebody has cancelled it."""
    return _sqlstate(error) == _CANCELLED


def has_taken_id(error: CatalogError) -> bool:
    """Tell whether a sequence of ours has drawn an id that is taken."""
    said = diagnosis(error)
    return _sqlstate(error) == "23505" and bool(
        said and _OUR_KEY.fullmatch(said.constraint_name or "")
    )


def explain_refusal(error: CatalogError) -> str:
    """Say why, in which function of a user, and what helps if that misses a name."""
    said = diagnosis(error)
    found = _FUNCTION.search((said.context if said else None) or "")
    if found is None:
        return str(error)
    name = found[1]
    where = f"{error}, in function {name}"
    if _sqlstate(error) not in _UNKNOWN_NAMES:
        return where
    schema = _SCHEMA.match(name)
    path = ["public", "pg_temp"]
    if schema is not None and schema[1] != "public":
        path.insert(0, schema[1])
    return (
        f"{where}, which has to qualify that name, or:"
        f" ALTER FUNCTION {name} SET search_path = {', '.join(path)}"
    )


def _sqlstate(error: CatalogError) -> str:
    said = diagnosis(error)
    return (said.sqlstate if said else None) or ""
