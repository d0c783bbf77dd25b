"""Splitting SQL text into its statements, to be executed one by one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SPACE = rb"[ \t\n\r\f\v]"
_COMMENT = rb"--[^\n\r]*+"
_PLAIN = rb"'[^']*+(?:'|\Z)"  # two in a row are as good as one with a doubled quote
_ESCAPED = rb"'(?:[^'\\]++|\\.?|'')*+(?:'|\Z)"
# A string goes on, with its backslashes, after white space that contains a newline.
_GAP = (rb"(?:[ \t\f\v]|%(comment)b)*+[\n\r](?:%(space)b++|%(comment)b[\n\r])*+") % {
    b"comment": _COMMENT,
    b"space": _SPACE,
}

_TOKEN = rb"""(?xs)
    (?P<blank> %(space)b++ | %(comment)b )
  | (?P<comment> /\* )
  | (?P<string> [eE]%(escaped)b (?:%(gap)b%(escaped)b)*+ | %(string)b )
  | (?P<name> "[^"]*+(?:"|\Z) )
  | (?P<dollar> \$ (?:[A-Za-z_\x80-\xff][A-Za-z_\x80-\xff0-9]*+)? \$ )
  | (?P<word> [A-Za-z_\x80-\xff][A-Za-z_\x80-\xff0-9$]*+ )
  | (?P<open> \( )
  | (?P<close> \) )
  | (?P<semicolon> ; )
  | (?P<other> . )
"""
_PARTS = {b"space": _SPACE, b"comment": _COMMENT, b"gap": _GAP, b"escaped": _ESCAPED}
_STANDARD = re.compile(_TOKEN % (_PARTS | {b"string": _PLAIN}))
_TRADITIONAL = re.compile(
    _TOKEN % (_PARTS | {b"string": _ESCAPED + b"(?:" + _GAP + _ESCAPED + b")*+"})
)

_COMMENT_EDGE = re.compile(rb"/\*|\*/")

_LONGEST_PREFIX = 4  # words

LONGEST_TO_READ = 100_000  # bytes, of a text that is looked through at once
_COMMITS = frozenset((b"commit", b"end", b"prepare"))
_TOKENS_AT_A_TIME = 5000  # some milliseconds
_ROUTINE_PREFIXES = frozenset(
    (*create, kind)
    for create in ((b"create",), (b"create", b"or", b"replace"))
    for kind in (b"function", b"procedure")
)


def split(
    text: bytes, *, standard_conforming_strings: bool = True
) -> Iterator[bytes | None]:
    """Split SQL text at the semicolons at which psql, and the server, would.

    A statement keeps its semicolon and whatever comments and white space precede it;
    statements that consist of nothing else are left out. A quote, comment or
    parenthesis that is never closed extends to the end, for the server to refuse. The
    setting `standard_conforming_strings` is that of the session.

    Yields None now and then within long ones, so that others may go on meanwhile.

    Like psql, but unlike the server, it is misled by labels named CASE or END inside
    of BEGIN ATOMIC.
    """
    tokens = _STANDARD if standard_conforming_strings else _TRADITIONAL
    statement = _Statement()
    start = 0
    for number, (kind, token, end) in enumerate(_tokens(tokens, text), 1):
        if number % _TOKENS_AT_A_TIME == 0:
            yield None
        if kind == "semicolon" and statement.is_complete:
            if not statement.is_empty:
                yield text[start:end]
            statement = _Statement()
            start = end
        else:
            statement.take(kind, token)
    if not statement.is_empty:
        yield text[start:]


def may_commit(text: bytes) -> bool:
    """Tell whether a statement of the text may commit the transaction it is sent in."""
    if len(text) > LONGEST_TO_READ:
        return True
    is_first = True
    for kind, token, _ in _tokens(_STANDARD, text):
        if kind == "semicolon":
            is_first = True
        elif kind != "blank":
            if is_first and token.lower() in _COMMITS:
                return True
            is_first = False
    return False


@dataclass
class _Statement:
    """A statement as far as it has been read: it knows if a semicolon would end it."""

    is_empty: bool = True
    _prefix: tuple[bytes, ...] = ()
    _before: bytes = b""  # the token before, if it was a word
    _parentheses: int = 0
    _blocks: int = 0  # BEGIN ATOMIC and CASE, which an END each closes

    @property
    def is_complete(self) -> bool:
        return self._parentheses == 0 and self._blocks == 0

    def take(self, kind: str, token: bytes) -> None:
        if kind == "blank":
            return
        self.is_empty = False
        word = token.lower() if kind == "word" else b""
        if kind == "open":
            self._parentheses += 1
        elif kind == "close":
            self._parentheses = max(0, self._parentheses - 1)
        elif word:
            self._take_word(word)
        self._before = word

    def _take_word(self, word: bytes) -> None:
        if len(self._prefix) < _LONGEST_PREFIX:
            self._prefix += (word,)
        if self._parentheses:
            return
        if self._blocks:
            self._blocks += {b"case": 1, b"end": -1}.get(word, 0)
        elif word == b"atomic" and self._before == b"begin" and self._is_routine():
            self._blocks = 1

    def _is_routine(self) -> bool:
        return not _ROUTINE_PREFIXES.isdisjoint((self._prefix[:2], self._prefix))


def _tokens(
    pattern: re.Pattern[bytes], text: bytes
) -> Iterator[tuple[str, bytes, int]]:
    """Yield each token's kind, text and end; kind "blank" is what separates others.

    The text of what regular expressions can't find the end of is its first part.
    """
    position = 0
    while match := pattern.match(text, position):
        kind = match.lastgroup or ""
        position = match.end()
        if kind == "comment":
            position, is_closed = _end_of_comment(text, position)
            kind = "blank" if is_closed else "other"
        elif kind == "dollar":
            position = _end_of_dollar_quote(text, position, match[0])
        yield kind, match[0], position


def _end_of_comment(text: bytes, start: int) -> tuple[int, bool]:
    """Give the end of a comment, within which there may be others, and if it is one."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == b"/*" else -1
        if depth == 0:
            return edge.end(), True
    return len(text), False


def _end_of_dollar_quote(text: bytes, start: int, tag: bytes) -> int:
    end = text.find(tag, start)
    return len(text) if end < 0 else end + len(tag)
