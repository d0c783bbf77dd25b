"""The channels of pgagent.toml: what `[channels.NAME]` may hold.

[channels.dba]
type = "smtp"
host = "mail.example.org"
from = "pgagent@example.org"
to = ["dba@example.org"]
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pgagent_runner.configuration import Configuration, ConfigurationError
from pgagent_runner.declaring import shown
from pgagent_runner.sending.messages import NAMES
from pgagent_runner.sending.templates import Template, TemplateError

SECURITIES = ("starttls", "tls", "none")
RESERVED = ("notify", "job")  # what the database itself delivers

_LINE = re.compile(r"[^\x00-\x1f\x7f]+")
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TELLING = re.compile(r"auth|token|key|secret|cookie|password", re.IGNORECASE)
_HERE = re.compile(r"localhost|127\.[0-9.]+|::1")
_SHORTEST_SECRET = 4  # characters: shorter ones could be anything
_MOST_PORTS = 65535


class Key(NamedTuple):
    """A key of a channel.

    check: makes a value of what stands in the file; raises ValueError if it is not what
    is wanted.
    """

    wanted: str
    check: Callable[[Any], Any]
    is_required: bool = False
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, with what its type needs: see `KEYS`."""

    name: str
    type: str
    values: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def hidden(self, text: str) -> str:
        """Return the text without what is secret about this channel."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def channel_of_url(url: str) -> Channel:
    """Return a webhook that has no name."""
    values = {"url": url}
    return Channel("", "webhook", values, tuple(_secrets("webhook", values)))


class Channels(NamedTuple):
    """Those of a file that can be used, and what is wrong with the others."""

    found: dict[str, Channel]
    complaints: list[str]


def read_channels(configuration: Configuration) -> Channels:
    """Return the channels of a file; raises ConfigurationError if there is no table."""
    found: dict[str, Channel] = {}
    complaints: list[str] = []
    for name, table in configuration.table("channels").items():
        try:
            found[name] = _channel(configuration, name, table)
        except ConfigurationError as e:
            complaints.append(str(e))
    return Channels(found, complaints)


def _channel(configuration: Configuration, name: str, table: object) -> Channel:
    place = f"{configuration.path}: [channels.{name}]"
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{place} has to be a table")
    if name in RESERVED or name.startswith("job:"):
        raise ConfigurationError(
            f"{place}: the database itself delivers to {name!r}; choose another name"
        )
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in KEYS:
        raise ConfigurationError(
            f"{place} type: {shown(kind) if 'type' in table else 'none'} is not one of"
            f" {', '.join(KEYS)}"
        )
    keys = KEYS[kind]
    for key in table:
        if key != "type" and key not in keys:
            allowed = ", ".join(sorted(("type", *keys)))
            raise ConfigurationError(
                f"{place} has the unknown key {key!r}; allowed are {allowed}"
            )
    values = {
        key: _value(place, key, keys[key], table[key]) for key in keys if key in table
    }
    for key, one in keys.items():
        if one.is_required and key not in values:
            raise ConfigurationError(f"{place} lacks {key}: {one.wanted}")
    _check_together(place, kind, values)
    secrets = tuple(_secrets(kind, values))
    if any(keys[key].is_secret for key in values):
        configuration.keep_secret(f"[channels.{name}] has what nobody else may know")
    return Channel(name, kind, values, secrets)


def _value(place: str, key: str, one: Key, value: object) -> Any:  # noqa: ANN401
    try:
        return one.check(value)
    except TemplateError as e:
        raise ConfigurationError(f"{place} {key}: {e}") from None
    except ValueError as e:
        is_told = not (one.is_secret or isinstance(value, list | Mapping))
        told = f"{shown(value)} is" if is_told else "that is"
        more = f" ({e})" if str(e) else ""
        raise ConfigurationError(
            f"{place} {key}: {told} not {one.wanted}{more}"
        ) from None


def _check_together(place: str, kind: str, values: dict[str, Any]) -> None:
    """Refuse what does not go together."""
    if kind == "apprise" and ("url" in values) == ("urls" in values):
        raise ConfigurationError(f"{place} needs either url or urls")
    if kind == "webhook":
        _check_secrecy(place, values)
    if kind == "smtp":
        _check_login(place, values)


def _check_secrecy(place: str, values: Mapping[str, Any]) -> None:
    """Refuse to tell a secret in clear, but on this machine."""
    parts = urlsplit(values["url"])
    if parts.scheme == "https" or _HERE.fullmatch(parts.hostname or ""):
        return
    for name in values.get("headers", {}):
        if _TELLING.search(name):
            raise ConfigurationError(
                f"{place} url: it begins with http://, and {name} is sent through"
                " https only"
            )


def _check_login(place: str, values: Mapping[str, Any]) -> None:
    if ("login" in values) != ("password" in values):
        missing = "password" if "login" in values else "login"
        raise ConfigurationError(
            f"{place} lacks {missing}: login and password go together"
        )
    if "login" in values and values.get("security") == "none":
        raise ConfigurationError(
            f'{place} security: "none", and a password is sent through TLS only'
        )


def _secrets(kind: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what no message may quote, the longest first."""
    found: set[str] = set()
    for key, value in values.items():
        if KEYS[kind][key].is_secret:
            found.update(_parts(value))
    yield from sorted(
        (one for one in found if len(one) >= _SHORTEST_SECRET), key=len, reverse=True
    )


