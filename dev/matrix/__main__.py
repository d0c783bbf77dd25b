"""Run the cells that are asked for, print a line of each, and write the document."""

import argparse
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cluster import server_user

from matrix import pythons, report
from matrix.prefix import ROOT, UnavailableError, run
from matrix.results import Result, code
from matrix.suite import Setting, run_tests
from matrix.table import PYTHONS, SERVERS

_HERE = "this machine"


def main() -> int:
    """Return 0 if nothing failed, and each test ran somewhere."""
    options = _options()
    chosen = options.pg or options.py
    cells = [
        *(("PostgreSQL", v) for v in options.pg or (() if chosen else SERVERS)),
        *(("Python", v) for v in options.py or (() if chosen else PYTHONS)),
    ]
    failed = False
    for kind, version in cells:
        result = _seen(kind, version, options.tests)
        print(result.line(), flush=True)
        for test in result.outcome.failed if result.outcome else []:
            print(f"    failed: {test}", flush=True)
            failed = True
        if not options.tests:
            result.keep()
    return int(not report.write() or failed) if not options.tests else int(failed)


def _seen(kind: str, version: str, tests: list[str]) -> Result:
    """Run a cell's tests; what can't be had is said in the result."""
    began = Result(kind, version, datetime.now(UTC).date().isoformat(), code())
    make = _server_cell if kind == "PostgreSQL" else _python_cell
    try:
        made_of, setting = make(version, tests)
        return replace(began, **made_of, outcome=run_tests(setting))
    except UnavailableError as e:
        return replace(began, problem=str(e))


def _server_cell(version: str, tests: list[str]) -> tuple[dict[str, str], Setting]:
    own = _own_server()
    if _server_version(own).partition(".")[0] == version:
        pg_config, origin = own, _HERE
    else:
        source = SERVERS[version]
        pg_config, origin = source.fetch(), source.name
        _see_that_servers_may_read(pg_config)
    python = Path(sys.executable)
    made_of = {
        "origin": origin,
        "exact": _server_version(pg_config),
        "beside": pythons.version_of(python),
    }
    name, tests = f"PostgreSQL {version}", tests or ["tests"]
    return made_of, Setting(name, python, pg_config, tests, fetched=origin != _HERE)


def _python_cell(version: str, tests: list[str]) -> tuple[dict[str, str], Setting]:
    python, origin = pythons.environment(version)
    pg_config = _own_server()
    made_of = {
        "origin": origin,
        "exact": pythons.version_of(python),
        "beside": _server_version(pg_config),
    }
    name, tests = f"Python {version}", tests or ["tests/runner"]
    return made_of, Setting(name, python, pg_config, tests, fetched=False)


def _see_that_servers_may_read(file: Path) -> None:
    """Raise UnavailableError if root's servers, which are not root's, could not."""
    if os.geteuid() != 0:
        return
    user = server_user()
    drop = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}")
    try:
        run(*drop, "--clear-groups", "test", "-x", file)
    except UnavailableError:
        raise UnavailableError(
            f"{user.pw_name}, the user of root's servers, can't look into"
            f" {file.parent}: run it as an ordinary user, or from another directory"
        ) from None


def _own_server() -> Path:
    """Return the pg_config of the server that other tests run with."""
    return Path(run(ROOT / "dev/pg_config", "--bindir").strip()) / "pg_config"


def _server_version(pg_config: Path) -> str:
    return run(pg_config, "--version").strip().removeprefix("PostgreSQL ")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make matrix")
    parser.add_argument(
        "--pg", type=str.split, default=[], help="servers, as in '13 14'"
    )
    parser.add_argument(
        "--py", type=str.split, default=[], help="Pythons, as in '3.14'"
    )
    parser.add_argument(
        *("--tests", "-T"), type=str.split, default=[],
        help="instead of all tests; nothing is then written",
    )  # fmt: skip
    options = parser.parse_args()
    for asked, known in ((options.pg, SERVERS), (options.py, PYTHONS)):
        for version in asked:
            if version not in known:
                parser.error(f"there is no {version}, only {', '.join(known)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
