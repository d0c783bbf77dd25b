"""`pgagent init` and `pgagent update`: the catalogue without CREATE EXTENSION."""

from collections.abc import Callable

from pgagent_runner.catalog import CatalogError, LockedError
from pgagent_runner.catalog.install import Change, init, update
from pgagent_runner.verbs.database import database
from pgagent_runner.verbs.frame import Given, VerbError, say
from pgagent_runner.verbs.output import write_raw

_DONE = 'database "{0.database}": version {0.after} {1}'


def init_catalogue(given: Given) -> int:
    """Make the catalogue; what is there already is left as it is."""
    return _change(given, init)


def update_catalogue(given: Given) -> int:
    """Bring the catalogue to this version."""
    return _change(given, update)


def _change(given: Given, action: Callable[..., Change]) -> int:
    conninfo, _ = database(given)
    try:
        change = action(conninfo, dry_run=given.dry_run)
    except CatalogError as e:
        is_locked = isinstance(e, LockedError)
        more = "; nothing was changed, try again later" if is_locked else ""
        raise VerbError(f"{e}{more}") from e
    for warning in change.warnings:
        say(given, warning)
    if not change.script:
        say(given, _DONE.format(change, "is there already: nothing to do"))
    elif given.dry_run:
        write_raw(f"BEGIN;\n{change.script}COMMIT;\n")
    elif change.before is None:
        say(given, _DONE.format(change, "was installed"))
    else:
        say(given, _DONE.format(change, f"was {change.before} before"))
    return 0