def _parts(value: object) -> Iterator[str]:
    """Yield a secret, and what of it an error could quote alone."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _parts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one)
    elif isinstance(value, str):
        yield value
        _, _, rest = value.partition("://")
        if rest:
            yield rest
            yield from re.split(r"[/?&=@:]", rest.partition("/")[2])
            host, at, _ = rest.partition("@")
            if at:
                yield from re.split(r"[/:]", host)
        yield from value.split()[1:]  # what follows "Bearer"


def _text(value: object) -> str:
    if not isinstance(value, str) or not _LINE.fullmatch(value) or not value.strip():
        raise ValueError
    value.encode()
    return value


def _port(value: object) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_PORTS:
        raise ValueError
    return value


def _security(value: object) -> str:
    if not isinstance(value, str) or value not in SECURITIES:
        raise ValueError
    return value


def _address(value: object) -> str:
    text = _text(value)
    if "," in text or ";" in text:
        raise ValueError("several are a list")
    return text


def _addresses(value: object) -> list[str]:
    if isinstance(value, list) and value:
        return [_address(one) for one in value]
    return [_address(value)]


def _url(value: object) -> str:
    url = _text(value)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user and a password are told in headers")
    _ = parts.port
    return url


def _urls(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError
    return [_text(one) for one in value]


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError  # noqa: TRY004 (it is the user's)
    for name, one in value.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if not _text(one).isascii():
            raise ValueError("in ASCII")
    return dict(value)


def _command(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not value[0]:
        raise ValueError
    for word in value:
        if not isinstance(word, str) or "\0" in word:
            raise ValueError
    return list(value)


def _template(value: object) -> Template:
    if not isinstance(value, str) or not value:
        raise ValueError
    return Template(value, NAMES)


def _json(value: object) -> Any:  # noqa: ANN401
    """Return a table with a template for each text in it."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError
    return _templates(value)


def _templates(value: object) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _templates(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_templates(one) for one in value]
    if isinstance(value, str):
        return Template(value, NAMES)
    if isinstance(value, bool | int | float):
        return value
    raise ValueError("a date has no place in JSON")


_TEXTS = {
    "subject": Key("text with names in braces", _template),
    "text": Key("text with names in braces", _template),
}
_A_URL = "an address as https://example.org/hook"

KEYS: dict[str, dict[str, Key]] = {
    "smtp": {
        "host": Key("the name of a mail server", _text, is_required=True),
        "port": Key("a whole number from 1 to 65535", _port),
        "security": Key(f"one of {', '.join(SECURITIES)}", _security),
        "from": Key("the address of the sender", _address, is_required=True),
        "to": Key("an address, or a list of some", _addresses, is_required=True),
        "login": Key("the user's name at the mail server", _text),
        "password": Key("text in one line", _text, is_secret=True),
        **_TEXTS,
    },
    "webhook": {
        "url": Key(_A_URL, _url, is_required=True, is_secret=True),
        "headers": Key("a table of texts in one line", _headers, is_secret=True),
        "template": Key("a table, which is sent as JSON", _json),
        **_TEXTS,
    },
    "command": {
        "command": Key("a list of words, program first", _command, is_required=True),
        **_TEXTS,
    },
    "apprise": {
        "url": Key("an address as apprise has them", _text, is_secret=True),
        "urls": Key("a list of addresses", _urls, is_secret=True),
        **_TEXTS,
    },
}
"""The types of channels, and the keys of each."""
