"""The output of a step, in bounded memory."""

import codecs

_LONGEST_CUT_CHARACTER = 3  # bytes that may be left of a UTF-8 character


class BoundedOutput:
    """Keeps the first and the last half of what is written to it.

    `limit` is the number of bytes kept. The text may be longer, since a byte that
    is not UTF-8 becomes four characters.
    """

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self._head = bytearray()
        self._tail = bytearray()
        self._head_limit = limit // 2
        self._tail_limit = limit - self._head_limit
        self._written = 0
        self._ends_line = True

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes as they are."""
        if not data:
            return
        self._written += len(data)
        self._ends_line = data[-1] == ord("\n")
        room = self._head_limit - len(self._head)
        if len(data) <= room:
            self._head += data
            return
        data = memoryview(data)  # whose parts are no copies: there may be megabytes
        self._head += data[:room]
        self._tail += data[room:][-2 * self._tail_limit or len(data) :]
        # Trimmed at twice its size, so each byte is moved at most once.
        if len(self._tail) > 2 * self._tail_limit:
            del self._tail[: -self._tail_limit or None]

    def line(self, text: str | bytes) -> None:
        """Add a line of its own, or several; nothing if the text is empty."""
        if isinstance(text, str):
            text = text.encode("utf-8", "backslashreplace")
        if text:
            if not self._ends_line:
                self.write(b"\n")
            self.write(text)
            if not self._ends_line:
                self.write(b"\n")

    def put_first(self, text: str) -> None:
        """Add a line, or several, before all that has been written."""
        head, tail = self._head, self._tail
        omitted = self._written - len(head) - len(tail)
        self._head, self._tail = bytearray(), bytearray()
        self._written, self._ends_line = 0, True
        self.line(text)
        self.write(bytes(head))
        self._written += omitted
        self.write(bytes(tail))

    def text(self) -> str:
        """Give the text that fits a column of type text, whatever was written."""
        if self._written <= self._head_limit + self._tail_limit:
            kept = (self._head + self._tail).decode("utf-8", "backslashreplace")
        else:
            kept = self._shortened()
        return kept.replace("\0", "\\x00")

    def _shortened(self) -> str:
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        head = decoder.decode(bytes(self._head))
        cut_character = len(decoder.getstate()[0])
        tail = _without_cut_character(
            self._tail[-self._tail_limit or len(self._tail) :]
        )
        omitted = self._written - len(self._head) + cut_character - len(tail)
        return (
            f"{head}\n… {omitted} bytes omitted …\n"
            f"{tail.decode('utf-8', 'backslashreplace')}"
        )


def _without_cut_character(data: bytearray) -> bytearray:
    start = 0
    while start < min(_LONGEST_CUT_CHARACTER, len(data)) and _continues(data[start]):
        start += 1
    return data[start:]


def _continues(byte: int) -> bool:
    return byte & 0b1100_0000 == 0b1000_0000  # noqa: PLR2004 (as UTF-8 defines it)
