"""Posting JSON to a URL."""

import http.client
import io
import ssl
from typing import Any
from urllib.parse import urlsplit


def post(
    url: str,
    payload: str,
    authorization: "str | None",
    timeout: "float | None",
    context: "ssl.SSLContext | None" = None,
) -> int:
    """Post the payload; return the status. Nobody is followed elsewhere."""
    deadline = deadline_of(timeout)

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: socket, *args: Any, **options: Any) -> None:  # noqa: ANN401
            super().__init__(sock, *args, **options)
            self.fp.close()
            self.fp = io.BufferedReader(LimitedReader(sock, deadline))

    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RefusalError(
                "the URL is not allowed", "Wanted is https://… or http://…."
            )
        if parts.username is not None or parts.password is not None:
            raise RefusalError(
                "the URL is not allowed", "A user or a password has no place in it."
            )
        if authorization and parts.scheme != "https":
            raise RefusalError(
                "credentials are sent through https only",
                "The URL begins with http://.",
            )
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=timeout
        )
        if parts.scheme == "https":
            tls = context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout, context=tls
            )
        connection.response_class = Response
        headers = {"Content-Type": "application/json", "User-Agent": "pgagent"}
        if authorization:
            headers["Authorization"] = authorization
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, payload.encode(), headers)
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
            "The URL or the credentials hold something odd.",
        ) from None
