"""A forked command is what it would be if it had been started."""

import os
import re
import signal
import subprocess
from pathlib import Path
from tempfile import gettempdir

import forking
import pytest
from daemon.runner_process import Runner
from forking import PGAGENT


@pytest.fixture
def environ(cluster, conn):
    conn.execute("SELECT pgagent.create_job('nightly')")
    return cluster.client_environ(conn.info.dbname) | {"TZ": "Asia/Tokyo"}


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["list"], ""),
        (["show", "nightly"], ""),
        (["show", "näch\udce9t"], ""),
        (["list", "--nothing"], ""),
        (["completion", "bash"], ""),
        (["apply", "nothing.toml"], ""),
        (["import", "crontab", "-"], "0 3 * * * echo a\r\n"),
        (["run", "--nothing"], ""),
    ],
    ids=lambda words: " ".join(map(ascii, words)),
)
def test_it_says_and_returns_the_same(environ, tmp_path, words, stdin):
    command = [PGAGENT, *words]
    assert forking.is_forkable(command, environ)
    forked = forking.run(command, env=environ, cwd=tmp_path, input=stdin)
    started = subprocess.run(
        command,
        env=environ,
        cwd=tmp_path,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        started.returncode,
        started.stdout,
        started.stderr,
    )


def test_it_has_a_name_a_session_and_no_files_but_its_own(dsn):
    # A variable that Python asks for at its start has the second one started.
    with Runner(dsn) as forked, Runner(dsn, environ={"PYTHONUTF8": "0"}) as started:
        assert isinstance(forked.process, forking.Forked)
        assert not isinstance(started.process, forking.Forked)
        assert _seen(forked) == _seen(started)


def _seen(runner):
    process = Path(f"/proc/{runner.ready().pid}")
    files = [str(file.readlink()) for file in (process / "fd").iterdir()]
    kinds = sorted(re.sub(f"[0-9]+|^{gettempdir()}/.*", "", name) for name in files)
    is_leader = os.getsid(runner.pid) == runner.pid
    return (process / "comm").read_text(), is_leader, kinds


def test_its_end_is_told_as_that_of_any_process(dsn):
    with Runner(dsn) as runner:
        with pytest.raises(subprocess.TimeoutExpired):
            runner.process.wait(0.01)
        os.kill(runner.pid, signal.SIGKILL)
        assert runner.ended() == -signal.SIGKILL
        runner.process.send_signal(signal.SIGTERM)  # to nobody


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["list"], {"PYTHONUTF8": "0"}),
        (["list"], {"LC_ALL": "C"}),
        (["-d", "x", "list"], {}),
        (["-f", "host=x"], {}),
    ],
)
def test_what_has_to_do_with_the_start_is_started(words, environ):
    assert not forking.is_forkable([PGAGENT, *words], dict(os.environ) | environ)
