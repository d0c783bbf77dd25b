"""A batch step, which runs as the runner's user, can't look into the runner."""

import json
import os
import sys
from contextlib import closing

import psycopg
import pytest
from jobs import add_job, batch, step_runs
from psycopg.conninfo import make_conninfo

from .runner_process import Runner, ended_runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")

LOOK = f"""#!{sys.executable} -IS
import ctypes, json, os, re

def parent(pid):
    return re.search("PPid:\\\\s*(\\\\d+)", open(f"/proc/{{pid}}/status").read())[1]

def attempt(look):
    try:
        return look()
    except OSError as error:
        return error.strerror

def environ():
    return "PGPASSWORD=" in open(f"/proc/{{runner}}/environ").read()

def memory():
    start = open(f"/proc/{{runner}}/maps").readline().partition("-")[0]
    with open(f"/proc/{{runner}}/mem", "rb") as memory:
        memory.seek(int(start, 16))
        return memory.read(1) != b""

def trace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(runner), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(int(runner), 0x40000000)
    libc.ptrace(17, int(runner), 0, 0)
    return True

runner = str(os.getppid())
while b"guardian.py" in open(f"/proc/{{runner}}/cmdline", "rb").read():
    runner = parent(runner)
looks = (environ, memory, trace)
print(json.dumps({{look.__name__: attempt(look) for look in looks}}))
"""
# Root may look into every process, unless it gives that up; it keeps the right to read
# the files of whoever owns this directory.
ORDINARY = ["--bounding-set=-all,+dac_override", "--inh-caps=-all"]


class OrdinaryRunner(Runner):
    """A runner without privileges that could matter."""

    def __init__(self, *arguments, environ):
        super().__init__(*arguments, environ=environ)
        if os.geteuid() == 0:
            self._command = ["setpriv", *ORDINARY, *self._command]


def seen_of_the_runner(server, dsn, *options):
    """Return what a batch step of a runner with a PGPASSWORD sees of it."""
    target = make_conninfo(dsn, host="127.0.0.1", port=server.port)
    secret = {"PGPASSWORD": server.password}
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as conn,
        OrdinaryRunner(*options, target, environ=secret) as runner,
    ):
        runner.ready()
        assert ended_runs(conn, add_job(conn, batch(LOOK))) == "s"
        ((_, _, _, output),) = step_runs(conn)
    return json.loads(output)


def test_a_batch_step_reads_nothing_of_the_runner(frail, frail_dsn):
    seen = seen_of_the_runner(frail, frail_dsn)

    assert seen == {
        "environ": "Permission denied",
        "memory": "Permission denied",
        "trace": "Operation not permitted",
    }


def test_a_runner_that_is_debuggable_shows_it_all(frail, frail_dsn):
    seen = seen_of_the_runner(frail, frail_dsn, "--debuggable")

    assert seen["environ"] is True
    assert seen["memory"] is True
