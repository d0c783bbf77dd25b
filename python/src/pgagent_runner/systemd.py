"""What a service of systemd's `Type=notify` tells its manager: see sd_notify(3)."""

import contextlib
import os
import socket


def notify(*assignments: str) -> None:
    """Send assignments such as `READY=1`; do nothing where nobody is to be told.

    What is not received, for whatever reason, is lost: it must not stop the service.
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
