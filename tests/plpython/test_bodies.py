"""The bodies of the helpers as what they are: plain functions, without a server."""

import ast
import re

import pytest
from support import ROOT

FOLDER = ROOT / "sql/plpython"
RUNNER = ROOT / "python/src/pgagent_runner"
SHARED = [
    RUNNER / "verbs/imports/crontab_lines.py",
    *(
        RUNNER / f"sending/{name}.py"
        for name in ("refusal", "limited", "smtp", "posting")
    ),
]
MODULES = [*sorted(FOLDER.glob("*.py")), *SHARED]
FILES = {path.name: path for path in MODULES}
HELPERS = [path for path in sorted(FOLDER.glob("*.sql")) if path.stem != "head"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_body_is_python_3_9_of_the_standard_library(module):
    tree = ast.parse(module.read_text(), feature_version=(3, 9))
    allowed = {
        *(
            "collections.abc",
            "contextlib",
            "datetime",
            "email",
            "email.message",
            "email.utils",
            "http.client",
            "io",
        ),
        *("os", "re", "smtplib", "socket", "ssl", "stat", "time", "typing"),
        "urllib.parse",
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.module in allowed or is_left_out(module, node)


def is_left_out(module, node):
    """Whether the Makefile leaves out this import: of a file that is included, too."""
    line = module.read_text().splitlines()[node.lineno - 1]
    name = node.module.removeprefix("pgagent_runner.sending.")
    return (
        re.match(r"from pgagent_runner\.\S+ import [\w, ]+$", line)
        and f"{name}.py" in FILES
        and all(
            f"sending/{name}.py" in helper.read_text()
            for helper in HELPERS
            if f"sending/{module.name}" in helper.read_text()
        )
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_body_evaluates_a_newer_annotation(module):
    """Return types and parameters such as `int | None` need Python 3.10, unquoted."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for annotation in annotations(node):
                unions = (n for n in ast.walk(annotation) if isinstance(n, ast.BinOp))
                assert not [*unions], ast.unparse(node)


def annotations(node):
    if isinstance(node, ast.ClassDef):
        return [
            item.annotation for item in node.body if isinstance(item, ast.AnnAssign)
        ]
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [a for a in [node.returns, *(arg.annotation for arg in every)] if a]


@pytest.mark.parametrize("helper", HELPERS, ids=lambda path: path.name)
def test_no_body_ends_its_own_quotation(helper):
    for name in re.findall(r"^-- include (\S+)$", helper.read_text(), re.MULTILINE):
        assert "$python$" not in FILES[name.rpartition("/")[2]].read_text()


BODY = r"AS \$python\$\n((?:-- include [\w/]+\.py\n)+)return (\w+)\((.*)\)\n\$python\$;"


def body_of(helper):
    """Return the files of the one body in Python, the function and its arguments."""
    assert helper.read_text().count("$python$") == 2
    ((includes, function, arguments),) = re.findall(BODY, helper.read_text())
    return re.findall(r"(\w+)\.py", includes), function, arguments.split(", ")


def parsed(name):
    return ast.parse(FILES[f"{name}.py"].read_text()).body


@pytest.mark.parametrize("helper", HELPERS, ids=lambda path: path.name)
def test_a_body_is_files_and_one_call_of_the_last(helper):
    """So that ruff and mypy see all of it."""
    includes, function, arguments = body_of(helper)
    assert includes[-1] == helper.stem
    (called,) = (
        node
        for node in parsed(helper.stem)
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    assert [arg.arg for arg in called.args.args] == arguments


@pytest.mark.parametrize("helper", HELPERS, ids=lambda path: path.name)
def test_nothing_in_a_body_hides_an_argument_or_something_else(helper):
    """All of a body's files share one scope, and the arguments are around it."""
    includes, _, arguments = body_of(helper)
    names = [name for include in includes for name in defined(parsed(include))]
    assert len({*names, *arguments}) == len(names) + len(arguments)


def defined(nodes):
    """Return the names that a file gives to something of its own."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from map(ast.unparse, node.targets)


def functions(*names):
    """Return what these modules define, each beginning with those before."""
    found: dict[str, object] = {}
    for name in names:
        text = FILES[f"{name}.py"].read_text()
        exec(re.sub(r"^from pgagent_runner\..*", "", text, flags=re.MULTILINE), found)
    return found


def test_bodies_work_without_a_server():
    crontab = functions("crontab_lines")
    (entry,) = crontab["read_crontab"]("@daily cat%a\\%b", has_users=False)
    assert (
        entry.script
        == "#!/bin/sh\ncd \"$HOME\" || exit\nprintf '%s\\n' 'a%b' | {\ncat\n}\n"
    )
    assert functions("describe")["describe_every"](90.0) == "every 90 seconds"
    rrule = functions("refusal", "rrule")
    assert rrule["schedule_of"]("FREQ=DAILY;BYHOUR=3")[0] == "0 3 * * *"
    ics = functions("ics")
    assert all(
        len(line.encode()) <= 75 for line in ics["folded"]("ü" * 99).split("\r\n")
    )
    mail = functions("refusal", "secret", "limited", "smtp", "mail")
    message = mail["message"]("a@b", ["c@d"], "Grüße", "body")
    assert message["To"] == "c@d"
    with pytest.raises(ValueError, match="a header is not allowed"):
        mail["message"]("a@b", ["c@d"], "x\nBcc: e@f", "")
