"""What docs/design.md and CONTRIBUTING.md name is there."""

import re

import pytest
from support import ROOT

PAGES = [ROOT / "docs/design.md", ROOT / "CONTRIBUTING.md"]

KNOWN = """
SELECT proname FROM pg_proc WHERE pronamespace = 'pgagent'::regnamespace
UNION SELECT relname FROM pg_class WHERE relnamespace = 'pgagent'::regnamespace
"""


@pytest.fixture(scope="module")
def code():
    """The text of the runner."""
    files = (ROOT / "python/src").rglob("*.py")
    return "\n".join(file.read_text() for file in files)


def named(pattern):
    return sorted({n for page in PAGES for n in re.findall(pattern, page.read_text())})


def test_functions_and_tables_that_are_named_exist(asking):
    known = {name for (name,) in asking.execute(KNOWN)}
    mentioned = named(r"\bpga_\w*[a-z]\b(?![_*])")
    assert len(mentioned) > 20
    assert [name for name in mentioned if name not in known] == []


def test_files_that_are_named_exist():
    mentioned = named(r"[a-z_][\w/]+\.(?:py|sql)\b")
    files = [
        str(p)
        for d in ("sql", "python/src", "chaos", "dev", "tests")
        for p in (ROOT / d).rglob("*")
    ]
    assert len(mentioned) > 20
    assert [
        name for name in mentioned if not any(f.endswith(f"/{name}") for f in files)
    ] == []


def test_methods_that_are_named_exist(code):
    mentioned = named(r"`([A-Z][a-z]\w+)\.(\w+)`")
    assert len(mentioned) > 10
    for owner, method in mentioned:
        body = re.search(
            rf"^class {owner}\b.*?(?=^class |\Z)", code, re.MULTILINE | re.DOTALL
        )
        assert body, owner
        assert re.search(rf"\b{method}\b", body[0]), f"{owner}.{method}"
