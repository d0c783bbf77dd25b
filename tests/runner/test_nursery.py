"""The nursery: guardians are kept, and whatever dies, no process of a script is left."""

import asyncio
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager, suppress
from functools import wraps
from inspect import Signature, signature
from pathlib import Path

import pytest
from pgagent_runner.model import Run, Step
from pgagent_runner.steps.batch import guardian as program
from pgagent_runner.steps.batch import nursery as nursery_module
from pgagent_runner.steps.batch.batch_step import batch_environment, run_script
from pgagent_runner.steps.batch.nursery import Nursery
from pgagent_runner.steps.batch.script import Request, Script, supervised
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.failures import StepAbortedError, StepError
from pgagent_runner.steps.output import BoundedOutput
from pgagent_runner.steps.settings import StepSettings
from support import poll

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")

RUN = Run(id=7, job_id=3, job_name="nightly", steps=())


async def execute(
    nursery, code, cancellation=None, on_start=lambda _: None, **settings
):
    """Execute a script; return its output."""
    environment = batch_environment(os.environ)
    output = BoundedOutput(1 << 20)
    await run_script(
        Step(5, "step", "b", code, "", "", "f"),
        RUN,
        StepSettings("", environment=environment, **settings),
        cancellation or Cancellation(),
        output,
        nursery,
        on_start,
    )
    return output.text()


def with_nursery(test):
    """Have a test run in a loop, with a nursery that is closed at its end."""

    async def run(arguments):
        with closing(Nursery()) as nursery:
            await test(nursery, **arguments)

    @wraps(test)
    def wrapper(**arguments):
        asyncio.run(run(arguments))

    asked = list(signature(test).parameters.values())[1:]
    # What pytest has to provide:
    wrapper.__signature__ = Signature(asked)  # type: ignore[attr-defined]
    return wrapper


async def until(condition, deadline=10):
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- processes


def fields(pid):
    """Return /proc/PID/stat from the state on; nothing if there is no such process."""
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()
    return []


def children(pid):
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return sorted(child for child in found if fields(child)[1:2] == [str(pid)])


