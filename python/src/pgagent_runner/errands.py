"""What a runner has its child do: [channels] and [alive] of pgagent.toml.

What a channel is, only the child knows; see `sending/channels.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pgagent_runner.configuration import Configuration, ConfigurationError
from pgagent_runner.declaring import DAY, shown

_USUAL = 300.0  # seconds
_LEAST = 1.0
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|seconds?|min|minutes?|h|hours?)?")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_URL = re.compile(r"https?://[!-~]+")


class Errands(NamedTuple):
    """What a runner starts a child for."""

    file: Path | None = None
    """What the child reads: addresses and secrets, as they are then."""

    has_channels: bool = False
    alive_every: float | None = None
    """Seconds from one ping to the next; None: there are none."""


NONE = Errands()


def errands(configuration: Configuration) -> Errands:
    """Return what the file has for a child; raises ConfigurationError."""
    channels = configuration.table("channels")
    alive = configuration.table("alive")
    if not (channels or alive):
        return NONE
    every = _alive_every(configuration, alive) if alive else None
    file = configuration.path
    return Errands(file and file.absolute(), bool(channels), every)


def _alive_every(configuration: Configuration, table: Mapping[str, object]) -> float:
    place = f"{configuration.path}: [alive]"
    if unknown := [key for key in table if key not in ("url", "every")]:
        raise ConfigurationError(
            f"{place} has the unknown key {unknown[0]!r}; allowed are every, url"
        )
    url = table.get("url")
    if not _is_url(url):
        raise ConfigurationError(
            f"{place} url: {'that is not' if 'url' in table else 'wanted is'} an"
            " address as https://example.org/ping, without a user or a password"
        )
    configuration.keep_secret("[alive] has a URL that nobody else may know")
    return _seconds(place, table["every"]) if "every" in table else _USUAL


def _is_url(url: object) -> bool:
    if not isinstance(url, str) or not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and parts.username is None


def _seconds(place: str, value: object) -> float:
    found = None
    if type(value) in (int, float):
        found = _SPAN.fullmatch(str(value))
    elif isinstance(value, str):
        found = _SPAN.fullmatch(value.strip())
    seconds = float(found[1]) * _UNITS[(found[2] or "s")[0]] if found else 0.0
    if not _LEAST <= seconds <= DAY:
        raise ConfigurationError(
            f'{place} every: {shown(value)} is not a span of time, in seconds or as "5'
            f' minutes", from {_LEAST:g} seconds to 24 hours'
        )
    return seconds
