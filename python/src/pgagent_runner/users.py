"""Other users of the operating system, as whom batch steps run."""

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pgagent_runner.configuration import ConfigurationError

_POWERS = {"CAP_SETGID": 6, "CAP_SETUID": 7}
_STATUS = Path("/proc/self/status")

_OPTION = "--batch-user"
_TABLE = "[batch_users]"


class User(NamedTuple):
    """A user, as the operating system knew him when the runner started."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str


class BatchUsers(NamedTuple):
    """Who runs the batch steps of whose jobs."""

    default: User | None = None
    """Runs those of jobs whose owner has no entry; None: the runner's user does."""

    of_owners: Mapping[str, User] = MappingProxyType({})

    def user_for(self, owner: str | None) -> User | None:
        """Return who runs the batch steps of an owner's jobs, or of nobody's."""
        if owner is None:
            return self.default
        return self.of_owners.get(owner, self.default)


AS_THE_RUNNER = BatchUsers()


def batch_users(default: str | None, of_owners: Mapping[str, object]) -> BatchUsers:
    """Look up the users of --batch-user and [batch_users].

    Raises ConfigurationError if there is no such user, if it would be no other one, or
    if the runner may not start anything as somebody else.
    """
    if default is None and not of_owners:
        return AS_THE_RUNNER
    found = BatchUsers(
        None if default is None else _find(_OPTION, default),
        {owner: _find(f"{_TABLE} {owner}", it) for owner, it in of_owners.items()},
    )
    if reason := _why_powerless():
        given = _TABLE if default is None else _OPTION
        raise ConfigurationError(f"{given}: {reason}")
    return found


def _find(where: str, name: object) -> User:
    if not isinstance(name, str):
        raise ConfigurationError(f"{where} has to be the name of a user, as text")
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"{where}: this machine has no user {name!r}"
        ) from None
    if entry.pw_uid == 0:
        raise ConfigurationError(
            f"{where}: {name} is root, from whom nothing of the runner would be safe"
        )
    if entry.pw_uid == os.geteuid():
        raise ConfigurationError(
            f"{where}: {name} is the runner's own user, from whom nothing of the runner"
            " would be safe"
        )
    return User(
        *(name, entry.pw_uid, entry.pw_gid),
        tuple(os.getgrouplist(name, entry.pw_gid)),
        *(entry.pw_dir or "/", entry.pw_shell or "/bin/sh"),
    )


def _why_powerless() -> str | None:
    """Say why no script can be started as somebody else's; None if it can."""
    if sys.platform != "linux":
        return "scripts run as another user on Linux only"
    sets = dict(
        line.split(":\t", 1)
        for line in _STATUS.read_text().splitlines()
        if line.startswith("Cap")
    )
    # What root has, the programs have that it starts; what others have, only these.
    needed = int(sets["CapEff"], 16)
    if os.geteuid() != 0:
        needed &= int(sets["CapAmb"], 16)
    lacking = [name for name, bit in _POWERS.items() if not needed >> bit & 1]
    if not lacking:
        return None
    return (
        "to run scripts as another user, the runner has to be root, or to have the"
        " capabilities CAP_SETGID and CAP_SETUID and hand them on (systemd:"
        " AmbientCapabilities=CAP_SETGID CAP_SETUID CAP_KILL); this one runs as user"
        f" {os.geteuid()} and lacks {' and '.join(lacking)}"
    )
