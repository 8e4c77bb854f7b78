r"""
The encoding characters of one message, and its escapes (HL7 v2.5.1 §2.5.4, §2.7).

Text goes through here one way or the other: `unescape` for what was received, `escape` for what is sent. It must never
lose a character: an escape that is unknown, unterminated, or whose bytes are not text stays exactly as it was.

What an escape becomes:

    \F\ \S\ \T\ \R\ \E\ \P\    the encoding character itself (\P\ only where MSH-2 declares a truncation character)
    \X0D0A\                    these bytes in the message's character set; CR, LF and CRLF are one line break
    \.br\ \.ce\ \.sp3\         line breaks
    \.in+4\ \.ti2\ \.sk3\      blanks
    \.fi\ \.nf\                a blank between words, nothing at either end
    \H\ \N\                    nothing: highlighting carries no text
    \Cxxyy\ \Mxxyyzz\ \Zdd\    as they stand: another character set, or a private agreement
"""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import Final

__all__ = ["DELETE", "MAX_DIGITS", "Delimiters", "delimiters"]

#: The explicit null: "delete what you have" (HL7 v2.5.1 §2.5.3).
DELETE: Final = '""'

#: Hexadecimal digits of one escape. Nobody writes a text that way; documents have an encoding of their own (ED).
MAX_DIGITS: Final = 10_000

#: Stands for an encoding character that MSH-2 does not declare. Control characters are refused before anything is
#: taken apart, so it is found in no text, and every test for a separator stays a plain `in`.
_NONE: Final = "\x00"

# Letters, digits and blanks as separators would cut names and numbers; '"' would make the explicit null unreadable.
_POSSIBLE: Final = frozenset(string.punctuation) - {'"'}

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LINE_END: Final = re.compile("\r\n?")


