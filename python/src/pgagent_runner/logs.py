"""The log of the runner: one line for each message, whatever it contains."""

import logging
import logging.handlers
import sys
from pathlib import Path

LONGEST = 2000  # characters of a message


class _Formatter(logging.Formatter):
    """As PostgreSQL's own log: the time to the millisecond, the process, the level."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._time = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message, and the lines of an exception below it."""
        time = f"{self._time_of(record)}.{int(record.msecs):03d}"
        message = _shown(record.getMessage())
        line = f"{time} [{record.process}] {record.levelname}:  {message}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line

    def _time_of(self, record: logging.LogRecord) -> str:
        """Return the time; all but its milliseconds is the same for a second."""
        if (second := int(record.created)) != self._second:
            self._second = second
            self._time = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return self._time


def _shown(message: str) -> str:
    """Escape what would not show or would break the line, and cut what is long."""
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}… ({len(message)} characters)"
    if message.isprintable():
        return message
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in message
    )


def start(level: int, file: Path | None) -> None:
    """Log messages of `level` and above to `file`, or to standard error.

    A file that has been moved away (logrotate) is opened anew; one that can't be
    written any more does not stop the runner. Raises OSError if it can't be opened.
    """
    logging.raiseExceptions = False
    # The caller is not shown, and finding it costs more than all the rest.
    logging._srcfile = None  # noqa: SLF001 (documented)
    logging.logThreads = logging.logMultiprocessing = False
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = logging.handlers.WatchedFileHandler(
            file, encoding="utf-8", errors="backslashreplace"
        )
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