def command_of(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def lives(pid):
    return fields(pid)[:1] not in ([], ["Z"])


def guards():
    """Return the keeper and the nursery that this process has, and its guardians."""
    # Those of other tests may be about to end.
    ours = (child for child in children(os.getpid()) if lives(child))
    keeper = max(child for child in ours if "guardian.py" in command_of(child))
    (nursery,) = children(keeper)
    return keeper, nursery, children(nursery)


class Leash:
    """A named pipe that shows whether any process still holds its other end."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def is_held(self):
        try:
            return os.read(self._reader, 1) != b""
        except BlockingIOError:
            return True

    def close(self):
        os.close(self._reader)


@pytest.fixture
def leash(tmp_path):
    with closing(Leash(tmp_path / "leash")) as leash:
        yield leash


FAMILY = """exec 9>{leash}
setsid sh -c 'trap "" TERM HUP INT; sleep 600' &
sh -c 'setsid sleep 600 & sleep 600' &
(setsid sh -c '(sleep 600 &)' &)
until test -e {gate}; do sleep 0.02; done
"""


# --- a runner that is killed

STAND_IN = """if True:
    import asyncio, os, sys
    from pgagent_runner.model import Run, Step
    from pgagent_runner.steps.batch.batch_step import run_script
    from pgagent_runner.steps.batch.nursery import Nursery
    from pgagent_runner.steps.cancellation import Cancellation
    from pgagent_runner.steps.output import BoundedOutput
    from pgagent_runner.steps.settings import StepSettings

    async def main():
        nursery = Nursery()
        settings = StepSettings("", environment={"PATH": os.environ["PATH"]})
        async def execute(code):
            output = BoundedOutput(1000)
            try:
                await run_script(
                    Step(1, "", "b", code, "", "", "f"), Run(1, 1, "", ()), settings,
                    Cancellation(), output, nursery, lambda script: None
                )
            except Exception as e:
                return str(e)
            return output.text()
        if len(sys.argv) > 2:
            await execute(sys.argv[2])
        print(await execute(sys.argv[1]), flush=True)
        print(await execute("echo next"), flush=True)
        nursery.close()

    asyncio.run(main())
"""
"""A process that executes one script, as a runner does, and another one afterwards."""


@contextmanager
def stand_in(*scripts, tmp_path, prelude="", wrapper=()):
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    command = [*wrapper, sys.executable, "-c", prelude + STAND_IN, *scripts]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


SURVIVED = ("keeper", "nursery", "keeper nursery")
FATAL = (
    "runner",
    "guardian",
    "runner nursery",
    "runner keeper",
    "nursery guardian",
    "keeper guardian",
    "runner guardian",
    "runner nursery guardian",
    "guardian nursery runner",
    "runner keeper nursery",
)


def kill(victims, runner):
    (keeper,) = children(runner)
    (nursery,) = children(keeper)
    (guardian,) = children(nursery)
    known = {"keeper": keeper, "nursery": nursery, "guardian": guardian}
    for victim in victims.split():
        os.kill({"runner": runner, **known}[victim], signal.SIGKILL)
    return known


@pytest.mark.parametrize("victims", FATAL)
def test_whatever_is_killed_with_a_guardian_or_a_runner_nothing_is_left(
    leash, tmp_path, victims
):
    script = FAMILY.format(leash=leash.path, gate=tmp_path / "gate")
    with stand_in(script, tmp_path=tmp_path) as runner:
        poll(leash.is_held)
        known = kill(victims, runner.pid)
        poll(lambda: not leash.is_held(), 5, "all processes to end")
        if "runner" in victims:
            poll(lambda: not any(map(lives, known.values())), 5, "the guards to end")
        else:
            assert "guardian has ended" in runner.stdout.readline()
            assert runner.stdout.read() == "next\n\n"
        if "guardian" not in victims:
            poll(lambda: not list(tmp_path.glob("pgagent-*")), 5, "no directory")


def test_a_runner_kills_the_process_group_if_nobody_else_can(leash, tmp_path):
    script = f"exec 9>{leash.path}; sleep 600 & sleep 600"
    with stand_in(script, tmp_path=tmp_path) as runner:
        poll(leash.is_held)
        kill("keeper nursery guardian", runner.pid)
        poll(lambda: not leash.is_held(), 5, "all processes to end")
        assert "guardian has ended" in runner.stdout.readline()
        assert runner.stdout.read() == "next\n\n"


@pytest.mark.parametrize("victims", SURVIVED)
def test_a_script_survives_the_nursery(leash, tmp_path, victims):
    gate = tmp_path / "gate"
    script = (
        f"exec 9>{leash.path}; until test -e {gate}; do sleep 0.02; done; echo well"
    )
    with stand_in(script, tmp_path=tmp_path) as runner:
        poll(leash.is_held)
        kill(victims, runner.pid)
        gate.touch()
        assert runner.stdout.read() == "well\n\nnext\n\n"


def test_a_script_outlives_neither_runner_nor_guards_if_these_are_in_use_again(
    leash, tmp_path
):
    script = FAMILY.format(leash=leash.path, gate=tmp_path / "gate")
    with stand_in(script, "true", tmp_path=tmp_path) as runner:
        poll(leash.is_held)
        kill("runner", runner.pid)
        poll(lambda: not leash.is_held(), 5, "all processes to end")


@pytest.mark.parametrize("victims", ["runner", "guardian", "runner nursery guardian"])
def test_processes_that_only_fork_and_exit_do_not_escape(leash, tmp_path, victims):
    ready, stop = tmp_path / "ready", tmp_path / "stop"
    chain = tmp_path / "chain.py"
    chain.write_text(
        f"import os; open({str(ready)!r}, 'w')\n"
        f"while not os.path.exists({str(stop)!r}):\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.setsid()\n"
    )
    script = f"exec 9>{leash.path}; {sys.executable} {chain}; sleep 600"
    try:
        with stand_in(script, tmp_path=tmp_path) as runner:
            poll(ready.exists)
            kill(victims, runner.pid)
            poll(lambda: not leash.is_held(), 5, "all processes to end")
    finally:
        stop.touch()


def test_what_a_script_has_left_on_purpose_outlives_the_runner(leash, tmp_path):
    script = f"sleep 600 >{leash.path} 2>&1 & echo $!"
    with stand_in(
        f"until ! test -e {tmp_path}/never; do :; done; sleep 600",
        script,
        tmp_path=tmp_path,
    ) as runner:
        poll(leash.is_held)
        (keeper,) = children(runner.pid)
        (nursery,) = children(keeper)
        poll(lambda: len(children(nursery)) == 2, what="another guardian")
        retired = next(
            g for g in children(nursery) if "sleep" in name_of(children(g)[0])
        )
        (left,) = children(retired)
        runner.kill()
        poll(lambda: children(nursery) == [retired], what="the other one to end")
        assert leash.is_held()
    os.kill(left, signal.SIGKILL)
    poll(lambda: not any(map(lives, (keeper, nursery, retired))), what="all to end")


def name_of(pid):
    return Path(f"/proc/{pid}/comm").read_text()


def test_strangers_of_the_first_process_are_buried(tmp_path):
    """Such as those that a container's first process has: here, a subreaper's."""
    prelude = (
        "import ctypes, subprocess; ctypes.CDLL(None).prctl(36, 1)\n"
        "subprocess.run(['sh', '-c', 'sh -c \"exit 3\" & sh -c \"exit 4\" &'])\n"
        "import signal, asyncio\n"
        "from pgagent_runner.steps.batch.nursery import reap\n"
        "run = asyncio.run\n"
        "async def reaping(main):\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, reap)\n"
        "    reap()\n"
        "    await main\n"
        "asyncio.run = lambda main: run(reaping(main))\n"
    )
    gate = tmp_path / "gate"
    script = f"touch {tmp_path}/ready; until test -e {gate}; do sleep 0.02; done"
    with stand_in(script, tmp_path=tmp_path, prelude=prelude) as runner:
        poll((tmp_path / "ready").exists)
        (keeper,) = poll(lambda: [c for c in [children(runner.pid)] if len(c) == 1])[0]
        (nursery,) = children(keeper)
        os.kill(keeper, signal.SIGKILL)
        poll(lambda: children(runner.pid) == [nursery], what="the keeper's burial")
        gate.touch()
        assert runner.stdout.read() == "\nnext\n\n"


# --- guardians


@with_nursery
async def test_a_guardian_is_used_again(nursery):
    guardians = [await execute(nursery, "echo $PPID") for _ in range(3)]
    assert len(set(guardians)) == 1


@with_nursery
async def test_everybody_sees_what_is_what(nursery):
    await execute(nursery, "true")
    keeper, own, (guardian,) = guards()
    names = [name_of(pid).strip() for pid in (keeper, own, guardian)]
    assert names == ["pgagent-keeper", "pgagent-nursery", "pgagent-guard"]
    assert await execute(nursery, "cat /proc/$$/comm") == "sh\n"


@with_nursery
async def test_a_failure_to_start_leaves_the_guardian_free(nursery):
    before = await execute(nursery, "echo $PPID")
    with pytest.raises(StepError, match="not found"):
        await execute(nursery, "#!/no/such/program")
    assert await execute(nursery, "echo $PPID") == before


@with_nursery
async def test_a_guardian_stays_with_what_its_script_has_left(nursery):
    first, left = (await execute(nursery, "sleep 600 >&- 2>&- & echo $PPID $!")).split()
    assert (await execute(nursery, "echo $PPID")).strip() != first
    assert children(int(first)) == [int(left)]
    await until(lambda: not nursery._leaving)  # noqa: SLF001
    os.kill(int(left), signal.SIGKILL)
    await until(lambda: not lives(first))


@with_nursery
async def test_a_guardian_is_free_as_soon_as_nothing_is_left(nursery):
    code = "sh -c 'sleep 0.2; echo late' & echo $PPID"
    first = (await execute(nursery, code)).split()[0]
    await until(lambda: nursery._idle)  # noqa: SLF001
    assert (await execute(nursery, "echo $PPID")).strip() == first


def test_idle_guardians_end(monkeypatch, tmp_path):
    monkeypatch.setattr(nursery_module, "_IDLE_TIME", 0.2)
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    begun.touch()

    @with_nursery
    async def test(nursery):
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                code = f"echo >>{begun}; until test -e {gate}; do sleep 0.02; done"
                group.create_task(execute(nursery, code))
            await until(lambda: len(begun.read_text()) == 5)
            assert len(guards()[2]) == 5
            gate.touch()
        await until(lambda: not guards()[2])
        assert await execute(nursery, "echo ok") == "ok\n"

    test()


@with_nursery
async def test_nothing_is_started_before_a_script_is(nursery):
    before = children(os.getpid())
    nursery.close()
    assert children(os.getpid()) == before


def test_all_ends_with_the_nursery():
    processes = []

    @with_nursery
    async def test(nursery):
        await execute(nursery, "true")
        keeper, own, guardians = guards()
        processes.extend([keeper, own, *guardians])

    test()
    poll(lambda: not any(map(lives, processes)), what="all to end")


@with_nursery
async def test_a_free_guardian_that_was_killed_is_replaced(nursery):
    guardian = int(await execute(nursery, "echo $PPID"))
    os.kill(guardian, signal.SIGKILL)
    await until(lambda: not lives(guardian))
    assert await execute(nursery, "echo ok") == "ok\n"


def test_a_nursery_that_does_nothing_is_replaced(monkeypatch):
    monkeypatch.setattr(nursery_module, "_BIRTH_TIME", 0.5)
    monkeypatch.setattr(nursery_module, "_IDLE_TIME", 0.5)

    @with_nursery
    async def test(nursery):
        await execute(nursery, "true")
        stopped = guards()[1]
        os.kill(stopped, signal.SIGSTOP)
        try:
            before = len(children(os.getpid()))
            async with asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(execute(nursery, "sleep 0.1"))
            assert len(children(os.getpid())) == before + 1
        finally:
            with suppress(ProcessLookupError):  # its keeper may have seen to that
                os.kill(stopped, signal.SIGCONT)
        await until(lambda: not lives(stopped))

    test()


def test_a_nursery_that_can_not_start_fails_the_step(monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(nursery_module, "_PROGRAM", broken)

    @with_nursery
    async def test(nursery):
        with pytest.raises(StepError, match="no guardian for the script"):
            await execute(nursery, "true")

    test()


def test_a_nursery_that_ends_before_it_is_asked_fails_the_step(monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(nursery_module, "_PROGRAM", broken)
    start = vars(nursery_module)["_start"]

    def start_and_let_it_end():
        channel = start()
        select.select([channel], [], [], 10)
        return channel

    monkeypatch.setattr(nursery_module, "_start", start_and_let_it_end)

    @with_nursery
    async def test(nursery):
        with pytest.raises(StepError, match="no guardian for the script"):
            await execute(nursery, "true")

    test()


def test_a_system_without_room_for_a_process_fails_the_step(monkeypatch, tmp_path):
    full = tmp_path / "full.py"
    full.write_text(
        "import errno, os, runpy\nfork, left = os.fork, [1]\n"
        "def limited():\n"
        "    if not left: raise OSError(errno.EAGAIN, '')\n"
        "    left.pop(); return fork()\n"
        f"os.fork = limited; runpy.run_path({program.__file__!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(nursery_module, "_PROGRAM", full)

    @with_nursery
    async def test(nursery):
        with pytest.raises(BlockingIOError, match="Resource temporarily unavailable"):
            await execute(nursery, "true")

    test()


@with_nursery
async def test_a_guardian_that_stands_still_can_not_keep_a_script(nursery, leash):
    cancellation = Cancellation()
    code = f"exec 9>{leash.path}; setsid sleep 600 & sleep 600"
    task = asyncio.create_task(
        execute(nursery, code, cancellation, kill_grace=0.1, drain_time=0.1)
    )
    await until(leash.is_held)
    (guardian,) = guards()[2]
    (script,) = children(guardian)
    os.kill(guardian, signal.SIGSTOP)
    cancellation.cancel("enough")
    await until(lambda: not lives(script), 2)
    with pytest.raises(StepAbortedError, match="enough"):
        await task
    await until(lambda: not leash.is_held())
    assert await execute(nursery, "echo ok") == "ok\n"


def descriptors(pid):
    """Return what each descriptor of a process is, and whether it can be written to."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
            access = int(flags.split("flags:")[1].split()[0], 8) & os.O_ACCMODE
            yield str(link.readlink()), access != os.O_RDONLY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into them")
@with_nursery
async def test_nobody_has_a_copy_of_a_socket_or_of_an_output(nursery, tmp_path):
    gate = tmp_path / "gate"
    code = f"touch {gate}.$$; until test -e {gate}; do sleep 0.05; done"
    tasks = [asyncio.create_task(execute(nursery, code)) for _ in range(20)]
    await until(lambda: len(list(tmp_path.iterdir())) == 20)
    keeper, own, guardians = guards()
    scripts = [children(guardian)[0] for guardian in guardians]
    assert len(scripts) == 20

    open_in = {
        pid: list(descriptors(pid))
        for pid in (os.getpid(), keeper, own, *guardians, *scripts)
    }
    sockets = Counter(
        name
        for pid in (keeper, own, *guardians, *scripts)
        for name, _ in open_in[pid]
        if name.startswith("socket:")
    )
    assert len(sockets) == 21  # the nursery's and the guardians'
    assert set(sockets.values()) == {1}
    outputs = {
        next(n for n, w in open_in[pid] if w and "pipe:" in n) for pid in scripts
    }
    assert len(outputs) == 20
    for pid in (os.getpid(), keeper, own, *guardians):
        assert not [name for name, writes in open_in[pid] if writes and name in outputs]
    for pid in scripts:
        assert {name for name, _ in open_in[pid] if "pipe:" in name} <= outputs
        assert not [name for name, _ in open_in[pid] if "socket:" in name]

    gate.touch()
    await asyncio.gather(*tasks)


@with_nursery
async def test_scripts_take_no_threads(nursery):
    before = threading.active_count()
    threads = []

    def count(_):
        threads.append(threading.active_count())

    scripts = (execute(nursery, "sleep 0.5", on_start=count) for _ in range(30))
    tasks = [asyncio.create_task(script) for script in scripts]
    await until(lambda: len(threads) == 30)
    assert set(threads) == {before}
    await asyncio.gather(*tasks)


@with_nursery
async def test_a_script_that_writes_much_lets_others_have_their_turn(nursery):
    task = asyncio.create_task(execute(nursery, "exec head -c 300000000 /dev/zero"))
    longest = 0.0
    while not task.done():
        began = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.5


STORM = """exec 9>{leash}
i=0
while test $i -lt 150; do setsid sleep 600 & i=$((i+1)); done
wait
"""


@pytest.mark.parametrize("victims", ["runner", "guardian", "runner nursery guardian"])
def test_nothing_is_left_of_many_processes(leash, tmp_path, victims):
    script = STORM.format(leash=leash.path)
    with stand_in(script, tmp_path=tmp_path) as runner:
        poll(leash.is_held)
        kill(victims, runner.pid)
        poll(lambda: not leash.is_held(), 10, "all processes to end")


# Root may look into every process, unless it gives that up; it keeps the right to read
# the files of whoever owns this directory.
ORDINARY = ("setpriv", "--bounding-set=-all,+dac_override", "--inh-caps=-all")


def test_a_script_can_not_look_into_its_guardian(tmp_path):
    look = "LC_ALL=C; export LC_ALL; cat /proc/$PPID/environ 2>&1; true"
    ordinary = ORDINARY if os.geteuid() == 0 else ()
    with stand_in(look, tmp_path=tmp_path, wrapper=ordinary) as runner:
        assert "Permission denied" in runner.stdout.read()


# --- a script's time


@with_nursery
async def test_a_script_that_nobody_keeps_alive_is_killed(nursery, leash):
    code = f"exec 9>{leash.path}; setsid sleep 600 & sleep 600"
    with pytest.raises(StepError, match="not shown a sign of life for too long"):
        await execute(nursery, code, lease=lambda: 0.5)
    await until(lambda: not leash.is_held())


@with_nursery
async def test_a_script_is_kept_alive_by_another_thread(nursery):
    scripts: list[Script] = []
    ended = threading.Event()

    def keep_alive():
        while not ended.wait(0.1):
            for script in scripts:
                script.keep_alive(0.8)

    thread = threading.Thread(target=keep_alive)
    thread.start()
    try:
        code = "sleep 1.5; echo well"
        output = await execute(
            nursery, code, on_start=scripts.append, lease=lambda: 0.8
        )
    finally:
        ended.set()
        thread.join()
    assert output == "well\n"
    scripts[0].keep_alive(0.1)  # too late: another script has the guardian
    assert await execute(nursery, "sleep 0.5; echo too") == "too\n"


@with_nursery
async def test_a_script_that_comes_too_late_does_not_start(nursery, tmp_path):
    await execute(nursery, "true")
    (guardian,) = guards()[2]
    os.kill(guardian, signal.SIGSTOP)
    code = f"touch {tmp_path}/trace"
    task = asyncio.create_task(execute(nursery, code, lease=lambda: 0.2))
    await asyncio.sleep(0.3)
    os.kill(guardian, signal.SIGCONT)
    with pytest.raises(StepError, match="not shown a sign of life for too long"):
        await task
    assert not (tmp_path / "trace").exists()


@with_nursery
async def test_a_sign_of_life_that_is_late_hurts_no_other_script(nursery):
    scripts: list[Script] = []
    await execute(nursery, "true", on_start=scripts.append)
    (guardian,) = guards()[2]
    os.kill(guardian, signal.SIGSTOP)
    scripts[0].keep_alive(0.1)
    task = asyncio.create_task(execute(nursery, "sleep 0.5; echo $PPID"))
    await until(lambda: not nursery._idle)  # noqa: SLF001
    os.kill(guardian, signal.SIGCONT)
    assert await task == f"{guardian}\n"


@with_nursery
async def test_a_script_can_be_killed_by_another_thread(nursery, leash):
    scripts: list[Script] = []
    code = f"exec 9>{leash.path}; setsid sleep 600 & sleep 600"
    task = asyncio.create_task(execute(nursery, code, on_start=scripts.append))
    await until(leash.is_held)
    thread = threading.Thread(target=scripts[0].kill)
    thread.start()
    # The guardian may just have time to tell how the script has ended.
    with pytest.raises(StepError, match=r"guardian has ended|killed by signal 9"):
        await task
    thread.join()
    await until(lambda: not leash.is_held())


@pytest.mark.parametrize("turns", range(12))
def test_a_task_that_is_cancelled_anywhere_leaves_nothing(leash, tmp_path, turns):
    @with_nursery
    async def test(nursery):
        code = f"exec 9>{leash.path}; setsid sleep 600 & sleep 600"
        task = asyncio.create_task(execute(nursery, code))
        for _ in range(turns):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not leash.is_held())
        assert await execute(nursery, "echo ok") == "ok\n"
        await until(lambda: len(guards()[2]) == 1)

    test()


