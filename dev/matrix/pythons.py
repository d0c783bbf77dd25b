"""Interpreters: this machine's, or a registry's, with the runner installed."""

import shutil
from pathlib import Path

from matrix.prefix import CACHE, ROOT, UnavailableError, run
from matrix.table import PYTHONS

_CONFIG = ROOT / "python/pyproject.toml"


def environment(version: str) -> tuple[Path, str]:
    """Return a Python in which the runner and the tests' tools are, and its origin."""
    program, origin = _interpreter(version)
    home = CACHE / "pythons" / version
    ready = home / "ready"
    if not ready.exists() or ready.stat().st_mtime < _CONFIG.stat().st_mtime:
        run(program, "-m", "venv", "--without-pip", "--clear", home)
        run(
            *(ROOT / "build/venv/bin/pip", "--python", home / "bin/python"),
            *("install", "--quiet", "--editable", ROOT / "python"),
            *("--group", f"{_CONFIG}:test"),
        )
        ready.touch()
    return home / "bin/python", origin


def version_of(python: Path) -> str:
    """Return the whole version of an interpreter."""
    asked = "import platform; print(platform.python_version())"
    return run(python, "-c", asked).strip()


def _interpreter(version: str) -> tuple[Path, str]:
    for program in _installed(version):
        if _works(program, version):
            return program, "this machine"
    source = PYTHONS[version]
    if source is None:
        raise UnavailableError(
            f"no registry has it, and there is no python{version} on the PATH"
        )
    return source.fetch(), source.name


def _installed(version: str) -> list[Path]:
    on_path = shutil.which(f"python{version}")
    pyenv = Path.home() / ".pyenv/versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    return [*([Path(on_path)] if on_path else []), *reversed(found)]


def _works(program: Path, version: str) -> bool:
    """Whether it is what its name says: a shim of pyenv may lead nowhere."""
    try:
        return version_of(program).startswith(f"{version}.")
    except UnavailableError:
        return False
