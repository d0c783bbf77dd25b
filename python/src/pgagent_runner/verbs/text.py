"""Text of anybody's making, to be shown: nothing in it may steer a terminal."""

import re
import unicodedata

# Controls of the terminal, of the direction of text, and what breaks lines or is not
# seen at all; tabs and line feeds apart. Parts of a class of a regular expression.
MISLEADING = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"
    r"\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f"
)
_UNSEEN = re.compile(rf"[{MISLEADING}\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return the text with whatever could steer a terminal written out: `\x1b`."""
    return _UNSEEN.sub(lambda match: _written_out(match[0]), text)


def _written_out(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 (a byte that is no text)
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def width(text: str) -> int:
    """Return how many columns of a terminal the text takes; it has no controls."""
    if text.isascii():
        return len(text)
    return sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clipped(text: str, columns: int) -> str:
    """Return as much of the text as fits, with a mark where the rest was."""
    if width(text) <= columns:
        return text
    kept, used = [], 1
    for character in text:
        used += _width_of(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """Return the text with spaces up to so many columns."""
    spaces = " " * (columns - width(text))
    return spaces + text if right else text + spaces
