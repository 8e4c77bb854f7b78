"""Patients whose every value is found again wherever it is written down, in six encodings."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import count, islice
from urllib.parse import unquote_to_bytes

__all__ = ["ENCODINGS", "Canary", "Finder", "canaries"]

#: Letters that begin every token but the numbers: no word has them.
MARK = "qzx"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Canary:
    """One invented patient. Every value is of them alone."""

    nhs: str
    surname: str
    given: str
    local: str
    visit: str
    address: str
    phrase: str
    letter: str

    @property
    def tokens(self) -> tuple[str, ...]:
        return astuple(self)


def canaries() -> Iterator[Canary]:
    """One after the other: NHS numbers of the 999 range with a valid check digit, everything else in words."""
    serial = count()
    for number in count(500_000):
        nine = f"999{number:06d}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(nine, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            yield Canary(f"{nine}{check % 11}", *(_word(one) for one in islice(serial, 7)))


def _word(number: int) -> str:
    letters = ""
    for _ in range(9):
        number, letter = divmod(number, 26)
        letters += _LETTERS[letter]
    return MARK + letters


_MARKED = re.compile(rf"(?=({MARK}[a-z]{{9}}))")
_DIGITS = re.compile(r"(?=(\d{10}))")
_HEX = re.compile(rb"[0-9A-Fa-f]{20,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{14,}")
_ESCAPE = re.compile(rb"\\u([0-9A-Fa-f]{4})")


def _plain(data: bytes) -> Iterator[bytes]:
    yield data


def _hex(data: bytes) -> Iterator[bytes]:
    for run in _HEX.findall(data):
        for start in (0, 1):
            whole = run[start : start + (len(run) - start) // 2 * 2]
            yield bytes.fromhex(whole.decode())


def _base64(data: bytes) -> Iterator[bytes]:
    for run in _BASE64.findall(data):
        usual = run.replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):
            # What the last characters begin is filled up: a byte too many hides nothing.
            part = usual[start:]
            yield base64.b64decode(part + b"A" * (-len(part) % 4))


def _url(data: bytes) -> Iterator[bytes]:
    if b"%" in data:
        yield unquote_to_bytes(data)


def _utf16(data: bytes) -> Iterator[bytes]:
    if b"\0" in data:
        yield data.replace(b"\0", b"")


def _json(data: bytes) -> Iterator[bytes]:
    if b"\\u" in data:
        yield _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)).encode("utf-8", "replace"), data)


ENCODINGS = {"plain": _plain, "hex": _hex, "base64": _base64, "url": _url, "utf-16": _utf16, "json": _json}


class Finder:
    """
    Finds values of these patients.

    Args:
        known: whose values they are.
    """

    def __init__(self, known: Sequence[Canary]) -> None:
        self._tokens = frozenset(token for canary in known for token in canary.tokens)

    def found(self, data: bytes) -> dict[str, set[str]]:
        """Encoding → the values that stand in the data in it."""
        return {name: found for name, decode in ENCODINGS.items() if (found := self._within(decode(data)))}

    def _within(self, views: Iterator[bytes]) -> set[str]:
        found: set[str] = set()
        for view in views:
            text = view.decode("latin-1").casefold()
            found.update(token for token in _MARKED.findall(text) if token in self._tokens)
            found.update(token for token in _DIGITS.findall(text) if token in self._tokens)
        return found
