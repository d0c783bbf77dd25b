"""The options: command line over environment over file over default."""

import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from pgagent_runner import cli, configuration
from pgagent_runner.cli import main
from pgagent_runner.configuration import SYSTEM_FILE
from pgagent_runner.declaring import options_of
from pgagent_runner.options import AgentOptions
from pgagent_runner.users import AS_THE_RUNNER
from pgagent_runner.verbs import table

# Of each option: arguments, the text of its variable, the TOML of its key, the value.
SAMPLES: dict[str, tuple[list[str], str, str | None, Any]] = {
    "conninfo": (["dbname=x"], "dbname=x", '"dbname=x"', "dbname=x"),
    "config": (["--config=/dev/null"], "/dev/null", None, Path("/dev/null")),
    "poll": (["--poll", "7"], "7", "7", 7.0),
    "retry": (["--retry=0.5"], "0.5", "0.5", 0.5),
    "log_file": (["--log-file", "/x y"], "/x y", '"/x y"', Path("/x y")),
    "log_level": (["--log-level=debug"], "debug", '"debug"', "debug"),
    "log_format": (["--log-format", "json"], "json", '"json"', "json"),
    "workers": (["--workers", "3"], "3", "3", 3),
    "grace": (["--grace", "0"], "0", "0.0", 0.0),
    "lease": (["--lease=40"], "40", '"40"', 40.0),
    "target_sessions": (["--target-sessions", "9"], "9", "9", 9),
    "station": (["--station=a b"], "a b", '"a b"', "a b"),
    "output_limit": (["--output-limit", "2048"], "2048", "2_048", 2048),
    "env": (["--env=A", "--env=B"], "A, B", '["A", "B"]', {"A", "B"}),
    "batch_user": (["--batch-user=daemon"], "daemon", '"daemon"', "daemon"),
    "allow_parameter": (["--allow-parameter=a"], "a", '["a"]', {"a"}),
    "allow_clear_password": (["--allow-clear-password"], "yes", "true", True),
    "listen": (["--listen=[::1]:9"], "[::1]:9", '"[::1]:9"', ("::1", 9)),
    "debuggable": (["--debuggable"], "On", "true", True),
    "arm": (["--arm"], "1", None, True),
}


