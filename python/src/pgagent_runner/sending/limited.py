"""Bounds for what another server says: in size, and in time as a whole."""

import io
import time
from collections.abc import Iterator  # noqa: TC003 (evaluated or not, by server)
from socket import socket
from typing import Any

from pgagent_runner.sending.refusal import RefusalError

LONGEST = 262144  # bytes of all answers of a connection
PIECE = 65536  # bytes that are sent at once
LONGEST_WAIT = 3600  # seconds


class LimitedReader(io.RawIOBase):
    """The answers of a server, until a deadline and up to a size.

    A timeout of a socket begins anew with each byte, and nothing can cancel a
    backend that waits in here.
    """

    def __init__(self, connection: socket, deadline: float) -> None:
        """Read from a connected socket, with or without TLS."""
        super().__init__()
        self._connection = connection
        self._raw: Any = connection.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = LONGEST

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> "int | None":  # noqa: ANN401
        """Read some bytes; raise TimeoutError or OSError beyond the bounds."""
        self._connection.settimeout(rest_until(self._deadline))
        size: int | None = self._raw.readinto(buffer)
        self._left -= size or 0
        if self._left < 0:
            raise OSError(f"the answers are longer than {LONGEST} bytes")
        return size

    def close(self) -> None:
        """Close it, and with it the socket if that is closed too."""
        self._raw.close()
        super().close()


def rest_until(deadline: float) -> float:
    """Return the seconds that are left, or raise TimeoutError."""
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise TimeoutError("timed out")
    return rest


def pieces(data: bytes) -> "Iterator[bytes]":
    """Split what is sent, so that the time can be looked at in between."""
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


def deadline_of(timeout: "float | None") -> float:
    """Return when the time limit is over."""
    if timeout is None or not 0 < timeout <= LONGEST_WAIT:
        raise RefusalError(
            f"timeout: {timeout} is out of range",
            f"Wanted are seconds, more than 0 and up to {LONGEST_WAIT}.",
        )
    return time.monotonic() + timeout
