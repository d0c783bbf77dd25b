"""The log: a line a message, whatever the message, and wherever the file goes."""

import logging
import re
from contextlib import suppress
from pathlib import Path

import pytest
from pgagent_runner import logs

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[\d+\] WARNING:  (.*)\n")


@pytest.fixture(autouse=True)
def _restore():
    """Give the root logger back as pytest has set it up."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    for handler in set(root.handlers) - set(handlers):
        with suppress(OSError):
            handler.close()
    root.handlers, root.level, logging.raiseExceptions = handlers, level, raising


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "log"
    logs.start(logging.WARNING, path)
    return path


def warn(text):
    logging.getLogger("pgagent_runner.test").warning("%s", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Größe €", "Größe €"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("\x1b[2J\x07\0", r"\x1b[2J\x07\x00"),
        ("\u202eevil\u2028", r"\u202eevil\u2028"),
        ("\udcff", r"\udcff"),
        ("100 %s {0}", "100 %s {0}"),
        ("x" * 2001, "x" * 2000 + "… (2001 characters)"),
    ],
)
def test_a_message_is_one_printable_line(file, text, shown):
    warn(text)

    assert LINE.findall(file.read_text()) == [shown]


def test_messages_below_the_level_are_left_out(file):
    logging.getLogger("pgagent_runner.test").info("hello")

    assert file.read_text() == ""


def test_a_file_that_was_moved_away_is_opened_anew(file):
    warn("one")
    file.rename(file.with_name("log.1"))

    warn("two")

    assert file.read_text().endswith("two\n")


def test_a_log_that_cannot_be_written_any_more_stops_nobody(capfd):
    logs.start(logging.WARNING, Path("/dev/full"))

    warn("no space left")

    assert capfd.readouterr().err == ""


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file or directory"):
        logs.start(logging.WARNING, tmp_path / "nowhere" / "log")


def test_without_a_file_the_log_goes_to_standard_error(capsys):
    logs.start(logging.WARNING, None)

    warn("hello")

    assert LINE.findall(capsys.readouterr().err) == ["hello"]
