"""No process of a batch step outlives its runner, nor goes on without its consent."""

import os
import signal
import sys
from pathlib import Path

import pytest
from jobs import add_job, batch, runs
from support import poll

from .runner_process import Runner, running_step

FAMILY = """exec 9>{leash}
setsid sh -c 'trap "" TERM HUP INT; sleep 600' &
sh -c 'setsid sleep 600 & sleep 600' &
sleep 600
"""


@pytest.mark.parametrize("trial", range(5))
def test_nothing_of_a_step_survives_the_kill_of_its_runner(
    conn, dsn, leash, tmp_path, trial
):
    with Runner(dsn, environ={"TMPDIR": str(tmp_path)}) as runner:
        runner.ready()
        add_job(conn, batch(FAMILY.format(leash=leash.path)))
        running_step(conn)
        poll(leash.is_held)
        assert list(tmp_path.glob("pgagent-*/script"))
        runner.send(signal.SIGKILL)
        runner.ended()
        poll(lambda: not leash.is_held(), 5, "all processes to end")
        poll(lambda: not list(tmp_path.glob("pgagent-*")), 5, "the script to be gone")


def test_a_frozen_runners_script_ends_before_its_lease(conn, dsn, leash):
    with Runner("--lease", "4", dsn) as runner:
        runner.ready()
        add_job(conn, batch(FAMILY.format(leash=leash.path)))
        running_step(conn)
        poll(leash.is_held)
        runner.send(signal.SIGSTOP)
        try:
            poll(lambda: not leash.is_held(), 5, "all processes to end")
        finally:
            runner.send(signal.SIGCONT)
        poll(lambda: runs(conn)[0][0] != "r", what="the run to end")


GUARDS = ("keeper", "nursery", "guardian")


@pytest.mark.parametrize(
    "victims", ["guardian", "nursery guardian", "keeper nursery guardian"]
)
def test_a_guardian_that_is_killed_takes_the_script_along(conn, runner, leash, victims):
    script = "sleep 600" if "keeper" in victims else FAMILY.partition("\n")[2]
    add_job(conn, batch(f"exec 9>{leash.path}; {script}"))
    running_step(conn)
    poll(leash.is_held)
    guards = guards_of(runner)

    for victim in victims.split():
        os.kill(guards[victim], signal.SIGKILL)

    poll(lambda: not leash.is_held(), 5, "the script to end")
    poll(lambda: runs(conn)[0][0] == "f")
    assert "the script's guardian has ended" in runs(conn)[0][1]


STOPS = "exec 9>{}; : > {}; kill -STOP $PPID; sleep 600"


@pytest.mark.parametrize("last", [signal.SIGKILL, signal.SIGSTOP])
def test_a_script_that_stops_its_guardian_does_not_outlive_its_runner(
    conn, dsn, leash, tmp_path, last
):
    begun = tmp_path / "begun"
    with Runner("--lease", "4", dsn) as runner:
        runner.ready()
        add_job(conn, batch(STOPS.format(leash.path, begun)))
        poll(begun.exists)
        runner.send(last)
        poll(lambda: not leash.is_held(), 6, "the script to end")
        runner.send(signal.SIGCONT)


@pytest.mark.parametrize("others", ["", "kill -STOP $(ps -o ppid= $PPID); "])
def test_a_script_that_stops_its_guards_ends_with_a_reason(
    conn, runner, leash, tmp_path, others
):
    code = STOPS.format(leash.path, tmp_path / "begun")
    add_job(conn, batch(others + code))
    poll(lambda: [status for status, _ in runs(conn)] == ["f"])
    assert "the script's guardian has ended" in runs(conn)[0][1]
    poll(lambda: not leash.is_held(), 5, "the script to end")
    add_job(conn, batch("true"))
    poll(lambda: "s" in [status for status, _ in runs(conn)])


@pytest.mark.parametrize("victims", ["guardian nursery", "nursery", "nursery keeper"])
def test_nothing_survives_a_runner_that_is_killed_with_its_guards(
    conn, dsn, leash, victims
):
    with Runner(dsn) as runner:
        runner.ready()
        add_job(conn, batch(FAMILY.format(leash=leash.path)))
        running_step(conn)
        poll(leash.is_held)
        guards = guards_of(runner)
        runner.send(signal.SIGKILL)
        for victim in victims.split():
            os.kill(guards[victim], signal.SIGKILL)
        runner.ended()
        poll(lambda: not leash.is_held(), 5, "all processes to end")


def test_a_script_survives_the_nursery(conn, runner, gate):
    code, open_gate = gate
    add_job(conn, batch(code))
    running_step(conn)
    os.kill(guards_of(runner)["nursery"], signal.SIGKILL)
    add_job(conn, batch("true"))
    poll(lambda: [run[0] for run in runs(conn)].count("s") == 1)
    open_gate()
    poll(lambda: [run[0] for run in runs(conn)] == ["s", "s"])


def guards_of(runner):
    """Return the processes between the runner and its only script."""
    found, parent = {}, runner.pid
    for name in GUARDS:
        (parent,) = poll(lambda: children(parent))  # noqa: B023
        found[name] = parent
    return found


def children(pid):
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if f"PPid:\t{pid}\n".encode() in read(process / "status")
    ]


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("trial", range(4))
def test_processes_that_only_fork_and_exit_do_not_escape(
    conn, dsn, leash, tmp_path, trial
):
    """Each is gone when somebody looks, and the next one not there yet."""
    chain, ready, stop = (tmp_path / name for name in ("chain", "ready", "stop"))
    chain.write_text(
        f"import os; open({str(ready)!r}, 'w')\n"
        f"while not os.path.exists({str(stop)!r}):\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.setsid()\n"
    )
    try:
        with Runner(dsn) as runner:
            runner.ready()
            add_job(
                conn, batch(f"exec 9>{leash.path}; {sys.executable} {chain}; sleep 600")
            )
            running_step(conn)
            poll(ready.exists)
            runner.send(signal.SIGKILL)
            runner.ended()
            poll(lambda: not leash.is_held(), 5, "all processes to end")
    finally:
        stop.touch()
