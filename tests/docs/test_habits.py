"""What editors and hooks are told is what `make lint` and the files themselves say."""

import re
import subprocess

import pytest
from support import ROOT

FOLDERS = (
    *(
        ".ci",
        "bench",
        "chaos",
        "contrib",
        "dev",
        "docs",
        "extension",
        "python",
        "sql",
        "systemd",
    ),
    "tests",
)
KINDS = {
    *("", ".control", ".json", ".md", ".py", ".pyi", ".service", ".sql", ".toml"),
    *(".typed", ".yaml", ".yml"),
}


def test_hooks_run_commands_of_make_lint():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    commands = re.findall(r"^ +entry: (.+)$", hooks, re.MULTILINE)
    lint = subprocess.check_output(["make", "-n", "lint"], cwd=ROOT, text=True)
    assert len(commands) == hooks.count("- id: ") == hooks.count("language: system")
    assert [line for line in commands if line not in lint.splitlines()] == []


@pytest.fixture(scope="module")
def texts():
    """Every file that somebody may have edited, by name."""
    everything = ROOT.iterdir(), *((ROOT / folder).rglob("*") for folder in FOLDERS)
    paths = [path for paths in everything for path in paths if path.is_file()]
    return {
        str(path.relative_to(ROOT)): path.read_bytes().decode()
        for path in paths
        if path.suffix in KINDS
    }


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("end_of_line = lf", r"\r"),
        ("insert_final_newline = true", r"[^\n]\Z"),
        ("trim_trailing_whitespace = true", r"[ \t]+$"),
    ],
)
def test_files_are_as_editors_are_told_to_leave_them(texts, rule, broken):
    assert rule in texts[".editorconfig"].splitlines()
    pattern = re.compile(broken, re.MULTILINE)
    assert [name for name, text in texts.items() if pattern.search(text)] == []


def test_only_makefiles_are_indented_by_tabs(texts):
    tabs = re.compile(r"^ *\t", re.MULTILINE)
    assert [name for name, text in texts.items() if tabs.search(text)] == ["Makefile"]
