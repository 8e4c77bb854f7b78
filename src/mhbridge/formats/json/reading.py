"""
Bytes to a value of Python, exactly: numbers keep their digits, and what two parsers could read differently is refused.

A document that is well is read in one pass in C; where that pass finds anything, `scanning` says what it is and where.
This module must never repair, replace or guess: a byte order mark is no JSON, a name that stands twice has no value.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.encoding import decode, refuse_controls
from mhbridge.formats.json import scanning

__all__ = ["BOM", "Number", "read", "read_at", "text_of"]

BOM: Final = b"\xef\xbb\xbf"
#: What may be half of a character or a control character; `scanning` decides.
_DOUBTFUL: Final = re.compile(r"\\(?:u(?:[dD][89a-fA-F]|00[01789])|[bf])")


class Number(str):
    """A number as it was written, digit for digit."""

    __slots__ = ()


class _Doubt(Exception):
    """The pass in C has found something that only `scanning` can place."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Doubt
    return made


def _number(digits: str) -> Number:
    if len(digits) > scanning.MOST_DIGITS or scanning.immeasurable(digits):
        raise _Doubt
    return Number(digits)


def _constant(_name: str) -> Any:
    raise _Doubt


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_number, parse_int=_number, parse_constant=_constant, strict=True
)


def text_of(body: bytes) -> str:
    """
    The text of a body, which is UTF-8 (RFC 8259 §8.1).

    Raises:
        MalformedMessage: M704 undecodable, M705 control characters, M824 a byte order mark.
    """
    if body.startswith(BOM):
        raise MalformedMessage(
            "M824", "line 1:1: a byte order mark, which JSON does not have", path="line 1:1", offset=0
        )
    text = decode(body, "utf-8", "UTF-8")
    refuse_controls(body, text, "utf-8")
    return text


def read_at(text: str, start: int) -> tuple[Any, int]:
    """
    The value that begins at `start`, and where it ends.

    Raises:
        Wrong: M820 to M828, M705.
    """
    begun = scanning.BLANK.match(text, start)
    assert begun is not None
    try:
        value, end = _DECODER.raw_decode(text, begun.end())
    except (ValueError, _Doubt, RecursionError):
        pass
    else:
        doubtful = _DOUBTFUL.search(text, start, end) if "\\" in text else None
        if doubtful is None:
            return value, end
        _, wrong = scanning.fault(text, start)
        if wrong is None:
            return value, end
        raise wrong
    _, wrong = scanning.fault(text, start)
    if wrong is None:
        # The two disagree: then nobody can say how others read it.
        raise scanning.Wrong("M820", "this is not JSON that everybody reads alike", start)
    raise wrong


def read(text: str) -> Any:
    """
    The one value of a text.

    Raises:
        Wrong: M820 to M828, M705; M827 when something follows.
    """
    value, end = read_at(text, 0)
    after = scanning.BLANK.match(text, end)
    assert after is not None
    if after.end() != len(text):
        raise scanning.Wrong("M827", "something follows the end of the document", after.end())
    return value
