"""Batch steps as other users: nothing of the runner, or of each other, is in reach."""

import json
import os
import pwd
import signal
import stat
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import other_users
import pytest
from jobs import add_job, batch, runs, step_runs
from other_users import ALICE, BOB
from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.users import batch_users
from support import poll

from .conftest import Leash
from .runner_process import PGAGENT, Runner, ended_runs, running_step
from .test_orphans import guards_of

LOOK = f"""#!{other_users.interpreter()} -IS
import ctypes, glob, json, os, re, sys

libc = ctypes.CDLL(None, use_errno=True)

def read(path):
    with open(path, "rb") as file:
        return file.read(1) is not None

def lines(path):
    return open(path, "rb").read()

def parent(pid):
    return re.search(rb"PPid:\\\\s*(\\\\d+)", lines(f"/proc/{{pid}}/status"))[1].decode()

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")

def memory(pid):
    start = open(f"/proc/{{pid}}/maps").readline().partition("-")[0]
    with open(f"/proc/{{pid}}/mem", "rb") as memory:
        memory.seek(int(start, 16))
        memory.read(1)

def trace(pid):
    checked(libc.ptrace(16, int(pid), 0, 0))
    os.waitpid(int(pid), 0x40000000)
    libc.ptrace(17, int(pid), 0, 0)

class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

def read_across(pid):
    here, there = ctypes.create_string_buffer(1), Piece(0x400000, 1)
    piece = Piece(ctypes.addressof(here), 1)
    result = libc.process_vm_readv(int(pid), ctypes.byref(piece), 1, ctypes.byref(there), 1, 0)
    if result < 0 and ctypes.get_errno() != 14:  # EFAULT: allowed, but nothing is there
        checked(result)

def take_output(pid):
    os.close(os.open(f"/proc/{{pid}}/fd/1", os.O_RDONLY | os.O_NONBLOCK))

def write_output(pid):
    os.close(os.open(f"/proc/{{pid}}/fd/1", os.O_WRONLY | os.O_NONBLOCK))

looks = {{
    "environ": lambda pid: read(f"/proc/{{pid}}/environ"),
    "maps": lambda pid: read(f"/proc/{{pid}}/maps"),
    "descriptors": lambda pid: os.listdir(f"/proc/{{pid}}/fd"),
    "place": lambda pid: os.listdir(f"/proc/{{pid}}/cwd"),
    "root": lambda pid: os.listdir(f"/proc/{{pid}}/root"),
    "memory": memory,
    "trace": trace,
    "read_across": read_across,
    "signal": lambda pid: os.kill(int(pid), 0),
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, int(pid), os.getpriority(os.PRIO_PROCESS, int(pid))),
}}

def attempt(look, *arguments):
    try:
        look(*arguments)
    except OSError:
        return False
    return True

(guardian := str(os.getppid()))
nursery = parent(guardian)
keeper = parent(nursery)
runner = parent(keeper)
reached = set()
for name, pid in dict(runner=runner, keeper=keeper, nursery=nursery, guardian=guardian).items():
    reached |= {{f"{{name}}: {{what}}" for what, look in looks.items() if attempt(look, pid)}}
for path in FILES:
    if attempt(os.listdir if os.path.isdir(path) else read, path):
        reached.add(path)

others = 0
own_script = sys.argv[0]
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = lines(f"/proc/{{pid}}/cmdline").decode().split("\\\\0")
    except OSError:
        continue
    script = next((word for word in words if re.fullmatch(r"SCRIPTS/pgagent-\\\\w+/script", word)), None)
    if script is None or script == own_script or int(pid) == os.getpid():
        continue
    others += 1
    more = dict(looks, take_output=take_output, write_output=write_output)
    reached |= {{f"script: {{what}}" for what, look in more.items() if attempt(look, pid)}}
    if attempt(read, script):
        reached.add("script: code")
    if attempt(os.listdir, os.path.dirname(script)):
        reached.add("script: directory")

directory = os.stat(os.path.dirname(own_script))
status = lines("/proc/self/status").decode()
print(json.dumps(dict(
    reached=sorted(reached),
    others=others,
    ids=[os.getresuid(), os.getresgid(), sorted(os.getgroups())],
    capabilities=re.findall(r"Cap(?!Bnd)[A-Z][a-z]+:\\\\s*(\\\\w+)", status),
    directory=[directory.st_uid, oct(directory.st_mode & 0o7777)],
    environment={{name: os.environ.get(name) for name in ("HOME", "USER", "LOGNAME", "SHELL")}},
    place=os.getcwd(),
    session=os.getsid(0) == os.getpid(),
)))
""".replace("\\\\", "\\")

