"""What was seen in each cell, kept until it is seen again."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from matrix.prefix import CACHE, ROOT
from matrix.suite import Outcome

_CODE = ("python/src", "sql", "tests")
_KEPT = CACHE / "results"


@dataclass(frozen=True)
class Result:
    """A cell: what it was made of, and what became of the tests in it.

    kind, version: such as PostgreSQL and 13.
    day, code: when it began, and the digest of the code at that time.
    exact, origin: the whole version, and where it came from.
    beside: the version of the Python beside a server, of the server beside a Python.
    problem: why there is no outcome.
    """

    kind: str
    version: str
    day: str
    code: str
    exact: str = ""
    origin: str = ""
    beside: str = ""
    outcome: Outcome | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The cell's name, such as "PostgreSQL 13"."""
        return f"{self.kind} {self.version}"

    def line(self) -> str:
        """Return what is printed of it."""
        if self.outcome is None:
            return f"{self.name:14}  cannot be had: {self.problem}"
        o = self.outcome
        repeated = f" ({len(o.repeated)} at the second try)" if o.repeated else ""
        return (
            f"{self.name:14}  {self.exact.split()[0]:8}"
            f"  {len(o.passed) + len(o.repeated):5} passed{repeated}"
            f"  {len(o.failed):3} failed  {len(o.skipped):3} skipped"
            f"  {o.seconds:5.0f} s"
        )

    def keep(self) -> None:
        """Store it."""
        _KEPT.mkdir(parents=True, exist_ok=True)
        _file(self.name).write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def kept(cls, name: str) -> Self | None:
        """Return what was stored of a cell."""
        if not _file(name).exists():
            return None
        stored: dict[str, Any] = json.loads(_file(name).read_text())
        outcome = stored.pop("outcome")
        return cls(**stored, outcome=Outcome(**outcome) if outcome else None)


def code() -> str:
    """Return a digest of the code and its tests."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in {".py", ".sql"}:
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _file(name: str) -> Path:
    return _KEPT / f"{name.lower().replace(' ', '-')}.json"
