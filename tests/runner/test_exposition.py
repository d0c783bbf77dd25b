"""The text format of Prometheus: what stands in the way of reading it back is escaped."""

import math
import re

import pytest
from pgagent_runner.exposition import Family, Row, number, of_view, text

SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:\\.|[^"\\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\\n])*)"')
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

HOSTILE = [
    *("", '"', "\\", "\n", '\\"', "\\n", 'a"} 1\nb{c="', "{}", ",", "=", "é", "日本"),
    *("\u2028", "\x1b[31m", "\x85", "\r", "# HELP", " "),
]


def parsed(exposition):
    """Return (name, labels, value) of each sample."""
    lines = [line for line in exposition.split("\n")[:-1] if line[:1] != "#"]
    found = [m for line in lines if (m := SAMPLE.fullmatch(line))]
    assert len(found) == len(lines), lines
    return [(m[1], labels(m[2] or ""), m[3]) for m in found]


def labels(part):
    return {
        name: re.sub(r'\\[\\"n]', lambda m: UNESCAPED[m[0]], value)
        for name, value in LABEL.findall(part)
    }


@pytest.mark.parametrize("value", HOSTILE)
def test_a_label_is_read_back_as_it_was(value):
    family = Family("pgagent_x", "gauge", "Help.")
    family.add(1, {"job": value, "job_id": 7})
    read = [("pgagent_x", {"job": value, "job_id": "7"}, "1")]
    assert parsed(text([family])) == read


def test_help_is_one_line_whatever_it_says():
    assert text([Family("pgagent_x", "gauge", 'a\\n\nb"')]) == (
        '# HELP pgagent_x a\\\\n\\nb"\n# TYPE pgagent_x gauge\n'
    )


def test_what_is_no_text_can_be_sent_all_the_same():
    family = Family("pgagent_x", "gauge", "Help.")
    family.add(1, {"job": "a\udcffb"})
    assert parsed(text([family]).encode().decode()) == [
        ("pgagent_x", {"job": "a?b"}, "1")
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *(
            (0, "0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (2**53 - 1, str(2**53 - 1)),
        ),
        *(
            (1e300, "1e+300"),
            (math.inf, "+Inf"),
            (-math.inf, "-Inf"),
            (math.nan, "NaN"),
        ),
        *((1796000000.123456, "1796000000.123456"), (True, "1")),
    ],
)
def test_a_number_is_written_without_loss(value, written):
    assert number(value) == written
    assert float(written) == value or math.isnan(value)


def test_a_histogram_counts_up():
    family = Family("pgagent_delay_seconds", "histogram", "Help.")
    family.add_histogram([0.1, 1], [3, 0, 2], 7.5, {"station": "a"})
    assert parsed(text([family])) == [
        ("pgagent_delay_seconds_bucket", {"station": "a", "le": "0.1"}, "3"),
        ("pgagent_delay_seconds_bucket", {"station": "a", "le": "1"}, "3"),
        ("pgagent_delay_seconds_bucket", {"station": "a", "le": "+Inf"}, "5"),
        ("pgagent_delay_seconds_sum", {"station": "a"}, "7.5"),
        ("pgagent_delay_seconds_count", {"station": "a"}, "5"),
    ]


def test_rows_of_the_view_stand_together_by_name():
    rows: list[Row] = [
        ("pgagent_a", "gauge", "A.", '{"job": "\\"x\\""}', 1.0),
        ("pgagent_b", "counter", "B.", "{}", "Infinity"),
        ("pgagent_a", "gauge", "A.", '{"job": "y"}', "2"),
    ]
    written = text(
        [*of_view(rows), Family("pgagent_b", "counter", "B.", ["pgagent_b 2\n"])]
    )
    assert written == (
        "# HELP pgagent_a A.\n# TYPE pgagent_a gauge\n"
        'pgagent_a{job="\\"x\\""} 1\npgagent_a{job="y"} 2\n'
        "# HELP pgagent_b B.\n# TYPE pgagent_b counter\n"
        "pgagent_b +Inf\npgagent_b 2\n"
    )
