"""How sending fails."""

import socket
import ssl


class NotSentError(Exception):
    """A message has not been sent, as far as is known: a sentence that says why."""


def in_words(error: Exception) -> str:
    """Return what an error of the network means, for people."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted: {error.verify_message}"
        case socket.gaierror():
            return f"its host has no address: {error.strerror}"
        case ssl.SSLError():
            return f"no TLS: {error}"
        case OSError(strerror=str(told)):
            return told
        case TimeoutError():
            return str(error) or "no answer in time"
        case _:
            return f"{type(error).__name__}: {error}"
