"""A copy of the server's prefix that can be added to.

PostgreSQL looks for its files relative to its own resolved path. Real copies of
the server's programs amid links to everything else therefore make a complete
installation, and what is added to it never reaches the system's.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build/peers/root"
EXTENSION = ROOT / "extension"

_RESOLVE_THEMSELVES = ("postgres", "initdb", "pg_ctl", "pg_config")


@dataclass(frozen=True)
class Farm:
    """Where the copy has its programs, and what they need in their environment.

    environ: for a server that was fetched to lie where no system looks for it.
    """

    bindir: Path
    libraries: str
    environ: Mapping[str, str]


@cache
def pg_config(option: str) -> str:
    """Ask the pg_config of the server in use, such as for its `--bindir`."""
    command = [str(ROOT / "dev/pg_config"), option]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def plant(target: Path, own: Path = EXTENSION) -> Farm:
    """Build the copy below `target`, with the peers' and our `own` extension files.

    Everything of ours is copied, not linked: the server may run as a user who
    cannot look into the checkout.
    """
    origins = [Path(pg_config(f"--{d}dir")) for d in ("bin", "share", "pkglib")]
    prefix = Path(os.path.commonpath(origins))
    bindir, share, lib = (target / origin.relative_to(prefix) for origin in origins)
    for origin in (*origins, origins[1] / "extension"):
        _link_entries(origin, target / origin.relative_to(prefix))
    _replace((origins[0] / name for name in _RESOLVE_THEMSELVES), bindir)

    peer_libraries = target / "peers"
    peer_libraries.mkdir()
    _replace(PEERS.glob("usr/lib/*-linux-*/**/*.so*"), peer_libraries)
    _replace(PEERS.glob(f"usr/lib/postgresql/{_major()}/lib/*.so"), lib)
    extension = share / "extension"
    _replace(PEERS.glob(f"usr/share/postgresql/{_major()}/extension/*"), extension)
    _replace(PEERS.glob("usr/share/postgresql/*/extension/pgagent*"), extension)
    _replace((ROOT / "tests/baseline").glob("*.sql"), extension)
    _replace(own.iterdir(), extension)
    known = os.environ.get("LD_LIBRARY_PATH", "")
    libraries = f"{peer_libraries}:{pg_config('--libdir')}:{known}".rstrip(":")
    return Farm(bindir, libraries, _environ())


def _environ() -> dict[str, str]:
    """Read the file `environ` beside a pg_config that dev/matrix has written."""
    file = Path(os.environ.get("PG_CONFIG", ROOT / "x")).with_name("environ")
    if not file.is_file():
        return {}
    lines = (line.partition("=") for line in file.read_text().splitlines())
    return {name: value for name, _, value in lines}


def _major() -> str:
    """Return the server's major version, as Debian's paths have it."""
    return pg_config("--version").removeprefix("PostgreSQL ").partition(".")[0]


def _link_entries(origin: Path, directory: Path) -> None:
    directory.unlink(missing_ok=True)
    directory.mkdir(parents=True)
    for entry in origin.iterdir():
        (directory / entry.name).symlink_to(entry)


def _replace(files: Iterable[Path], directory: Path) -> None:
    for file in filter(Path.is_file, files):
        copy = directory / file.name
        # Writing through a link would change the system's own file.
        copy.unlink(missing_ok=True)
        shutil.copy(file, copy)
