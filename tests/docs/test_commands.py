"""Every command of README.md, CONTRIBUTING.md and docs/*.md is executed, or named here.

A command that a page tells people to give is taken from there, by `block()` or `inline()`
of dev/documents.py, in a test or in dev/docs_check.py, which installs things.
"""

import ast
import re
import subprocess
from collections.abc import Iterator

import pytest
from documents import PAGES, block, commands_of, find, inline
from support import ROOT

# What nobody executes, by how it begins, and why.
NOT_EXECUTED = {
    ("CONTRIBUTING.md", "make test"): "what all this is executed by, or takes an hour;"
    " a test below sees that make knows each target and variable",
    ("CONTRIBUTING.md", "SET search_path"): "a clause, not a command",
    ("CONTRIBUTING.md", "TIME_TRAVEL_RUNS="): "a long form of a test",
    ("CONTRIBUTING.md", "EVERY_SECOND_RUNS="): "a long form of a test",
    ("CONTRIBUTING.md", "rm -r build/matrix"): "would have an hour's work done again",
    ("CONTRIBUTING.md", 'ONLY="R6 R16"'): "variables, not a command",
    ("docs/alerts.md", "pipx inject"): "changes where this user's runner is installed;"
    " tests/sending/test_receivers.py tries what it brings",
    ("docs/design.md", "SET search_path"): "a clause, not a command",
    ("docs/files.md", "pipx inject"): "changes where this user's runner is installed;"
    " tests/files/test_keeping.py tries what it brings",
    ("docs/operating.md", "pgagent run [OPTION]"): "two forms, not commands;"
    " test_options.py has the options",
    ("docs/operating.md", "systemctl edit"): "opens an editor",
    (
        "docs/operating.md",
        "sudo systemd-run",
    ): "takes a machine that systemd has started;"
    " tests/verbs/test_check.py has the verb",
    ("docs/performance.md", "make bench"): "takes from minutes to an hour;"
    " a test below sees that make knows each target and variable",
}

CHECK = ROOT / "dev/docs_check.py"
FUNCTIONS = {"block": False, "inline": True}


def taken() -> Iterator[tuple[str, str, bool]]:
    """Yield page and beginning of each command that is taken, and whether it is inline."""
    for path in (*ROOT.glob("tests/**/*.py"), CHECK):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            match node.func, node.args:
                case (
                    ast.Name(id="block" | "inline" as function),
                    [ast.Constant(value=str(page)), ast.Constant(value=str(begin))],
                ):
                    yield page, begin, FUNCTIONS[function]
                case ast.Name(id="commands_of"), [ast.Constant(value=str(page))]:
                    yield from (
                        (page, command.text, command.is_inline)
                        for command in commands_of(page)
                    )


def test_every_command_is_executed_or_named_with_a_reason():
    executed = {
        command
        for page, begin, is_inline in taken()
        for command in find(page, begin, is_inline=is_inline)
    }
    named = {
        command
        for page, begin in NOT_EXECUTED
        for is_inline in (False, True)
        for command in find(page, begin, is_inline=is_inline)
    }
    known = [command for page in PAGES for command in commands_of(page)]
    assert len(known) > 100
    forgotten = [str(c) for c in known if c not in executed | named]
    assert forgotten == [], "see CONTRIBUTING.md, Documents"
    assert [str(c) for c in known if c in executed & named] == []


def test_what_is_named_is_there():
    gone = [
        key
        for key in NOT_EXECUTED
        if not any(find(*key, is_inline=is_inline) for is_inline in (False, True))
    ]
    assert gone == []


MAKE = re.compile(r"(?:^ *|`|&& |sudo )make ((?:[^`#\n]|\n(?=\S))+)", re.MULTILINE)


def calls_of_make():
    """Yield what stands behind `make` in all pages, without placeholders' brackets."""
    for page in PAGES:
        for words in MAKE.findall((ROOT / page).read_text()):
            yield " ".join(re.sub(r"[\[\]]", "", words.split(" && ")[0]).split())


def test_make_knows_every_target_and_variable():
    makefile = (ROOT / "Makefile").read_text()
    calls = {call for call in calls_of_make() if re.match(r"[a-z-]+( |$)", call)}
    targets = {
        word for call in calls for word in call.split(" ")[:1] if word != "these"
    }
    assert len(targets) > 15
    phony = " ".join(re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)", makefile, re.MULTILINE))
    assert targets - set(re.findall(r"[\w-]+", phony)) <= {"and"}
    variables = {name for call in calls for name in re.findall(r"\b([A-Z_]+)=", call)}
    variables -= {"PG_CONFIG"}  # is read by dev/pg_config
    assert [v for v in variables if f"$({v})" not in makefile] == []


def test_chaos_lists_its_scenarios():
    command = inline("CONTRIBUTING.md", "build/venv/bin/python -m chaos --list")
    listed = subprocess.check_output(
        command, shell=True, cwd=ROOT, env={"PYTHONPATH": "dev:."}, text=True
    )
    names = set(re.findall(r"^\S+", listed, re.MULTILINE))
    wanted = {
        name
        for call in calls_of_make()
        for name in re.findall(r"ONLY=\"?([\w.-]+)", call)
    }
    assert len(wanted) > 10
    assert wanted - names <= {"word"}


def test_a_job_is_started_by_hand_as_the_design_says(conn):
    conn.execute("SELECT pgagent.schedule('a', '@yearly', 'SELECT 1')")
    statement = inline("docs/design.md", "UPDATE pga_job SET jobnextrun")
    conn.execute(f"SET search_path = pgagent; {statement}")
    states = "SELECT state FROM pgagent.job_status"
    assert conn.execute(states).fetchall() == [("due",)]


def test_jobs_are_paused_and_limited_as_the_page_says(conn):
    conn.execute("SELECT pgagent.schedule('etl', '@yearly', 'SELECT 1')")
    conn.execute(block("docs/operating.md", "SELECT pgagent.pause_job('etl'"))
    states = "SELECT state, paused_until IS NOT NULL FROM pgagent.job_status"
    assert conn.execute(states).fetchall() == [("paused", True)]
    limit, classes = block("docs/operating.md", "SELECT pgagent.alter_class(").split(
        ";\n", 1
    )
    conn.execute(limit)
    assert ("Data Import", 2, 0, 0) in conn.execute(classes).fetchall()


def test_the_command_tells_options_and_versions():
    for command in (
        inline("docs/operating.md", "pgagent run --help"),
        inline("docs/operating.md", "pgagent --version"),
        inline("python/README.md", "pgagent run --help"),
    ):
        done = subprocess.run(
            f"build/venv/bin/{command}",
            shell=True,
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        assert done.stdout


@pytest.mark.parametrize("kind", ["block", "inline"])
def test_a_command_that_nobody_takes_is_found(kind):
    function = {"block": block, "inline": inline}[kind]
    with pytest.raises(LookupError, match=r"README\.md has 0"):
        function("README.md", "DROP EXTENSION pgagent")
