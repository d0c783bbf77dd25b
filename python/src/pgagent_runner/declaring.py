"""Declaring options: each is one field of a dataclass, and all else follows from that.

The field `log_level` is the option --log-level, the key `log_level` of [run] in
pgagent.toml, and the variable PGAGENT_LOG_LEVEL. The command line beats the variable,
that the file, and that the default.
"""

import argparse
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from pgagent_runner.configuration import Configuration, ConfigurationError

PREFIX = "PGAGENT_"
DAY = 86400.0

_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that an option may have, and how they are written."""

    wanted: str
    """What they are, to be said of one that is not: "a whole number from 1 to 9"."""

    convert: Callable[[str], Any]
    """Makes a value of its text; raises ValueError."""

    in_toml: Callable[[object], str | None] = lambda _: None
    """Makes text of a value of the file that is no text itself; None: it is none."""

    show: Callable[[Any], str] = str
    """Makes text of a value, for the user."""

    argparse: Mapping[str, Any] | None = None
    """What `add_argument` takes instead of a type."""

    join: Callable[[Any], Any] = lambda value: value
    """Makes a value of what argparse has collected."""

    def read(self, text: str) -> Any:  # noqa: ANN401
        """Return the value; raise ValueError with what was wanted."""
        if "\0" in text:
            raise ValueError(f"{self.wanted} can't have the character NUL")
        try:
            return self.convert(text)
        except ValueError:
            raise ValueError(f"{text!r} is not {self.wanted}") from None

    def read_toml(self, value: object) -> Any:  # noqa: ANN401
        """Return the value for one of the file, where text will do as well."""
        if isinstance(value, str):
            return self.read(value)
        if (text := self.in_toml(value)) is None:
            raise ValueError(f"{shown(value)} is not {self.wanted}")
        return self.read(text)

    def read_argument(self, text: str) -> Any:  # noqa: ANN401
        """Return the value: for argparse."""
        try:
            return self.read(text)
        except ValueError as e:
            raise argparse.ArgumentTypeError(str(e)) from None

    @property
    def arguments(self) -> dict[str, Any]:
        """What `add_argument` has to know of it."""
        if self.argparse is None:
            return {"type": self.read_argument}
        return dict(self.argparse)


def shown(value: object) -> str:
    """Show a value of the file; one of several parts could hold what is secret."""
    containers: dict[type, str] = {list: "an array", dict: "a table"}
    return containers.get(type(value)) or json.dumps(value, default=str)


def _number(*types: type) -> Callable[[object], str | None]:
    return lambda value: str(value) if type(value) in types else None


def seconds(least: float) -> Kind:
    """Return the kind of a number of seconds, `least` or more."""

    def convert(text: str) -> float:
        value = float(text)
        if not least <= value <= DAY:  # NaN is not
            raise ValueError
        return value

    return Kind(
        f"a number of seconds from {least:g} to {DAY:g}",
        convert,
        _number(int, float),
        show="{:g}".format,
    )


def whole(least: int, most: int) -> Kind:
    """Return the kind of a whole number from `least` to `most`."""

    def convert(text: str) -> int:
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise ValueError

    return Kind(f"a whole number from {least} to {most}", convert, _number(int))


def choice(*words: str) -> Kind:
    """Return the kind of one of these words."""

    def convert(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    wanted = f"one of {', '.join(words)}"
    return Kind(wanted, convert, argparse={"choices": words})


def switch() -> Kind:
    """Return the kind of what is on or off."""
    return Kind(
        "true or false",
        lambda text: _SWITCH[text.lower()] if text.lower() in _SWITCH else _refuse(),
        lambda value: str(value) if isinstance(value, bool) else None,
        argparse={"action": argparse.BooleanOptionalAction},
    )


def _refuse() -> bool:
    raise ValueError


def names() -> Kind:
    """Return the kind of any number of names."""

    def in_toml(value: object) -> str | None:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return ",".join(value)
        return None

    return Kind(
        "an array of names",
        lambda text: frozenset(re.findall(r"[^\s,]+", text)),
        in_toml,
        argparse={"action": "append"},
        join=frozenset,
    )


def file() -> Kind:
    """Return the kind of a file's name."""
    return Kind("the name of a file", Path)


def text() -> Kind:
    """Return the kind of any text, as far as it can be sent to a server."""

    def convert(text: str) -> str:
        text.encode()
        return text

    return Kind("text in UTF-8", convert)


def words(nargs: str = "*") -> Kind:
    """Return the kind of text that may come as several words, in no option."""
    return Kind("text", str, argparse={"nargs": nargs}, join=" ".join)


@dataclass(frozen=True, slots=True)
class Form:
    """How an option is given on the command line."""

    flag: str
    kind: Kind
    help: str | None = None
    default: Any = None
    """If it is another one in this form."""

    @property
    def is_positional(self) -> bool:
        """Whether it is what stands beside options."""
        return not self.flag.startswith("-")


