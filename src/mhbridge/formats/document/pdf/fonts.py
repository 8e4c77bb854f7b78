"""
Fonts of a PDF: which characters a string shows, and how wide they are (ISO 32000-1, 9.6 to 9.10).

A font says its characters by a table of its own (`ToUnicode`, 9.10.3) or has one of the encodings that everybody knows.
This module must never guess: a sign that neither names has no character.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mhbridge.formats.document.blocks import Unread
from mhbridge.formats.document.pdf.objects import LIMITED, Budget, array, contents, dictionary, name, number, value
from mhbridge.model.signs import SIGN, is_of_signs, sign_of

__all__ = ["Font", "font_of", "is_plain"]

_UNSAID: Final = "a font of the PDF does not say which characters its signs are"
_ENCODINGS: Final = {"WinAnsiEncoding": "cp1252", "MacRomanEncoding": "mac-roman"}
_SYMBOLIC: Final = 4
_MOST: Final = 70_000
_SECTION: Final = re.compile(rb"begin(bfchar|bfrange|codespacerange)(.*?)end\1", re.DOTALL)
_PARTS: Final = re.compile(rb"<([0-9A-Fa-f\s]*)>|(\[)|(\])")
#: Characters that show nothing, or not what they are: private ones, controls, and what stands for no character.
_NONE: Final = frozenset({"Cc", "Co", "Cn", "Cs"})
#: Written from right to left: in what order their signs stand in a PDF, it does not say.
_LEFTWARDS: Final = frozenset({"R", "AL", "RLE", "RLO", "RLI"})


@dataclass(frozen=True, slots=True)
class Font:
    """
    A font.

    Args:
        long: how many bytes make a sign.
        characters: what each sign is; one that is not in it has none.
        widths: of each sign, in thousandths of the size.
        width: of all others.
    """

    long: int
    characters: dict[int, str]
    widths: dict[int, float]
    width: float

    def signs(self, string: bytes) -> Iterator[tuple[int, str | None, float]]:
        """The signs of a string: their codes, characters and widths."""
        if len(string) % self.long:
            raise Unread(_UNSAID)
        for at in range(0, len(string), self.long):
            code = int.from_bytes(string[at : at + self.long], "big")
            yield code, self.characters.get(code), self.widths.get(code, self.width)


def is_plain(text: str) -> bool:
    """Whether every character of a text shows what it is, and is written from left to right."""
    return not any(
        unicodedata.category(one) in _NONE or one == "\ufffd" or unicodedata.bidirectional(one) in _LEFTWARDS
        for one in text
    )


def font_of(font: Any, budget: Budget) -> Font:
    """
    A font of the resources of a page.

    Raises:
        Unread: it does not say its characters, or is of a kind whose signs may be anything.
    """
    kind = name(font, "/Subtype")
    if kind == "Type0":
        return _composite(font, budget)
    if kind not in ("Type1", "MMType1", "TrueType"):
        raise Unread("a font of the PDF draws its signs itself")
    first = int(number(font, "/FirstChar", 0))
    widths = [float(one.get_object()) for one in array(font, "/Widths")]
    if not widths or len(widths) > 256:
        raise Unread("a font of the PDF does not say how wide its signs are")
    descriptor = dictionary(font, "/FontDescriptor")
    known = _known(font, descriptor)
    said = _said(font, 1, budget)
    if not said and not known:
        raise Unread(_UNSAID)
    if any(_other(said[code], known[code]) for code in said.keys() & known.keys()):
        raise Unread("a font of the PDF says two things of which characters its signs are")
    return Font(
        1,
        _shown(font, known | said),
        {first + place: width for place, width in enumerate(widths)},
        number(descriptor, "/MissingWidth", 0),
    )


def _composite(font: Any, budget: Budget) -> Font:
    """A font of signs of two bytes (9.7)."""
    below = array(font, "/DescendantFonts")
    if name(font, "/Encoding") != "Identity-H" or len(below) != 1:
        raise Unread(_UNSAID)
    inner = below[0].get_object()
    said = _said(font, 2, budget)
    if not said:
        raise Unread(_UNSAID)
    widths: dict[int, float] = {}
    parts = [one.get_object() for one in array(inner, "/W")]
    budget.spend(len(parts))
    at = 0
    while at + 1 < len(parts):
        begin, then = int(parts[at]), parts[at + 1]
        if isinstance(then, list):
            widths.update((begin + place, float(one.get_object())) for place, one in enumerate(then))
            at += 2
        elif at + 2 < len(parts) and int(then) - begin < _MOST:
            widths.update(dict.fromkeys(range(begin, int(then) + 1), float(parts[at + 2])))
            at += 3
        else:
            break
        if len(widths) > _MOST or at > _MOST:
            raise Unread(LIMITED)
    return Font(2, _shown(font, said), widths, number(inner, "/DW", 1000))


def _known(font: Any, descriptor: Any) -> dict[int, str]:
    """What an encoding that everybody knows says (annex D)."""
    encoding = value(font, "/Encoding")
    said = name(font, "/Encoding")
    if isinstance(encoding, dict) and not array(encoding, "/Differences"):
        said = name(encoding, "/BaseEncoding")
    codec = _ENCODINGS.get(said)
    if codec is None or int(number(descriptor, "/Flags", 0)) & _SYMBOLIC:
        return {}
    found: dict[int, str] = {}
    for code in range(0x20, 0x100):
        one = bytes([code]).decode(codec, "ignore")
        if one and unicodedata.category(one) not in _NONE:
            found[code] = one
    if codec == "cp1252":
        # Annex D.2, notes 5 and 6: in this encoding the two are a space and a hyphen that show.
        found |= {0xA0: " ", 0xAD: "-"}
    return found


def _said(font: Any, width: int, budget: Budget) -> dict[int, str]:
    """The font's own table (9.10.3): from codes of so many bytes to characters."""
    if value(font, "/ToUnicode") is None:
        return {}
    table = contents(font, "/ToUnicode", budget)
    if b"usecmap" in table:
        raise Unread(_UNSAID)
    found: dict[int, str] = {}
    for kind, inner in _SECTION.findall(table):
        parts = [one or two or three for one, two, three in _PARTS.findall(inner)]
        if kind == b"codespacerange":
            if any(len(_bytes(part)) != width for part in parts):
                raise Unread(_UNSAID)
        elif kind == b"bfchar":
            budget.spend(len(parts))
            for code, to in zip(parts[::2], parts[1::2], strict=True):
                found[int(code, 16)] = _text(to)
        else:
            _ranges(parts, found, budget)
        if len(found) > _MOST:
            raise Unread(LIMITED)
    return found


