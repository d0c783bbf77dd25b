"""`pgagent init` and `pgagent update`: the catalogue without CREATE EXTENSION."""

import argparse
import os
import sys
from collections.abc import Sequence

from pgagent_runner.catalog import CatalogError, LockedError
from pgagent_runner.catalog.install import init, update
from pgagent_runner.verbs.database import add_database, database

_TEXTS = {
    "init": "Make the schema pgagent, with its tables and functions, in a database on"
    " whose server no extension can be installed. The login needs CREATE on the"
    " database and becomes the owner. A schema that is there already is left as it is.",
    "update": "Bring a schema pgagent that was made without CREATE EXTENSION, by"
    " `pgagent init` or by the script of pgAgent 3.4 to 4.2, to this version.",
}
_DONE = 'pgagent: database "{0.database}": version {0.after}, {1}\n'


def main(verb: str, arguments: Sequence[str]) -> int:
    """Do what the verb says; return 0 if all is well now, 1 if it was refused.

    Raises ConfigurationError.
    """
    options = _parser(verb).parse_args(arguments)
    action = {"init": init, "update": update}[verb]
    conninfo, _ = database(options)
    try:
        change = action(conninfo, dry_run=options.dry_run)
    except CatalogError as e:
        reason = " ".join(str(e).split())  # libpq's are of several lines
        if isinstance(e, LockedError):
            reason += "; nothing was changed, try again later"
        sys.stderr.write(f"pgagent {verb}: {reason}\n")
        return 1
    for warning in change.warnings:
        sys.stderr.write(f"pgagent {verb}: {warning}\n")
    if not change.script:
        sys.stderr.write(_DONE.format(change, "is there already: nothing to do"))
    elif options.dry_run:
        _print(f"BEGIN;\n{change.script}COMMIT;\n")
    elif change.before is None:
        sys.stderr.write(_DONE.format(change, "was installed"))
    else:
        sys.stderr.write(_DONE.format(change, f"was {change.before} before"))
    return 0


def _print(text: str) -> None:
    """Print it all, or as much as somebody reads."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The rest would be tried again at the end of the process.
        with open(os.devnull, "wb") as null:  # noqa: PTH123
            os.dup2(null.fileno(), sys.stdout.fileno())


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"pgagent {verb}",
        description=_TEXTS[verb],
        epilog="It is one transaction: all is done, or nothing.",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the SQL and change nothing; psql can execute it",
    )
    add_database(parser)
    return parser
