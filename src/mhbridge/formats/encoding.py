"""
Bytes to text, once and never by guess: which codec a name means, strict decoding, control characters.

Shared by the formats whose bytes are text. It must never replace a character, try a second encoding, or put a piece
of the message into an error: a wrong character in a name or a dose is worse than a message that waits for a person.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

from mhbridge.errors import MalformedMessage

__all__ = ["codec_named", "decode", "refuse_controls"]

#: The codecs of Python that are character sets of suppliers. Python has others (`rot13`, `utf-7`, `idna`) that a file
#: must not be able to ask for.
_CODECS: Final = re.compile(
    r"ascii|utf-8|utf-16(-[bl]e)?|utf-32(-[bl]e)?|iso8859-\d+|cp(437|850|852|858|125\d)|gb18030|big5|mac-roman"
)

#: C0 without tab, line feed and carriage return, and DEL: nothing that a person types.
_C0: Final = bytes(code for code in range(32) if code not in b"\t\n\r") + b"\x7f"
_C0_PATTERN: Final = re.compile(b"[" + re.escape(_C0) + b"]")
#: C1. In text they are the mark of Windows-1252 quotation marks and dashes that were called ISO 8859-1.
_C1_PATTERN: Final = re.compile("[\x80-\x9f]")
#: The same in UTF-8: one byte is looked for, where the pattern above asks of every character.
_C1_ENCODED: Final = re.compile(b"\xc2[\x80-\x9f]")


@lru_cache(maxsize=64)
def codec_named(name: str) -> str | None:
    """Python's own name of a character set (`UTF8` → `utf-8`), or `None` when it is none that a supplier may use."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return None
    return found if _CODECS.fullmatch(found) else None


def decode(body: bytes, codec: str, charset: str, *, start: int = 0) -> str:
    """
    Decode strictly.

    Args:
        charset: the name as it was declared, for the message of the error.
        start: where `body` begins in the envelope, so that the error says the byte of the envelope.

    Raises:
        MalformedMessage: M704, with the byte offset and nothing of the content.
    """
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        offset = start + error.start
        # `from None`: the cause holds the bytes, and a traceback would print them.
        raise MalformedMessage("M704", f"not {charset}: undecodable at byte {offset}", offset=offset) from None


def refuse_controls(body: bytes, text: str, codec: str, *, start: int = 0) -> None:
    """
    Refuse control characters, which no clinical text holds and which XML, PostgreSQL or an MLLP frame cannot carry.

    Args:
        body: the bytes that `text` was decoded from, in a codec that contains ASCII.

    Raises:
        MalformedMessage: M705, with the code point and the byte offset.
    """
    # To look for each of them by itself is quicker than one pass; the pattern looks for the place once there is one.
    if any(map(body.__contains__, _C0)):
        found = _C0_PATTERN.search(body)
        assert found is not None
        offset = start + found.start()
        raise MalformedMessage("M705", f"control character U+{found[0][0]:04X} at byte {offset}", offset=offset)
    if text.isascii() or (codec == "utf-8" and not _C1_ENCODED.search(body)):
        return
    if wide := _C1_PATTERN.search(text):
        offset = start + len(text[: wide.start()].encode(codec))
        raise MalformedMessage("M705", f"control character U+{ord(wide[0]):04X} at byte {offset}", offset=offset)
