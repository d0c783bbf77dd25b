"""Metrics as Prometheus reads them: its text format, version 0.0.4.

What is database-wide comes as rows of the view pgagent.metrics, which `of_view` takes;
a runner's own figures are families that it fills itself. The format wants all samples
of a name in one place: `text` puts together what has come apart.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, LiteralString

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

VIEW: Final[LiteralString] = """
    SELECT m.name, m.type, m.help, m.labels::text, m.value FROM pgagent.metrics AS m
"""
"""The rows that `of_view` takes."""

_LARGEST_WHOLE = 2.0**53  # beyond it not every whole number is a float
_ODD = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_MOST_KNOWN = 5000

Row = tuple[str, str, str, str, float | str]


@dataclass(slots=True)
class Family:
    """A metric with its samples, each for other labels.

    kind: counter, gauge or histogram.
    """

    name: str
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)

    def add(
        self, value: float, labels: Mapping[str, object] | None = None, suffix: str = ""
    ) -> None:
        """Add a sample; its labels must be other ones than those of the others."""
        of = rendered(labels) if labels else ""
        self.lines.append(f"{self.name}{suffix}{of} {number(value)}\n")

    def add_histogram(
        self,
        bounds: Sequence[float],
        counts: Sequence[int],
        total: float,
        labels: Mapping[str, object] | None = None,
    ) -> None:
        """Add the samples of a histogram.

        counts: how many observations each bucket has by itself, up to its bound; the
        last one, which has no bound, those beyond. total: the sum of all observations.
        """
        so_far = 0
        for bound, count in zip((*bounds, float("inf")), counts, strict=True):
            so_far += count
            self.add(so_far, {**(labels or {}), "le": number(bound)}, "_bucket")
        self.add(total, labels, "_sum")
        self.add(so_far, labels, "_count")


def of_view(
    rows: Iterable[Row], known: dict[str, str] | None = None
) -> Iterator[Family]:
    """Yield the families of rows of `VIEW`, in whatever order they come.

    The labels of a job come with each of its metrics: `known` keeps some of them for
    the next rows.
    """
    families: dict[str, Family] = {}
    known = {} if known is None else known
    for name, kind, help_, labels, value in rows:
        family = families.get(name)
        if family is None:
            family = families[name] = Family(name, kind, help_)
        of = known.get(labels)
        if of is None:
            found = json.loads(labels)
            of = rendered(found) if found else ""
            if len(known) < _MOST_KNOWN:
                known[labels] = of
        family.lines.append(f"{name}{of} {number(value)}\n")
    yield from families.values()


def text(families: Iterable[Family]) -> str:
    """Return all of it as a scrape is answered; families of one name are one there."""
    together: dict[str, list[Family]] = {}
    for family in families:
        together.setdefault(family.name, []).append(family)
    return "".join(part for same in together.values() for part in _parts(same))


def _parts(same: Sequence[Family]) -> Iterator[str]:
    first = same[0]
    yield f"# HELP {first.name} {_escaped_help(first.help)}\n"
    yield f"# TYPE {first.name} {first.kind}\n"
    for family in same:
        yield from family.lines


def rendered(labels: Mapping[str, object]) -> str:
    """Return labels as they stand behind a name: `{job="nightly",job_id="7"}`."""
    parts = (f'{name}="{_escaped(str(labels[name]))}"' for name in labels)
    return f"{{{','.join(parts)}}}"


_TO_ESCAPE = re.compile(r'[\\"\n]')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def _escaped(value: str) -> str:
    # Whatever is no text, of a database that does not know its encoding, could not be
    # sent; ids tell such names apart.
    sendable = value.encode("utf-8", "replace").decode()
    return _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], sendable)


def _escaped_help(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def number(value: float | str) -> str:
    """Return a number as the format has it: `3`, `0.25`, `+Inf`, `NaN`."""
    value = float(value)
    if value.is_integer() and abs(value) < _LARGEST_WHOLE:  # as most are
        return str(int(value))
    return _ODD.get(written := repr(value), written)
