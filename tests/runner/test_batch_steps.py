"""Batch steps: scripts, their output, and all that they leave behind."""

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from pgagent_runner.model import Ending, Run, Step
from pgagent_runner.steps.batch import guardian as program
from pgagent_runner.steps.batch import nursery as nursery_module
from pgagent_runner.steps.batch.batch_step import batch_environment, run_script
from pgagent_runner.steps.batch.nursery import Nursery
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from support import poll

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())


def batch_step(code, name="step"):
    return Step(5, name, "b", code, "", "", "f")


class Room:
    """What executes scripts, in a loop of its own."""

    def __init__(self, runner, run, settings):
        self.cancellation = Cancellation()
        self.nursery = Nursery()
        self.script = None
        self._runner = runner
        self._run = run
        self._settings = settings

    def execute(self, step, *, when=None):
        """Execute a script; cancel it as soon as the condition holds, if there is one."""
        return self._runner.run(self._execute(step, when))

    async def _execute(self, step, when):
        canceller = asyncio.create_task(self._cancel(when)) if when else None
        output = BoundedOutput(self._settings.output_limit)
        ended = {"ending": Ending.SUCCEEDED, "result": 0, "reason": ""}
        try:
            await run_script(
                *(step, self._run, self._settings, self.cancellation, output),
                *(self.nursery, self._note),
            )
        except StepError as error:
            aborted = isinstance(error, StepAbortedError)
            ending = Ending.ABORTED if aborted else Ending.FAILED
            ended = {"ending": ending, "result": error.result, "reason": error.reason}
            output.line(str(error))
        except OSError as error:
            ended = {"ending": Ending.FAILED, "result": -1, "reason": str(error)}
            output.line(str(error))
        if canceller:
            await canceller
        return SimpleNamespace(**ended, output=output.text())

    def _note(self, script):
        self.script = script

    async def _cancel(self, condition):
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        self.cancellation.cancel("the agent stops")

    async def close(self):
        self.nursery.close()


@contextmanager
def room_for(run=RUN, environment=None, **settings):
    environment = batch_environment(os.environ) | (environment or {})
    with asyncio.Runner() as runner:
        room = Room(runner, run, StepSettings("", environment=environment, **settings))
        runner.run(asyncio.sleep(0))  # the loop's own descriptors
        yield room
        runner.run(room.close())


@pytest.fixture
def room(tmp_path):
    with room_for(environment={"TMPDIR": str(tmp_path)}) as room:
        yield room


@pytest.fixture
def execute(room):
    return lambda code: room.execute(batch_step(code))


@pytest.fixture
def hasty(tmp_path):
    """A room in which nothing is waited for very long."""
    directory = {"TMPDIR": str(tmp_path)}
    with room_for(environment=directory, kill_grace=0.3, drain_time=0.3) as hasty:
        yield hasty