# --- what is asked of a guardian


def a_request(command, environment, **others):
    directory = f"{tempfile.gettempdir()}/pgagent-{secrets.token_hex(8)}"
    return Request(command, environment, directory, b"", **others)


async def ask(nursery, command, **request):
    output = BoundedOutput(1 << 20)
    environment = {b"PATH": os.environb[b"PATH"]}
    whole = a_request([b"/bin/sh", b"-c", command], environment, **request)
    cancellation = Cancellation()
    async with supervised(nursery, whole, output, None, cancellation) as script:
        await script.wait_for_exit(cancellation)
        await script.drain(5, cancellation)
    return output.text().split()


@with_nursery
async def test_a_request_has_its_own_directory_umask_and_limits(nursery, tmp_path):
    look = b"pwd -P; umask; ulimit -n"
    before = await ask(nursery, look)
    limits = ((resource.RLIMIT_NOFILE, 77, 77),)

    asked = {"place": str(tmp_path), "umask": 0o31, "limits": limits}
    assert await ask(nursery, look, **asked) == [str(tmp_path.resolve()), "0031", "77"]
    assert await ask(nursery, look) == before


POWERLESS = """
import asyncio
from contextlib import closing
from pgagent_runner.steps.batch.nursery import Nursery
from pgagent_runner.steps.batch.script import Request, supervised
from pgagent_runner.steps.cancellation import Cancellation
from pgagent_runner.steps.output import BoundedOutput

async def ask(nursery, user):
    whole = Request([b"/bin/sh"], {}, DIRECTORY, b"", user=user)
    async with supervised(nursery, whole, BoundedOutput(9), None, Cancellation()) as it:
        await it.wait_for_exit(Cancellation())

async def main():
    with closing(Nursery()) as nursery:
        try:
            await ask(nursery, (65534, 65534, (65534,), "/"))
        except Exception as error:
            print(error)
        await ask(nursery, None)

asyncio.run(main())
"""


