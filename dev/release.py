"""Releases: what has to be true of one, what is kept of it, and what comes next.

    release.py check        is this version fit to be released?
    release.py freeze       keep its scripts and its runner in tests/baseline
    release.py next 5.2.0   begin the next version

docs/releasing.md tells when to do which.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tests/baseline"
SUMS = BASELINE / "SHA256SUMS"
SEMVER = re.compile(r"\d+\.\d+\.\d+")
SQL = "pgagent_runner/catalog/sql"


def version() -> str:
    """Return the version: the one place that it comes from."""
    return _first(r"^default_version = '(.*)'$", "extension/pgagent.control")


def deltas() -> dict[str, str]:
    """Return the chain of upgrades: old version -> new one."""
    names = [path.stem for path in (ROOT / "sql/upgrade").glob("[0-9]*--*.sql")]
    return dict(sorted(name.split("--") for name in names))


def released() -> list[str]:
    """Return the versions of ours that upgrades begin with."""
    return [old for old in deltas() if old != "4.2"]


def one_version() -> Iterator[str]:
    """Name places that say another version."""
    places = {
        "META.json": json.loads((ROOT / "META.json").read_text())["version"],
        "python/pyproject.toml": _first(r'^version = "(.*)"$', "python/pyproject.toml"),
        "CHANGELOG.md": _first(r"^## \[(.*?)\]", "CHANGELOG.md"),
        "extension/pgagent_python.control": _first(
            r"^default_version = '(.*)'$", "extension/pgagent_python.control"
        ),
    }
    for place, named in places.items():
        if named != version():
            yield f"{place} says {named}, extension/pgagent.control {version()}"


def one_chain() -> Iterator[str]:
    """Say where the deltas do not lead from 4.2 to this version in one chain."""
    chain, at = deltas(), "4.2"
    while at in chain:
        at = chain.pop(at)
    if chain or at != version():
        yield f"it ends at {at}, and {sorted(chain)} lie beside it"


def kept_baselines() -> Iterator[str]:
    """Name what is not kept, or was changed, of the versions released."""
    sums = SUMS.read_text().splitlines() if SUMS.exists() else []
    for old in released():
        for name in _kept(old):
            if not (BASELINE / name).exists():
                yield f"tests/baseline/{name} is missing: make freeze at its release"
            elif _sum(name) not in sums:
                yield f"tests/baseline/{name} is not what was frozen"


def plain_scripts() -> Iterator[str]:
    """Name built scripts that would not load in every encoding of a server."""
    for path in sorted((ROOT / "extension").glob(f"*--{version()}.sql")):
        if not path.read_bytes().isascii():
            yield f"{path.name} is not"


def dated_changelog() -> Iterator[str]:
    """Say if the top-most entry of the changelog has no date."""
    heading = _first(r"^## (\[.*)$", "CHANGELOG.md")
    if not re.fullmatch(r"\[.*\] - \d{4}-\d\d-\d\d", heading):
        yield f"it is headed {heading!r}"


def clean_tree() -> Iterator[str]:
    """Name what is not committed."""
    yield from _git("status", "--porcelain").splitlines()


def sound_wheel() -> Iterator[str]:
    """Say if the wheel lacks a script of `pgagent init`, or does not work by itself."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        names = set(zipfile.ZipFile(wheel).namelist())
        wanted = {"tables", "functions", *(f"{a}--{b}" for a, b in deltas().items())}
        yield from sorted({f"{SQL}/{name}.sql" for name in wanted} - names)
        venv = Path(folder, "venv")
        _run(sys.executable, "-m", "venv", str(venv))
        _run(str(venv / "bin/pip"), "install", "--quiet", str(wheel))
        said = _run(str(venv / "bin/pgagent"), "--version")
        if said.split()[:2] != ["pgagent", version()]:
            yield f"pgagent --version says {said}"


CHECKS: dict[str, Callable[[], Iterator[str]]] = {
    "one version": one_version,
    "one chain of upgrades": one_chain,
    "baselines": kept_baselines,
    "ASCII scripts": plain_scripts,
    "changelog": dated_changelog,
    "committed": clean_tree,
    "wheel": sound_wheel,
}


def check() -> int:
    """Print a line for each check; return how many of them failed."""
    failed = 0
    for name, problems_of in CHECKS.items():
        problems = list(problems_of())
        failed += bool(problems)
        print(f"{name}: {'; '.join(problems) or 'ok'}", flush=True)
    return failed


def freeze() -> int:
    """Keep what later versions are compared with and upgraded from."""
    BASELINE.mkdir(exist_ok=True)
    build_wheel(BASELINE)
    for name in _kept(version()):
        if name.endswith(".sql"):
            (BASELINE / name).write_bytes((ROOT / "extension" / name).read_bytes())
        print(f"tests/baseline/{name}")
    frozen = [_sum(name) for old in (*released(), version()) for name in _kept(old)]
    SUMS.write_text("".join(f"{line}\n" for line in frozen))
    return 0


def begin(new: str) -> int:
    """Write the next version everywhere, with an empty delta that leads to it."""
    old = version()
    if not SEMVER.fullmatch(new) or _numbers(new) <= _numbers(old):
        print(f"{new!r} is no version after {old}")
        return 2
    for place in (
        "extension/pgagent.control",
        "extension/pgagent_python.control",
        "META.json",
        "python/pyproject.toml",
    ):
        file = ROOT / place
        pattern = rf"(version\S*\s*[=:]?\s*['\"]){re.escape(old)}(['\"])"
        text = re.sub(pattern, rf"\g<1>{new}\g<2>", file.read_text())
        file.write_text(text)
    (ROOT / f"sql/upgrade/{old}--{new}.sql").write_text(
        f"-- {old}--{new}.sql: from the tables of {old} to those of {new}.\n\n"
        "SET LOCAL search_path = pg_catalog, pg_temp;\n\n"
    )
    changelog = ROOT / "CHANGELOG.md"
    before, heading, after = changelog.read_text().partition("## [")
    changelog.write_text(f"{before}## [{new}] - unreleased\n\n{heading}{after}")
    return 0


def build_wheel(folder: Path) -> Path:
    """Build the runner's wheel into a folder; return its path."""
    source = ROOT / "python"
    shutil.rmtree(source / "build", ignore_errors=True)  # it may hold what is gone
    command = ("wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(source))
    _run(sys.executable, "-m", "pip", *command)
    return next(folder.glob(f"*-{version()}-*.whl"))


def _kept(of: str) -> list[str]:
    return [
        f"pgagent--{of}.sql",
        f"pgagent--4.2--{of}.sql",
        f"pgagent_python--{of}.sql",
        f"pgagent_runner-{of}-py3-none-any.whl",
    ]


def _sum(name: str) -> str:
    """Return a line as sha256sum writes it."""
    return f"{hashlib.sha256((BASELINE / name).read_bytes()).hexdigest()}  {name}"


def _numbers(of: str) -> list[int]:
    return [int(number) for number in of.split(".")]


def _first(pattern: str, place: str) -> str:
    return str(re.findall(pattern, (ROOT / place).read_text(), re.MULTILINE)[0])


def _git(*arguments: str) -> str:
    return _run("git", "-C", str(ROOT), *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    """Do what the first word says."""
    match arguments:
        case ["check"]:
            return min(check(), 1)
        case ["freeze"]:
            return freeze()
        case ["next", new]:
            return begin(new)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
