"""
The tokens of an expression (mapping language §3), read from the raw text of the file, so that each knows its place.

Paths are the source format's: it is asked first at each place where a token may begin. This module must never know in
which order tokens make sense.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from mhbridge.errors import Span
from mhbridge.formats import Format, Path, PathError
from mhbridge.mapping.reader import Text, YamlFile

__all__ = ["Broken", "Kind", "Source", "Token", "reserved", "scan", "scanned", "shortened", "unquoted"]


class Kind:
    """Kinds of token: the words that diagnostics use. They are asked for too often to be an `Enum`'s."""

    PATH: Final = "path"
    TEXT: Final = "text"
    NUMBER: Final = "number"
    CODE: Final = "code"
    NAME: Final = "name"
    BAR: Final = "'|'"
    LEFT: Final = "'('"
    RIGHT: Final = "')'"
    COMMA: Final = "','"
    EQUALS: Final = "'='"
    DIFFERS: Final = "'!='"
    OR: Final = "'or'"
    AND: Final = "'and'"
    NOT: Final = "'not'"
    IN: Final = "'in'"
    IF: Final = "'if'"
    THEN: Final = "'then'"
    ELSE: Final = "'else'"
    END: Final = "the end of the expression"


_FIXED: Final = {kind.strip("'"): kind for kind in vars(Kind).values() if isinstance(kind, str) and kind[:1] == "'"}
#: Kinds whose tokens differ from one another.
_NAMED: Final = frozenset({Kind.PATH, Kind.TEXT, Kind.NUMBER, Kind.CODE, Kind.NAME})
_BLANKS: Final = " \r\n"
_BLANK: Final = re.compile(r"[ \r\n]*")
_TEXT: Final = re.compile(r'"(?:[^"\\\r\n]|\\["\\])*')
#: What is no path, nor a text or one character, each kind a group: the last group that matched is the one.
_TOKEN: Final = re.compile(
    r"([a-z][a-z0-9._-]*#[A-Za-z0-9._:/+*%^\[\]{}-]+)"
    r"|([A-Za-z_][A-Za-z0-9_]*)"
    r"|([0-9]+(?:\.[0-9]+)?)"
    r"|(!=)"
)
_CODE, _WORD, _NUMBER, _DIFFERS = 1, 2, 3, 4
_FIELD: Final = re.compile(r"\.([A-Za-z][A-Za-z0-9_]*)")
_CURLY_HINT: Final = 'text stands in straight double quotes: "…"'
#: What people write who come from elsewhere.
_INSTEAD: Final = {
    "'": 'text stands in double quotes: "…"',
    "<": "dates are compared by before(a, b)",
    ">": "dates are compared by before(a, b)",
    "!": "a condition is negated by 'not'",
    "&": "conditions are joined by 'and'",
    "+": "there is no arithmetic; a function may do it",
    "-": "there is no arithmetic; a function may do it",
    "*": "there is no arithmetic; a function may do it",
    "/": "there is no arithmetic; a function may do it",
    ".": "a field follows its name without a blank",
    **dict.fromkeys("\u00a0\u2007\u202f", "it only looks like a blank: write one"),
    **dict.fromkeys("\u200b\u2060\ufeff", "nobody can see it: take it out"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b", _CURLY_HINT),
}
#: What stands behind a segment in a path, and behind no name.
_OF_PATHS: Final = ("-", "[")
_CURLY: Final = tuple("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b'")


#: Makes a named tuple of what is in order already.
_tuple: Final = tuple.__new__


class Broken(Exception):
    """The expression ends here: `start` and `end` count in the source's text."""

    def __init__(self, code: str, message: str, start: int, end: int, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.start, self.end, self.hint = code, message, start, end, hint


class Source:
    """The text of one expression as its writer meant it, and where each character of it stands in the file."""

    def __init__(self, file: YamlFile, text: Text) -> None:
        self._file = file
        quote = 1 if text.style == "single" else 0
        self._start = text.start + quote
        self.text = file.raw[self._start : text.end - quote]
        self._doubled: list[int] = []
        #: Where its only line is, and the column that it begins in; 0 where it has several.
        _, self._line, self._column, last, _ = text.span
        self._column = self._column + quote if last == self._line else 0
        if quote and "''" in self.text:
            self._doubled = [found.start() - before for before, found in enumerate(re.finditer("''", self.text))]
            self.text = self.text.replace("''", "'")

    def span(self, start: int, end: int) -> Span:
        """The place in the file of a stretch of `text`."""
        if not self._doubled and end <= len(self.text):
            if column := self._column:
                return _tuple(Span, (self._file.path, self._line, column + start, self._line, column + end))
            return self._file.span(self._start + start, self._start + end)
        return self._file.span(self._place(start), self._place(end))

    def _place(self, at: int) -> int:
        return self._start + min(at, len(self.text)) + bisect_left(self._doubled, at)

    def blank(self, at: int) -> int:
        """Where the blanks that begin at `at` end."""
        text = self.text
        if text[at : at + 1] not in _BLANKS:
            return at
        if text[at + 1 : at + 2] not in _BLANKS:
            return at + 1  # the usual one
        found = _BLANK.match(text, at)
        return found.end() if found else at


class Token:
    """
    One token.

    Args:
        kind: see `Kind`.
        path: of a path.
        parts: of a name, each with its start.
    """

    __slots__ = ("end", "kind", "parts", "path", "start", "text")

    def __init__(
        self, kind: str, start: int, end: int, text: str = "", path: Path | None = None,
        parts: tuple[tuple[str, int], ...] = (),
    ) -> None:  # fmt: skip
        self.kind, self.start, self.end, self.text, self.path, self.parts = kind, start, end, text, path, parts

    def __str__(self) -> str:
        return f"{self.kind} {shortened(self.text)}" if self.kind in _NAMED else self.kind


def reserved(word: str) -> bool:
    """Whether a word is one of the grammar's, and no name."""
    return word in _FIXED


def shortened(text: str) -> str:
    """A text of the file, in quotes of its own, fit for one line of a diagnostic."""
    text = text if len(text) <= 40 else f"{text[:39]}…"
    return text if text.startswith('"') else f"'{text}'"


def _quote_hint(text: str, at: int) -> str:
    """What is wrong with the quotes at a place, if anything is; word processors make curly ones."""
    character = text[at : at + 1]
    if character in _CURLY:
        return _CURLY_HINT
    found = _TEXT.match(text, at)
    if found and not text.startswith('"', found.end()):
        return 'the text is not closed on its line: close it with "'
    return ""


def scanned(scan: Callable[[str, int, int], tuple[Path, int] | None], text: str, start: int) -> tuple[Path, int] | None:
    """What a format finds at `start`. A format that claims nothing, or more than there is, has found nothing."""
    try:
        found = scan(text, start, len(text))
    except PathError as problem:
        at = start + max(0, problem.offset)
        hint = problem.hint or _quote_hint(text, at)
        raise Broken(problem.code, problem.message, at, at + max(1, problem.width), hint) from problem
    return found if found is not None and start < found[1] <= len(text) else None


def scan(source: Source, start: int, format: Format | None) -> Token:  # noqa: A002
    """The token that begins after the blanks at `start`; a path of the format comes before everything else."""
    text, last = source.text, start
    if (start := source.blank(start)) >= len(text):
        return Token(Kind.END, last, last)
    if format is not None and (found := scanned(format.scan, text, start)):
        path, end = found
        return Token(Kind.PATH, start, end, text[start:end], path)
    character = text[start]
    if fixed := _FIXED.get(character):
        return Token(fixed, start, start + 1, character)
    token = _TOKEN.match(text, start)
    if token is None:
        if character == '"':
            return _scan_text(text, start)
        raise _unexpected(text, start)
    kind, said = token.lastindex, token[0]
    if kind == _DIFFERS:
        return Token(Kind.DIFFERS, start, start + len(said), said)
    if kind == _WORD:
        return _scan_word(text, said, start, format)
    return Token(Kind.CODE if kind == _CODE else Kind.NUMBER, start, start + len(said), said)


def _unexpected(text: str, start: int) -> Broken:
    character = text[start]
    shown = repr(character) if character.isascii() else f"{character!r} (U+{ord(character):04X})"
    return Broken("E101", f"unexpected character {shown}", start, start + 1, _INSTEAD.get(character, ""))


def _scan_text(text: str, start: int) -> Token:
    found = _TEXT.match(text, start)
    end = found.end() if found else start
    if text.startswith('"', end):
        return Token(Kind.TEXT, start, end + 1, text[start : end + 1])
    if text.startswith("\\", end) and text[end + 1 : end + 2].strip():
        raise Broken("E110", "unknown escape in a text", end, end + 2, 'only \\" and \\\\ are escapes')
    raise Broken("E109", "the text is not closed on its line", start, end, 'close it with "')


def _scan_word(text: str, word: str, start: int, format: Format | None) -> Token:  # noqa: A002
    end = start + len(word)
    if fixed := _FIXED.get(word):
        return Token(fixed, start, end, word)
    if not word.islower() or word[0] == "_":
        if fixed := _FIXED.get(word.lower()):
            hint = f"write {fixed}"
        elif word[0].islower():
            hint = "names have small letters, digits and '_'"
        else:
            hint = "only a binding reads paths; a name is in small letters"
            if format is not None:
                hint = f"this is no path of {format.name}"
                if format.name == "csv" and text[start - 1 : start] != "[":
                    hint += ": the name of a column stands in brackets, [Column]"
            if text[end : end + 1] == "(":
                hint = f"did you mean {word.lower()!r}? Functions are in small letters"
        raise Broken("E101", f"unexpected word {shortened(word)}", start, end, hint)
    if format is not None and text[end : end + 1] in _OF_PATHS and (meant := _in_capitals(format, text, word, start)):
        hint = f"did you mean {meant}? Paths of {format.name} are in capitals"
        raise Broken(
            "E101", f"unexpected word {shortened(text[start : start + len(meant)])}", start, start + len(meant), hint
        )
    if text[end : end + 1] != ".":
        return Token(Kind.NAME, start, end, word, parts=((word, start),))
    parts = [(word, start)]
    while field := _FIELD.match(text, end):
        parts.append((field[1], field.start(1)))
        end = field.end()
    return Token(Kind.NAME, start, end, text[start:end], parts=tuple(parts))


def _in_capitals(format: Format, text: str, word: str, start: int) -> str:  # noqa: A002
    """The path that stands here if the word is written in capitals; empty when there is none."""
    end = start + len(word)
    meant = f"{text[:start]}{word.upper()}{text[end:]}"
    try:
        found = format.scan(meant, start, len(meant))
    except PathError:
        return ""
    return meant[start : found[1]] if found is not None and found[1] > end else ""


def unquoted(text: str) -> str:
    """What a text in double quotes says."""
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])
