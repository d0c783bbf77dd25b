"""The command line: what it takes, and what it says about the rest."""

import os
import platform
import re
import signal
import subprocess
import sysconfig
from pathlib import Path

import psycopg
import pytest
from pgagent_runner import __main__, cli
from pgagent_runner.cli import main
from pgagent_runner.options import AgentOptions
from support import ROOT

PGAGENT = Path(sysconfig.get_path("scripts")) / "pgagent"
SECONDS = "is not a number of seconds from"
WHOLE = "is not a whole number from"


def refused(capsys, *arguments):
    """Return what the command says when it exits with 2."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("value", ["-1", "0", "nan", "inf", "1e99", "5 s", "", "0x1"])
@pytest.mark.parametrize("option", ["--poll", "--retry"])
def test_a_bad_number_of_seconds_is_named(capsys, option, value):
    message = f"argument {option}: {value!r} {SECONDS} 0.1 to 86400"

    assert message in refused(capsys, "run", f"{option}={value}")


def test_a_name_that_is_no_text_is_told(capsys):
    message = "argument --station: '\\udcff' is not text in UTF-8"
    assert message in refused(capsys, "run", "--station", "\udcff")


MALFORMED = {
    "port=99999": 'invalid port number: "99999"',
    "port=abc": 'invalid integer value "abc" for connection option "port"',
    "host=a,b port=1,2,3": "could not match 3 port numbers to 2 hosts",
    "target_session_attrs=bogus": 'invalid target_session_attrs value: "bogus"',
    "sslmode=maybe": 'invalid sslmode value: "maybe"',
    "connect_timeout=abc": 'the value "abc" of connect_timeout is no number',
    "replication=database": "replication=database opens a session for replication",
}


@pytest.mark.parametrize("conninfo", MALFORMED)
def test_a_value_that_no_connection_can_have_is_told(capsys, conninfo):
    told = refused(capsys, "run", f"{conninfo} dbname=nowhere")
    assert f"the connection string is wrong: {MALFORMED[conninfo]}" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("PGPORT", "abc"), ("PGCONNECT_TIMEOUT", "soon")]
)
def test_a_variable_that_no_connection_can_have_is_told(
    capsys, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    told = refused(capsys, "run", "host=/nowhere dbname=nowhere")
    assert "the connection string is wrong: " in told
    assert f'"{value}"' in told
    assert variable in told


@pytest.mark.parametrize(
    ("chosen", "connections", "workers"),
    [(None, 2, 1), (None, 40, 13), (None, 100, 33), (None, 1000, 64), (99, 100, 99)],
)
def test_jobs_take_a_third_of_the_connections_unless_told(chosen, connections, workers):
    options = AgentOptions(workers=chosen)

    assert options.workers_for(connections) == workers


@pytest.mark.parametrize("value", ["-1", "0", "1001", "1e3", "1.5", "²", "", "9" * 50])
def test_a_bad_number_of_workers_is_named(capsys, value):
    message = f"argument --workers: {value!r} {WHOLE} 1 to 1000"

    assert message in refused(capsys, "run", f"--workers={value}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-t", "0", "x=y"], f"argument -t: '0' {SECONDS} 1 to 86400"),
        (["-r", "9", "x=y"], f"argument -r: '9' {SECONDS} 10 to 86400"),
        (["-l", "3", "x=y"], "argument -l: invalid choice: 3 (choose from 0, 1, 2)"),
        ([], "the following arguments are required: CONNINFO"),
        (["run", "--grace=-1"], f"argument --grace: '-1' {SECONDS} 0 to 86400"),
        (["run", "--output-limit=9"], f"argument --output-limit: '9' {WHOLE} 1024 to"),
        (["run", "--log-level=loud"], "argument --log-level: invalid choice: 'loud'"),
        (["run", "--frequency=1"], "unrecognized arguments: --frequency=1"),
    ],
)
def test_a_bad_command_line_is_refused_with_a_reason(capsys, arguments, message):
    # Python's version decides what argparse puts in quotes.
    answer = refused(capsys, *arguments).replace("'", "")

    assert message.replace("'", "") in answer


@pytest.mark.parametrize("form", [["run"], ["-f"]])
@pytest.mark.parametrize(
    "conninfo", ["host=x nonsense", "hots=x", "postgresql://[::1/x", "password='x"]
)
def test_a_malformed_connection_string_is_refused(capsys, form, conninfo):
    message = refused(capsys, *form, conninfo)

    assert message.startswith("pgagent: the connection string is wrong: ")
    assert message.count("\n") == 1


def test_a_refused_connection_string_does_not_show_its_password(capsys):
    assert "cret" not in refused(capsys, "run", "host=x password=se cret")


@pytest.mark.parametrize("form", [["-f", "-s"], ["-s"], ["run", "--log-file"]])
def test_a_log_file_that_cannot_be_opened_is_named(form):
    # As a process of its own: without -f it forks.
    command = [PGAGENT, *form, "/nonexistent/log", "host=/nonexistent"]

    answer = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=10
    )

    assert answer.returncode == 2
    assert "/nonexistent/log" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["-v"], ["--version"], ["run", "--version"]])
def test_the_version_is_that_of_the_extension_and_then_what_it_runs_on(
    capsys, arguments
):
    control = (ROOT / "extension/pgagent.control").read_text()
    (version,) = re.findall(r"default_version = '(.+)'", control)

    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"pgagent {version}"
    libpq = f"{psycopg.pq.version() // 10000}.{psycopg.pq.version() % 10000}"
    psycopg_ = f"psycopg {psycopg.__version__} ({psycopg.pq.__impl__})"
    python = f"Python {platform.python_version()}"
    assert others == [f"{psycopg_}, libpq {libpq}, {python}"]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"]])
def test_help_is_shown(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 0
    assert "--workers N" in capsys.readouterr().out


def test_help_does_not_contradict_itself(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert "less than 10 is refused, as under pgAgent 4.2, but without this" in shown
    assert "option it is 3" in shown


def test_ctrl_c_before_there_is_a_loop_shows_no_traceback(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "hide", lambda: None)
    monkeypatch.setattr(cli, "main", interrupted)

    assert __main__.main() == 130


def test_the_first_process_of_a_container_can_be_stopped_while_it_loads(monkeypatch):
    monkeypatch.setattr(__main__, "hide", lambda: None)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(cli, "main", lambda: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert __main__.main() == 130
    finally:
        signal.signal(signal.SIGTERM, before)
