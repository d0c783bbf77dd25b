"""What mail and webhooks have in common: limits, encryption, failures."""

import socket
import ssl

from pga_answer import Refused

LOCAL = {"localhost", "127.0.0.1", "::1"}
LONGEST = 300  # seconds


def checked_timeout(seconds):
    """Return a timeout, if it is a sensible one."""
    if seconds is None or not 0 < seconds <= LONGEST:
        raise Refused(
            "22023",
            f"timeout: {seconds} seconds",
            f"Allowed is more than 0, up to {LONGEST} seconds.",
        )
    return seconds


def tls_context(ca_file):
    """Return what checks the other's certificate, with the system's or these CAs."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # or no certificates in it
        problem = error.strerror or error
        raise Refused("55000", f"settings: ca_file = {ca_file}", f"{problem}") from None


def failure(peer, error, secrets):
    """Return the refusal that says how the connection to `peer` failed."""
    state, problem = "08006", "the connection broke"
    if isinstance(error, socket.timeout):
        problem = "no answer in time"
    elif isinstance(error, ssl.SSLError):
        state, problem = "08001", "no connection that can be trusted"
    elif isinstance(error, socket.gaierror):
        state, problem = "08001", "the host is not known"
    elif isinstance(error, ConnectionRefusedError):
        state, problem = "08001", "the connection was refused"
    return Refused(state, f"{peer}: {problem}", without(secrets, f"{error}."))


def without(secrets, text):
    """Return a text from elsewhere, fit for the log, with no secret of ours in it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text.replace("\0", "")
