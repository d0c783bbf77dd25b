"""The demo speaks in words, and leaves nothing behind whenever it is interrupted."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from support import ROOT, poll

DATA = re.compile(r"(?:-D|--pgdata=)([^\0]+)/data\0")


class Demo:
    """The demo as a terminal starts it, in a folder for its temporary files."""

    def __init__(self, folder):
        self.folder = folder
        self.data = set()
        with (folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "dev/demo.py"],
                env=os.environ | {"TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self):
        return (self.folder / "output").read_text()

    def processes(self):
        """Return the command lines of all processes that know of the folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command, environment = (
                    (process / name).read_text(errors="replace")
                    for name in ("cmdline", "environ")
                )
                if str(self.folder) in command + environment:
                    self.data.update(DATA.findall(command))
                    found.append(command)
        return found

    def has_come_to(self, moment):
        processes = self.processes()
        assert self.process.poll() is None, self.output
        return moment in self.output or any(moment in line for line in processes)

    def interrupt(self, number):
        """Do it as a terminal does, and as somebody who has no patience."""
        for _ in range(3):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def left(self):
        """Return what is there of it, output apart."""
        files = set(self.folder.iterdir()) - {self.folder / "output"}
        return [*self.processes(), *files, *filter(os.path.exists, self.data)]


@pytest.fixture
def demo():
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    folder.chmod(0o711)  # as root, the server is another user's
    demo = Demo(folder)
    yield demo
    demo.process.kill()
    demo.process.wait()
    for directory in (folder, *demo.data):
        shutil.rmtree(directory, ignore_errors=True)


def test_the_demo_shows_in_words_what_has_run(demo):
    assert demo.process.wait(30) == 0, demo.output
    rows = {
        tuple(cell.strip() for cell in line.split("|"))[:4]
        for line in demo.output.splitlines()
    }
    assert {
        ("count visits", "succeeded", "command", "succeeded"),
        ("count visits", "succeeded", "report", "succeeded"),
        ("go on after an error", "succeeded", "1 shaky", "ignored"),
        ("go on after an error", "succeeded", "2 sturdy", "succeeded"),
        ("fail", "failed", "1 divide", "failed"),
    } <= rows
    assert demo.left() == []


def test_the_demo_shows_what_to_type(demo):
    assert demo.process.wait(30) == 0, demo.output
    _, jobs, log, coming = demo.output.split("\n$ pgagent ")
    assert jobs.startswith("list\n\n")
    assert "\njob_id | job " in jobs
    assert "* * * * *" in jobs
    assert log.startswith("logs fail\n\n")
    assert '\nrun 3 of job "fail", failed after ' in log  # beside what the runner logs
    assert "division by zero" in log
    assert coming.startswith("next -n 3\n\n")
    assert coming.count(" | count visits | * * * * *\n") == 3


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("initdb", signal.SIGINT),
        ("bin/postgres", signal.SIGTERM),
        ("Creating the extension", signal.SIGINT),
        ("pgagent_runner", signal.SIGHUP),
        ("What has run", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_leaves_nothing_behind(demo, moment, number):
    poll(lambda: demo.has_come_to(moment), 30, moment)
    demo.interrupt(number)
    demo.process.wait(30)
    poll(lambda: demo.left() == [], what="an end of all that it has started")
    assert "Traceback" not in demo.output
