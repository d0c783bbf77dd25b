"""The file pgagent.toml: which one counts, what stands in it, who can read it."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SYSTEM_FILE = Path("/etc/pgagent/pgagent.toml")

# As libpq has it for its private keys, and for .pgpass where nobody but root differs.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_OF_ROOTS = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP


class ConfigurationError(Exception):
    """Something that the user wrote makes no sense: a sentence that says what."""


class UnreadableError(ConfigurationError):
    """A file that nobody has named is there, and this user may not read it."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the file says; without a file, nothing."""

    path: Path | None = None
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    mode_for_secrets: int | None = None
    """The mode that the file needs before it may hold secrets; None: its own will do"""

    def table(self, name: str) -> Mapping[str, Any]:
        """Return the table [name], which is empty if the file has none."""
        table = self.tables.get(name, {})
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{self.path}: {name} has to be a table: [{name}]")
        return table

    def keep_secret(self, secret: str) -> None:
        """Raise ConfigurationError if others can read the file, which has a secret."""
        if self.mode_for_secrets is not None:
            raise ConfigurationError(
                f"{self.path}: {secret}, and others can read it:"
                f" chmod {self.mode_for_secrets:04o} {self.path}"
            )


def load(named: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read the file that was named, or else the first of the usual ones that is there.

    Raises ConfigurationError if the named one is missing, or if the one that counts
    can't be read (UnreadableError, if that is for want of rights) or makes no sense.
    """
    if named is not None:
        return _read(named)
    for path in _usual(environ):
        try:
            return _read(path)
        except ConfigurationError as e:
            if isinstance(e.__cause__, PermissionError):
                raise UnreadableError(str(e)) from e
            if not isinstance(e.__cause__, FileNotFoundError | NotADirectoryError):
                raise
    return Configuration()


def _usual(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield where the file may be: the user's own one beats the machine's."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):  # noqa: PTH117
        # Without a home, "~" stays.
        folder = os.path.expanduser("~/.config")  # noqa: PTH111
    if os.path.isabs(folder):  # noqa: PTH117
        yield Path(folder, "pgagent", "pgagent.toml")
    yield SYSTEM_FILE


def _read(path: Path) -> Configuration:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except OSError as e:
        raise ConfigurationError(f"{path} can't be read: {e.strerror}") from e
    return Configuration(path, _parse(path, content), _mode_for_secrets(status))


def _parse(path: Path, content: bytes) -> Mapping[str, Any]:
    import tomllib  # noqa: PLC0415 (most runners have no file)

    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as e:
        raise ConfigurationError(f"{path} is not UTF-8, at byte {e.start}") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigurationError(f"{path} is not TOML: {e}") from e
    except RecursionError as e:
        raise ConfigurationError(f"{path} is nested too deeply") from e


def _mode_for_secrets(status: os.stat_result) -> int | None:
    """Return the mode that would keep others out; None if they are."""
    if not stat.S_ISREG(status.st_mode):  # a pipe is read by one
        return None
    others = _OTHERS_OF_ROOTS if status.st_uid == 0 else _OTHERS
    return stat.S_IMODE(status.st_mode) & ~others if status.st_mode & others else None
