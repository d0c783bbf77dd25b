"""The command `pgagent`, which hides from others of its user before all else."""

import gc
import os
import signal
import sys

from pgagent_runner.secrecy import hide

_INTERRUPTED = 130  # as shells have it


def main() -> int:
    """Run the command with the arguments of the process."""
    hide()
    try:
        if os.getpid() == 1:
            # A container's first process does not get signals that it does not handle.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        # The rest takes some tenths of a second to load, and does so in hiding. All of
        # it stays: to look through it for garbage, again and again, takes a tenth more.
        gc.disable()
        from pgagent_runner.cli import main as run  # noqa: PLC0415

        gc.freeze()
        gc.enable()
        return run()
    except KeyboardInterrupt:  # before there is a loop, which has other ways to stop
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
