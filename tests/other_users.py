"""Other users of the operating system, where scripts may be started as theirs."""

import os
import pwd
import shutil
import subprocess
import sys
from functools import cache

from pgagent_runner.configuration import ConfigurationError
from pgagent_runner.users import batch_users

# Every system has these two, and neither has a password or owns much.
ALICE, BOB = "daemon", "bin"


def are_there() -> bool:
    """Whether this process may be these users, and they may use a Python."""
    if os.geteuid() != 0:
        return False
    try:
        batch_users(ALICE, {"bob": BOB})
    except ConfigurationError:
        return False
    return interpreter() is not None


@cache
def interpreter() -> str | None:
    """Return a Python that other users can use: that of the tests may be root's own."""
    for program in (sys.executable, shutil.which("python3", path="/usr/bin:/bin")):
        command = [str(program), "-IS", "-c", "import ctypes"]
        user = pwd.getpwnam(ALICE).pw_uid
        try:
            done = subprocess.run(command, user=user, check=False, capture_output=True)
        except OSError:
            continue
        if done.returncode == 0:
            return program
    return None
