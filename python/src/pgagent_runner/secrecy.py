"""Keeping what this process knows from others of its user, batch steps first."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_process() -> None:
    """Let only root look into this process: its memory, its environment, its files.

    Where the kernel is not Linux, nothing changes. What it starts can be looked into.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
