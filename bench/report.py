"""Keep what was measured, and show it.

    bench/report.py

puts the figures of build/bench/results.json into bench/results/VERSION.md and
docs/performance.svg.
"""

import json
from html import escape
from math import isinf, log10
from pathlib import Path
from statistics import median
from typing import Any

from agents import OURS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build/bench/results.json"
CONTROL = ROOT / "extension/pgagent.control"
PAGES = ROOT / "bench/results"
CHART = ROOT / "docs/performance.svg"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
HEAD = """\
# Figures of {version}

What `make bench` measured and `bench/report.py` wrote down;
[docs/performance.md](../../docs/performance.md) says what each metric is and how to
repeat it. *Of ours* is the figure divided by that of pgagent 5 in the same run: compare
these ratios, since absolute figures are those of one machine at one time.

"""
HEADING = ["| what | who | median | of ours |", "|---|---|--:|--:|"]

DELAY = "start delay, due, p50, ms"
THROUGHPUT = "runs/s"

Results = dict[str, Any]


def load() -> Results:
    """Return what earlier runs have measured."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def store(metric: str, result: Results) -> None:
    """Write a metric's figures, beside those of the others."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(load() | {metric: result}, indent=1) + "\n")


def table(result: Results) -> list[str]:
    """Return a metric's rows in Markdown: the medians, and how many of ours each is."""
    figures = medians(result)
    rows = {}
    for (who, what), figure in figures.items():
        ours = figures.get((OURS, what))
        compared = ours and who != OURS and not isinf(figure)
        ratio = f"{figure / ours:.2f}" if ours and compared else ""
        rows[who, what] = f"| {what} | {who} | {shown(figure)} | {ratio} |"
    order = list(dict.fromkeys(what for _, what in rows))
    return [
        row for key, row in sorted(rows.items(), key=lambda r: order.index(r[0][1]))
    ]


def medians(result: Results) -> dict[tuple[str, str], float]:
    """Return the median of each figure, by who and what."""
    named = {name: median(values) for name, values in result["figures"].items()}
    return {
        (who, what): figure
        for name, figure in named.items()
        for who, _, what in [name.partition(" | ")]
    }


def shown(figure: float) -> str:
    """Return a figure with about three digits that count."""
    if isinf(figure):
        return "never"
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def circumstances(result: Results) -> str:
    """Return a sentence of when and on what a metric was measured."""
    return (
        f"Measured {result['taken'][:16].replace('T', ' ')} UTC with PostgreSQL"
        f" {result['server'].split()[0]} on {result['cores']} cores;"
        f" load average before: {result['load before']}."
    )


def page(results: Results) -> str:
    """Return all tables in Markdown."""
    lines = []
    for metric, result in results.items():
        lines += [f"### {metric}", "", circumstances(result), ""]
        lines += [*HEADING, *table(result), ""]
    return "\n".join(lines)


def chart(results: Results) -> str:
    """Return bars of start delay and throughput in SVG."""
    delays, rates = (
        {who: figure for (who, what), figure in medians(result).items() if what == key}
        for key, result in (
            (DELAY, results["delay"]),
            (THROUGHPUT, results["sustained"]),
        )
    )
    texts, y = [], 0
    for title, bars, logarithmic in (
        ("Start delay of due jobs, p50, ms (logarithmic)", delays, True),
        ("Sustained runs a second", rates, False),
    ):
        y += 30
        texts.append(f'<text x="10" y="{y}" font-weight="bold">{title}</text>')
        for who, figure in sorted(bars.items(), key=lambda b: b[1]):
            y += 24
            share = figure / max(bars.values())
            if logarithmic:
                share = log10(1 + figure) / log10(1 + max(bars.values()))
            colour = "#336791" if who.startswith(OURS) else "#b0b8c0"
            width = max(1, round(340 * share))
            place = f'x="250" y="{y - 13}" width="{width}" height="17"'
            texts += [
                f'<text x="10" y="{y}">{escape(who)}</text>',
                f'<rect {place} fill="{colour}"/>',
                f'<text x="{256 + width}" y="{y}">{shown(figure)}</text>',
            ]
        y += 10
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 {y + 10}"'
        ' font-family="sans-serif" font-size="13">'
    )
    background = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, background, *texts, "</svg>\n"])


def main() -> None:
    """Publish what is not the result of a shortened run."""
    results = {name: result for name, result in load().items() if not result["quick"]}
    version = CONTROL.read_text().partition("default_version = '")[2].partition("'")[0]
    target = PAGES / f"{version}.md"
    known = target.read_text() if target.exists() else HEAD.format(version=version)
    before, _, rest = known.partition(BEGIN)
    after = rest.partition(END)[2] or "\n"
    target.write_text(f"{before}{BEGIN}\n\n{page(results)}\n{END}{after}")
    if {"delay", "sustained"} <= results.keys():
        CHART.write_text(chart(results))


if __name__ == "__main__":
    main()
