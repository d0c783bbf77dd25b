"""Older commits of this repository, built in build/beside to be compared with."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREES = ROOT / "build/beside"


def git(*arguments: str) -> str:
    """Return what git says."""
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()


def built(commit: str) -> Path:
    """Return the files of a commit, with its scripts and its runner built."""
    tree = TREES / commit
    ready = tree / "build/ready"
    if ready.exists():
        return tree
    print(f"building {commit} in {tree.relative_to(ROOT)} …", file=sys.stderr)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True
    )
    subprocess.run(["tar", "-x"], check=True, cwd=tree, input=archive.stdout)
    # The variables of the make that runs this are not meant for it.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    environ.pop("MFLAGS", None)
    same = tree / "build/same.txt"
    same.parent.mkdir()
    libraries = ("psycopg", "psycopg-binary")
    same.write_text("".join(f"{name}=={version(name)}\n" for name in libraries))
    for command in (
        ("make", "--silent", "all"),
        (sys.executable, "-m", "venv", "build/venv"),
        (
            *("build/venv/bin/pip", "--quiet", "--disable-pip-version-check"),
            *("install", "--constraint", str(same), "--editable", "./python"),
        ),
    ):
        subprocess.run(command, check=True, cwd=tree, env=environ, stdout=sys.stderr)
    ready.touch()
    return tree