ADDRESS = "is not PORT, HOST:PORT or [IPv6]:PORT, with a port from 0 to 65535"


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """Neither this machine's options nor those of its user count."""
    for name in [n for n in os.environ if n.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(configuration, "SYSTEM_FILE", tmp_path / "system.toml")


@pytest.fixture
def chosen(monkeypatch):
    """Run the command up to where an agent would start; return what was chosen."""

    def chosen(*arguments):
        served: list[AgentOptions] = []
        monkeypatch.setattr(cli, "_serve", lambda options, _: served.append(options))
        monkeypatch.setattr(cli, "_listening", lambda _: None)
        monkeypatch.setattr("pgagent_runner.logs.start", lambda *_: None)
        monkeypatch.setattr(cli, "hide", lambda **_: None)
        monkeypatch.setattr(cli, "batch_users", lambda *_: AS_THE_RUNNER)
        assert main(arguments) == 0
        return served[0]

    return chosen


@pytest.fixture
def file(tmp_path):
    """Write pgagent.toml; return its path."""

    def file(content, name="own/pgagent/pgagent.toml", mode=0o600):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    return file


@pytest.fixture
def refused(capsys):
    """Return the one sentence that the command says when it exits with 2."""

    def refused(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said.rstrip()

    return refused


def test_every_option_is_tried_here():
    assert list(SAMPLES) == [one.name for one in options_of(AgentOptions)]


def test_without_anything_the_defaults_are_chosen(chosen):
    assert chosen("run") == AgentOptions()
    assert chosen("run").station == socket.gethostname()


@pytest.mark.parametrize("name", SAMPLES)
def test_an_option_may_stand_on_the_command_line(chosen, name):
    assert getattr(chosen("run", *SAMPLES[name][0]), name) == SAMPLES[name][3]


@pytest.mark.parametrize("name", SAMPLES)
def test_an_option_may_stand_in_a_variable(chosen, monkeypatch, name):
    monkeypatch.setenv(f"PGAGENT_{name.upper()}", SAMPLES[name][1])

    assert getattr(chosen("run"), name) == SAMPLES[name][3]


@pytest.mark.parametrize("name", [n for n in SAMPLES if SAMPLES[n][2]])
def test_an_option_may_stand_in_the_file(chosen, file, name):
    _, _, toml, value = SAMPLES[name]
    secrets = file(f"[run]\n{name} = {toml}\n").parent / "secrets"

    assert chosen("run") == AgentOptions(**{name: value}, secrets=secrets)


OF_4_2 = {
    "conninfo": [],
    "poll": ["-t7"],
    "retry": ["-r", "40"],
    "log_file": ["-s", "/x y"],
    "log_level": ["-l2"],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_option_may_stand_beside_those_of_4_2(chosen, name):
    arguments = OF_4_2.get(name, SAMPLES[name][0])
    value = 40 if name == "retry" else SAMPLES[name][3]

    assert getattr(chosen("-f", *arguments, "dbname=x"), name) == value


@pytest.mark.parametrize(
    ("places", "value"),
    [
        ("", 10),
        ("file", 3),
        ("environment", 2),
        ("file environment", 2),
        ("command", 1),
        ("file command", 1),
        ("environment command", 1),
        ("file environment command", 1),
    ],
)
def test_the_command_line_beats_the_environment_and_that_the_file(
    chosen, file, monkeypatch, places, value
):
    if "file" in places:
        file("[run]\npoll = 3\n")
    if "environment" in places:
        monkeypatch.setenv("PGAGENT_POLL", "2")
    arguments = ["--poll=1"] if "command" in places else []

    assert chosen("run", *arguments).poll == value


@pytest.mark.parametrize(
    ("given", "content", "level"),
    [
        ([], "", "error"),
        (["-l1"], "", "warning"),
        (["-l", "2"], "", "debug"),
        (["-l", "02"], "", "debug"),
        ([], '[run]\nlog_level = "info"', "info"),
        (["-l", "0"], '[run]\nlog_level = "info"', "error"),
    ],
)
def test_the_form_of_4_2_has_its_own_levels_and_default(
    chosen, file, given, content, level
):
    file(content)

    assert chosen("-f", *given, "dbname=x").log_level == level


def test_a_switch_can_be_taken_back(chosen, file, monkeypatch):
    file("[run]\ndebuggable = true\n")
    assert chosen("run").debuggable
    assert not chosen("run", "--no-debuggable").debuggable
    assert not chosen("-f", "--no-debuggable", "dbname=x").debuggable
    monkeypatch.setenv("PGAGENT_DEBUGGABLE", "off")
    assert not chosen("run").debuggable


def test_a_list_replaces_another(chosen, file, monkeypatch):
    file('[run]\nenv = ["A", "B"]\n')
    assert chosen("run", "--env=C").env == {"C"}
    monkeypatch.setenv("PGAGENT_ENV", "D")
    assert chosen("run").env == {"D"}


def test_empty_variables_and_an_empty_conninfo_say_nothing(chosen, file, monkeypatch):
    file('[run]\nconninfo = "dbname=x"\npoll = 3\n')
    monkeypatch.setenv("PGAGENT_POLL", "")
    monkeypatch.setenv("PGAGENT_CONNINFO", "")

    options = chosen("run", "")

    assert (options.conninfo, options.poll) == ("dbname=x", 3)


def test_the_variables_are_gone_before_anything_is_started(chosen, monkeypatch):
    monkeypatch.setenv("PGAGENT_CONNINFO", "password=secret")
    monkeypatch.setenv("PGAGENT_POLL", "7")
    monkeypatch.setenv("PGAGENT_JOB_ID", "8")

    assert chosen("run").conninfo == "password=secret"
    assert [name for name in os.environ if name.startswith("PG")] == ["PGAGENT_JOB_ID"]


def test_a_variable_that_is_no_option_is_named(chosen, monkeypatch, caplog):
    monkeypatch.setenv("PGAGENT_POL", "7")
    monkeypatch.setenv("PGAGENT_JOB_ID", "8")
    with caplog.at_level(logging.WARNING):
        chosen("run")

    assert caplog.messages == ["the variable PGAGENT_POL is no option of the runner"]


# Where the file is.


def test_the_users_own_file_beats_the_machines_and_is_not_mixed_with_it(chosen, file):
    file("[run]\npoll = 3\nretry = 4\n", "system.toml")
    assert (chosen("run").poll, chosen("run").retry) == (3, 4)

    file("[run]\npoll = 5\n")
    assert (chosen("run").poll, chosen("run").retry) == (5, 3)


@pytest.mark.parametrize("variable", [None, "", "relative/path"])
def test_without_xdg_config_home_it_is_below_the_home(
    chosen, file, monkeypatch, tmp_path, variable
):
    monkeypatch.setenv("XDG_CONFIG_HOME", variable or "")
    if variable is None:
        monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    file("[run]\npoll = 5\n", ".config/pgagent/pgagent.toml")

    assert chosen("run").poll == 5


def test_a_named_file_beats_those(chosen, file, monkeypatch):
    file("[run]\npoll = 3\nretry = 9\n")
    one, other = file("[run]\npoll = 4", "one"), file("[run]\npoll = 5", "other")
    monkeypatch.setenv("PGAGENT_CONFIG", str(one))
    options = chosen("run")
    assert (options.poll, options.retry) == (4, 3)
    monkeypatch.setenv("PGAGENT_CONFIG", str(one))
    assert chosen("run", "--config", str(other)).poll == 5


def test_the_machines_file_is_where_the_docs_say():
    assert Path("/etc/pgagent/pgagent.toml") == SYSTEM_FILE


@pytest.mark.parametrize("program", ["run", "init", "update"])
def test_a_named_file_that_is_missing_is_refused(refused, program, monkeypatch):
    prefix = "pgagent" if program == "run" else f"pgagent {program}"
    message = f"{prefix}: /no/file can't be read: No such file or directory"
    assert refused(program, "--config", "/no/file") == message
    monkeypatch.setenv("PGAGENT_CONFIG", "/no/file")
    assert refused(program) == message


def test_a_named_folder_is_refused(refused, tmp_path):
    message = f"pgagent: {tmp_path} can't be read: Is a directory"
    assert refused("run", f"--config={tmp_path}") == message
    assert refused("-f", f"--config={tmp_path}", "dbname=x") == message


@pytest.fixture
def forbidden(file, monkeypatch):
    """A file that is there, and not for this user, which could be root."""
    path = file("[run]\npoll = 3\n")
    really = Path.open

    def open_(self, *arguments, **others):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return really(self, *arguments, **others)

    monkeypatch.setattr(Path, "open", open_)
    return path


def test_a_runner_does_not_start_without_the_file_that_it_may_not_read(
    refused, forbidden
):
    assert refused("run") == f"pgagent: {forbidden} can't be read: Permission denied"


def test_a_verb_goes_on_without_it_and_says_so(forbidden, capsys):
    assert main(["init", "host=/nowhere"]) == 1

    said, failure = capsys.readouterr().err.splitlines()
    assert said == (
        f"pgagent init: {forbidden} can't be read: Permission denied; it is left out"
    )
    assert failure.startswith("pgagent init: ")


def test_a_verb_does_not_go_on_without_the_file_that_was_named(refused, forbidden):
    assert refused("init", "--config", str(forbidden)) == (
        f"pgagent init: {forbidden} can't be read: Permission denied"
    )


# What stands in it.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[run]\npol = 1", "[run] has the unknown key 'pol'; allowed are allow_clear_"),
        ("[run]\nconfig = '/x'", "[run] has the unknown key 'config'; allowed are "),
        ("run = 1", "run has to be a table: [run]"),
        ("[[run]]\npoll = 1", "run has to be a table: [run]"),
        ("[run]\npoll = 0", "[run] poll: '0' is not a number of seconds from 0.1 to"),
        ("[run]\npoll = nan", "[run] poll: 'nan' is not a number of seconds from"),
        ("[run]\npoll = true", "[run] poll: true is not a number of seconds from"),
        ("[run]\npoll = '5 s'", "[run] poll: '5 s' is not a number of seconds"),
        ("[run]\npoll = 12:00:00", '[run] poll: "12:00:00" is not a number of seconds'),
        ("[run]\nworkers = 1.0", "[run] workers: 1.0 is not a whole number from 1 to"),
        (f"[run]\nworkers = {'9' * 400}", "[run] workers: '999999"),
        ("[run]\nlog_level = 'loud'", "[run] log_level: 'loud' is not one of error, "),
        ("[run]\nlog_level = 1", "[run] log_level: 1 is not one of error, warning"),
        ("[run]\ndebuggable = 1", "[run] debuggable: 1 is not true or false"),
        ("[run]\nenv = [1]", "[run] env: an array is not an array of names"),
        ("[run]\nenv = {A = 1}", "[run] env: a table is not an array of names"),
        ("[run]\nconninfo = {password = 'x'}", "[run] conninfo: a table is not text"),
        ('[run]\nlog_file = "x\\u0000"', "[run] log_file: the name of a file can't"),
        ('[run]\nconninfo = "host=x\\u0000"', "[run] conninfo: text can't have the"),
        ("[run", "is not TOML: "),
        ("[run]\nx = " + "[" * 20000, "is "),
    ],
)
def test_a_mistake_in_the_file_is_named(refused, file, content, message):
    path = file(content)

    said = refused("run", "--poll=1", "--workers=1", "--log-level=info")

    assert said.startswith(
        (f"pgagent: {path}: {message}", f"pgagent: {path} {message}")
    )


def test_a_file_that_is_not_utf_8_is_refused(refused, file):
    path = file("")
    path.write_bytes(b"[run]\n# \xff")

    assert refused("run") == f"pgagent: {path} is not UTF-8, at byte 8"


def test_other_tables_are_left_to_others(chosen, file):
    file("[channels.mail]\ntype = 'smtp'\n[batch_users]\nal = 'al'\n[run]\npoll = 3")

    assert chosen("run").poll == 3


def test_a_verb_cares_for_its_database_only(file, capsys):
    file("[run]\nconninfo = 'host=/nowhere'\npoll = 'often'\nnew = 1\n")

    assert main(["init"]) == 1

    assert "/nowhere/.s.PGSQL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("POLL", "x", "'x' is not a number of seconds from 0.1 to 86400"),
        ("WORKERS", "0", "'0' is not a whole number from 1 to 1000"),
        ("LOG_LEVEL", "loud", "'loud' is not one of error, warning, info, debug"),
        ("LOG_FORMAT", "xml", "'xml' is not one of text, json"),
        ("LISTEN", "::1:9", f"'::1:9' {ADDRESS}"),
        ("LISTEN", "9630/tcp", f"'9630/tcp' {ADDRESS}"),
        ("LISTEN", "host:65536", f"'host:65536' {ADDRESS}"),
        ("LISTEN", "host", f"'host' {ADDRESS}"),
        ("LISTEN", "/run/socket", f"'/run/socket' {ADDRESS}"),
        ("DEBUGGABLE", "perhaps", "'perhaps' is not true or false"),
    ],
)
def test_a_mistake_in_a_variable_is_named(refused, monkeypatch, name, value, message):
    monkeypatch.setenv(f"PGAGENT_{name}", value)

    assert refused("run") == f"pgagent: PGAGENT_{name}: {message}"


