"""The tests in one cell of the matrix, and what became of each."""

import os
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.prefix import CACHE, ROOT, UnavailableError

_RAN = (0, 1)  # pytest's exit codes if it came to an end
_SHARED_OUT = ("--numprocesses", "2", "--dist", "loadfile")


@dataclass(frozen=True)
class Setting:
    """With what the tests run, and which of them."""

    name: str
    python: Path
    pg_config: Path
    tests: Sequence[str]
    fetched: bool


@dataclass(frozen=True)
class Outcome:
    """What became of the tests, each named by its file and its name.

    repeated: failed, and passed when all that had failed were run again.
    skipped: each with its reason.
    """

    passed: list[str]
    failed: list[str]
    repeated: list[str]
    skipped: dict[str, str]
    seconds: float


def run_tests(setting: Setting) -> Outcome:
    """Run the tests; those that fail are run again, together."""
    began = time.monotonic()
    found = _pytest(setting, [*_SHARED_OUT, *setting.tests], "")
    failed = [test for test, (status, _) in found.items() if status == "failed"]
    again = _pytest(setting, _functions(failed), "-again") if failed else {}
    repeated = [t for t in failed if again.get(t, ("failed", ""))[0] == "passed"]
    return Outcome(
        passed=[test for test, (status, _) in found.items() if status == "passed"],
        failed=[test for test in failed if test not in repeated],
        repeated=repeated,
        skipped={
            t: reason for t, (status, reason) in found.items() if status == "skipped"
        },
        seconds=time.monotonic() - began,
    )


def _pytest(
    setting: Setting, arguments: Iterable[str], suffix: str
) -> dict[str, tuple[str, str]]:
    """Run tests and return the status of each, and the reason why it was skipped."""
    logs = CACHE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", setting.name).lower() + suffix
    report, log = logs / f"{name}.xml", logs / f"{name}.log"
    report.unlink(missing_ok=True)
    command = [
        *("nice", "-n", "10", str(setting.python), "-m", "pytest"),
        *("-c", "python/pyproject.toml", "--rootdir", "."),
        # A test can say something of itself in this family of reports only.
        *("-o", "junit_family=xunit1", f"--junit-xml={report}", *arguments),
    ]
    with log.open("wb") as opened:
        code = subprocess.run(
            command,
            cwd=ROOT,
            env=_environ(setting),
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code not in _RAN or not report.exists():
        raise UnavailableError(f"pytest ended with code {code}: see {log}")
    return read_report(report)


def _environ(setting: Setting) -> dict[str, str]:
    environ = os.environ | {"PG_CONFIG": str(setting.pg_config)}
    if setting.fetched:  # what it lacks is no fault of this machine's
        environ.pop("CI", None)
    return environ


def read_report(report: Path) -> dict[str, tuple[str, str]]:
    """Return the status of each test in a report, and the reason why it was skipped."""
    found: dict[str, tuple[str, str]] = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        file = case.get("classname", "").replace(".", "/") + ".py"
        test = f"{file}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            found[test] = ("failed", "")
        elif (skipped := case.find("skipped")) is not None:
            found[test] = ("skipped", skipped.get("message", ""))
        else:
            found.setdefault(test, ("passed", ""))
    return found


def _functions(tests: Iterable[str]) -> list[str]:
    """Return the tests without parameters, some of which pytest could not be told."""
    return sorted({test.partition("[")[0] for test in tests})
