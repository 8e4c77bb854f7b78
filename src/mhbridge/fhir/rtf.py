r"""
The text of RTF, as word processors of clinical systems keep letters, without its markup.

Line breaks and tabs stay, text that is struck out says so, a picture leaves a word in its place. After Rich Text Format
Specification 1.9.1. This module must never lose a word that a reader would have seen, and never guess a character: what
its character set does not allow is an error, and a sign of a font of signs that is not known says that one was there.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from typing import Final

from mhbridge.model.signs import sign_of

__all__ = ["BadRtf", "is_rtf", "text_of"]

_START: Final = re.compile(r"\s*\{\\rtf\d?")
_TOKEN: Final = re.compile(
    r"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
#: Groups of which nothing is text. What begins with `\*` is one too, unless it is known.
_SKIPPED: Final = frozenset(
    (
        "colortbl",
        "stylesheet",
        "info",
        "filetbl",
        "listtable",
        "listoverridetable",
        "revtbl",
        "rsidtbl",
        "generator",
        "themedata",
        "colorschememapping",
        "datastore",
        "latentstyles",
        "xmlnstbl",
        "nonshppict",
        "template",
    )
)
_PICTURES: Final = frozenset(("pict", "object"))
_BREAKS: Final = {"par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": "\t", "cell": "\t"}
_CHARACTERS: Final = {
    **_BREAKS,
    "emdash": "—",
    "endash": "–",
    "emspace": " ",
    "enspace": " ",
    "qmspace": " ",
    "bullet": "•",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
}
_SYMBOLS: Final = {"\\": "\\", "{": "{", "}": "}", "~": "\u00a0", "_": "\u2011", "-": "", "\n": "\n", "\r": "\n"}
#: A document that is nested deeper was made to harm.
_DEPTH: Final = 500

#: Character sets of fonts, beside those of the document (0 and 1) and that of fonts of signs.
_CHARSETS: Final = {
    77: "mac-roman", 128: "cp932", 129: "cp949", 134: "cp936", 136: "cp950", 161: "cp1253", 162: "cp1254",
    163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250",
}  # fmt: skip
_SIGNS: Final = 2
#: The instruction of a field that shows one sign: what a word processor writes where one was put in by hand.
_SYMBOL_FIELD: Final = re.compile(r"\s*SYMBOL\s+(\d{1,5})\s.*?\\f\s*\"?([A-Za-z]+)", re.IGNORECASE | re.DOTALL)


class BadRtf(ValueError):
    """It cannot be read; the text says why, and nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class _State:
    """What holds in one group."""

    skipped: bool = False
    struck: bool = False
    raised: bool = False
    fallback: int = 1
    font: int | None = None
    fonts: bool = False
    instruction: bool = False
    field: int = -1


@dataclass(slots=True)
class _Font:
    """A font of the document."""

    charset: int = 0
    name: str = ""

    def sign(self, unit: int) -> str:
        """What a character of it shows, if it is a font of signs."""
        return sign_of(self.name.strip(" ;"), unit)


def is_rtf(text: str) -> bool:
    """Whether a text begins like RTF."""
    return _START.match(text) is not None


def text_of(rtf: str) -> str:
    """
    The text of an RTF document.

    Raises:
        BadRtf: it ends in the middle of a group, or has a character that its character set does not allow.
    """
    return _Reader().read(rtf)


