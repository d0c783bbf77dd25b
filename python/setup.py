"""Builds the SQL of `pgagent init` into the package; pyproject.toml has all the rest.

A source distribution holds it already. In a checkout it is made from ../sql.
"""

import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CHECKOUT = Path(__file__).resolve().parent.parent


class BuildWithSql(build_py):
    """Have `make` build the scripts before the package's files are collected."""

    def run(self) -> None:
        """Build."""
        if (CHECKOUT / "Makefile").exists():
            command = ["make", "--silent", "-C", str(CHECKOUT), "all"]
            subprocess.run(command, check=True)
        super().run()


setup(cmdclass={"build_py": BuildWithSql})
