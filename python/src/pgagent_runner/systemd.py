"""Messages of a service to systemd, for `Type=notify`: see sd_notify(3)."""

import contextlib
import math
import os
import socket


def watchdog_seconds() -> float:
    """Return within how many seconds the manager wants `WATCHDOG=1`; infinity: never.

    See sd_watchdog_enabled(3).
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return math.inf
    return int(microseconds) / 1e6 if microseconds.isdecimal() else math.inf


def notify(*assignments: str) -> None:
    """Send assignments such as `READY=1`; do nothing if there is nobody to tell.

    A message that is not received, for whatever reason, is lost: that must not stop the
    service.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # a name that is in no file system
        address = "\0" + address[1:]
    message = "\n".join(assignments).encode()
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.settimeout(1)
        sender.sendto(message, address)
