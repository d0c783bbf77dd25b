"""Keep what was measured, and show it."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from agents import OURS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build/bench/results.json"

Results = dict[str, Any]


def load() -> Results:
    """Return what earlier runs have measured."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def store(metric: str, result: Results) -> None:
    """Write a metric's figures, beside those of the others."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(load() | {metric: result}, indent=1) + "\n")


def table(metric: str, result: Results) -> list[str]:
    """Return a metric's rows in Markdown: the medians, and how many of ours each is."""
    figures = {name: median(values) for name, values in result["figures"].items()}
    rows = []
    for name, figure in figures.items():
        who, _, what = name.partition(" | ")
        ours = figures.get(f"{OURS} | {what}" if what else OURS)
        ratio = f"{figure / ours:.2f}" if ours else ""
        rows.append(f"| {metric} | {what} | {who} | {figure:,.4g} | {ratio} |")
    return rows
