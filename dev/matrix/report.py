"""docs/compatibility.md, from what was seen in each cell."""

import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

from matrix.prefix import ROOT
from matrix.results import Result, code
from matrix.table import PYTHONS, SERVERS

_PAGE = ROOT / "docs/compatibility.md"
_DIFFERENCES = Path(__file__).with_name("differences.md")
_NEEDS = "needs "  # how tests/features.py begins a reason


def write() -> bool:
    """Write the page, if each cell has been seen; tell whether nothing is amiss."""
    names = [f"PostgreSQL {v}" for v in SERVERS] + [f"Python {v}" for v in PYTHONS]
    results = {name: Result.kept(name) for name in names}
    seen = [result for result in results.values() if result]
    if missing := [name for name, result in results.items() if not result]:
        print(
            f"docs/compatibility.md is left alone: not yet seen: {', '.join(missing)}"
        )
        return True
    _PAGE.write_text("".join(f"{line}\n" for line in page(seen)))
    print("docs/compatibility.md is written anew")
    nowhere = ran_nowhere(seen)
    for test in nowhere:
        print(f"    ran nowhere: {test}")
    return not nowhere


def ran_nowhere(results: Iterable[Result]) -> list[str]:
    """Return the tests that were skipped in each cell that had them."""
    outcomes = [result.outcome for result in results if result.outcome]
    ran = {t for o in outcomes for t in (*o.passed, *o.failed, *o.repeated)}
    return sorted({t for o in outcomes for t in o.skipped} - ran)


def page(results: list[Result]) -> Iterator[str]:
    """Yield the lines of the page about these cells."""
    servers = [result for result in results if result.kind == "PostgreSQL"]
    pythons = [result for result in results if result.kind == "Python"]
    stale = any(result.code != code() for result in results)
    yield "# What it runs on"
    yield ""
    yield "`make matrix` writes this page from what it sees when it runs the tests on"
    yield "each PostgreSQL and each Python below, fetched from package registries."
    yield f"It was last run on {max(r.day for r in results)}, on {_machine()}."
    if stale:
        yield ""
        yield "A row with an asterisk was seen with an earlier state of code or tests."
    yield from _table("PostgreSQL", servers, "All tests", "Python")
    yield from _table("Python", pythons, "The runner's tests", "PostgreSQL")
    yield from _failures(results)
    yield from _left_out(results)
    yield ""
    yield _DIFFERENCES.read_text().rstrip()


def _table(kind: str, results: list[Result], tests: str, other: str) -> Iterator[str]:
    yield ""
    yield f"## {kind}"
    yield ""
    if beside := sorted({result.beside for result in results if result.beside}):
        yield f"{tests}, with {other} {' and '.join(beside)}."
        yield ""
    yield f"| {kind} | version | from | passed | failed | skipped | seconds |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for result in results:
        mark = "" if result.code == code() else " *"
        o = result.outcome
        cells = [f"{result.version}{mark}"]
        if o is None:
            cells += [f"cannot be had: {result.problem}", "", "", "", "", ""]
        else:
            figures = len(o.passed) + len(o.repeated), len(o.failed), len(o.skipped)
            cells += [result.exact, result.origin]
            cells += [*(f"{figure:,}" for figure in figures), f"{o.seconds:,.0f}"]
        yield f"| {' | '.join(cells)} |"


def _failures(results: list[Result]) -> Iterator[str]:
    failed = [(r, t) for r in results if r.outcome for t in r.outcome.failed]
    repeated = [(r, t) for r in results if r.outcome for t in r.outcome.repeated]
    if failed:
        yield ""
        yield "## What failed"
        yield ""
        yield from (f"- {result.name}: `{test}`" for result, test in failed)
    if repeated:
        yield ""
        yield "Passed when all that had failed were repeated, as on a busy machine:"
        yield ""
        yield from (f"- {result.name}: `{test}`" for result, test in repeated)


def _left_out(results: list[Result]) -> Iterator[str]:
    reasons: dict[str, dict[str, int]] = {}
    for result in results:
        for reason in result.outcome.skipped.values() if result.outcome else ():
            where = reasons.setdefault(reason.removeprefix(_NEEDS), {})
            where[result.name] = where.get(result.name, 0) + 1
    yield ""
    yield "## What was left out, and why"
    yield ""
    if not reasons:
        yield "Nothing."
        return
    yield "| the tests need | which is | not there, and how many tests |"
    yield "|---|---|---|"
    for reason, where in sorted(reasons.items()):
        feature, _, meaning = reason.partition(": ")
        counts = ", ".join(f"{name}: {count}" for name, count in where.items())
        yield f"| {feature} | {meaning} | {counts} |"
    yield ""
    nowhere = ran_nowhere(results)
    if nowhere:
        yield "These ran nowhere:"
        yield ""
        yield from (f"- `{test}`" for test in nowhere)
    else:
        yield "Each of these tests ran in another row."


def _machine() -> str:
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return f"{system}, {platform.machine()}"
