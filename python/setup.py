"""Builds the SQL of `pgagent init` into the package; pyproject.toml has all the rest.

A source distribution holds it already. In a checkout it is made from ../sql, before
setuptools looks which folders there are: it warns of one that appears later.
"""

import subprocess
from pathlib import Path

from setuptools import setup

CHECKOUT = Path(__file__).resolve().parent.parent

if (CHECKOUT / "Makefile").exists():
    command = ["make", "--silent", "-C", str(CHECKOUT), "all"]
    subprocess.run(command, check=True)

setup()
