"""One bad thing harms nothing else: the table of bad things, and its triggers."""

import os

from chaos.harms.cell import HARMS, Harm
from chaos.harms.subject import this_tree
from chaos.harms.table import Result, run_table
from chaos.lab import Lab, scenario

AT_ONCE = 18
"""Most of the time a cell waits: two cores have room for so many."""

SHARPEST = (
    "fails-step",
    "fails-deferred-run",
    "fails-skip",
    "slow-step",
    "slow-claim",
    "slow-every-run",
    "unqualified-function",
    "unqualified-on-claim",
    "refuses-run",
    "null-run",
    "check-output",
    "rule-update-run",
)


@scenario(
    "harms",
    "one bad thing of whatever kind: jobs beside it miss nothing, and it is told why",
    short=25,
    full=60,
    seconds=400,
    on_request=True,
)
def harms(lab: Lab) -> None:
    """Try the whole table, with a long run of so many seconds beside each line."""
    try_out(lab, list(HARMS.values()))


@scenario(
    "triggers",
    "triggers that fail, are slow or return nothing harm their own job only",
    short=10,
    full=60,
    seconds=60,
)
def some_triggers(lab: Lab) -> None:
    """Try the sharpest lines of the table."""
    try_out(lab, [HARMS[name] for name in SHARPEST])


def try_out(lab: Lab, chosen: list[Harm]) -> None:
    """Try these, and report each as an expectation."""
    wanted = os.environ.get("CELLS", "").split()
    chosen = [h for h in chosen if not wanted or h.name in wanted or h.kind in wanted]
    lab.rng.shuffle(chosen)
    results = sorted(
        run_table(this_tree(), chosen, lab.count, AT_ONCE),
        key=lambda result: (result.kind, result.name),
    )
    for result in results:
        report(lab, result)


def report(lab: Lab, result: Result) -> None:
    """Put down a line of the table."""
    seen = (
        f"{result.ran} of {result.due} runs, {result.worst:.1f} s late at most,"
        f" long {result.long}"
    )
    if result.skipped:
        lab.findings.left_out.append(f"{result.name}: {result.skipped}")
        return
    said = " ".join(result.said.split())[:100]
    if said:
        seen += f", “{said}”"
    for broken in result.broken:
        lab.note(f"{result.name}: {broken}")
    lab.findings.expect(
        f"{result.kind}: {result.name}", seen, "nobody else harmed", ok=result.ok
    )
