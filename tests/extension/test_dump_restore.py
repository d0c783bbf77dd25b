"""A dump that is restored elsewhere is the same installation, but for its agents."""

import subprocess

import pytest
from jobs import add_job
from support import poll
from transitions import claim_rows, register, start_step

from .contents import add_everywhere, columns, contents
from .members import definitions

FORMATS = ["plain", "custom", "directory"]
DEAD_AGENTS_ID = "2147483647"


@pytest.fixture
def pg(cluster):
    """Run PostgreSQL's client programs, which must succeed: `pg("psql", ...)`."""

    def run(program, *arguments, check=True):
        done = subprocess.run(
            [cluster.bindir / program, *arguments],
            env=cluster.client_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
