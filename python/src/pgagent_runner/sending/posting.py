"""Posting JSON to a URL."""

import http.client
import io
import ssl
from collections.abc import Iterator, Mapping  # noqa: TC003 (evaluated, by servers)
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from pgagent_runner.sending.limited import LimitedReader, pieces, rest_until
from pgagent_runner.sending.refusal import RefusalError

LONGEST_URL = 8000  # characters


def connection_to(
    url: str,
    secret_told: bool,  # noqa: FBT001
    timeout: "float | None",
    context: "ssl.SSLContext | None",
) -> "tuple[http.client.HTTPConnection, str]":
    """Return a connection that is not made yet, and the path; refuse odd URLs."""
    if len(url) > LONGEST_URL:
        raise RefusalError(
            "the URL is not allowed",
            f"It has {len(url)} characters; allowed are {LONGEST_URL} at most.",
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusalError(
            "the URL is not allowed", "Wanted is https://... or http://...."
        )
    if parts.username is not None or parts.password is not None:
        raise RefusalError(
            "the URL is not allowed", "A user or a password has no place in it."
        )
    if secret_told and parts.scheme != "https":
        raise RefusalError(
            "credentials are sent through https only", "The URL begins with http://."
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        plain = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        return plain, target
    tls = context or ssl.create_default_context()
    secure = http.client.HTTPSConnection(
        parts.hostname, parts.port, timeout=timeout, context=tls
    )
    return secure, target


def request(  # noqa: PLR0913, PLR0917
    method: str,
    url: str,
    payload: str,
    headers: "Mapping[str, str]",
    deadline: float,
    secret_told: bool = False,  # noqa: FBT001, FBT002
    context: "ssl.SSLContext | None" = None,
) -> int:
    """Send the payload, JSON, and return the status. Nobody is followed elsewhere.

    Raises RefusalError for what is not allowed, OSError or HTTPException if there is
    no answer.
    """

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket, *args: Any, **options: Any) -> None:  # noqa: ANN401
            super().__init__(sock, *args, **options)
            self.fp.close()
            self.fp = io.BufferedReader(LimitedReader(sock, deadline))

    try:
        rest = rest_until(deadline)
        connection, target = connection_to(url, secret_told, rest, context)
        connection.response_class = Response
        body = payload.encode()

        def sent() -> "Iterator[bytes]":
            for piece in pieces(body):
                connection.sock.settimeout(rest_until(deadline))
                yield piece

        told = {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            "User-Agent": "pgagent",
        }
        try:
            connection.request(method, target, sent(), told | dict(headers))
            return connection.getresponse().status
        finally:
            connection.close()
    except RefusalError:
        raise
    except ssl.CertificateError:
        raise
    except (ValueError, http.client.InvalidURL) as error:  # an odd header or port
        raise RefusalError(
            f"the request is not allowed: {type(error).__name__}",
            "The URL, or a header, holds something odd.",
        ) from None