class Delimiters:
    """
    The encoding characters of one message. Made by `delimiters()`, which keeps one per combination.

    Args:
        field: MSH-1.
        characters: MSH-2: component, repetition, and as far as they are declared escape, subcomponent, truncation.
        codec: Python's name of the message's character set, for hexadecimal escapes.
    """

    __slots__ = (
        "_break",
        "_escapes",
        "_pattern",
        "blank",
        "codec",
        "component",
        "escape_character",
        "field",
        "repetition",
        "separators",
        "subcomponent",
        "truncation",
    )

    def __init__(self, field: str, characters: str, codec: str) -> None:
        self.field = field
        self.component, self.repetition, self.escape_character, self.subcomponent, self.truncation = (
            characters[i] if i < len(characters) else _NONE for i in range(5)
        )
        # A hexadecimal escape names bytes, in network order where a character has several.
        self.codec = {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}.get(codec, codec)
        #: What separates inside a repetition.
        self.separators = self.component + self.subcomponent
        #: A repetition of nothing but these holds no value.
        self.blank = self.separators + " \t"
        self._escapes: dict[int, str | int | None] | None = None
        self._break = f"{self.escape_character}.br{self.escape_character}"
        e = re.escape(self.escape_character)
        # Only what is known matches, so a lone backslash in a text never swallows the escape that follows it.
        self._pattern = re.compile(
            rf"(?P<hex>(?:{e}X(?:[0-9A-Fa-f]{{2}})+{e})+)"
            rf"|{e}(?P<letter>[FSTREPHN]){e}"
            rf"|{e}\.(?P<format>(?i:br|ce|sp|sk|in|ti|fi|nf))[+-]?(?P<count>\d{{0,2}}){e}"
        )

    def plain(self, encoded: str) -> bool:
        """Whether there are no subcomponents and no escapes in it, and nothing is deleted."""
        return self.escape_character not in encoded and '"' not in encoded and self.subcomponent not in encoded

    def unescape(self, text: str) -> str:
        """An encoded text as the sender meant it."""
        if self.escape_character not in text:
            return text
        if self._only_breaks(text):
            return text.replace(self._break, "\n")
        return self._pattern.sub(self._replace, text)

    def _only_breaks(self, text: str) -> bool:
        """Whether every escape is a line break, as in most letters."""
        return text.count(self.escape_character) == 2 * text.count(self._break)

    def strange(self, text: str) -> bool:
        """Whether an escape character is left in what `unescape` makes of a text: in an escape that is none."""
        if self._only_breaks(text):
            return False
        left = self._pattern.sub(lambda match: match[0] if self._replace(match) == match[0] else "", text)
        return self.escape_character in left

    def escapes_too_much(self, text: str) -> bool:
        """Whether an escape holds more bytes than any text that a person means."""
        e = self.escape_character
        if f"{e}X" not in text:
            return False
        return re.search(rf"{re.escape(e)}X[0-9A-Fa-f]{{{MAX_DIGITS + 1}}}", text) is not None

    def _replace(self, match: re.Match[str]) -> str:
        if letter := match["letter"]:
            if letter in "HN":
                return ""
            found = {
                "F": self.field,
                "S": self.component,
                "T": self.subcomponent,
                "R": self.repetition,
                "E": self.escape_character,
                "P": self.truncation,
            }[letter]
            return match[0] if found == _NONE else found
        if hexadecimal := match["hex"]:
            return self._bytes(hexadecimal)
        count = int(match["count"] or 1)
        match match["format"].lower():
            case "br" | "ce":
                return "\n"
            case "sp":
                return "\n" * count
            case "sk" | "in" | "ti":
                return " " * count
            case _:
                return "" if match.start() == 0 or match.end() == len(match.string) else " "

    def _bytes(self, escapes: str) -> str:
        # Neighbouring escapes are one run: some senders write each byte of a UTF-8 character on its own.
        e = self.escape_character
        digits = escapes[2:-1].replace(f"{e}{e}X", "")
        try:
            text = bytes.fromhex(digits).decode(self.codec)
        except UnicodeDecodeError:
            return escapes
        text = _LINE_END.sub("\n", text)
        # A NUL or a bell in a text would be refused further on: the escape says as much and is harmless.
        return escapes if _CONTROL.search(text) else text

    def escape(self, text: str) -> str:
        r"""A text as it is written into a field of this message; line breaks become `\.br\`."""
        if self._escapes is None:
            self._escapes = self._escaping()
        return text.translate(self._escapes)

    def _escaping(self) -> dict[int, str | int | None]:
        e = self.escape_character
        if e == _NONE:
            e = " "
            escapes: dict[str, str | int | None] = dict.fromkeys((self.field, self.component, self.repetition), " ")
        else:
            escapes = {
                self.field: f"{e}F{e}",
                self.component: f"{e}S{e}",
                self.subcomponent: f"{e}T{e}",
                self.repetition: f"{e}R{e}",
                self.escape_character: f"{e}E{e}",
                self.truncation: f"{e}P{e}",
            }
        escapes |= {"\n": f"{e}.br{e}" if e != " " else " ", "\r": "", _NONE: ""}
        return str.maketrans(escapes)

    def sayings(self, encoded: str) -> tuple[str, ...]:
        """Every text that `says` is true of: the value as a whole, and its first part where that differs."""
        if encoded.isalnum():
            return (encoded,)  # no separator and no escape is a letter or a digit
        whole = encoded.rstrip(self.separators)
        if not whole or whole == DELETE:
            return ()
        said = self.unescape(whole)
        leaf = whole.split(self.component, 1)[0].split(self.subcomponent, 1)[0]
        return (said,) if leaf == whole else (said, self.unescape(leaf))

    def says(self, encoded: str, text: str) -> bool:
        """
        Whether an encoded value says `text`: as a whole, or by its first part.

        The first part counts because later versions of the standard turn a plain value into the first component of a
        larger type (§2.8.2): `NHS` and `NHS&2.16.840.1.113883.2.1.4.1&ISO` name the same authority. Trailing
        separators say nothing (§2.6).
        """
        # Both forms begin as the encoded value does, unless that is an escape: most values are told apart by this.
        if not encoded or (encoded[0] != text[:1] and encoded[0] != self.escape_character):
            return False
        whole = encoded.rstrip(self.separators)
        if not whole or whole == DELETE:
            return False
        if self.unescape(whole) == text:
            return True
        leaf = whole.split(self.component, 1)[0].split(self.subcomponent, 1)[0]
        return leaf != whole and self.unescape(leaf) == text


@lru_cache(maxsize=256)
def delimiters(field: str, characters: str, codec: str) -> Delimiters | None:
    """
    The encoding characters declared by MSH-1 and MSH-2, or `None` when they cannot be.

    MSH-2 has two characters at least; escape and subcomponent may be left out when they are not used (HL7 v2.4 §2.7,
    §2.8), and the truncation character came with v2.7.
    """
    declared = field + characters
    if not 3 <= len(declared) <= 6 or len(set(declared)) != len(declared) or not _POSSIBLE.issuperset(declared):
        return None
    return Delimiters(field, characters, codec)
