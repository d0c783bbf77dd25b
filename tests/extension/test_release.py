"""The version after this one can be begun, built and upgraded to."""

import shutil
import subprocess
import sys

import pytest
from support import ROOT

from .members import members

NEXT = "999.0.0"
PARTS = ("Makefile", "META.json", "CHANGELOG.md", "dev", "extension", "python", "sql")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what is built from, in which the next version has been begun."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
        else:
            shutil.copy(ROOT / part, folder / part)
    release(folder, "next", NEXT)
    subprocess.run(["make", "--silent", "-C", folder, "all"], check=True)
    return folder


def release(folder, *words):
    return subprocess.run(
        [sys.executable, folder / "dev/release.py", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_next_upgrade_replaces_functions_and_nothing_else(
    alice, checkout, conn, cluster
):
    known = "SELECT extversion FROM pg_extension WHERE extname = 'pgagent'"
    (version,) = conn.execute(known).fetchone()
    (control,) = cluster.directory.glob("server/**/extension/pgagent.control")
    script = f"pgagent--{version}--{NEXT}.sql"
    shutil.copy(checkout / "extension" / script, control.parent)
    conn.execute("GRANT EXECUTE ON FUNCTION pgagent.pga_agent_shorten() TO alice")
    before = members(conn)

    conn.execute(f"ALTER EXTENSION pgagent UPDATE TO '{NEXT}'")

    assert conn.execute(known).fetchone() == (NEXT,)
    assert [line.replace(NEXT, version) for line in members(conn)] == before


def test_the_next_version_stands_everywhere(checkout):
    said = release(checkout, "check").stdout
    assert "one version: ok\none chain of upgrades: ok\n" in said


def test_no_version_is_begun_twice_or_backwards(checkout):
    for wrong in (NEXT, "1.0.0", "5", "5.x.0"):
        assert "is no version after" in release(checkout, "next", wrong).stdout


@pytest.mark.parametrize(
    ("file", "wrong", "said"),
    [
        ("META.json", '"version": "0.1.0"', "META.json says 0.1.0"),
        ("sql/upgrade/4.2--5.0.0.sql", None, "one chain of upgrades: it ends at 4.2"),
    ],
)
def test_a_slip_is_found(checkout, tmp_path, file, wrong, said):
    copy = shutil.copytree(checkout, tmp_path / "copy")
    if wrong is None:
        (copy / file).unlink()
    else:
        text = (copy / file).read_text()
        (copy / file).write_text(text.replace(f'"version": "{NEXT}"', wrong, 1))
    assert said in release(copy, "check").stdout
