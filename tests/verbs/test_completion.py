"""Shells complete what the table of verbs has, and what is in the database."""

import subprocess

import pytest
from daemon.runner_process import PGAGENT
from pgagent_runner.verbs.completion import script
from pgagent_runner.verbs.table import VERBS

COMPLETE = """
source <(printf %s "$SCRIPT")
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_pgagent
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def bash(pgagent):
    """Return what bash proposes for the last of these words."""

    def complete(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", COMPLETE, "bash", PGAGENT, *words],
            env=pgagent.environ | {"SCRIPT": script("bash")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1] if done.stdout.strip() else []

    return complete


def test_bash_completes_verbs(bash):
    assert bash("") == [verb.name for verb in VERBS]
    assert bash("unp") == ["unpause"]


def test_bash_completes_options_and_their_values(bash):
    assert bash("runs", "--f") == ["--failed"]
    assert bash("run", "--log-level", "w") == ["warning"]
    assert bash("completion", "") == ["bash", "zsh", "fish"]
    assert bash("nonsense", "--") == []
    for verb in VERBS:
        flags = {f for one in verb.all_arguments if one.is_option for f in one.flags}
        assert set(bash(verb.name, "-")) == flags | {"--help"}


def test_bash_completes_files(bash, tmp_path, monkeypatch):
    (tmp_path / "jobs.toml").touch()
    assert bash("list", "--config", f"{tmp_path}/jo") == [f"{tmp_path}/jobs.toml"]


def test_bash_completes_jobs_and_runs(conn, bash, nightly):
    conn.execute("SELECT pgagent.create_job('it''s $(odd)')")
    assert bash("show", "") == [r"it\'s\ \$\(odd\)", "nightly"]
    assert bash("show", "ni") == ["nightly"]
    assert bash("show", r"it\'s\ ") == [r"it\'s\ \$\(odd\)"]
    assert bash("show", '"it') == ["it's $(odd)"]
    assert bash("logs", "") == ["47", "46"]
    assert bash("show", "nightly", "") == []  # there is one job only
    assert bash("disable", "nightly", "ni") == ["nightly"]
    assert bash("runs", "--since", "2030-01-01", "") != []
    assert bash("runs", "--since", "") == []


def test_bash_looks_where_the_line_says(conn, bash, nightly, pgagent):
    pgagent.environ["PGDATABASE"] = "template1"
    assert bash("show", "") == []
    assert bash("show", "-d", conn.info.dbname, "") == ["nightly"]


def test_names_that_cannot_be_had_are_no_words(pgagent, tmp_path):
    done = pgagent("completion", "--names", "jobs", PGHOST=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_shell_has_to_be_named(pgagent):
    told = pgagent.refuses("completion", status=2)
    assert told == "pgagent completion: name the shell: bash, zsh or fish"


@pytest.mark.needs("zsh")
def test_zsh_takes_the_script(tmp_path):
    (tmp_path / "_pgagent").write_text(script("zsh"))
    load = f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path}/dump"
    done = subprocess.run(
        [
            "zsh",
            "-f",
            "-c",
            f"{load}; autoload +X _pgagent; print $_comps[pgagent]",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("_pgagent\n", "")


@pytest.mark.needs("fish")
def test_fish_completes_verbs_options_and_jobs(conn, pgagent, nightly, tmp_path):
    (tmp_path / "pgagent.fish").write_text(script("fish"))

    def proposed(line):
        code = f"source {tmp_path}/pgagent.fish; complete -C '{line}'"
        environ = pgagent.environ | {"HOME": str(tmp_path)}
        environ["PATH"] = f"{PGAGENT.parent}:{environ['PATH']}"
        done = subprocess.run(
            ["fish", "--no-config", "-c", code],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return [row.split("\t")[0] for row in done.stdout.splitlines()]

    assert {"list", "runs", "pause"} <= set(proposed("pgagent "))
    assert "--failed" in proposed("pgagent runs --")
    assert proposed("pgagent show ni") == ["nightly"]
    assert proposed("pgagent run --log-level w") == ["warning"]
