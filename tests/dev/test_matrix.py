"""`make matrix`: what is skipped, what is counted, and what is written of it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from matrix.report import page, ran_nowhere
from matrix.results import Result
from matrix.suite import Outcome, read_report
from support import ROOT

LACKING = """
import features
features.FEATURES["nothing"] = features.Feature("what is never there", lambda _: False)
"""
NEEDING = """
import pytest

@pytest.fixture(scope="module")
def dear():
    raise RuntimeError("made in vain")

@pytest.mark.needs("{}")
def test_it(dear):
    pass
"""
MANY = """
import pytest

@pytest.fixture
def untidy():
    yield
    raise RuntimeError

def test_passes(): pass
def test_fails(): assert False
def test_is_skipped(): pytest.skip("needs rest: it is late")
def test_ends_badly(untidy): pass
@pytest.mark.parametrize("text", ["a.b[c]"])
def test_has_parameters(text): pass
"""
NOTHING = Outcome([], [], [], {}, 0.0)
CELL = Result(
    "PostgreSQL", "13", "2026-01-01", "", "13.1", "somewhere", "3.11.1", NOTHING
)


def run_pytest(tmp_path, text, *options, **environ):
    """Run pytest, with the fixtures of these tests, on a file of its own."""
    (tmp_path / "lacking.py").write_text(LACKING)
    (tmp_path / "test_it.py").write_text(text)
    plugins = os.pathsep.join(map(str, (ROOT / "tests", ROOT / "dev", tmp_path)))
    command = [
        *(sys.executable, "-m", "pytest", "-c", ROOT / "python/pyproject.toml", "-rs"),
        *("-p", "conftest", "-p", "lacking", *options, tmp_path / "test_it.py"),
    ]
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        command,
        cwd=tmp_path,
        env=inherited | {"PYTHONPATH": plugins} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def test_a_test_is_skipped_for_want_of_a_feature_before_anything_is_made(tmp_path):
    said = run_pytest(tmp_path, NEEDING.format("nothing"))
    assert "needs nothing: what is never there" in said
    assert "1 skipped" in said


def test_where_nothing_may_be_missing_it_fails(tmp_path):
    said = run_pytest(tmp_path, NEEDING.format("nothing"), CI="true")
    assert "needs nothing: what is never there" in said
    assert "1 error" in said


def test_a_feature_that_is_not_listed_is_refused(tmp_path):
    said = run_pytest(tmp_path, NEEDING.format("no_such_thing"))
    assert "needs no_such_thing: not in tests/features.py" in said


def test_a_report_tells_what_became_of_each_test(tmp_path):
    report = tmp_path / "report.xml"
    run_pytest(tmp_path, MANY, f"--junit-xml={report}")
    found = {test.partition("::")[2]: how for test, how in read_report(report).items()}
    assert found == {
        "test_passes": ("passed", ""),
        "test_fails": ("failed", ""),
        "test_is_skipped": ("skipped", "needs rest: it is late"),
        "test_ends_badly": ("failed", ""),
        "test_has_parameters[a.b[c]]": ("passed", ""),
    }


@pytest.mark.parametrize(
    ("elsewhere", "nowhere"),
    [
        (NOTHING, ["a"]),
        (replace(NOTHING, skipped={"a": "needs x: y"}), ["a"]),
        (replace(NOTHING, passed=["a"]), []),
        (replace(NOTHING, failed=["a"]), []),
        (replace(NOTHING, repeated=["a"]), []),
        (None, ["a"]),
    ],
)
def test_a_test_that_was_skipped_wherever_it_was_ran_nowhere(elsewhere, nowhere):
    here = replace(CELL, outcome=replace(NOTHING, skipped={"a": "needs x: y"}))
    results = [here, replace(CELL, version="14", outcome=elsewhere)]
    assert ran_nowhere(results) == nowhere
    assert ("Each of these tests ran in another row." in page(results)) is (not nowhere)


def test_the_page_says_what_could_not_be_had_and_what_failed():
    failed = replace(NOTHING, failed=["tests/a.py::b"])
    absent = replace(CELL, version="14", outcome=None, problem="no registry has it")
    text = "\n".join(page([replace(CELL, outcome=failed), absent]))
    assert "| 14 * | cannot be had: no registry has it |" in text
    assert "- PostgreSQL 13: `tests/a.py::b`" in text
