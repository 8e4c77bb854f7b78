"""
JSON text, token by token, with the place of each: what is wrong with it and where, and where the entries of a list are.

Documents that are well are read by Python's own scanner in C (`reading`); this one is asked where something is wrong,
and where a document is taken to pieces. It uses no recursion, so that no depth of input is a danger. It must never
quote the text in an error.

RFC 8259, and of I-JSON (RFC 7493) that member names differ and strings hold no lone surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from mhbridge.errors import MalformedMessage

__all__ = [
    "BLANK",
    "MOST_DEPTH",
    "MOST_DIGITS",
    "MOST_VALUES",
    "Lines",
    "Token",
    "Wrong",
    "elements",
    "fault",
    "tokens",
]

#: Lists and objects inside one another. A FHIR document has about twenty.
MOST_DEPTH: Final = 100
#: So deep, nobody looks any more for where it ends.
_HOPELESS: Final = 1000
#: Values of one message. A discharge document of fifty resources has a thousand.
MOST_VALUES: Final = 100_000
#: Characters of one number: more digits than any measurement has are an error of whoever wrote them.
MOST_DIGITS: Final = 64

BLANK: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"')
_STRING_START: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SOMETHING: Final = re.compile(r"[-0.]*[1-9]")
_WORD: Final = re.compile(r"[A-Za-z_-]+")
_LITERALS: Final = frozenset({"true", "false", "null"})
_NO_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity", "-NaN", "nan", "inf", "-inf"})
_ESCAPED: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
#: Escapes of control characters that no clinical text holds; tab, line feed and carriage return are layout.
_CONTROL: Final = frozenset({*range(32), *range(0x7F, 0xA0)} - {9, 10, 13})


class Token(NamedTuple):
    """One token: `kind` is a bracket, `key`, `string`, `number` or `literal`; the places count in the text."""

    kind: str
    start: int
    end: int


def immeasurable(digits: str) -> bool:
    """Whether a number is so large, or so near to nothing, that other programs would read infinity, or nothing."""
    if "e" not in digits and "E" not in digits:
        return False
    read = float(digits)
    return read in (float("inf"), float("-inf")) or (not read and _SOMETHING.match(digits) is not None)


class Wrong(Exception):
    """What is wrong at a place of a text: a code, words without any of the content, and where, in characters."""

    def __init__(self, code: str, message: str, at: int) -> None:
        super().__init__(message)
        self.code, self.message, self.at = code, message, at


class Lines:
    """Lines and columns of places in a text. Asked for one place after another, it counts each line break once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = self._begin = self._bytes = 0
        self._line = 1

    def _again(self) -> None:
        self._at = self._begin = self._bytes = 0
        self._line = 1

    def error(self, wrong: Wrong) -> MalformedMessage:
        """What is wrong, with line and column for people, and the byte."""
        at = wrong.at
        if at < self._at:
            self._again()
        passed = self._text[self._at : at]
        breaks = passed.count("\n")
        if breaks:
            self._line += breaks
            self._begin = self._at + passed.rindex("\n") + 1
        self._bytes += len(passed.encode("utf-8", "surrogatepass"))
        self._at = at
        where = f"line {self._line}:{at - self._begin + 1}"
        return MalformedMessage(wrong.code, f"{where}: {wrong.message}", path=where, offset=self._bytes)


def _wrong(text: str, at: int, expected: str) -> Wrong:
    """Why the text goes no further here."""
    if at >= len(text):
        return Wrong("M820", f"the document ends where {expected} is expected", at)
    if text.startswith(("//", "/*", "#"), at):
        return Wrong("M820", "JSON has no comments", at)
    word = _WORD.match(text, at)
    if word is not None and word[0] in _NO_NUMBERS:
        return Wrong("M822", "not a number, which JSON cannot say", at)
    if text[at] == '"' and expected[0] == "a":
        stopped = _STRING_START.match(text, at)
        end = stopped.end() if stopped is not None else at
        if end >= len(text):
            return Wrong("M820", "a text is not closed", at)
        if text[end] == "\\":
            return Wrong("M820", "an escape that JSON does not have", end)
        return Wrong("M820", "a control character in a text, or a text that is not closed on its line", end)
    if text[at] == "'":
        return Wrong("M820", "a text stands in double quotes", at)
    return Wrong("M820", f"{expected} is expected", at)


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """
    The tokens of the one value that begins at `start`, up to its end.

    Raises:
        Wrong: M820, M822: it is not JSON from here on; M825: it is too deep to go on.
    """
    closing: list[str] = []
    at = _blank(text, start)
    while True:
        # A value is expected here.
        character = text[at : at + 1]
        if character and character in "{[":
            if len(closing) >= _HOPELESS:
                raise Wrong("M825", f"more than {_HOPELESS} lists and objects inside one another", at)
            yield Token(character, at, at + 1)
            closing.append("}" if character == "{" else "]")
            at = _blank(text, at + 1)
            if text.startswith(closing[-1], at):
                yield Token(closing.pop(), at, at + 1)
                at += 1
            elif closing[-1] == "]":
                continue
            else:
                token, at = _key(text, at)
                yield token
                continue
        else:
            token = _scalar(text, at)
            yield token
            at = token.end
        while closing:
            at = _blank(text, at)
            if text.startswith(closing[-1], at):
                yield Token(closing.pop(), at, at + 1)
                at += 1
                continue
            if not text.startswith(",", at):
                raise _wrong(text, at, f"',' or '{closing[-1]}'")
            at = _blank(text, at + 1)
            if closing[-1] == "}":
                token, at = _key(text, at)
                yield token
            break
        else:
            return


