"""Templates of people's own: text that values are inserted into, and nothing else.

`{job}` stands for a value, `{{` and `}}` for braces. Neither attributes nor items of a
value can be named, nor is anything computed.
"""

from collections.abc import Collection, Mapping
from string import Formatter


class TemplateError(ValueError):
    """It names what can't be inserted: a sentence that says what."""


class Template:
    """A text with names in braces."""

    def __init__(self, text: str, allowed: Collection[str]) -> None:
        """Read it; raises TemplateError."""
        self._parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, spec, conversion in Formatter().parse(text):
                if name is not None:
                    _check(name, spec, conversion, allowed)
                self._parts.append((literal, name))
        except TemplateError:
            raise
        except ValueError as e:
            raise TemplateError(
                f"{e}; a brace itself is written {{{{ or }}}}"
            ) from None

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with the values."""
        return "".join(
            literal + ("" if name is None else values.get(name, ""))
            for literal, name in self._parts
        )


def _check(
    name: str, spec: str | None, conversion: str | None, allowed: Collection[str]
) -> None:
    if name not in allowed or spec or conversion:
        shown = name + (f"!{conversion}" if conversion else "")
        shown += f":{spec}" if spec else ""
        raise TemplateError(
            f"{{{shown}}} can't be inserted; allowed are {', '.join(sorted(allowed))}"
        )