class _Reader:
    def __init__(self) -> None:
        self._out: list[str] = []
        self._bytes = bytearray()
        self._units: list[int] = []
        self._codec = "cp1252"
        self._state = _State()
        self._outer: list[_State] = []
        self._drop = 0
        self._starred = False
        self._fonts: dict[int, _Font] = {}
        self._instruction: list[str] = []
        #: The sign that a field shows, where its result does not show it.
        self._shown = ""

    def read(self, rtf: str) -> str:
        at, end = 0, len(rtf)
        while at < end:
            found = _TOKEN.match(rtf, at)
            if found is None:
                raise BadRtf("the RTF ends in the middle of a word")
            at = found.end()
            word, number, byte, symbol, brace, plain = found.groups()
            if word == "bin":
                # So many characters follow that are no RTF.
                at += max(int(number or 0), 0)
            elif word is not None:
                self._word(word, number)
            elif byte is not None:
                self._byte(int(byte, 16))
            elif symbol is not None:
                self._symbol(symbol)
            elif brace == "{":
                self._open()
            elif brace == "}":
                self._close()
            elif plain:
                self._plain(plain)
        self._flush()
        if self._outer:
            raise BadRtf("the RTF ends in the middle of a group")
        return "\n".join(line.rstrip() for line in "".join(self._out).split("\n")).strip("\n")

    # --- groups ---

    def _open(self) -> None:
        self._flush()
        if len(self._outer) >= _DEPTH:
            raise BadRtf("the RTF is nested too deep")
        self._outer.append(self._state)
        self._state = replace(self._state)

    def _close(self) -> None:
        self._flush()
        if not self._outer:
            raise BadRtf("the RTF closes a group that is not open")
        if self._state.struck and not self._outer[-1].struck:
            self._write("]")
        ended, self._state = self._state, self._outer.pop()
        self._starred = False
        if ended.instruction and not self._state.instruction:
            self._instructed()
        if ended.field != self._state.field:
            if self._shown and len(self._out) == ended.field:
                self._write(self._shown)
            self._shown = ""

    # --- words and characters ---

    def _word(self, word: str, number: str | None) -> None:
        if word == "u" and number is not None:
            self._flush_bytes()
            if not self._state.skipped:
                self._units.append(int(number) & 0xFFFF)
            self._drop = self._state.fallback
            return
        self._flush()
        starred, self._starred = self._starred, False
        if word == "fldinst":
            self._instruction.clear()
            self._state = replace(self._state, skipped=True, instruction=True)
        elif word == "fonttbl":
            self._state = replace(self._state, skipped=True, fonts=True)
        elif word == "field":
            self._state = replace(self._state, field=len(self._out))
        elif word == "f":
            self._state = replace(self._state, font=int(number or 0))
        elif word == "fcharset" and self._state.fonts:
            self._font.charset = int(number or 0)
        elif word in _SKIPPED or (starred and word != "shppict"):
            self._state = replace(self._state, skipped=True, fonts=False)
        elif word in _PICTURES:
            self._write("[picture not included]")
            self._state = replace(self._state, skipped=True)
        elif word in _CHARACTERS:
            self._write(_CHARACTERS[word])
        elif word in ("strike", "striked", "deleted"):
            self._strike(number != "0")
        elif word == "plain":
            self._strike(False)
            self._state = replace(self._state, raised=False, font=None)
        elif word == "super" and not self._state.raised:
            # "10" with a raised "9" must not be read as "109".
            self._write("^")
            self._state = replace(self._state, raised=True)
        elif word == "nosupersub":
            self._state = replace(self._state, raised=False)
        elif word == "uc":
            self._state = replace(self._state, fallback=max(int(number or 1), 0))
        elif word == "ansicpg":
            self._codec = _codec(number or "")
        elif word in ("mac", "pc", "pca"):
            self._codec = {"mac": "mac-roman", "pc": "cp437", "pca": "cp850"}[word]

    def _strike(self, on: bool) -> None:
        if on != self._state.struck:
            self._write("[crossed out: " if on else "]")
            self._state = replace(self._state, struck=on)

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._starred = True
            return
        if self._dropped(1):
            return
        self._flush()
        if self._state.instruction:
            self._instruction.append(symbol)
        self._write(_SYMBOLS.get(symbol, ""))

    def _byte(self, byte: int) -> None:
        if self._dropped(1):
            return
        self._flush_units()
        if not self._state.skipped:
            self._bytes.append(byte)

    def _plain(self, text: str) -> None:
        dropped = self._dropped(len(text))
        if not text[dropped:]:
            return
        self._flush()
        if self._state.fonts:
            self._font.name += text[dropped:]
        elif self._state.instruction:
            self._instruction.append(text[dropped:])
        elif self._font.charset == _SIGNS:
            self._write("".join([self._font.sign(ord(character)) for character in text[dropped:]]))
        else:
            self._write(text[dropped:])

    @property
    def _font(self) -> _Font:
        """The font in use: in the table of fonts, the one that is being described."""
        font = self._state.font
        return self._fonts.setdefault(font, _Font()) if font is not None else _Font()

    def _instructed(self) -> None:
        """The instruction of a field is whole."""
        found = _SYMBOL_FIELD.match("".join(self._instruction))
        self._shown = _Font(_SIGNS, found[2]).sign(int(found[1])) if found else ""

    def _dropped(self, most: int) -> int:
        """How many characters only stand in for a Unicode character before them."""
        dropped = min(self._drop, most)
        self._drop -= dropped
        return dropped

    # --- out ---

    def _write(self, text: str) -> None:
        if not self._state.skipped:
            self._out.append(text)

    def _flush(self) -> None:
        self._flush_bytes()
        self._flush_units()
        self._drop = 0

    def _flush_bytes(self) -> None:
        if self._bytes:
            charset = self._font.charset
            if charset == _SIGNS:
                self._out.append("".join(map(self._font.sign, self._bytes)))
                self._bytes.clear()
                return
            try:
                self._out.append(self._bytes.decode(_CHARSETS.get(charset, self._codec)))
            except UnicodeDecodeError:
                raise BadRtf("the RTF has a character that its character set does not allow") from None
            self._bytes.clear()

    def _flush_units(self) -> None:
        if self._units:
            if self._font.charset == _SIGNS and all(0xF000 <= unit <= 0xF0FF for unit in self._units):
                self._out.append("".join(map(self._font.sign, self._units)))
                self._units.clear()
                return
            raw = b"".join(unit.to_bytes(2, "little") for unit in self._units)
            try:
                self._out.append(raw.decode("utf-16-le"))
            except UnicodeDecodeError:
                raise BadRtf("the RTF has half of a character") from None
            self._units.clear()


def _codec(page: str) -> str:
    try:
        return codecs.lookup(f"cp{int(page)}").name
    except (LookupError, ValueError):
        raise BadRtf("the RTF names a character set that is not known") from None
