"""Files with jobs: a TOML document, and the commands that stand beside it."""

import contextlib
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgagent_runner.verbs import toml
from pgagent_runner.verbs.frame import VerbError

Document = dict[str, Any]

_SUFFIX = ".toml"
_UNUSUAL = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 60


def read(path: Path) -> Document:
    """Return the document in a file, as apply_jobs() takes it.

    Commands that stand in files of their own are in it; so is the set, for which the
    file's name stands. Nothing else is looked at: the server does that. Raises
    VerbError.
    """
    document = parse(text_of(path), path)
    document.setdefault("set", path.name.removesuffix(_SUFFIX))
    for step, where in steps_of(document):
        _take_command(step, where, path)
    return document


def text_of(path: Path) -> str:
    """Return the text of a file, with the ends of lines that it has."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as e:
        raise VerbError(f"{path} is not UTF-8, at byte {e.start}") from e
    except OSError as e:
        raise VerbError(f"{path} can't be read: {e.strerror}") from e


def parse(text: str, path: Path) -> Document:
    """Return the document of a text that is TOML; raise VerbError if it is not."""
    try:
        return toml.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise VerbError(f"{path} is not TOML: {e}") from e
    except RecursionError as e:
        raise VerbError(f"{path} is nested too deeply") from e


def steps_of(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield all steps with their places, passing over what can't be one."""
    for number, job in enumerate(_tables(document.get("jobs")), 1):
        for place, step in enumerate(_tables(job.get("steps")), 1):
            yield step, f"jobs[{number}], steps[{place}]"


def _tables(value: object) -> list[dict[str, Any]]:
    parts = value if isinstance(value, list) else []
    return [part for part in parts if isinstance(part, dict)]


def _take_command(step: dict[str, Any], where: str, path: Path) -> None:
    """Put the command of a step into it if it stands in a file of its own."""
    if "command_file" not in step:
        return
    name = step.pop("command_file")
    if "command" in step:
        raise VerbError(f"{path}: {where}: it has a command and a command_file")
    step["command"] = text_of(command_path(path, name, where))


def command_path(path: Path, name: object, where: str) -> Path:
    """Return where the file of a command is, which has to be below the document's.

    Whoever is given a document must not send files of his own to the database by it.
    """
    folder = path.absolute().parent.resolve()
    if not isinstance(name, str) or not name or "\0" in name:
        raise VerbError(f"{path}: {where}, command_file: the name of a file is wanted")
    found = (folder / name).resolve()
    if not found.is_relative_to(folder):
        raise VerbError(
            f"{path}: {where}, command_file: {name} is neither in the folder of"
            f" {path.name} nor below it"
        )
    return found


def write(path: Path, text: str) -> None:
    """Write all of a file, or nothing of it; raise VerbError if that can't be done."""
    data = text.encode()
    try:
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        is_there = target.exists() and not target.is_symlink()
        if is_there and not target.is_file():
            target.write_bytes(data)
            return
        mode = target.stat().st_mode if is_there else _mode_of_new_files()
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=".", delete=False
        ) as file:
            try:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode & 0o777)
                os.fsync(file.fileno())
                Path(file.name).replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise
    except OSError as e:
        raise VerbError(f"{path} can't be written: {e.strerror}") from e


def _target(path: Path) -> Path:
    """Return where a file is to be written: where links lead.

    In a folder as /tmp none is followed, for anybody may have laid it; the file takes
    its place.
    """
    folder = path.absolute().parent.resolve()
    mode = folder.stat().st_mode if folder.exists() else 0
    is_shared = mode & stat.S_ISVTX and mode & stat.S_IWOTH
    return folder / path.name if is_shared else path.resolve()


def _mode_of_new_files() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def set_commands_apart(document: Document, path: Path) -> dict[Path, str]:
    """Name a file for each command, in the place of its text; return what they hold.

    The files are called FILE/JOB/STEP.sql, or .sh, in the folder of the document.
    """
    texts: dict[Path, str] = {}
    folder = path.absolute().parent
    for job in _tables(document.get("jobs")):
        for step in _tables(job.get("steps")):
            suffix = ".sh" if step.get("kind") == "batch" else ".sql"
            place = Path(
                path.name.removesuffix(_SUFFIX), _named(job), f"{_named(step)}{suffix}"
            )
            while folder / place in texts:
                place = place.with_stem(f"{place.stem}_")
            texts[folder / place] = step.pop("command")
            step["command_file"] = str(place)
    return texts


def _named(part: Mapping[str, Any]) -> str:
    """Return the name of a job or step as that of a file."""
    name = _UNUSUAL.sub("_", str(part.get("name", "")))[:_LONGEST_NAME]
    return name if name.strip(".") else f"_{name}"