# Passwords.

SECRETS = {
    "a keyword": "host=x password=secret",
    "a URI": "postgresql://u:secret@x/y",
    "of a key": "host=x sslpassword=secret",
    "one that can't be parsed": "host=x password=secret nonsense",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("program", ["run", "init"])
def test_a_password_in_a_file_that_others_can_read_is_refused(
    refused, file, kind, program
):
    path = file(f'[run]\nconninfo = "{SECRETS[kind]}"', mode=0o644)
    mode = "0640" if os.geteuid() == 0 else "0600"

    said = refused(program, "host=elsewhere")

    assert said.endswith(
        f": {path}: [run] conninfo has a password, and others can read it:"
        f" chmod {mode} {path}"
    )


def test_a_password_in_a_file_that_nobody_else_can_read_is_used(chosen, file):
    file(f'[run]\nconninfo = "{SECRETS["a keyword"]}"', mode=0o400)

    assert chosen("run").conninfo == "password=secret host=x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of root's")
def test_a_file_of_roots_may_be_read_by_a_group(chosen, refused, file):
    path = file('[run]\nconninfo = "password=secret"', mode=0o640)
    assert chosen("run").conninfo == "password=secret"

    os.chown(path, 65534, -1)
    assert refused("run").endswith(f"chmod 0600 {path}")


