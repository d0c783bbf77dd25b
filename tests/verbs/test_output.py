"""How values are shown to people, and given to programs."""

import pytest
from pgagent_runner.verbs.output import Moment, Span, Table, aligned, csv_of, expanded
from pgagent_runner.verbs.text import clipped, visible, width


@pytest.mark.parametrize(
    ("written", "people", "json"),
    [
        (
            "2030-01-05 02:30:00.25+01",
            "2030-01-05 02:30:00+01",
            "2030-01-05T02:30:00.25+01:00",
        ),
        (
            "2030-01-05 02:30:00-03:30",
            "2030-01-05 02:30:00-03:30",
            "2030-01-05T02:30:00-03:30",
        ),
        ("2030-01-05 02:30:00", "2030-01-05 02:30:00", "2030-01-05T02:30:00"),
        (
            "12030-01-05 02:30:00+00",
            "12030-01-05 02:30:00+00",
            "12030-01-05T02:30:00+00:00",
        ),
        (
            "0044-03-15 12:00:00+00 BC",
            "0044-03-15 12:00:00+00 BC",
            "0044-03-15 12:00:00+00 BC",
        ),
        ("infinity", "infinity", "infinity"),
    ],
)
def test_a_moment(written, people, json):
    assert Moment(written).to_people() == people
    assert Moment(written).to_json() == json


@pytest.mark.parametrize(
    ("written", "people"),
    [
        ("00:00:00", "0 ms"),
        ("00:00:00.0124", "12 ms"),
        ("00:00:00.9996", "1.0 s"),
        ("00:00:05.25", "5.2 s"),
        ("00:00:59.97", "1 min 0 s"),
        ("00:01:30.5", "1 min 30 s"),
        ("00:59:59.9", "59 min 59 s"),
        ("03:12:59", "3 h 12 min"),
        ("23:59:59", "23 h 59 min"),
        ("2 days 03:59:00", "2 d 3 h"),
        ("1 mon", "30 d 0 h"),
        ("1 year 2 mons 3 days 04:05:06", "428 d 10 h"),
        ("-00:00:01.5", "-1.5 s"),
        ("-2 days -03:00:00", "-2 d 3 h"),
        ("1 day -01:00:00", "23 h 0 min"),
        ("infinity", "infinity"),
    ],
)
def test_a_span(written, people):
    assert Span(written).to_people() == people


def test_lines_of_a_value_stay_in_its_column():
    table = Table(["n", "text", "x"], [[1, "a\nbc\n", True], [22, None, False]])
    assert aligned(table) == (
        "n  | text | x\n---+------+----\n 1 | a    | yes\n   | bc   |\n22 |      | no\n"
    ).replace("---+------+----", "---+------+----")


def test_wide_characters_take_two_columns():
    table = Table(["name", "x"], [["日本", "a"], ["e\u0301", "b"]])
    lines = aligned(table).splitlines()
    assert lines[2:] == ["日本 | a", "e\u0301    | b"]
    assert [width(line) for line in lines[2:]] == [8, 8]


def test_a_text_is_clipped_to_its_columns():
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("abcdef", 5) == "abcd…"
    assert clipped("日本語", 5) == "日本…"


def test_what_is_not_seen_is_written_out():
    assert visible("a\x00\x1b\x7f\x85\u202e\udcff\u2028") == (
        r"a\x00\x1b\x7f\x85\u202e\xff\u2028"
    )
    assert visible("a\tb\nc é 日") == "a\tb\nc é 日"


def test_a_block_has_a_line_a_column():
    table = Table(["a", "long"], [[1, "x\ny"]])
    assert expanded(table).splitlines()[1:] == ["a    | 1", "long | x", "     | y"]


def test_csv_is_as_psql_writes_it():
    table = Table(
        ["a", "b", "c"], [[None, 'say "x",\ny', [1, "z"]], [True, Span("1 day"), 1.5]]
    )
    assert csv_of(table) == 'a,b,c\n,"say ""x"",\ny","[1, ""z""]"\ntrue,1 day,1.5\n'
