"""Files with passwords in the runner's own folder: `passfile=secrets/NAME`.

libpq reads them as it does .pgpass, and ignores in silence what it does not like. So
each is looked at before: whatever is wrong with it is said.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from pgagent_runner.steps.failures import StepError

_PREFIX = "secrets/"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Secret(str):
    """The path of a file in the runner's folder, as it was found to be in order."""

    __slots__ = ()


def with_passfile(
    target: Mapping[str, str | int | None], folder: Path | None
) -> dict[str, str | int | None]:
    """Return the target with the file's path, if it names one of the folder.

    Raise StepError if it names none that only the runner's user can read.
    """
    value = target.get("passfile")
    if not isinstance(value, str) or not value.startswith(_PREFIX):
        return dict(target)
    name = value.removeprefix(_PREFIX)
    if "/" in name or name in {"", ".", ".."}:
        _refuse(value, "after secrets/ comes the name of a file there, and no more")
    if folder is None:
        _refuse(value, "the runner has no pgagent.toml, beside which that folder is")
    try:
        reason = _why_unfit(folder, name)
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror}"
    if reason:
        _refuse(value, reason)
    return {**target, "passfile": Secret(folder / name)}


def _why_unfit(folder: Path, name: str) -> str | None:
    """Say why a file of the folder is not to be used; None if it is."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is no folder"
    if reason := _why_not_ours(folder, status, 0o700):
        return reason
    # Nobody else can change anything in there any more.
    file = folder / name
    status = file.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"{file} is a symbolic link, which may lead out of the folder"
    if not stat.S_ISREG(status.st_mode):
        return f"{file} is no ordinary file"
    return _why_not_ours(file, status, 0o600)


def _why_not_ours(path: Path, status: os.stat_result, mode: int) -> str | None:
    if status.st_uid != os.geteuid():
        return f"{path} does not belong to the runner's user"
    if status.st_mode & _OTHERS:
        return f"others have rights on {path}: chmod {mode:04o} {path}"
    if not status.st_mode & stat.S_IRUSR:
        return f"the runner's user may not read {path}: chmod {mode:04o} {path}"
    return None


def _refuse(value: str, reason: str) -> NoReturn:
    raise StepError(f"the connection string sets passfile={value}: {reason}")
