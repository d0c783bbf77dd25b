"""Posting JSON to a URL."""

import http.client
import io
import ssl
from typing import Any
from urllib.parse import urlsplit

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
        connection, target = connection_to(url, bool(authorization), timeout, context)
        connection.response_class = Response
        body = payload.encode()

        def sent() -> "Iterator[bytes]":
            for piece in pieces(body):
                connection.sock.settimeout(rest_until(deadline))
                yield piece

        headers = {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            "User-Agent": "pgagent",
        }
        if authorization:
            headers["Authorization"] = authorization
        try:
            connection.request("POST", target, sent(), headers)
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


def post_webhook(
    url: "str | None",
    payload: "str | None",
    credentials: "str | None",
    timeout: "float | None",
) -> int:
    """Post JSON and return the status, or raise an error of the database."""
    try:
        told = secret(credentials, may_read_secrets())
        status = post(url or "", payload or "null", told, timeout)
    except RefusalError as e:
        plpy.error(f"pgagent: post_webhook: {e}", detail=e.detail, sqlstate="22023")
    except (OSError, http.client.HTTPException) as e:
        plpy.error(
            f"pgagent: post_webhook: {type(e).__name__}: {e}",
            sqlstate="08000",
            detail=f"The time limit is {timeout:g} s.",
        )
    if status >= 300:
        plpy.error(
            f"pgagent: post_webhook: the answer is {status}",
            sqlstate="08000",
            detail="Redirections are not followed."
            if status < 400
            else "The receiver refuses or fails.",
        )
    return status
