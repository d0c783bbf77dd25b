"""Posts JSON to a URL."""

import http.client
import json
import re
import time
from socket import timeout as TimedOut  # noqa: N812  # an alias of TimeoutError since 3.10
from urllib.parse import urlsplit

from pga_answer import Refused
from pga_network import LOCAL, checked_timeout, failure, tls_context, without
from pga_settings import read_settings, section

PORTS = {"https": 443, "http": 80}
OWN_HEADERS = {"connection", "content-length", "host", "transfer-encoding"}
KEPT = 65536  # bytes of an answer
SHOWN = 500  # characters of it in an error


def post_webhook(path, url, payload, headers, timeout, secret):
    """Post a JSON text, and return {"status": …, "body": …} of the answer.

    path: of the settings file; headers: a JSON object; timeout: in seconds, for each
    answer of the server; secret: the section [webhook:NAME] that has the URL and
    headers for its server.
    """
    settings = read_settings(path)
    common, kept = {}, {}
    if settings.has_section("webhook"):
        common = section(settings, "webhook", ("allow_http", "ca_file"))
    if secret:
        kept = section(settings, f"webhook:{secret}", ("url", "header"))
    target = chosen(url, kept.get("url"), common.get("allow_http", "").split())
    sent = headers_of(headers, kept.get("header", ""))
    if payload is None:
        raise wrong("payload", "is NULL", "JSON is wanted; its own null is 'null'.")
    timeout = checked_timeout(timeout)
    peer = f'webhook "{secret}"' if secret else f"webhook at {target.hostname}"
    connection = opened(target, timeout, common.get("ca_file"))
    try:
        connection.request("POST", place(target), payload.encode(), sent)
        response = connection.getresponse()
        body = limited(response, time.monotonic() + timeout)
    except (OSError, http.client.HTTPException) as error:
        raise failure(peer, error, secrets_of(kept)) from None
    finally:
        connection.close()
    return accepted(peer, response, without(secrets_of(kept), body))


def chosen(url, secret_url, plain_hosts):
    """Return the parts of the URL to post to; `secret_url` is for its server alone."""
    target = checked(url or secret_url, plain_hosts)
    if url and secret_url and server(checked(secret_url, plain_hosts)) != server(target):
        raise wrong("url", "is on another server than the secret is for", "Leave one out.")
    return target


def checked(url, plain_hosts):
    """Return the parts of a URL; what is wrong with it is told without showing it."""
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    wanted = "Wanted is https://host/path, in ASCII without spaces."
    if not parts.hostname or port == 0 or re.search(r"[^!-~]", url):
        raise wrong("url", "is no URL", wanted)
    if "@" in parts.netloc:
        raise wrong("url", "has a user", "Let the settings have a header: Authorization.")
    if parts.scheme == "http" and parts.hostname not in LOCAL.union(plain_hosts):
        raise wrong(
            "url",
            "is not encrypted",
            "http is for localhost, and for hosts in allow_http of [webhook].",
        )
    if parts.scheme not in PORTS:
        raise wrong("url", f'is of the kind "{parts.scheme}"', wanted)
    return parts


def server(parts):
    """Return scheme, host and port of a URL."""
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def place(parts):
    """Return what stands behind the host in a URL."""
    return (parts.path or "/") + ("?" + parts.query if parts.query else "")


def headers_of(given, secret_lines):
    """Return all headers: ours, those of a JSON object, those of the settings."""
    headers = {"Content-Type": "application/json", "User-Agent": "pgagent"}
    given = json.loads(given or "{}")
    if not isinstance(given, dict):
        raise wrong("headers", "is not an object", 'Wanted is {"Name": "value"}.')
    for name, value in given.items():
        plain = isinstance(value, str) and re.match(r"[ -~\t]*$", value)
        if not (plain and re.match(r"[A-Za-z0-9-]+$", name)) or "\n" in name + value:
            raise wrong("headers", f'"{name}" can\'t be sent', "Wanted are ASCII texts.")
        if name.lower() in OWN_HEADERS:
            raise wrong("headers", f'"{name}" is not yours to set', "It follows from the rest.")
        headers = {k: v for k, v in headers.items() if k.lower() != name.lower()}
        headers[name] = value
    for line in filter(None, secret_lines.splitlines()):
        name, colon, value = line.partition(":")
        if not (colon and re.match(r"[A-Za-z0-9-]+$", name) and line.isascii()):
            raise Refused("55000", "settings: header can't be sent", "Wanted is Name: value.")
        headers[name] = value.strip()
    return headers


def secrets_of(kept):
    """Return what must not be seen of a section: the URL, its path, and values."""
    values = [line.partition(":")[2].strip() for line in kept.get("header", "").splitlines()]
    path = place(urlsplit(kept.get("url", "")))
    words = [word for value in values for word in value.split()]
    return [kept.get("url"), path.strip("/"), *values, *words]


def opened(target, timeout, ca_file):
    """Return a connection, not yet made; it follows no redirects and uses no proxy."""
    if target.scheme == "http":
        return http.client.HTTPConnection(target.hostname, target.port, timeout=timeout)
    return http.client.HTTPSConnection(
        target.hostname, target.port, timeout=timeout, context=tls_context(ca_file)
    )


def limited(response, deadline):
    """Return the beginning of the body as text."""
    body = b""
    while len(body) < KEPT:
        piece = response.read1(KEPT - len(body))
        if not piece:
            break
        if time.monotonic() > deadline:
            raise TimedOut("The answer does not end")
        body += piece
    return body.decode(errors="replace")


def accepted(peer, response, body):
    """Return the answer, if it is a good one."""
    if response.status // 100 == 2:  # noqa: PLR2004
        return {"status": response.status, "body": body}
    detail = body[:SHOWN]
    if response.status // 100 == 3:  # noqa: PLR2004
        detail = "Redirects are not followed."
    raise Refused(
        "38000",
        f"{peer} answered {response.status} {http.client.responses.get(response.status, '')}",
        detail or "The answer has no text.",
    )


def wrong(argument, problem, detail):
    """Return the refusal of an argument."""
    return Refused("22023", f"post_webhook({argument}): {problem}", detail)
