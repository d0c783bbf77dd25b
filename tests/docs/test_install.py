"""`make install` says into which server, and leaves nothing of root's in a user's folder."""

import os
import pwd
import shutil
import subprocess

import pytest
from support import ROOT

PARTS = ("Makefile", "dev", "extension", "python", "sql")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of what is built from, in which nothing was built before."""
    folder = tmp_path_factory.mktemp("own") / "pgagent"
    built = shutil.ignore_patterns("*--*.sql", "__pycache__", "*.egg-info")
    for part in PARTS:
        if (ROOT / part).is_dir():
            keep = built if part in {"extension", "python"} else None
            shutil.copytree(ROOT / part, folder / part, ignore=keep)
        else:
            (folder / part).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / part, folder / part)
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """Where things are installed to, and what has been."""
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o777)
    return target


def make(folder, *words, environ=None):
    done = subprocess.run(
        ["make", *words],
        cwd=folder,
        env=os.environ | (environ or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def installed(elsewhere):
    return {path.name for path in elsewhere.rglob("*") if path.is_file()}


def test_it_says_into_which_server_the_files_go(folder, elsewhere):
    code, told = make(folder, "install", f"DESTDIR={elsewhere}")
    assert code == 0, told
    ask = [str(ROOT / "dev/pg_config"), "--version", "--bindir", "--sharedir"]
    answers = subprocess.check_output(ask, text=True).splitlines()
    version, bindir, share = sorted(answers, key=lambda a: ("/" in a, "share" in a))
    assert f"{elsewhere}{share}/extension" in told
    assert version in told
    assert f"{bindir}/pg_config" in told
    assert {"pgagent.control", "pgagent_python.control"} <= installed(elsewhere)
    assert any(name.startswith("pgagent--4.2--") for name in installed(elsewhere))


def test_another_server_can_be_named(folder, elsewhere, tmp_path):
    other = tmp_path / "pg_config"
    other.write_text(
        "#!/bin/sh\ncase $1 in --version) echo PostgreSQL 99.1;; *) echo /other;; esac\n"
    )
    other.chmod(0o755)
    words = ("install", f"DESTDIR={elsewhere}", f"PG_CONFIG={other}")
    code, told = make(folder, *words)
    assert code == 0, told
    assert "of PostgreSQL 99.1" in told
    assert "another server" not in told
    assert (elsewhere / "other/extension/pgagent.control").exists()


def test_without_a_server_it_says_what_is_missing(folder, elsewhere):
    words = ("install", f"DESTDIR={elsewhere}", "PG_CONFIG=/nowhere/pg_config")
    code, told = make(folder, *words)
    assert code != 0
    assert "no server of PostgreSQL is found" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="root installs in a user's folder")
def test_in_a_users_folder_root_only_copies(folder, elsewhere, tmp_path):
    user = pwd.getpwnam("nobody")
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    folder = shutil.copytree(folder, tmp_path / "theirs")
    (folder / "sql/tables/job.sql").touch()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)

    code, told = make(folder, "install", f"DESTDIR={elsewhere}")
    assert code != 0
    assert "to be built first, by nobody" in told
    assert installed(elsewhere) == set()

    drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
    subprocess.run(
        [*drop, "--clear-groups", "make", "all"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    code, told = make(folder, "install", f"DESTDIR={elsewhere}")
    assert code == 0, told
    assert "pgagent.control" in installed(elsewhere)
    assert [path for path in folder.rglob("*") if path.owner() == "root"] == []