def _ranges(parts: list[bytes], found: dict[int, str], budget: Budget) -> None:
    at = 0
    while at + 2 < len(parts):
        begin, end = int(parts[at], 16), int(parts[at + 1], 16)
        if not 0 <= end - begin < _MOST or len(found) > _MOST:
            raise Unread(LIMITED)
        budget.spend(end - begin + 1)
        if parts[at + 2] == b"[":
            close = parts.index(b"]", at)
            found.update((begin + place, _text(to)) for place, to in enumerate(parts[at + 3 : close]))
            at = close + 1
        else:
            first = _bytes(parts[at + 2])
            for code in range(begin, end + 1):
                # The last byte counts up (9.10.3); a range that carries over is not one.
                last = first[-1] + code - begin
                found[code] = (first[:-1] + bytes([last])).decode("utf-16-be") if last < 0x100 else "\ufffd"
            at += 3


def _bytes(digits: bytes) -> bytes:
    return bytes.fromhex(digits.decode("ascii"))


def _text(digits: bytes) -> str:
    return _bytes(digits).decode("utf-16-be")


def _other(said: str, known: str) -> bool:
    """Whether two names of a sign are not the same."""
    one, two = (unicodedata.normalize("NFKC", text).strip() for text in (said, known))
    return one != two and not {one, two} <= {"-", "\u2010", "\u2011", "\xad"}


def _shown(font: Any, characters: dict[int, str]) -> dict[int, str]:
    """Only those that show what they are; of a font of signs the signs."""
    own = name(font, "/BaseFont").rpartition("+")[2].partition(",")[0].removesuffix("-Regular").removesuffix("MT")
    own = re.sub(r"(?<=[a-z])(?=[0-9])", " ", own)
    own = "Symbol" if own == "OpenSymbol" else own  # what LibreOffice takes in its place
    made: dict[int, str] = {}
    for code, said in characters.items():
        text = said
        if is_of_signs(own) and len(said) == 1 and (said < "\u2000" or "\uf000" <= said <= "\uf0ff") and said != " ":
            text = sign_of(own, ord(said))
        elif len(said) == 1 and "\uf000" <= said <= "\uf0ff":
            text = SIGN
        if text and is_plain(text):
            made[code] = text
    return made
