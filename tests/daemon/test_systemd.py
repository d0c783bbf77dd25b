"""As a service of systemd: the unit file, and what its manager is told."""

import os
import socket
import subprocess
from contextlib import closing

import pytest
from documents import block
from support import ROOT, poll

from .runner_process import Runner

UNIT = ROOT / "systemd/pgagent.service"


@pytest.mark.needs("systemd_analyze")
@pytest.mark.parametrize("powers", ["", "as other users"])
def test_the_unit_file_has_no_fault(tmp_path, powers):
    # The service's own user and program need not be on this machine; `make docs-check`
    # makes both as the document says.
    text = UNIT.read_text().replace("User=pgagent", "User=daemon")
    if powers:
        text += block("docs/operating.md", "[Service]")
    assert "\nExecStart=/usr/local/bin/pgagent run\n" in text
    unit = tmp_path / "pgagent.service"
    unit.write_text(text.replace("/usr/local/bin/pgagent", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", unit]

    verdict = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (verdict.returncode, verdict.stderr) == (0, "")


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path):
    """The socket of a service manager, and its address."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as receiver:
        if request.param == "file":
            address = str(tmp_path / "notify")
            receiver.bind(address)
        else:
            address = f"@pgagent-test-{os.getpid()}"
            receiver.bind("\0" + address[1:])
        receiver.settimeout(0)
        yield receiver, address


def told(receiver, messages):
    """Collect what has been sent so far."""
    while True:
        try:
            messages += receiver.recv(4096).decode().splitlines()
        except BlockingIOError:
            return messages


def test_the_manager_is_told_when_the_runner_is_ready_alive_and_stopping(dsn, manager):
    receiver, address = manager
    messages: list[str] = []
    with Runner("--lease", "4", dsn, environ={"NOTIFY_SOCKET": address}) as runner:
        poll(lambda: "READY=1" in told(receiver, messages))
        poll(lambda: told(receiver, messages).count("WATCHDOG=1") >= 2)
        assert "STOPPING=1" not in messages
        assert runner.stop() == 0
    assert "STOPPING=1" in told(receiver, messages)
    assert any(m.startswith('STATUS=Serves database "') for m in messages)


def test_a_runner_that_waits_for_its_server_is_alive_but_not_ready(tmp_path, manager):
    receiver, address = manager
    messages: list[str] = []
    with Runner(f"host={tmp_path}", environ={"NOTIFY_SOCKET": address}):
        poll(lambda: told(receiver, messages).count("WATCHDOG=1") >= 2)
    assert "READY=1" not in messages


def test_the_manager_says_how_often_it_wants_to_be_told(dsn, manager):
    receiver, address = manager
    messages: list[str] = []
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
    with Runner("--lease", "600", dsn, environ=environ):
        poll(lambda: told(receiver, messages).count("WATCHDOG=1") >= 3)
