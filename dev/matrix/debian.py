"""Servers and Pythons of any Debian release, by apt, and without being root.

apt gets a state of its own, in which nothing is installed: it then names all that
a package needs, the C library included. Unpacked into one root these run on any
machine, through the root's own dynamic loader.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from matrix.prefix import CACHE, Prefix, UnavailableError, patch, patchelf, run

_MIRROR = "http://deb.debian.org"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Suite:
    """A release of Debian, and where its packages are: archive and suite of each."""

    name: str
    sources: tuple[str, ...]


def server(major: str, suite: Suite) -> Path:
    """Fetch a server with all that the tests can use, and return its pg_config."""
    directory = CACHE / "servers" / major
    if (directory / "pg_config").exists():
        return directory / "pg_config"
    root = _unpack(
        suite,
        f"postgresql-{major}",
        *(f"postgresql-plpython3-{major}", f"postgresql-{major}-plpgsql-check"),
        *(f"postgresql-{major}-cron", "libfaketime"),
    )
    home = f"usr/lib/postgresql/{major}"
    return Prefix(
        bindir=root / home / "bin",
        sharedir=root / "usr/share/postgresql" / major,
        pkglibdir=root / home / "lib",
        libraries=_libraries(root),
        loader=_loader(root, root / home / "bin/postgres"),
        environ={"PYTHONHOME": str(root / "usr")},
    ).write_pg_config(directory)


def python(version: str, suite: Suite) -> Path:
    """Fetch a Python and return its program."""
    name = f"python{version}"
    program = CACHE / "debian" / f"{suite.name}-{name}" / "usr/bin" / name
    ready = program.with_name("ready")
    if not ready.exists():
        root = _unpack(suite, name)
        patch([program], _libraries(root), _loader(root, program))
        ready.touch()
    return program


def _unpack(suite: Suite, *packages: str) -> Path:
    """Fetch packages with all that they need into a root of their own."""
    root = CACHE / "debian" / f"{suite.name}-{packages[0]}"
    shutil.rmtree(root, ignore_errors=True)
    debs = root.with_name(f"{root.name}.debs")
    debs.mkdir(parents=True, exist_ok=True)
    apt = _apt(suite)
    planned = run(*apt, "--simulate", "--no-install-recommends", "install", *packages)
    lines = (line.split() for line in planned.splitlines())
    wanted = [f"{word[1]}={word[2][1:]}" for word in lines if word[:1] == ["Inst"]]
    _download(apt, suite, wanted, debs)

    for deb in sorted(debs.glob("*.deb")):
        run("dpkg-deb", "--extract", deb, root)
    shutil.rmtree(debs)
    _forget_paths(root)
    return root


def _forget_paths(root: Path) -> None:
    """Remove what libraries say of where others are: only the programs know."""
    for library in (f for path in _libraries(root) for f in path.glob("*.so*")):
        own = library.is_file() and not library.is_symlink()
        if own and run(patchelf(), "--print-rpath", library).strip():
            run(patchelf(), "--remove-rpath", library)


def _download(
    apt: list[str], suite: Suite, packages: Iterable[str], directory: Path
) -> None:
    """Fetch packages; an archive of updates may list some that it does not have."""
    download = (*apt, "--quiet=2", "download")
    try:
        run(*download, *packages, cwd=directory)
    except UnavailableError:
        names = [package.partition("=")[0] for package in packages]
        missing = [name for name in names if not any(directory.glob(f"{name}_*.deb"))]
        run(*download, *(f"{name}/{suite.name}" for name in missing), cwd=directory)


@cache
def _apt(suite: Suite) -> list[str]:
    """Return apt-get as if on a machine of that release without any package."""
    state = CACHE / "apt" / suite.name
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    if not Path(_KEYRING).exists():
        raise UnavailableError(f"Debian's packages can't be trusted without {_KEYRING}")
    sources = (
        f"deb [signed-by={_KEYRING}] {_MIRROR}/{s} main\n" for s in suite.sources
    )
    (state / "sources.list").write_text("".join(sources))
    options = {
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Sandbox::User": run("id", "-un").strip(),
    }
    apt = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
    run(*apt, "--quiet=2", "update")
    return apt


def _libraries(root: Path) -> tuple[Path, ...]:
    """Return the directories of a root's libraries; older releases have two."""
    patterns = ("lib/*-linux-*", "usr/lib/*-linux-*", "usr/lib/*-linux-*/faketime")
    return tuple(path for pattern in patterns for path in root.glob(pattern))


def _loader(root: Path, program: Path) -> Path:
    """Return the root's dynamic loader, as the program names it."""
    asked = Path(run(patchelf(), "--print-interpreter", program).strip())
    (loader,) = {
        found.resolve()
        for library in _libraries(root)
        for found in library.glob(asked.name)
    }
    return loader