OF_PROCESS = (
    *("environ", "maps", "descriptors", "place", "root", "memory", "trace"),
    *("read_across", "signal", "priority"),
)
OF_SCRIPT = {
    f"script: {what}"
    for what in (*OF_PROCESS, "take_output", "write_output", "code", "directory")
}

needs_users = pytest.mark.needs("other_users")


@pytest.fixture
def place():
    """A directory that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def scripts(place):
    """Where the scripts of this test lie: others run on the same machine."""
    folder = place / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def look(scripts, files=()):
    """Return the code that looks at all there is to be seen."""
    return LOOK.replace("SCRIPTS", str(scripts)).replace("FILES", repr(list(files)))


@pytest.fixture
def open_gate(place):
    """The code of a batch step that waits for the gate, and the opener."""
    path = place / "gate"
    return f"until test -e {path}; do sleep 0.02; done", path.touch


@pytest.fixture
def open_leash(place):
    with closing(Leash(place / "leash")) as leash:
        leash.path.chmod(0o666)
        yield leash


@pytest.fixture
def owners(conn):
    """Two roles that own jobs."""
    names = ("batch_alice", "batch_bob")
    for name in names:
        conn.execute(f"CREATE ROLE {name}")
    yield names
    for name in names:
        conn.execute(f"DROP OWNED BY {name}")
        conn.execute(f"DROP ROLE {name}")


def described(name):
    entry = pwd.getpwnam(name)
    groups = sorted(os.getgrouplist(name, entry.pw_gid))
    return entry, [[entry.pw_uid] * 3, [entry.pw_gid] * 3, groups]


@contextmanager
def secretive(dsn, place, users):
    """A runner whose home is full of secrets, and the names of these."""
    home = place / "home"
    for folder in (home, home / "secrets"):
        folder.mkdir(mode=0o700)
    files = [
        home / name for name in (".pgpass", "pgagent.toml", "secrets/key", "a.key")
    ]
    for file in files:
        file.write_text("")
        file.chmod(0o600)
    toml = home / "pgagent.toml"
    table = "".join(f"{owner} = '{user}'\n" for owner, user in users.items())
    toml.write_text(f"[run]\nconninfo = '''{dsn}'''\n[batch_users]\n{table}")
    scripts = place / "tmp"
    environ = {"HOME": str(home), "PGAGENT_CONFIG": str(toml), "TMPDIR": str(scripts)}
    files += [home, home / "secrets"]
    with Runner(environ=environ) as runner:
        yield runner.ready(), [str(file) for file in files]


def seen(conn, job_id, others=1):
    """Wait for the job that looks; return what it has seen."""
    assert ended_runs(conn, job_id) == "s", step_runs(conn, job_id)
    found = json.loads(step_runs(conn, job_id)[0][3])
    assert found["others"] == others
    return found


@needs_users
def test_scripts_of_other_users_reach_nothing_of_the_runner_nor_of_each_other(
    conn, dsn, place, scripts, owners, open_gate
):
    alice, bob = owners
    wait, open_it = open_gate
    with secretive(dsn, place, {alice: ALICE, bob: BOB}) as (_, files):
        other = add_job(conn, batch(wait), jobowner=bob)
        running_step(conn, other)
        poll(lambda: list(scripts.glob("*/script")))
        code = look(scripts, files)
        found = seen(conn, add_job(conn, batch(code), jobowner=alice))
        open_it()
        assert ended_runs(conn, other) == "s"

    assert found["reached"] == []


@needs_users
def test_scripts_of_the_runners_own_user_reach_all_of_it(
    conn, dsn, place, scripts, owners, open_gate
):
    """So the looks of the test before this one can see something."""
    wait, open_it = open_gate
    with secretive(dsn, place, {}) as (_, files):
        other = add_job(conn, batch(wait))
        running_step(conn, other)
        poll(lambda: list(scripts.glob("*/script")))
        found = seen(conn, add_job(conn, batch(look(scripts, files))))
        open_it()
        assert ended_runs(conn, other) == "s"

    reached = set(found["reached"])
    assert set(files) <= reached
    assert reached >= OF_SCRIPT
    assert {f"runner: {what}" for what in OF_PROCESS} <= reached


@needs_users
def test_a_script_is_wholly_the_users(conn, dsn, place, scripts, owners):
    user, ids = described(ALICE)
    with secretive(dsn, place, {owners[0]: ALICE}):
        job = add_job(conn, batch(look(scripts)), jobowner=owners[0])
        found = seen(conn, job, others=0)

    assert found["ids"] == ids
    assert set(found["capabilities"]) == {"0" * 16}
    assert found["directory"] == [user.pw_uid, "0o700"]
    assert found["environment"] == {
        "HOME": user.pw_dir,
        "USER": ALICE,
        "LOGNAME": ALICE,
        "SHELL": user.pw_shell,
    }
    assert found["place"] == user.pw_dir
    assert found["session"] is True


@needs_users
def test_the_owner_of_a_job_says_who_runs_its_scripts(conn, dsn, place, owners):
    alice, bob = owners
    config = place / "pgagent.toml"
    config.write_text(f"[batch_users]\n{alice} = '{ALICE}'\n")
    for options, others in (([], "root"), (["--batch-user", BOB], BOB)):
        with Runner("--config", config, *options, dsn) as runner:
            runner.ready()
            for owner, wanted in ((alice, ALICE), (bob, others), (None, others)):
                job = add_job(conn, batch("id -un"), jobowner=owner)
                assert ended_runs(conn, job) == "s"
                assert step_runs(conn, job)[0][3] == f"{wanted}\n"


@needs_users
def test_a_script_can_open_its_own_output_anew(conn, dsn):
    with Runner("--batch-user", ALICE, dsn) as runner:
        runner.ready()
        job = add_job(conn, batch("echo one > /dev/stdout; echo two > /dev/stderr"))
        assert ended_runs(conn, job) == "s"
        assert step_runs(conn, job)[0][3] == "one\ntwo\n"


@needs_users
def test_what_a_script_has_used_is_known(conn, dsn):
    code = f"{other_users.interpreter()} -IS -c 'x = bytearray(50_000_000)'; sleep 0"
    with Runner("--batch-user", ALICE, dsn) as runner:
        runner.ready()
        assert ended_runs(conn, add_job(conn, batch(code))) == "s"
    cpu, memory = conn.execute(
        "SELECT jslcpu, jslmemory FROM pgagent.pga_jobsteplog"
    ).fetchone()
    assert cpu.total_seconds() > 0
    assert memory > 50_000_000


@needs_users
@pytest.mark.parametrize(
    ("code", "result", "reason"),
    [
        ("exit 7", 7, "exit code 7"),
        ("kill -9 $$", -9, "killed by signal 9 (SIGKILL)"),
        ("#!/no/such", 127, "interpreter /no/such not found"),
        ("#!/root/x", 126, "interpreter /root/x: Permission denied"),
    ],
)
def test_endings_are_told_as_ever(conn, dsn, code, result, reason):
    with Runner("--batch-user", ALICE, dsn) as runner:
        runner.ready()
        job = add_job(conn, batch(code))
        assert ended_runs(conn, job) == "f"
        assert step_runs(conn, job)[0][2] == result
        assert reason in runs(conn, job)[0][1]


@needs_users
@pytest.mark.parametrize(
    "spoil",
    [
        'rm -rf "$d"',
        'chmod 0 "$d"',
        'mkdir -p "$d/a/b"; touch "$d/a/b/c"; chmod 0 "$d/a/b" "$d/a" "$d"',
        'ln -s / "$d/root"; chmod 0500 "$d"',
    ],
)
def test_whatever_a_script_does_to_its_directory_it_is_removed(
    conn, dsn, scripts, spoil
):
    environ = {"TMPDIR": str(scripts)}
    with Runner("--batch-user", ALICE, dsn, environ=environ) as runner:
        runner.ready()
        job = add_job(conn, batch(f'd=$(dirname "$0"); {spoil}'))
        assert ended_runs(conn, job) == "s"
        assert list(scripts.iterdir()) == []


FAMILY = """exec 9>{leash}
setsid sh -c 'trap "" TERM HUP INT; sleep 600' &
sh -c 'setsid sleep 600 & sleep 600' &
sleep 600
"""


class CapableRunner(Runner):
    """A runner of an ordinary user with two capabilities."""

    def __init__(self, *arguments, environ=None):
        super().__init__(*arguments, environ=environ)
        powers = "+setuid,+setgid,+dac_override"
        self._command = [
            *("setpriv", "--reuid=games", "--regid=games", "--clear-groups"),
            *(f"--inh-caps=-all,{powers}", f"--ambient-caps=-all,{powers}"),
            *self._command,
        ]


RUNNERS = pytest.mark.parametrize("runner_of", [Runner, CapableRunner])


@needs_users
@RUNNERS
def test_nothing_of_a_script_survives_the_kill_of_its_runner(
    conn, dsn, open_leash, scripts, runner_of
):
    environ = {"TMPDIR": str(scripts)}
    with runner_of("--batch-user", ALICE, dsn, environ=environ) as runner:
        runner.ready()
        add_job(conn, batch(FAMILY.format(leash=open_leash.path)))
        running_step(conn)
        poll(open_leash.is_held)
        assert list(scripts.iterdir())
        runner.send(signal.SIGKILL)
        runner.ended()
        poll(lambda: not open_leash.is_held(), 5, "all processes to end")
        poll(lambda: not list(scripts.iterdir()), 5, "the script to be gone")


@needs_users
@RUNNERS
def test_a_frozen_runners_script_ends_before_its_lease(
    conn, dsn, open_leash, scripts, runner_of
):
    with runner_of("--lease", "4", "--batch-user", ALICE, dsn) as runner:
        runner.ready()
        add_job(conn, batch(FAMILY.format(leash=open_leash.path)))
        running_step(conn)
        poll(open_leash.is_held)
        runner.send(signal.SIGSTOP)
        try:
            poll(lambda: not open_leash.is_held(), 5, "all processes to end")
        finally:
            runner.send(signal.SIGCONT)
        poll(lambda: runs(conn)[0][0] != "r", what="the run to end")


@needs_users
@RUNNERS
@pytest.mark.parametrize("victims", ["guardian", "nursery guardian"])
def test_a_guardian_that_is_killed_takes_the_script_along(
    conn, dsn, open_leash, runner_of, victims
):
    with runner_of("--batch-user", ALICE, dsn) as runner:
        runner.ready()
        job = add_job(conn, batch(FAMILY.format(leash=open_leash.path)))
        running_step(conn)
        poll(open_leash.is_held)
        guards = guards_of(runner)
        for victim in victims.split():
            os.kill(guards[victim], signal.SIGKILL)
        poll(lambda: not open_leash.is_held(), 5, "all processes to end")
        assert ended_runs(conn, job) == "f"
        assert "the script's guardian has ended" in runs(conn, job)[0][1]


@needs_users
@RUNNERS
@pytest.mark.parametrize("ends", ["is cancelled", "takes too long"])
def test_a_script_that_has_to_stop_is_killed_with_all_it_has_started(
    conn, dsn, open_leash, scripts, runner_of, ends
):
    environ = {"TMPDIR": str(scripts)}
    limit = {"jsttimeout": "1 second"} if ends == "takes too long" else {}
    with runner_of("--batch-user", ALICE, dsn, environ=environ) as runner:
        runner.ready()
        job = add_job(conn, batch(FAMILY.format(leash=open_leash.path), **limit))
        running_step(conn)
        poll(open_leash.is_held)
        if not limit:
            conn.execute(
                "SELECT pgagent.cancel_run(max(jlgid)) FROM pgagent.pga_joblog"
            )
        assert ended_runs(conn, job) == ("f" if limit else "d")
        poll(lambda: not open_leash.is_held(), 5, "all processes to end")
        poll(lambda: not list(scripts.iterdir()), 5, "the script to be gone")


@needs_users
@RUNNERS
def test_a_script_of_another_user_cannot_end_its_guardian(conn, dsn, runner_of):
    code = "kill -9 $PPID 2>/dev/null || echo refused"
    with runner_of("--batch-user", ALICE, dsn) as runner:
        runner.ready()
        job = add_job(conn, batch(code))
        assert ended_runs(conn, job) == "s"
        assert step_runs(conn, job)[0][3] == "refused\n"


@needs_users
def test_a_runner_with_capabilities_hands_none_on_that_would_make_others_of_scripts(
    conn, dsn, place, owners
):
    config = place / "pgagent.toml"
    config.write_text(f"[batch_users]\n{owners[0]} = '{ALICE}'\n")
    code = "id -un; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status | cut -f2 | sort -u"
    with CapableRunner("--config", config, dsn) as runner:
        runner.ready()
        for owner, wanted in (
            (owners[0], [ALICE, "0000000000000000"]),
            (None, ["games", "0000000000000002"]),  # CAP_DAC_OVERRIDE
        ):
            job = add_job(conn, batch(code), jobowner=owner)
            assert ended_runs(conn, job) == "s"
            assert step_runs(conn, job)[0][3].split() == wanted


@needs_users
def test_a_user_who_may_not_write_where_scripts_lie_is_told_where(conn, dsn, tmp_path):
    tmp_path.chmod(0o700)
    environ = {"TMPDIR": str(tmp_path)}
    with Runner("--batch-user", ALICE, dsn, environ=environ) as runner:
        runner.ready()
        job = add_job(conn, batch("true"))
        assert ended_runs(conn, job) == "f"
        assert f"Permission denied: '{tmp_path}/pgagent-" in runs(conn, job)[0][1]


# --- what is refused at the start


def refused(*arguments):
    """Return the one sentence with which the runner does not start."""
    done = subprocess.run(
        [PGAGENT, "run", *arguments, "host=/nowhere"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"PGAGENT_CONFIG": os.devnull},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("pgagent: ").strip()


def test_a_runner_that_may_not_start_as_another_user_says_so_at_once():
    command = [str(PGAGENT), "run", "--batch-user", "daemon", "host=/nowhere"]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-setuid", "--inh-caps=-all", *command]
    environ = os.environ | {"PGAGENT_CONFIG": os.devnull}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environ
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "pgagent: --batch-user: to run scripts as another user, the runner has to be root,"
    )
    assert "CAP_SETUID" in done.stderr.partition("lacks ")[2]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no such user", "--batch-user: this machine has no user 'no such user'"),
        ("root", "--batch-user: root is root, from whom nothing of the runner"),
    ],
)
def test_a_user_who_is_none_is_refused(name, reason):
    assert refused("--batch-user", name).startswith(reason)


def test_the_runners_own_user_is_refused(monkeypatch):
    own = pwd.getpwnam("daemon").pw_uid
    monkeypatch.setattr(os, "geteuid", lambda: own)
    with pytest.raises(ConfigurationError, match="is the runner's own user"):
        batch_users(None, {"x": "daemon"})


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (
            "[batch_users]\nx = 5",
            "[batch_users] x has to be the name of a user, as text",
        ),
        ("[batch_users]\n'a b' = ''", "[batch_users] a b: this machine has no user ''"),
        ('[batch_users]\nx = "a\\u0000"', "[batch_users] x: this machine has no user"),
        ("batch_users = 1", "batch_users has to be a table: [batch_users]"),
        ("[batch_users]\nx = ['a']", "[batch_users] x has to be the name of a user"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, table, reason):
    config = tmp_path / "pgagent.toml"
    config.write_text(table)
    assert reason in refused("--config", config)


def test_a_directory_of_a_script_is_nobody_elses(conn, runner):
    job = add_job(conn, batch('stat -c %a "$(dirname "$0")"'))
    assert ended_runs(conn, job) == "s"
    assert stat.S_IMODE(int(step_runs(conn, job)[0][3], 8)) == 0o700
