"""What a test may need that not every machine has: `@pytest.mark.needs("plpython")`.

Where it is missing the test is skipped, but fails where everything has to be there
(CI=true), unless only newer servers or machines have it. `make matrix` sees to it that each test runs
with some server.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NoReturn

import other_users
import psycopg
import pytest
from cluster import Cluster
from support import PEERS


@dataclass(frozen=True)
class Feature:
    """What it is, how it is found, and the fixtures that their tests need it for.

    given: it comes with a newer server than others are, or with the machine, and can't be
    fetched where it is not.
    """

    meaning: str
    is_there: Callable[[Cluster], bool]
    fixtures: frozenset[str] = frozenset()
    given: bool = False


def _accepts(command: str) -> Callable[[Cluster], bool]:
    """Whether the server carries out a command, which is rolled back."""

    def is_there(cluster: Cluster) -> bool:
        with closing(psycopg.connect(cluster.conninfo())) as conn:
            try:
                return conn.execute(command.encode()).rowcount != 0
            except psycopg.DatabaseError:
                return False

    return is_there


def _extension(name: str) -> Callable[[Cluster], bool]:
    """Whether an extension can be created: its control file alone may be there."""
    return _accepts(f'CREATE EXTENSION "{name}"')


def _peer(*patterns: str) -> Callable[[Cluster], bool]:
    """Whether dev/peers has unpacked a file for each pattern."""
    return lambda _: all(any((PEERS / "root").glob(pattern)) for pattern in patterns)


def _program(name: str) -> Callable[[Cluster], bool]:
    return lambda _: shutil.which(name) is not None


def _dumps_extensions(cluster: Cluster) -> bool:
    command = [str(cluster.bindir / "pg_dump"), "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return "--extension=" in told.stdout


FEATURES = {
    "extension": Feature(
        "a catalogue that CREATE EXTENSION has made, not `pgagent init` (PLAIN=1)",
        lambda _: not os.environ.get("PLAIN"),
    ),
    "pgagent_4_2": Feature(
        "the extension and the daemon of pgAgent 4.2",
        _peer("usr/share/postgresql/*/extension/pgagent--4.2.sql", "usr/bin/pgagent"),
        frozenset({"template_42", "daemon_42"}),
    ),
    "check_postgres": Feature(
        "the check of check_postgres on pgAgent's jobs, which monitors use",
        _peer("usr/bin/check_postgres"),
    ),
    "libfaketime": Feature(
        "a library that moves a server's clock",
        _peer("usr/lib/*/faketime/libfaketime.so.1"),
    ),
    "pgbouncer": Feature("the pooler PgBouncer", _peer("usr/sbin/pgbouncer")),
    "prometheus": Feature(
        "Prometheus, and promtool, which checks metrics and rules",
        _peer("usr/bin/promtool", "usr/bin/prometheus"),
    ),
    "postgres_exporter": Feature(
        "an exporter that asks a server for metrics",
        _peer("usr/bin/prometheus-postgres-exporter"),
    ),
    "pgpool": Feature("the pooler pgpool-II", _peer("usr/sbin/pgpool")),
    "plpython": Feature(
        "PL/Python, which the extension pgagent_python is written in",
        _extension("plpython3u"),
    ),
    "plpgsql_check": Feature(
        "the extension plpgsql_check, which looks for faults in functions",
        _extension("plpgsql_check"),
    ),
    "pg_cron": Feature(
        "the extension pg_cron, whose jobs are taken over",
        _accepts("SELECT FROM pg_available_extensions WHERE name = 'pg_cron'"),
        frozenset({"pg_cron"}),
    ),
    "contrib": Feature(
        "PostgreSQL's own further extensions, such as dblink", _extension("dblink")
    ),
    "pg_upgrade": Feature(
        "the program pg_upgrade of the same version as the server",
        lambda cluster: (cluster.bindir / "pg_upgrade").exists(),
    ),
    "pg_read_all_data": Feature(
        "the role pg_read_all_data: PostgreSQL 14 or later",
        _accepts("SELECT 'pg_read_all_data'::regrole"),
    ),
    "pg_dump_of_extensions": Feature(
        "pg_dump's option --extension: PostgreSQL 14 or later", _dumps_extensions
    ),
    "client_connection_check_interval": Feature(
        "the setting by which a statement ends when its runner is gone:"
        " PostgreSQL 14 or later",
        _accepts("SHOW client_connection_check_interval"),
    ),
    "grant_options": Feature(
        "a server that grants memberships with options, from PostgreSQL 16 on",
        _accepts("CREATE ROLE a; CREATE ROLE b; GRANT a TO b WITH SET FALSE"),
        given=True,
    ),
    "infinite_intervals": Feature(
        "spans of time without an end: PostgreSQL 17 or later",
        _accepts("SELECT interval 'infinity'"),
        given=True,
    ),
    "other_users": Feature(
        "root, who may start scripts as other users, and a Python that those can use",
        lambda _: other_users.are_there(),
        given=True,
    ),
    "openssl": Feature("the program that makes certificates", _program("openssl")),
    "zsh": Feature("the shell zsh", _program("zsh"), given=True),
    "fish": Feature("the shell fish", _program("fish"), given=True),
    "man": Feature("the program that shows man pages", _program("man"), given=True),
    "systemd_analyze": Feature(
        "the program that reads unit files", _program("systemd-analyze"), given=True
    ),
}


def mark(item: pytest.Item) -> None:
    """See to it that what a test needs is asked for before its other fixtures.

    Raises pytest.UsageError where a test needs what FEATURES does not know.
    """
    if not isinstance(item, pytest.Function):
        return
    for name, feature in FEATURES.items():
        if feature.fixtures.intersection(item.fixturenames):
            item.add_marker(pytest.mark.needs(name))
    needs = list(needs_of(item))
    if unknown := set(needs) - set(FEATURES):
        raise pytest.UsageError(
            f"{item.nodeid} needs {', '.join(sorted(unknown))}: not in tests/features.py"
        )
    if needs:
        item.fixturenames.insert(0, "needed")


def needs_of(item: pytest.Item) -> Iterator[str]:
    """Yield the names of the features that a test needs."""
    for marker in item.iter_markers("needs"):
        yield from marker.args


def lack(name: str) -> NoReturn:
    """Skip the test for want of a feature, or fail it where nothing may be missing."""
    reason = f"needs {name}: {FEATURES[name].meaning}"
    if os.environ.get("CI") == "true" and not FEATURES[name].given:
        missing = PEERS / "missing"
        names = missing.read_text().split() if missing.exists() else ["anything yet"]
        fetched = f"; dev/peers could not fetch {', '.join(names)}" if names else ""
        pytest.fail(reason + fetched)
    pytest.skip(reason)
