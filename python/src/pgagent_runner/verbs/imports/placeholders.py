"""Commands with $1, $2 ... for which values are written: steps have no parameters."""

import json
import re

# What may hold a $1 that is none is taken as a whole: strings, names, comments.
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_TOKEN = re.compile(
    rf"""
      [eE]'(?: [^'\\] | \\. | '' )*'
    | '(?: [^'] | '' )*'
    | "(?: [^"] | "" )*"
    | \$(?P<tag> (?: [{_LETTER}][{_LETTER}\d]* )? )\$ .*? \$(?P=tag)\$
    | --[^\n]*
    | /\* .*? \*/
    | [{_LETTER}][{_LETTER}\d$]*
    | \$(?P<number> \d+ )
    """,
    re.VERBOSE | re.DOTALL,
)


def with_values(command: str, values: list[object]) -> str:
    """Return the command with a literal for each placeholder.

    Raises ValueError if there is no value for one, or none for a value.
    """
    used = set()

    def value_of(match: re.Match[str]) -> str:
        if match["number"] is None:
            return match[0]
        number = int(match["number"])
        if not 1 <= number <= len(values):
            raise ValueError(f"there is no value for ${number}")
        used.add(number)
        return literal(values[number - 1])

    filled = _TOKEN.sub(value_of, command)
    if spare := sorted({*range(1, len(values) + 1)} - used):
        raise ValueError(f"the command has no ${spare[0]}")
    return filled


def literal(value: object) -> str:
    """Return a value of JSON as a literal of a type that, as a parameter's, is open."""
    if value is None:
        return "NULL"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "'" + text.replace("'", "''") + "'"