def group_exists(group):
    """Tell whether a process of this group is left, zombies apart."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] != "Z" and fields[2] == group.strip():
                return True
    return False


# --- what a script is, and how it ends


@pytest.mark.parametrize(
    ("code", "ending", "result", "output"),
    [
        ("echo hello", Ending.SUCCEEDED, 0, "hello\n"),
        ("exit 3", Ending.FAILED, 3, ""),
        ("exit 300", Ending.FAILED, 44, ""),
        ("echo out; echo err >&2; echo out", Ending.SUCCEEDED, 0, "out\nerr\nout\n"),
        ("", Ending.SUCCEEDED, 0, ""),
        ("kill -9 $$", Ending.FAILED, -9, "killed by signal 9 (SIGKILL)\n"),
        ("kill -40 $$", Ending.FAILED, -40, "killed by signal 40\n"),
        ("cat; tty", Ending.FAILED, 1, "not a tty\n"),
        ("#!/bin/sh -e\nfalse\necho no", Ending.FAILED, 1, ""),
        ("#! /bin/sh\t -e \nfalse\necho no", Ending.FAILED, 1, ""),
        ("#!/bin/echo one two\n", Ending.SUCCEEDED, 0, "one two SCRIPT\n"),
        ("#!/usr/bin/env sh\necho $0", Ending.SUCCEEDED, 0, "SCRIPT\n"),
        ("#!/usr/bin/env -S sh -e\nfalse\necho no", Ending.FAILED, 1, ""),
        ("#!\necho sh", Ending.SUCCEEDED, 0, "sh\n"),
        ("#!/bin/sh\r\nif true\r\nthen echo ok\r\nfi\r\n", Ending.SUCCEEDED, 0, "ok\n"),
        ("\ufeff#!/bin/sh -e\nfalse\necho no", Ending.FAILED, 1, ""),
        ("printf 'a\\0b\\377'", Ending.SUCCEEDED, 0, "a\\x00b\\xff"),
        ("printf '\udcff'", Ending.SUCCEEDED, 0, "\\xff"),
        ("echo '€'", Ending.SUCCEEDED, 0, "€\n"),
    ],
)
def test_a_script_ends_as_it_says(execute, code, ending, result, output):
    outcome = execute(code)
    assert re.sub(r"\S+/script", "SCRIPT", outcome.output) == output
    assert (outcome.ending, outcome.result) == (ending, result)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("exit 3", "exit code 3"),
        ("kill -15 $$", "killed by signal 15 (SIGTERM)"),
        ("#!/no/such/program -x", "interpreter /no/such/program not found"),
        ("exit 0", ""),
    ],
)
def test_a_failure_has_a_reason_in_one_sentence(execute, code, reason):
    assert execute(code).reason == reason


@pytest.mark.parametrize(
    ("interpreter", "result", "output"),
    [
        ("/no/such/program", 127, "interpreter /no/such/program not found\n"),
        ("/tmp", 126, "interpreter /tmp: Permission denied\n"),
        ("/\udcff", 127, "interpreter /\\xff not found\n"),
    ],
)
def test_an_unusable_interpreter_is_named(execute, interpreter, result, output):
    outcome = execute(f"#!{interpreter}\n")
    assert (outcome.ending, outcome.result) == (Ending.FAILED, result)
    assert outcome.output == output


# --- what a script sees


def test_the_environment_is_an_allow_list():
    environ = {"PATH": "/bin", "LC_TIME": "C", "PGPASSWORD": "x", "TOKEN": "x"}
    environ |= {"EXTRA": "1", "PGHOST": "x", "TMPDIR": "/t"}
    assert batch_environment(environ, ["EXTRA", "PGHOST", "ABSENT"]) == {
        "PATH": "/bin",
        "LC_TIME": "C",
        "TMPDIR": "/t",
        "EXTRA": "1",
    }


def test_a_script_sees_nothing_else_of_the_environment(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("TOKEN", "secret")
    with room_for() as room:
        outcome = room.execute(batch_step("env; tr '\\0' '\\n' </proc/$PPID/environ"))
    assert "secret" not in outcome.output
    assert "PATH=" in outcome.output


def test_a_script_learns_what_it_belongs_to():
    run = Run(id=7, job_id=3, job_name="naïve $(id) ✓", steps=())
    with room_for(run) as room:
        output = room.execute(batch_step("env", name="step 'two'")).output
    assert set(output.splitlines()) >= {
        "PGAGENT_JOB_ID=3",
        "PGAGENT_JOB_NAME=naïve $(id) ✓",
        "PGAGENT_RUN_ID=7",
        "PGAGENT_STEP_ID=5",
        "PGAGENT_STEP_NAME=step 'two'",
    }


@pytest.mark.parametrize("name", ["x" * 1_000_000, "€" * 1_000_000, "a\0b"])
def test_an_odd_job_name_keeps_no_script_from_running(name):
    with room_for(Run(id=7, job_id=3, job_name=name, steps=())) as room:
        assert room.execute(batch_step("true")).ending is Ending.SUCCEEDED


def test_a_script_runs_where_the_runner_runs_with_its_umask(execute):
    umask = os.umask(0o022)
    os.umask(umask)
    cwd, mask = execute("pwd -P; umask").output.split()
    assert (cwd, int(mask, 8)) == (str(Path.cwd().resolve()), umask)


def test_a_script_inherits_no_file_descriptor(execute):
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)  # noqa: FBT003
    try:
        output = execute("exec ls /proc/self/fd").output
    finally:
        os.close(read_end)
        os.close(write_end)
    assert output.split() == ["0", "1", "2", "3"]  # ls has opened the fourth


def test_a_script_leads_its_own_session(execute):
    pid, session = execute("echo $$; cut -d ' ' -f 6 /proc/$$/stat").output.split()
    assert pid == session


# --- its file


def test_nobody_else_can_read_a_script(execute):
    umask = os.umask(0)
    try:
        output = execute('stat -c %a "$0" "$(dirname "$0")"').output
    finally:
        os.umask(umask)
    assert output.split() == ["600", "700"]


# Two thousand deep: further than a path can lead.
NESTED = """cd "${0%/*}" && deep=$(printf "d/%.0s" $(seq 300))
for i in $(seq 7); do mkdir -p $deep && cd -P $deep || exit; done
echo hi"""


@pytest.mark.parametrize(
    "code", ['rm -rf "${0%/*}"; echo hi', 'rm -f "$0"; echo hi', NESTED]
)
def test_a_script_may_do_anything_to_its_own_directory(execute, tmp_path, code):
    assert execute(code).output == "hi\n"
    for left in tmp_path.iterdir():
        subprocess.run(["rm", "-rf", left], check=True)


@pytest.mark.parametrize(
    "code", ["true", "exit 1", "kill -9 $$", "#!/no", 'mkdir -p "${0%/*}/sub/dir"']
)
def test_a_scripts_directory_is_removed(execute, tmp_path, code):
    execute(code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        'rm -rf "$d"',
        'chmod 0 "$d"',
        'mkdir -p "$d/a/b"; touch "$d/a/b/c"; chmod 0 "$d/a/b" "$d/a" "$d"',
        'ln -s "$d" "$d/itself"; chmod 0500 "$d"',
    ],
)
def test_a_script_that_has_spoilt_its_directory_has_succeeded(execute, tmp_path, spoil):
    outcome = execute(f'd="${{0%/*}}"; {spoil}')

    assert (outcome.ending, outcome.output) == (Ending.SUCCEEDED, "")
    assert list(tmp_path.iterdir()) == []


def test_the_directory_lies_where_tmpdir_says(execute, tmp_path):
    assert execute('echo "$0"').output.startswith(f"{tmp_path}/")


def test_a_missing_directory_for_temporary_files_fails_the_step():
    with room_for(environment={"TMPDIR": "/no/such/directory"}) as room:
        outcome = room.execute(batch_step("true"))
    assert outcome.ending is Ending.FAILED
    assert "No such file or directory: '/no/such/directory/" in outcome.output


# --- its output


def test_output_beyond_the_limit_is_left_out_in_the_middle():
    with room_for(output_limit=100) as room:
        output = room.execute(batch_step("seq 100000; echo end")).output
    assert output.startswith("1\n2\n3\n")
    assert output.endswith("100000\nend\n")
    assert "bytes omitted" in output


def test_a_gigabyte_of_output_costs_no_memory():
    source = """if True:
        import asyncio, resource
        from pgagent_runner.model import Run, Step
        from pgagent_runner.steps.batch.batch_step import run_script
        from pgagent_runner.steps.batch.nursery import Nursery
        from pgagent_runner.steps.cancellation import Cancellation
        from pgagent_runner.steps.output import BoundedOutput
        from pgagent_runner.steps.settings import StepSettings
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async def main():
            nursery = Nursery()
            before = peak()
            step = Step(1, "", "b", "exec head -c 1000000000 /dev/zero", "", "", "f")
            result = await run_script(
                step, Run(1, 1, "", ()), StepSettings(""), Cancellation(),
                BoundedOutput(1 << 20), nursery, lambda script: None
            )
            print(result, peak() - before)
        asyncio.run(main())
    """
    command = [sys.executable, "-c", source]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    result, kilobytes = run.stdout.split()
    assert result == "0"
    assert int(kilobytes) < 40 * 1024


def test_the_output_of_a_script_that_has_closed_it_is_complete(execute):
    outcome = execute("echo before; exec >/dev/null 2>&1; sleep 0.05; exit 4")
    assert (outcome.output, outcome.result) == ("before\n", 4)


# --- background processes


HELD = "a background process held the output open after the script had ended"


def test_a_background_process_with_output_of_its_own_is_left_alone(execute):
    outcome = execute("sleep 60 >/dev/null 2>&1 & echo $!")
    pid = int(outcome.output)
    assert outcome.ending is Ending.SUCCEEDED
    os.kill(pid, signal.SIGKILL)  # which shows that it is there


def test_a_background_process_may_end_its_output_soon_after(execute):
    outcome = execute("(sleep 0.1; echo late) & echo early")
    assert (outcome.ending, outcome.output) == (Ending.SUCCEEDED, "early\nlate\n")


@pytest.mark.parametrize(
    "background", ["sleep 60", "sh -c 'trap \"\" TERM; sleep 60; sleep 60'"]
)
def test_a_background_process_that_keeps_the_output_is_ended(hasty, background):
    outcome = hasty.execute(batch_step(f"{background} & echo $$"))
    group = outcome.output.split()[0]
    assert (outcome.ending, outcome.result) == (Ending.SUCCEEDED, 0)
    assert HELD in outcome.output
    assert not group_exists(group)


def test_a_background_process_that_keeps_writing_is_ended(hasty):
    outcome = hasty.execute(batch_step("yes & exit 2"))
    assert (outcome.ending, outcome.result) == (Ending.FAILED, 2)
    assert HELD in outcome.output


def test_a_background_process_in_another_session_holds_no_step_up(hasty):
    outcome = hasty.execute(batch_step("setsid sleep 60 & echo $!"))
    os.kill(int(outcome.output.split()[0]), signal.SIGKILL)
    assert HELD in outcome.output


# --- cancelling


@pytest.mark.parametrize(
    "code",
    [
        "sleep 60",
        "sleep 60 & wait",
        "exec >/dev/null 2>&1; sleep 60",
        "trap '' TERM; while :; do sleep 60; done",
        "yes",
        "sleep 60 & exit 0",
        "sh -c 'trap \"\" TERM; exec >/dev/null 2>&1; sleep 60' & sleep 60",
    ],
)
def test_a_cancelled_script_leaves_nothing_of_its_group(hasty, tmp_path, code):
    pid_file = tmp_path / "pid"
    started = f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}"
    step = batch_step(f"{started}\n{code}")
    outcome = hasty.execute(step, when=pid_file.exists)
    assert (outcome.ending, outcome.reason) == (Ending.ABORTED, "the agent stops")
    assert outcome.output.endswith("the agent stops\n")
    assert not group_exists(pid_file.read_text())
    assert list(tmp_path.iterdir()) == [pid_file]


def test_a_cancelled_script_may_say_a_last_word(room, tmp_path):
    # Nothing but the shell itself waits: it would report the end of another program.
    code = (
        f"mkfifo {tmp_path}/never; trap 'echo bye; exit 0' TERM;"
        f" : >{tmp_path}/ready; read x <>{tmp_path}/never"
    )
    outcome = room.execute(batch_step(code), when=(tmp_path / "ready").exists)
    assert (outcome.ending, outcome.output) == (
        Ending.ABORTED,
        "bye\nthe agent stops\n",
    )


def test_nothing_starts_after_a_cancellation(execute, room, tmp_path):
    room.cancellation.cancel("first")
    room.cancellation.cancel("second")
    outcome = execute(f"touch {tmp_path}/trace")
    assert (outcome.ending, outcome.output) == (Ending.ABORTED, "first\n")
    assert not (tmp_path / "trace").exists()


FRAGILE = """
import importlib.util, os, signal, sys, time
spec = importlib.util.spec_from_file_location("guardian", {guardian!r})
guardian = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guardian)
tell = guardian._Guardian._tell