@dataclass(frozen=True, slots=True)
class Option:
    """An option as it was declared: see `option`."""

    name: str
    kind: Kind
    help: str
    metavar: str | None
    shown_default: str
    classic: Form | None
    in_file: bool

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()

    def form(self, *, classic: bool = False) -> Form:
        """Return how it is given to `pgagent run`, or in the form of pgAgent 4.2."""
        if classic and self.classic:
            return self.classic
        positional = "nargs" in self.kind.arguments
        name = self.name if positional else f"--{self.name.replace('_', '-')}"
        return Form(name, self.kind)

    def add_to(self, parser: argparse.ArgumentParser, *, classic: bool) -> None:
        """Have the parser take it; the result has it only if it was given."""
        form = self.form(classic=classic)
        arguments = form.kind.arguments | {"default": argparse.SUPPRESS}
        if self.metavar:
            arguments["metavar"] = self.metavar
        if not form.is_positional:
            arguments["dest"] = self.name
        default = self.shown_default and f" (default: {self.shown_default})"
        help_ = form.help or self.help + default
        parser.add_argument(form.flag, help=help_.replace("%", "%%"), **arguments)


def option(  # noqa: PLR0913
    kind: Kind,
    help: str,  # noqa: A002
    *,
    default: Any = MISSING,  # noqa: ANN401
    default_factory: Callable[[], Any] | Any = MISSING,  # noqa: ANN401
    shown_default: str | None = None,
    metavar: str | None = None,
    classic: Form | None = None,
    in_file: bool = True,
    repr: bool = True,  # noqa: A002
) -> Any:  # noqa: ANN401
    """Declare an option, where a dataclass has a field.

    Its default is shown as `shown_default`, or else as its kind shows it, unless it is
    that nothing was chosen.
    """
    if shown_default is None:
        nothing = default in (MISSING, None, frozenset()) or isinstance(default, bool)
        shown_default = "" if nothing else kind.show(default)
    declared = (kind, help, metavar, shown_default, classic, in_file)
    chosen: dict[str, Any] = {"default": default, "default_factory": default_factory}
    return field(**chosen, repr=repr, metadata={"option": declared})


def options_of(cls: type) -> Iterator[Option]:
    """Yield the options that a dataclass declares."""
    for one in fields(cls):
        if "option" in one.metadata:
            yield Option(one.name, *one.metadata["option"])


def add_arguments(
    parser: argparse.ArgumentParser,
    cls: type,
    only: Collection[str] = (),
    *,
    classic: bool = False,
) -> None:
    """Have the parser take the options, or only some; or all as pgAgent 4.2 has them.

    Its result has only what was given.
    """
    for one in options_of(cls):
        if not only or one.name in only:
            one.add_to(parser, classic=classic)


def gather(  # noqa: PLR0913
    cls: type,
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    configuration: Configuration,
    only: Collection[str] = (),
    *,
    classic: bool = False,
) -> dict[str, Any]:
    """Return the values that were chosen: of all options of [run], or only of some.

    `given` is what the command line says, perhaps in the form of pgAgent 4.2. Empty
    variables and an empty CONNINFO say nothing. Raises ConfigurationError.
    """
    declared = {one.name: one for one in options_of(cls)}
    table = configuration.table("run")
    if not only:
        _refuse_unknown(configuration, table, declared.values())
    chosen = {}
    for name in only or declared:
        one = declared[name]
        form = one.form(classic=classic)
        if form.default is not None:
            chosen[name] = form.default
        if one.in_file and name in table:
            chosen[name] = _from_file(configuration, one, table[name])
        if environ.get(one.variable):
            chosen[name] = _from_environment(one, environ[one.variable])
        if name in given and (not form.is_positional or any(given[name])):
            chosen[name] = form.kind.join(given[name])
    return chosen


def _refuse_unknown(
    configuration: Configuration, table: Mapping[str, Any], known: Collection[Option]
) -> None:
    allowed = sorted(one.name for one in known if one.in_file)
    if unknown := [key for key in table if key not in allowed]:
        raise ConfigurationError(
            f"{configuration.path}: [run] has the unknown key {unknown[0]!r};"
            f" allowed are {', '.join(allowed)}"
        )


def _from_file(configuration: Configuration, one: Option, value: object) -> Any:  # noqa: ANN401
    try:
        return one.kind.read_toml(value)
    except ValueError as e:
        message = f"{configuration.path}: [run] {one.name}: {e}"
        raise ConfigurationError(message) from None


def _from_environment(one: Option, text: str) -> Any:  # noqa: ANN401
    try:
        return one.kind.read(text)
    except ValueError as e:
        raise ConfigurationError(f"{one.variable}: {e}") from None