def _blank(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found is not None else at


def _key(text: str, at: int) -> tuple[Token, int]:
    found = _STRING.match(text, at)
    if found is None:
        raise _wrong(text, at, "a name in double quotes")
    token = Token("key", at, found.end())
    after = _blank(text, token.end)
    if not text.startswith(":", after):
        raise _wrong(text, after, "':'")
    return token, _blank(text, after + 1)


def _scalar(text: str, at: int) -> Token:
    if (found := _STRING.match(text, at)) is not None:
        return Token("string", at, found.end())
    if (found := _NUMBER.match(text, at)) is not None:
        return Token("number", at, found.end())
    if (found := _WORD.match(text, at)) is not None and found[0] in _LITERALS:
        return Token("literal", at, found.end())
    raise _wrong(text, at, "a value")


def fault(text: str, start: int = 0) -> tuple[int, Wrong | None]:
    """
    Where the value that begins at `start` ends, and the first fault in it that is no fault of its syntax.

    Raises:
        Wrong: M820, M822: it is not JSON; M825: it is too deep to go on.
    """
    found: Wrong | None = None
    names: list[set[str]] = []
    depth = values = 0
    end = start
    for kind, begin, end in tokens(text, start):
        if found is not None:
            continue
        if kind in "{[":
            depth += 1
            names.append(set())
            if depth > MOST_DEPTH:
                found = Wrong("M825", f"more than {MOST_DEPTH} lists and objects inside one another", begin)
        elif kind in "}]":
            depth -= 1
            names.pop()
        elif kind == "number":
            if end - begin > MOST_DIGITS:
                found = Wrong("M828", f"a number of more than {MOST_DIGITS} characters", begin)
            elif immeasurable(text[begin:end]):
                found = Wrong("M828", "a number that other programs read as infinite, or as nothing", begin)
        elif kind != "literal":
            found = _text_fault(text, begin, end)
            if kind == "key" and found is None:
                name = _unescaped(text[begin + 1 : end - 1])
                if name in names[-1]:
                    found = Wrong("M821", "the same name twice in one object", begin)
                names[-1].add(name)
        values += kind not in ("}", "]", "key")
        if values > MOST_VALUES and found is None:
            found = Wrong("M826", f"more than {MOST_VALUES} values in one message", begin)
    return end, found


def _text_fault(text: str, start: int, end: int) -> Wrong | None:
    waiting = -1
    before = -1
    for escape in _ESCAPED.finditer(text, start + 1, end - 1):
        said = escape[0]
        number = int(escape[1], 16) if escape[1] else {"\\b": 8, "\\f": 12}.get(said, 32)
        if waiting >= 0 and not (0xDC00 <= number <= 0xDFFF and escape.start() == before):
            return Wrong("M823", "half of a character (a lone surrogate)", waiting)
        if 0xDC00 <= number <= 0xDFFF and waiting < 0:
            return Wrong("M823", "half of a character (a lone surrogate)", escape.start())
        waiting = escape.start() if 0xD800 <= number <= 0xDBFF else -1
        before = escape.end()
        if number in _CONTROL:
            return Wrong("M705", f"control character U+{number:04X}", escape.start())
    if waiting >= 0:
        return Wrong("M823", "half of a character (a lone surrogate)", waiting)
    return None


def _unescaped(name: str) -> str:
    if "\\" not in name:
        return name
    short = {"\\b": "\b", "\\f": "\f", "\\n": "\n", "\\r": "\r", "\\t": "\t"}
    made = _ESCAPED.sub(lambda e: chr(int(e[1], 16)) if e[1] else short.get(e[0], e[0][1:]), name)
    return made.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def elements(text: str, names: Sequence[str], start: int = 0) -> tuple[int, int, list[tuple[int, int]]] | None:
    """
    Where the entries of a list stand: the list below the value at `start` that `names` lead to.

    Returns:
        Where the list begins and ends, brackets and all, and where each entry does; `None` where no list is there.

    Raises:
        Wrong: it is not JSON.
    """
    # How many of the names lead to where we are; -1 inside of anything else.
    led: list[int] = []
    key = ""
    reached = 0
    begin = -1
    found: list[tuple[int, int]] = []
    for kind, at, end in tokens(text, start):
        if begin >= 0:
            # Inside the list: its entries are what begins and ends one level down.
            if kind in "{[":
                led.append(-1)
                if len(led) == reached:
                    found.append((at, -1))
            elif kind in "}]":
                led.pop()
                if len(led) == reached - 1:
                    found[-1] = (found[-1][0], end)
                elif len(led) < reached - 1:
                    return begin, end, found
            elif kind != "key" and len(led) == reached - 1:
                found.append((at, end))
            continue
        if kind == "key":
            key = _unescaped(text[at + 1 : end - 1])
        elif kind in "{[":
            if not led:
                here = 0
            elif led[-1] >= 0 and led[-1] < len(names) and key == names[led[-1]]:
                here = led[-1] + 1
            else:
                here = -1
            if kind == "[":
                if here == len(names):
                    begin, reached = at, len(led) + 2
                else:
                    here = -1
            led.append(here)
        elif kind in "}]":
            led.pop()
    return None
