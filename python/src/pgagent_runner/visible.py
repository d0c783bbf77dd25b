"""Text of anybody's making: what could steer a terminal, or hide, is written out."""

import re

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