def test_a_guardian_that_cannot_become_somebody_else_says_so(tmp_path):
    code = POWERLESS.replace("DIRECTORY", repr(str(tmp_path / "it")))
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-setuid", "--inh-caps=-all", *command]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert said == (
        "the runner could not start the script as another user of the operating system:"
        " Operation not permitted\n"
    )
    assert list(tmp_path.iterdir()) == []


@with_nursery
async def test_a_program_is_looked_for_in_the_path_of_the_script(nursery, tmp_path):
    found = tmp_path / "found"
    found.write_text("#!/bin/sh\necho $1 found")
    found.chmod(0o755)
    request = a_request([b"found", b"is"], {b"PATH": b"/no:%b" % bytes(tmp_path)})
    output, cancellation = BoundedOutput(100), Cancellation()
    async with supervised(nursery, request, output, None, cancellation) as script:
        await script.wait_for_exit(cancellation)
    assert output.text() == "is found\n"


@with_nursery
async def test_a_request_may_be_larger_than_a_socket_takes(nursery):
    output, cancellation = BoundedOutput(100), Cancellation()
    environment = {b"V%d" % n: b"x" * 100_000 for n in range(10)}
    request = a_request([b"/usr/bin/env"], environment)
    async with supervised(nursery, request, output, None, cancellation) as script:
        await script.wait_for_exit(cancellation)
    assert script.exit_code == 0


