r"""
A literal of JavaScript as Python values, for reading the test cases that other projects keep in scripts.

Reads what such files hold and nothing else: arrays, objects, strings in any of the three quotes (joined by `+`, with
all escapes), numbers, `true`, `false`, `null`, comments, trailing commas, names as keys. Nothing is evaluated.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["exported"]

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]+)\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(\r\n|.))", re.DOTALL)
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}
_WORDS = {"true": True, "false": False, "null": None, "undefined": None}


def exported(text: str) -> Any:
    """The value of `export default …`. Raises ValueError with the place of what it cannot read."""
    start = text.index("export default") + len("export default")
    value, end = _value(text, _blank(text, start))
    rest = text[_blank(text, end) :].lstrip(";")
    if rest.strip():
        raise ValueError(f"something follows the value at {end}")
    return value


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()


def _value(text: str, at: int) -> tuple[Any, int]:
    match text[at : at + 1]:
        case "[" | "{":
            return _many(text, at)
        case '"' | "'" | "`":
            value, at = _string(text, at)
            while text[(plus := _blank(text, at)) : plus + 1] == "+":
                more, at = _string(text, _blank(text, plus + 1))
                value += more
            return value, at
    if number := _NUMBER.match(text, at):
        return float(number[0]), number.end()
    if (word := _NAME.match(text, at)) and word[0] in _WORDS:
        return _WORDS[word[0]], word.end()
    raise ValueError(f"no value at {at}")


def _many(text: str, at: int) -> tuple[Any, int]:
    pairs = text[at] == "{"
    found: list[tuple[Any, Any]] = []
    at = _blank(text, at + 1)
    while text[at : at + 1] != ("}" if pairs else "]"):
        key = None
        if pairs:
            if name := _NAME.match(text, at):
                key, at = name[0], name.end()
            else:
                key, at = _string(text, at)
            at = _blank(text, at)
            if text[at] != ":":
                raise ValueError(f"no ':' at {at}")
            at = _blank(text, at + 1)
        value, at = _value(text, at)
        found.append((key, value))
        at = _blank(text, at)
        if text[at : at + 1] == ",":
            at = _blank(text, at + 1)
    return (dict(found) if pairs else [value for _, value in found]), at + 1


def _string(text: str, at: int) -> tuple[str, int]:
    quote, end = text[at], at + 1
    while text[end] != quote:
        if text.startswith("${", end) and quote == "`":
            raise ValueError(f"a template with something to evaluate at {end}")
        end += 2 if text[end] == "\\" else 1
    return _ESCAPE.sub(_unescaped, text[at + 1 : end]), end + 1


def _unescaped(match: re.Match[str]) -> str:
    if digits := match[1] or match[2] or match[3]:
        return chr(int(digits, 16))
    return _PLAIN.get(match[4], match[4])
