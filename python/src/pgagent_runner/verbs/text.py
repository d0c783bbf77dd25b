"""Text of anybody's making, to be shown: nothing in it may steer a terminal."""

import unicodedata

from pgagent_runner.visible import MISLEADING, visible

__all__ = ["MISLEADING", "clipped", "padded", "visible", "width"]


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
