"""What `make` installs is pinned, with hashes, within what pyproject.toml allows."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from support import ROOT

PYPROJECT = tomllib.loads((ROOT / "python/pyproject.toml").read_text())
WANTED = PYPROJECT["dependency-groups"] | {
    "runner": PYPROJECT["project"]["dependencies"]
}


def pins(name):
    """Return the version and the number of hashes of each package of a lock."""
    text = (ROOT / f"python/requirements/{name}.lock").read_text()
    entries = re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n +--hash=.*)*)", text, re.MULTILINE)
    return {name: (version, rest.count("--hash=")) for name, version, rest in entries}


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_pins_all_that_is_wanted_with_hashes(name):
    pinned = pins(name)
    for wanted in map(Requirement, WANTED[name]):
        version, _ = pinned[wanted.name]
        assert wanted.specifier.contains(version), f"{wanted}: run make lock"
    assert all(hashes for _, hashes in pinned.values())


def test_the_locks_agree_with_each_other():
    found = {
        (package, pin[0]) for name in WANTED for package, pin in pins(name).items()
    }
    assert len({package for package, _ in found}) == len(found)