def die(self, line):
    if line.startswith(b"started"):
        while not os.path.exists({sign!r}):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)
    tell(self, line)

guardian._Guardian._tell = die
guardian.main()
"""
"""Guardians that are killed before they can say that the script has started."""


def test_a_guardian_that_is_killed_early_takes_the_script_along(
    execute, tmp_path, monkeypatch
):
    sign, fragile = tmp_path / "sign", tmp_path / "fragile.py"
    fragile.write_text(FRAGILE.format(guardian=program.__file__, sign=str(sign)))
    monkeypatch.setattr(nursery_module, "_PROGRAM", fragile)
    os.mkfifo(tmp_path / "leash")
    leash = os.open(tmp_path / "leash", os.O_RDONLY | os.O_NONBLOCK)

    outcome = execute(
        f"exec 9>{tmp_path}/leash; (setsid sleep 600 & echo $$ >{sign}); wait"
    )

    assert outcome.ending is Ending.FAILED
    assert "the script's guardian has ended" in outcome.output
    with os.fdopen(leash, "rb", buffering=0) as held:
        poll(lambda: held.read(1) == b"", what="the script's processes to end")


# --- a system without room


def open_files():
    return set(Path("/proc/self/fd").iterdir())


def test_two_hundred_steps_leave_no_file_open():
    before = open_files()
    with room_for() as room:
        room.execute(batch_step("true"))
        between = open_files()
        for _ in range(200):
            room.execute(batch_step("true"))
        assert open_files() == between
    assert open_files() <= before


@contextmanager
def limit_of_open_files(spare):
    """Leave so many file descriptors to this process."""
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("spare", range(5))
def test_a_lack_of_file_descriptors_fails_the_step(execute, tmp_path, spare):
    before = open_files()
    with limit_of_open_files(spare):
        outcome = execute("true")
    assert outcome.ending is Ending.FAILED
    assert "Too many open files" in outcome.output
    assert list(tmp_path.iterdir()) == []
    # Seen with CPython 3.11.2, not with 3.11.7: its subprocess loses a pipe of its own.
    if sys.version_info >= (3, 11, 7):
        assert open_files() == before


def test_a_script_larger_than_a_file_may_be_fails_the_step(execute, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        outcome = execute("#" * 101)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.output == "[Errno 27] File too large\n"
    assert list(tmp_path.iterdir()) == []
