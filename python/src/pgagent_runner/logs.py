"""The log of the runner: one line for each message, whatever it contains."""

import contextlib
import json
import logging
import logging.handlers
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

LONGEST = 2000  # characters of a message
LONGEST_TRACEBACK = 20_000

_REPEAT = 60.0  # seconds until the same line is written once more
_LONGEST_REPEATED = LONGEST - 200  # characters: what is said of its repetition has room
_MOST_REPEATED = 100  # lines that are known, of each `Repeated`

# Each record has these; all else is `extra`, what the message is about.
_USUAL = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


class _TextFormatter(logging.Formatter):
    """As PostgreSQL's own log: the time to the millisecond, the process, the level."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._time = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message, and indented below it those of an exception."""
        time = f"{self._time_of(record)}.{int(record.msecs):03d}"
        message = _shown(_cut(record.getMessage()))
        line = f"{time} [{record.process}] {record.levelname}:  {message}"
        if record.exc_info:
            lines = _end(self.formatException(record.exc_info)).split("\n")
            line = "\n\t".join((line, *map(_shown, lines)))
        return line

    def _time_of(self, record: logging.LogRecord) -> str:
        """Return the time; all but its milliseconds is the same for a second."""
        if (second := int(record.created)) != self._second:
            self._second = second
            self._time = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return self._time


class _JsonFormatter(logging.Formatter):
    """An object a line, in ASCII: whatever reads it needs to know no encoding."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; whatever a message has as `extra` has keys of its own."""
        time = datetime.fromtimestamp(record.created).astimezone()
        shown = {
            "time": time.isoformat(timespec="milliseconds"),
            "pid": record.process,
            "level": record.levelname,
            "message": _sound(_cut(record.getMessage())),
        }
        if record.exc_info:
            shown["exception"] = _sound(_end(self.formatException(record.exc_info)))
        for name, value in record.__dict__.items():
            if name not in _USUAL and value is not None:
                shown.setdefault(name, _plain(value))
        return json.dumps(shown)


def _plain(value: object) -> Any:  # noqa: ANN401
    """Return what JSON has for a value: a number, true or false, or else text."""
    if isinstance(value, (bool, int)) or (
        isinstance(value, float) and math.isfinite(value)
    ):
        return value
    return _sound(_cut(str(value)))


def _sound(text: str) -> str:
    r"""Escape what is no character: readers of JSON disagree about a lone \udcff."""
    return text.encode(errors="backslashreplace").decode()


def _cut(message: str) -> str:
    if len(message) > LONGEST:
        return f"{message[:LONGEST]}… ({len(message)} characters)"
    return message


def _end(traceback: str) -> str:
    """Cut a traceback, whose end says what happened."""
    if len(traceback) > LONGEST_TRACEBACK:
        return f"({len(traceback)} characters) …{traceback[-LONGEST_TRACEBACK:]}"
    return traceback


def _shown(line: str) -> str:
    """Escape what would not show or would break the line."""
    if line.isprintable():
        return line
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in line
    )


class _FileHandler(logging.handlers.WatchedFileHandler):
    """Opens a file anew that was moved away; goes on in the old one if it can't be."""

    def reopenIfNeeded(self) -> None:  # noqa: N802
        """Raise nothing, unlike what is overridden: whoever logs could not go on."""
        with contextlib.suppress(OSError):
            there = os.stat(self.baseFilename)  # noqa: PTH116
            if (there.st_dev, there.st_ino) == (self.dev, self.ino):
                return
        with contextlib.suppress(OSError):
            before, self.stream = self.stream, self._open()
            self._statstream()
            if before is not None:
                before.close()


def log_in_time(
    log: logging.Logger, level: int, text: str, *values: object, seconds: float = 1.0
) -> None:
    """Log a message, and do not wait for longer than this if nobody takes it.

    A pipe whose other end is not read holds up whoever writes to it, and with it all
    others who log.
    """
    writer = threading.Thread(target=log.log, args=(level, text, *values), daemon=True)
    with contextlib.suppress(RuntimeError):  # no thread is left
        writer.start()
        writer.join(seconds)


class Repeated:
    """Logs what may have to be said time and again: the same line once a minute.

    When it is written again, it says how many times it has come since: "; 57 times
    more", which in JSON is the key `repeated`, too.
    """

    def __init__(
        self, log: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to this log."""
        self._log = log
        self._clock = clock
        # Of each line: when it was last written, and how often it came after that.
        self._known: dict[tuple[int, str], tuple[float, int]] = {}

    def __call__(
        self,
        level: int,
        text: str,
        *values: object,
        then: str = "",
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Log a message, unless the same one was logged less than a minute ago.

        What follows as `then` may be another each time.
        """
        if not self._log.isEnabledFor(level):
            return
        message = text % values if values else text
        if len(message) > _LONGEST_REPEATED:
            message = f"{message[:_LONGEST_REPEATED]}… ({len(message)} characters)"
        now = self._clock()
        written, times = self._known.pop((level, message), (-math.inf, 0))
        if now - written < _REPEAT:
            self._known[level, message] = written, times + 1
            return
        self._known[level, message] = now, 0
        if len(self._known) > _MOST_REPEATED:
            del self._known[next(iter(self._known))]  # what has not come for longest
        about = dict(extra or {})
        told = ""
        if written > -math.inf:
            about["repeated"] = times + 1
            told = f"; {times + 1} times more" if times else "; once more"
        self._log.log(level, "%s%s%s", message, told, then, extra=about)


_FORMATTERS = {"text": _TextFormatter, "json": _JsonFormatter}


def start(level: int, file: Path | None, form: str = "text") -> None:
    """Log messages of `level` and above to `file`, or to standard error.

    The form is "text" or "json". A file that has been moved away (logrotate) is opened
    anew, if that can be done; one that can't be written any more does not stop the
    runner. Raises OSError if it can't be opened.
    """
    logging.raiseExceptions = False
    # The caller is not shown, and finding it costs more than all the rest.
    logging._srcfile = None  # noqa: SLF001 (documented)
    logging.logThreads = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]  # Python 3.12
    logging.getLogger("asyncio").setLevel(logging.WARNING)  # else which selector it has
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = _FileHandler(file, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_FORMATTERS[form]())
    logging.basicConfig(level=level, handlers=[handler], force=True)