@with_nursery
async def test_a_script_tells_what_it_has_used(nursery):
    scripts: list[Script] = []
    work = "a = bytearray(100_000_000); t = time.process_time() + 0.3"
    loop = "while time.process_time() < t: pass"
    code = f"{sys.executable} -c 'import time\n{work}\n{loop}'"
    await execute(nursery, code, on_start=scripts.append)
    await execute(nursery, "true", on_start=scripts.append)
    busy, idle = scripts
    assert busy.cpu is not None
    assert busy.memory is not None
    assert idle.cpu is not None
    assert idle.memory is not None
    assert 0.3 <= busy.cpu < 5
    assert busy.memory > 100_000_000
    assert idle.cpu < 0.2
    assert 0 < idle.memory < 50_000_000


# --- cgroups

CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def cgroup():
    """A cgroup that has been handed over as systemd does, for a runner."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    try:
        directory = Path(points[0], f"pgagent-test-{os.getpid()}")
        directory.mkdir()
        os.setxattr(directory, "trusted.delegate", b"1")
    except (OSError, IndexError):
        pytest.skip("no cgroup can be made here")
    if not (directory / "cgroup.kill").exists():
        directory.rmdir()
        pytest.skip("no cgroup.kill")
    yield directory
    poll(lambda: is_removed(directory), what="the cgroup to be empty")


def is_removed(cgroup):
    try:
        for child in cgroup.glob("pgagent-*"):
            child.rmdir()
        cgroup.rmdir()
    except OSError:
        return False
    return True


def entering(cgroup):
    return f"import os; open({str(cgroup / 'cgroup.procs')!r}, 'w').write('0')\n"


def members(cgroup):
    with suppress(OSError):
        return set(map(int, (cgroup / "cgroup.procs").read_text().split()))
    return set()


@pytest.mark.parametrize("victims", [*FATAL, "keeper nursery guardian"])
def test_nothing_is_left_in_a_cgroup(cgroup, leash, tmp_path, victims):
    script = FAMILY.format(leash=leash.path, gate=tmp_path / "gate")
    prelude = entering(cgroup)
    with stand_in(script, tmp_path=tmp_path, prelude=prelude) as runner:
        poll(leash.is_held)
        (own,) = cgroup.glob("pgagent-*")
        poll(lambda: len(members(own)) >= 6)
        assert runner.pid in members(cgroup)
        kill(victims, runner.pid)
        poll(lambda: not leash.is_held(), 5, "all processes to end")
        if "runner" in victims and "keeper nursery" not in victims:
            poll(lambda: not list(cgroup.glob("pgagent-*")), 5, "the cgroup to go")


def test_a_guardian_keeps_its_cgroup_for_other_scripts(cgroup, tmp_path):
    look = "tail -n 1 /proc/self/cgroup"
    with stand_in(look, "true", tmp_path=tmp_path, prelude=entering(cgroup)) as runner:
        assert f"/{cgroup.name}/pgagent-" in runner.stdout.read()
    poll(lambda: not list(cgroup.glob("pgagent-*")), 5, "the cgroup to go")
