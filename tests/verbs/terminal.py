"""A terminal that a program thinks it runs on."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from contextlib import suppress
from typing import Self


class Terminal:
    """A program on a terminal: `with Terminal([...], environ) as terminal: ...`."""

    def __init__(self, command, environ, columns=200):
        self._command = [str(word) for word in command]
        self._environ = {"TERM": "xterm"} | environ
        # As wide as it is, and not as that of whoever runs the tests.
        for name in {"COLUMNS", "LINES"} & self._environ.keys():
            del self._environ[name]
        self._columns = columns

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        size = struct.pack("HHHH", 40, self._columns, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        self.process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def types(self, text):
        os.write(self._ours, text.encode())

    def says(self, text):
        """Read until the text has come."""
        while text not in self.seen:
            data = os.read(self._ours, 65536)
            assert data, self.seen
            self.seen += data.decode()

    def ended(self):
        """Read to the end; return the exit code."""
        with suppress(OSError):  # how a terminal says that nothing more comes
            while data := os.read(self._ours, 65536):
                self.seen += data.decode()
        return self.process.wait(10)