def test_a_file_without_a_password_may_be_read_by_all(chosen, file):
    file('[run]\nconninfo = "host=x passfile=/y"', mode=0o644)

    assert chosen("run").conninfo == "passfile=/y host=x"


def test_a_refused_conninfo_of_the_file_does_not_show_its_password(refused, file):
    file('[run]\nconninfo = "host=x password=se cret"')

    assert "cret" not in refused("run")


# The first word.


@pytest.mark.parametrize("word", ["foo", "go-all", "help", "db.example", "größe"])
@pytest.mark.parametrize("others", [[], ["dbname=x"], ["-f"], ["--help"]])
def test_a_word_that_is_no_verb_is_told_which_there_are(refused, word, others):
    assert refused(word, *others) == (
        f"pgagent: {word!r} is no verb, and a connection string has a =; the verbs are"
        f" {', '.join(table.BY_NAME)}, and pgagent --help tells more"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["dbname=x"],
        ["host=x", "dbname=y"],
        ["dbname", "=", "x"],
        ["dbname", "=x"],
        ["dbname =", "x"],
        ["dbname = x"],
        ["postgresql://u@h/d"],
        ["postgres://h"],
        ["service=x"],
        [" dbname=x"],
    ],
)
def test_a_connection_string_of_4_2_is_no_verb(chosen, monkeypatch, words):
    monkeypatch.setattr(cli, "_detach", lambda **_: None)

    assert chosen(*words) == chosen("-f", *words)


@pytest.mark.parametrize(
    ("toml", "address"),
    [
        ("9630", ("127.0.0.1", 9630)),
        ('":9630"', ("127.0.0.1", 9630)),
        ('"0.0.0.0:80"', ("0.0.0.0", 80)),
        ('"runner-1.example:80"', ("runner-1.example", 80)),
        ('"[fe80::1%eth0]:0"', ("fe80::1%eth0", 0)),
    ],
)
def test_a_port_alone_is_one_of_this_machine_only(chosen, file, toml, address):
    file(f"[run]\nlisten = {toml}\n")

    assert chosen("run").listen == address
