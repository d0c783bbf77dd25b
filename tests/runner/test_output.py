"""The output of a step is bounded, and always text."""

import pytest
from pgagent_runner.steps.output import BoundedOutput


def text_of(*pieces, limit=1000):
    output = BoundedOutput(limit)
    for piece in pieces:
        output.write(piece)
    return output.text()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain\n", "plain\n"),
        ("grün €".encode(), "grün €"),
        (b"latin \xe9", "latin \\xe9"),
        (b"a\0b", "a\\x00b"),
        (b"cut \xe2\x82", "cut \\xe2\\x82"),
    ],
)
def test_any_bytes_become_text(data, text):
    assert text_of(data) == text


def test_a_character_may_arrive_in_pieces():
    assert text_of(*(bytes([byte]) for byte in "€uro".encode())) == "€uro"


@pytest.mark.parametrize("size", [1, 7, 10, 100])
def test_what_fits_is_kept_whole(size):
    data = bytes(b"0123456789" * 10)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert text_of(*pieces, limit=100) == data.decode()


@pytest.mark.parametrize("size", [1, 7, 10, 100, 1000])
def test_the_middle_of_too_much_is_left_out(size):
    data = b"<" * 5 + b"-" * 990 + b">" * 5
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    assert text_of(*pieces, limit=10) == "<<<<<\n… 990 bytes omitted …\n>>>>>"


def test_no_character_is_cut_in_two():
    assert text_of("€".encode() * 10, limit=10) == "€\n… 24 bytes omitted …\n€"


def test_bytes_that_are_no_characters_are_not_taken_for_halves():
    text = text_of(b"\x80" * 100, limit=20)
    assert text == "\\x80" * 10 + "\n… 83 bytes omitted …\n" + "\\x80" * 7


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_the_smallest_limits_hold(limit):
    assert f"… {100 - limit} bytes omitted …" in text_of(b"x" * 100, limit=limit)


def test_a_line_of_ours_begins_on_a_line_of_its_own():
    output = BoundedOutput(100)
    output.line("first")
    output.write(b"no newline")
    output.line("second\n")
    output.line("")
    assert output.text() == "first\nno newline\nsecond\n"


def test_the_last_line_survives_a_flood():
    output = BoundedOutput(100)
    for _ in range(1000):
        output.write(b"x" * 100)
    output.line("killed")
    assert output.text().endswith("x\nkilled\n")


@pytest.mark.parametrize("written", [0, 1, 49, 50, 60, 99, 100, 101, 400])
@pytest.mark.parametrize("error", ["e", "error" * 9, "error" * 50])
def test_what_is_put_first_is_as_if_it_had_been_written_first(written, error):
    data = bytes(b"0123456789" * 40)[:written]
    expected, output = BoundedOutput(100), BoundedOutput(100)
    expected.line(error)
    expected.write(data)

    for position in range(written):
        output.write(data[position : position + 1])
    output.put_first(error)

    assert output.text() == expected.text()


def test_what_has_been_left_out_is_counted_when_something_is_put_first():
    output = BoundedOutput(10)
    output.write(b"<" * 5 + b"-" * 990 + b">" * 5)
    output.put_first("no")
    assert output.text() == "no\n<<\n… 993 bytes omitted …\n>>>>>"
