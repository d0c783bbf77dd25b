"""The log of the runner: a line a message, whatever a message holds."""

import logging
import logging.handlers
import sys
from pathlib import Path

LONGEST = 2000  # characters of a message


class _Formatter(logging.Formatter):
    """As PostgreSQL's own log: the time to the millisecond, the process, the level."""

    def __init__(self) -> None:
        form = "%(asctime)s [%(process)d] %(levelname)s:  %(message)s"
        super().__init__(form, "%Y-%m-%d %H:%M:%S")
        self._second = -1
        self._time = ""

    def formatTime(  # noqa: N802
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the time; all but its milliseconds is the same for a second."""
        if (second := int(record.created)) != self._second:
            self._second = second
            self._time = super().formatTime(record, datefmt)
        return f"{self._time}.{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Escape what would not show or would break the line, and cut what is long."""
        message = record.message
        if len(message) > LONGEST:
            message = f"{message[:LONGEST]}… ({len(message)} characters)"
        if not message.isprintable():
            message = "".join(
                c if c.isprintable() else c.encode("unicode_escape").decode()
                for c in message
            )
        record.message = message
        return super().formatMessage(record)


def start(level: int, file: Path | None) -> None:
    """Log messages of `level` and above to `file`, or to standard error.

    A file that has been moved away (logrotate) is opened anew; one that can't be
    written any more does not stop the runner. Raises OSError if it can't be opened.
    """
    logging.raiseExceptions = False
    # Who called is not shown, and costs more than all the rest to find out.
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
