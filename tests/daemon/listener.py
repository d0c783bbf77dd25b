"""A runner that listens, and what it answers."""

import re
import socket
from contextlib import closing
from http.client import HTTPConnection

from support import poll

from .runner_process import PGAGENT, Program

SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(\{.*\})? (-?[\d.e+-]+|NaN|[+-]Inf)")


class Listener(Program):
    """A runner that listens on a free port."""

    def __init__(self, *arguments, port=0, command=None, environ=None):
        """Take further options, or another command, and the connection string."""
        options = ["run", "--poll", "600", "--grace", "0.2", "--log-level", "debug"]
        command = command or [*options, "--listen", port]
        super().__init__([PGAGENT, *command, *arguments], environ)

    def listens(self):
        self.says("listens on ")
        self.port = int(first(r"listens on [0-9.]+:(\d+)", self.log))
        return self

    def ask(self, path="/readyz", method="GET", timeout=10):
        """Return the status and the text of an answer."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as http:
            http.request(method, path)
            answer = http.getresponse()
            return answer.status, answer.read().decode()

    def becomes(self, status, text, deadline=10):
        """Wait until /readyz answers so."""

        def answers():
            found = self.ask()
            return found[0] == status and text in found[1] and found

        return poll(answers, deadline, f"{status} {text}")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def say(self, raw):
        """Send these bytes; return all that is answered."""
        with self.connect() as there:
            there.sendall(raw)
            return read_all(there)

    def figures(self):
        return figures(self.ask("/metrics")[1])


def first(pattern, text):
    """Return the group of the first match."""
    (found, *_) = re.findall(pattern, text)
    return found


def read_all(there):
    parts = []
    while part := there.recv(65536):
        parts.append(part)
    return b"".join(parts).decode()


def figures(text):
    """Return {sample with its labels: value}; each name has its lines once, in one place."""
    found, kinds, name = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in kinds, line
        elif line.startswith("# TYPE "):
            kinds[name] = line.split()[3]
            assert line.split()[2] == name
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            parts = "_(bucket|sum|count)" if kinds[name] == "histogram" else ""
            assert re.fullmatch(f"{name}({parts})?", sample[1]), line
            assert sample[1] + (sample[2] or "") not in found, line
            found[sample[1] + (sample[2] or "")] = float(sample[3])
    return found
