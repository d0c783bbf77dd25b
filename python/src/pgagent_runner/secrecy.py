"""Keeping what this process knows from others of its user, batch steps first."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide(*, hidden: bool = True) -> None:
    """Let only root look into this process: its memory, its environment, its files.

    Or let others look again. Where the kernel is not Linux, nothing changes. The
    processes that it starts can be looked into.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, int(not hidden), 0, 0, 0)
