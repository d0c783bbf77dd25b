"""What a scenario expected and saw, as text and as JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

WIDTH = 88


@dataclass
class Expectation:
    """One promise, as far as it can be read off a figure."""

    what: str
    expected: str
    seen: str
    ok: bool


@dataclass
class Findings:
    """All that came of one scenario."""

    name: str
    promise: str
    count: int
    seed: int
    seconds: float = 0.0
    expectations: list[Expectation] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""

    def expect(
        self, what: str, seen: object, expected: object, *, ok: bool | None = None
    ) -> None:
        """Record an expectation: by default that the seen is the expected."""
        held = seen == expected if ok is None else ok
        self.expectations.append(Expectation(what, str(expected), str(seen), held))

    def at_most(self, what: str, seen: float | None, limit: float, unit: str) -> None:
        """Record a figure that has a limit; None was never reached."""
        shown = "never" if seen is None else f"{seen:.2f} {unit}"
        held = seen is not None and seen <= limit
        self.expect(what, shown, f"at most {limit:g} {unit}", ok=held)

    @property
    def ok(self) -> bool:
        """Whether everything was as promised."""
        return not self.error and all(e.ok for e in self.expectations)

    def text(self) -> str:
        """Return the findings for people."""
        state = "pass" if self.ok else "FAIL"
        head = f"{self.name:<12} {self.promise}  [n={self.count}, {self.seconds:.0f} s]"
        lines = [f"{head:<{WIDTH}} {state}"]
        for e in self.expectations:
            mark = "pass" if e.ok else "FAIL"
            lines.append(f"    {mark}  {e.what}: expected {e.expected}, seen {e.seen}")
        lines += [f"          {name}: {value}" for name, value in self.figures.items()]
        lines += [f"          left out: {what}" for what in self.left_out]
        if not self.ok:
            lines += [f"          {note}" for note in self.notes[:12]]
        if self.error:
            lines += [f"    ERROR {line}" for line in self.error.splitlines()[-12:]]
        return "\n".join(lines)

    def save(self, directory: Path) -> None:
        """Write them where `load` finds them."""
        directory.mkdir(parents=True, exist_ok=True)
        document = asdict(self) | {"ok": self.ok}
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (directory / f"{self.name}.json").write_text(text)


def load(file: Path) -> Findings:
    """Read what `save` wrote."""
    document = json.loads(file.read_text())
    document.pop("ok")
    expectations = [Expectation(**e) for e in document.pop("expectations")]
    return Findings(**document, expectations=expectations)
