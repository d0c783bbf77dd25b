"""The channels of pgagent.toml, by which people are told: looked at, and not used.

Names of hosts are looked up and servers connected to, with TLS where that is wanted,
and a mail server has to say hello. Nothing is sent.
"""

import importlib.util
import shutil
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import LiteralString
from urllib.parse import urlsplit

from pgagent_runner.checking.case import Case
from pgagent_runner.checking.findings import (
    Finding,
    cut,
    fault,
    named,
    ok,
    quoted,
    warning,
)
from pgagent_runner.configuration import Configuration, ConfigurationError
from pgagent_runner.errands import errands
from pgagent_runner.sending.channels import Channel, channel_of_url, read_channels
from pgagent_runner.sending.failures import in_words
from pgagent_runner.sending.limited import rest_until
from pgagent_runner.sending.mail import port_of, security_of
from pgagent_runner.sending.smtp import READY, Plain, Secure

_EACH = 5.0  # seconds
_MARGIN = 1.0
_AT_ONCE = 20

_CORRECT = "correct it; docs/alerts.md has the keys"
_WAY_THERE = "check host and port, the firewalls on the way, and the server there"

_NAMED: LiteralString = """
    SELECT a.channel, pg_catalog.min(a.alert) FROM pgagent.alerts AS a
    WHERE a.enabled AND a.channel <> 'notify' AND a.channel !~ '^job:'
    GROUP BY a.channel ORDER BY a.channel
"""


class _UnfitError(Exception):
    """A channel can't be used: why, and what helps."""

    def __init__(self, told: str, remedy: str) -> None:
        super().__init__(told)
        self.remedy = remedy


def channels(case: Case) -> Iterator[Finding]:
    """Look at all channels, and at where it is to be told that a runner is alive."""
    file = case.file
    try:
        found, complaints = read_channels(file)
    except ConfigurationError as e:
        yield fault("channels", str(e), _CORRECT)
        return
    yield from map(_complaint, complaints)
    looks = {f"channel {quoted([name])[0]}": one for name, one in found.items()}
    try:
        if errands(file).alive_every is not None:
            looks["[alive]"] = channel_of_url(str(file.table("alive")["url"]))
    except ConfigurationError as e:
        yield _complaint(str(e))
    bad = list(_all(looks))
    yield from bad
    if looks and not bad:
        yield ok("channels", f"{named(list(looks))}: found fit; nothing was sent")


SECONDS = 120.0
"""How long all of that takes at most, if there are hundreds."""


def destinations(case: Case) -> Iterator[Finding]:
    """Look whether the file has the channels to which alerts go."""
    known = _names(case.file)
    for channel, alert in case.ask().rows(_NAMED):
        if channel not in known:
            names = quoted([alert, channel])
            yield warning(
                "channels",
                f"alert {names[0]} goes to channel {names[1]}, which pgagent.toml does"
                " not have: a runner on another host would have to have it",
                f"add [channels.{channel}] to pgagent.toml",
            )


def _names(file: Configuration) -> set[str]:
    with suppress(ConfigurationError):
        return set(file.table("channels"))
    return set()


def _complaint(told: str) -> Finding:
    told, mark, remedy = told.partition(": chmod ")
    return fault("channels", cut(told), f"chmod {remedy}" if mark else _CORRECT)


def _all(looks: dict[str, Channel]) -> Iterator[Finding]:
    """Look at some at once; what hangs is left behind after its time."""
    names = list(looks)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        errors: dict[str, _UnfitError | None] = {}
        deadline = time.monotonic() + _EACH
        threads = [
            threading.Thread(
                target=_look, args=(name, looks[name], deadline, errors), daemon=True
            )
            for name in some
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline + _MARGIN - time.monotonic()))
        late = _UnfitError(f"no answer within {_EACH:g} s", _WAY_THERE)
        for name in some:
            error = errors.get(name, late)
            if error is not None:
                told = looks[name].hidden(str(error))
                yield fault("channels", f"{name}: {cut(told)}", error.remedy)


def _look(
    name: str, channel: Channel, deadline: float, errors: dict[str, _UnfitError | None]
) -> None:
    try:
        _LOOKS[channel.type](channel, deadline)
    except _UnfitError as e:
        errors[name] = e
    except ssl.SSLCertVerificationError as e:
        remedy = "give the server one that fits its name, of an authority known here"
        errors[name] = _UnfitError(in_words(e), remedy)
    except socket.gaierror as e:
        errors[name] = _UnfitError(in_words(e), "check the name of the host")
    except (OSError, smtplib.SMTPException, ValueError) as e:
        errors[name] = _UnfitError(in_words(e), _WAY_THERE)
    else:
        errors[name] = None


def _look_at_mail(channel: Channel, deadline: float) -> None:
    """Have a mail server say hello, and begin TLS."""
    security = security_of(channel)
    tls = ssl.create_default_context()
    rest = rest_until(deadline)
    connection = (
        Secure(timeout=rest, context=tls) if security == "tls" else Plain(timeout=rest)
    )
    connection.deadline = deadline
    host = channel.values["host"]
    connection._host = host  # noqa: SLF001
    try:
        code, answer = connection.connect(host, port_of(channel))
        if code != READY:
            told = answer.decode(errors="backslashreplace")
            raise _UnfitError(f"the mail server says {code} {told}", _WAY_THERE)
        connection.ehlo()
        if security == "starttls":
            if not connection.has_extn("starttls"):
                raise _UnfitError(
                    "the mail server offers no TLS",
                    'have it offer STARTTLS, or security = "tls" or "none"',
                )
            connection.starttls(context=tls)
        with suppress(OSError, smtplib.SMTPException):
            connection.docmd("QUIT")
    finally:
        connection.close()


def _look_at_url(channel: Channel, deadline: float) -> None:
    """Connect to a server, and hang up."""
    parts = urlsplit(channel.values["url"])
    host = parts.hostname or ""
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    with socket.create_connection((host, port), rest_until(deadline)) as plain:
        plain.settimeout(rest_until(deadline))
        if is_secure:
            tls = ssl.create_default_context()
            tls.wrap_socket(plain, server_hostname=host).close()


def _look_at_command(channel: Channel, _: float) -> None:
    program = channel.values["command"][0]
    if shutil.which(program) is None:
        raise _UnfitError(
            f"there is no program {program!r} that the runner's user may execute",
            "install it, or name it by its path; or chmod a+rx",
        )


def _look_at_service(_: Channel, _deadline: float) -> None:
    if importlib.util.find_spec("apprise") is None:
        raise _UnfitError(
            "apprise is not installed",
            "pipx inject pgagent-runner apprise, or pip install"
            " 'pgagent-runner[alerts]'",
        )


_LOOKS: dict[str, Callable[[Channel, float], None]] = {
    "smtp": _look_at_mail,
    "webhook": _look_at_url,
    "command": _look_at_command,
    "apprise": _look_at_service,
}
