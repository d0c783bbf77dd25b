"""Try what has to hold before a change is called done: `make gates`.

One line a gate; what a gate has to say is kept in build/gates/. ONLY=word chooses by
name. A gate is a line of the table below.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build/gates"
RUNNER = ROOT / "python/src/pgagent_runner"
CONFIG = "python/pyproject.toml"

PYTEST = [sys.executable, "-m", "pytest", "-c", CONFIG, "--rootdir", "."]


def tests(*paths: str) -> list[str]:
    """Return the command that runs these tests."""
    return [*PYTEST, *(f"tests/{path}" for path in paths)]


GATES = {
    "pgAdmin's dialogs, with other jobs beside": tests("pgadmin"),
    "4.2's daemon, beside the runner and instead": tests(
        "daemon/test_beside_4_2.py", "daemon/test_command_of_4_2.py"
    ),
    "an update from each old version ends as a fresh installation": tests(
        "extension/test_upgrade.py", "extension/test_members.py"
    ),
    "without CREATE EXTENSION it is the same catalogue": tests(
        "extension/test_plain.py"
    ),
    "runners of this version and the one before go on during an update": tests(
        "extension/test_update_under_runners.py"
    ),
    "the next version can be begun, built and upgraded to": tests(
        "extension/test_release.py"
    ),
    "dump and restore, pg_upgrade": tests(
        "extension/test_dump_restore.py", "extension/test_pg_upgrade.py"
    ),
    "every encoding that a database can have is served": [
        *("env", "ENCODINGS=all"),
        *tests("extension/test_encodings.py"),
    ],
    "what is new has its comment, grants and search_path": tests(
        "extension/test_rules.py"
    ),
    "pg_cron's jobs move as the document says: each minute has one run": [
        *("env", "MOVING=real"),
        *tests("docs/test_moving.py"),
    ],
    "a thousand runs of different roles in the same sessions: nothing passes": [
        *("env", "RUNS=1000"),
        *tests("security/test_alternating.py"),
    ],
    "a thousand jobs at once, and hundreds of reconnections, leave nothing behind": [
        *("env", "JOBS_AT_ONCE=1000", "RECONNECTS=200", "LEASES=200"),
        *tests(
            "daemon/test_many_jobs.py",
            "daemon/test_reconnecting.py",
            "runner/test_lease.py",
        ),
    ],
    "no statement escapes from the role of its step": tests("security/test_escapes.py"),
    "the runner loads no room beside it": tests("daemon/test_rooms.py"),
    "the wheel installs, and runs": ["make", "dist"],
}
"""Each with the command that succeeds if it holds."""


def main(only: str) -> int:
    """Try the gates with this word in their name; return how many do not hold."""
    chosen = [name for name in GATES if only in name]
    if not chosen:
        sys.exit(f"no gate has {only!r} in its name: {'; '.join(GATES)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = sum(not holds(name, GATES[name]) for name in chosen)
    files = [path.read_text() for path in sorted(RUNNER.rglob("*.py"))]
    lines = sum(text.count("\n") for text in files)
    print(f"the runner has {lines} lines in {len(files)} files")
    print(f"{len(chosen) - failed} of {len(chosen)} gates hold")
    return failed


def holds(name: str, command: list[str]) -> bool:
    """Try a gate, and print how it went."""
    log = LOGS / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.log"
    begin = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        # Where this is set, tests fail if what they need can't be had.
        env=os.environ | {"CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    log.write_text(done.stdout + done.stderr)
    last = (done.stdout.strip() or done.stderr.strip() or "nothing said").splitlines()
    summary = last[-1].strip("= ")
    if " in " not in summary:
        summary += f" in {time.monotonic() - begin:.0f} s"
    holding = done.returncode == 0
    print(f"{'holds' if holding else 'FAILS'}  {name}: {summary}", flush=True)
    if not holding:
        print(f"       {log.relative_to(ROOT)} has it all", flush=True)
    return holding


if __name__ == "__main__":
    sys.exit(bool(main(os.environ.get("ONLY", ""))))
