"""Write the tables of docs/security.md: who may do what, as it is tested."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/security.md"
MATRIX = ROOT / "tests/extension/access_matrix.txt"

BEGIN = (
    "<!-- access: written by `make docs` from tests/extension/access_matrix.txt;"
    " do not edit -->\n"
)
END = "<!-- end of access -->\n"
ROLES = ("none", "reader", "operator", "editor", "owner", "other", "runner", "admin")
# Nobody without a level may do anything that is shown.
SHOWN = ROLES[1:]


@dataclass(frozen=True)
class Act:
    """Something that is tried by each role, before isolate() and since."""

    section: str
    what: str
    is_shown: bool
    cells: tuple[str, ...]
    statement: str

    def expected(self, role: str, *, isolated: bool) -> str:
        """Return the word of the cell for this role."""
        before, _, since = self.cells[ROLES.index(role)].partition("/")
        return since or before if isolated else before


def acts() -> list[Act]:
    """Read the matrix."""
    found = []
    section = ""
    for line in MATRIX.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "|" in line and not line.startswith("#"):
            what, *cells, statement = (part.strip() for part in line.split("|"))
            if len(cells) != len(ROLES):
                raise ValueError(f"{MATRIX.name} has a line of {len(cells)}: {what}")
            is_shown, what = what.startswith("*"), what.removeprefix("*").strip()
            found.append(Act(section, what, is_shown, tuple(cells), statement))
    return found


def tables() -> str:
    """Return the tables, one for each section."""
    shown = [act for act in acts() if act.is_shown]
    text = ""
    for section in dict.fromkeys(act.section for act in shown):
        text += f"\n| {section} | {' | '.join(SHOWN)} |\n|---|{'---|' * len(SHOWN)}\n"
        for act in shown:
            if act.section == section:
                cells = (_cell(act.cells[ROLES.index(role)]) for role in SHOWN)
                text += f"| {act.what} | {' | '.join(cells)} |\n"
    return f"{text}\n"


def _cell(words: str) -> str:
    return " → ".join(
        {"-": "\N{EN DASH}", "0": "none"}.get(w, w) for w in words.split("/")
    )


def page() -> str:
    """Return the page as it has to be."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} has lost the marks of the tables of access")
    return f"{before}{begin}{tables()}{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
