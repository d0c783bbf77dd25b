"""The log: a line a message, whatever the message, and wherever the file goes."""

import json
import logging
import os
import re
import time
from contextlib import suppress
from datetime import datetime
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


def test_a_log_whose_folder_was_moved_goes_on_there_until_there_is_another(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    logs.start(logging.WARNING, folder / "log")
    moved = folder.rename(tmp_path / "moved")

    warn("one")
    assert (moved / "log").read_text().endswith("one\n")
    folder.mkdir()
    warn("two")
    warn("three")

    assert LINE.findall((folder / "log").read_text()) == ["two", "three"]
    assert LINE.findall((moved / "log").read_text()) == ["one"]


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


def fail(text):
    error = ValueError(text)
    try:
        raise error
    except ValueError:
        logging.getLogger("pgagent_runner.test").exception("it failed")


def test_a_traceback_is_set_in_and_cannot_look_like_a_message(file):
    fail("one\n2026-01-01 00:00:00.000 [1] WARNING:  false\x1b[2J")

    first, *others = file.read_text().removesuffix("\n").split("\n")
    assert first.endswith("ERROR:  it failed")
    assert others[0] == "\tTraceback (most recent call last):"
    assert others[-1] == "\t2026-01-01 00:00:00.000 [1] WARNING:  false\\x1b[2J"
    assert all(line.startswith("\t") for line in others)


def test_of_a_long_traceback_the_end_is_kept(file):
    fail("x" * 100_000 + " the end")

    assert file.stat().st_size < 21_000
    assert file.read_text().endswith("x the end\n")


# --log-format json


@pytest.fixture
def objects(tmp_path):
    """Start a log of JSON; return what reads it."""
    path = tmp_path / "log"
    logs.start(logging.WARNING, path, "json")

    def objects():
        content = path.read_bytes()
        assert content.isascii()
        lines = content.split(b"\n")
        assert lines.pop() == b""
        return [json.loads(line, parse_constant=refuse) for line in lines]

    return objects


def refuse(constant):
    raise AssertionError(constant)


def test_a_message_is_an_object(objects):
    before = datetime.now().astimezone()
    warn("Größe €")

    (found,) = objects()
    then = datetime.fromisoformat(found.pop("time"))
    assert abs((then - before).total_seconds()) < 5
    assert then.utcoffset() == before.utcoffset()
    assert found == {"pid": os.getpid(), "level": "WARNING", "message": "Größe €"}


def test_the_time_of_an_object_has_the_offset_of_its_zone(objects, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        warn("hello")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert re.fullmatch(r"[-\d]+T[:\d]+\.\d{3}\+05:45", objects()[0]["time"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\r\n", "two\nlines\r\n"),
        ("\x1b[2J\x07\0", "\x1b[2J\x07\0"),
        ('"quoted"\\', '"quoted"\\'),
        ("\u202eevil\u2028 \U0001f600", "\u202eevil\u2028 \U0001f600"),
        ("lone \udcff", r"lone \udcff"),
        ("x" * 2001, "x" * 2000 + "… (2001 characters)"),
    ],
)
def test_a_message_is_one_line_of_json_whatever_it_contains(objects, text, shown):
    warn(text)

    assert [found["message"] for found in objects()] == [shown]


def test_what_a_message_is_about_has_keys_of_its_own(objects):
    about = {
        "run_id": 7,
        "job": "naïve\n",
        "step": "\udcff",
        "late": True,
        "seconds": 0.5,
        "never": float("inf"),
        "nothing": None,
        "kind": Path("/x"),
        "long": "x" * 3000,
        "level": "mine",
        "time": "mine",
    }
    logging.getLogger("pgagent_runner.test").warning("hello", extra=about)

    (found,) = objects()
    assert list(found)[:4] == ["time", "pid", "level", "message"]
    assert (found["level"], found["time"] == "mine") == ("WARNING", False)
    assert len(found["long"]) < 2100
    assert {name: found[name] for name in list(found)[4:-1]} == {
        "run_id": 7,
        "job": "naïve\n",
        "step": r"\udcff",
        "late": True,
        "seconds": 0.5,
        "never": "inf",
        "kind": "/x",
    }


def test_an_exception_is_a_key(objects):
    fail("one\ntwo \udcff")

    (found,) = objects()
    assert found["message"] == "it failed"
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("ValueError: one\ntwo \\udcff")


def test_a_long_exception_is_cut(objects):
    fail("x" * 100_000 + " the end")

    (found,) = objects()
    assert len(found["exception"]) < 21_000
    assert found["exception"].endswith("x the end")


def test_an_event_loop_adds_no_key(objects):
    record = logging.makeLogRecord({"msg": "hello", "levelno": logging.WARNING})
    record.taskName = "Task-1"
    logging.getLogger().handle(record)

    (found,) = objects()
    assert "taskName" not in found


# The same line again


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def again(clock):
    return logs.Repeated(logging.getLogger("pgagent_runner.test"), clock)


def test_the_same_line_comes_once_a_minute_with_a_count(file, clock, again):
    for clock.now in range(118):
        again(logging.WARNING, "no %s", "way", then=f"; next attempt in {clock.now} s")
    clock.now = 1000
    again(logging.WARNING, "no %s", "way")

    assert LINE.findall(file.read_text()) == [
        "no way; next attempt in 0 s",
        "no way; 60 times more; next attempt in 60 s",
        "no way; 58 times more",
    ]


def test_each_line_is_counted_for_itself(file, clock, again):
    for clock.now in (0, 1, 70):
        again(logging.WARNING, "one")
        again(logging.WARNING, "two")
        again(logging.INFO, "below the level")

    assert LINE.findall(file.read_text()) == [
        *("one", "two"),
        *("one; 2 times more", "two; 2 times more"),
    ]


def test_what_has_come_only_once_is_no_plural(file, clock, again):
    for clock.now in (0, 60):
        again(logging.WARNING, "one")

    assert LINE.findall(file.read_text()) == ["one", "one; once more"]


def test_of_all_that_does_not_come_again_little_is_kept(file, clock, again):
    again(logging.WARNING, "kept")
    for number in range(1000):
        again(logging.WARNING, f"line {number}")
        again(logging.WARNING, "kept")
    again(logging.WARNING, "line 0")

    lines = LINE.findall(file.read_text())
    assert len(lines) == 1002
    assert lines.count("kept") == 1
    assert lines[-1] == "line 0"


def test_a_long_line_still_says_how_often_it_came(file, clock, again):
    for clock.now in (0, 1, 60):
        again(logging.WARNING, "x" * 5000, then="; and then")

    (_, last) = LINE.findall(file.read_text())
    assert last.endswith("… (5000 characters); 2 times more; and then")


def test_an_object_has_the_count_as_a_key(objects, clock, again):
    for clock.now in (0, 1, 60):
        again(logging.WARNING, "hello", extra={"run_id": 7})

    first, last = objects()
    assert "repeated" not in first
    assert (last["message"], last["repeated"]) == ("hello; 2 times more", 2)
    assert first["run_id"] == last["run_id"] == 7
