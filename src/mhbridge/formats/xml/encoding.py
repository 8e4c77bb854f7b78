"""
Bytes of an XML document to its text: the encoding that it declares must be the one that it is in.

XML 1.0 §4.3.3: UTF-8 or UTF-16 unless the declaration says otherwise; a byte order mark decides, and a declaration that
contradicts it is an error. Only character sets of suppliers may be declared. The parser is given decoded text, so that
no reader of bytes is ever talked into another encoding. This module must never guess, and never replace a character.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats.encoding import codec_named, decode, refuse_controls

__all__ = ["Misdeclared", "Text", "decoded", "prolog_end"]

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: `<?xml version="1.0" encoding="…" standalone="…"?>` (production 23), of which the order is fixed.
_DECLARATION: Final = re.compile(
    r"""<\?xml\s+version\s*=\s*(?:"([^"]*)"|'([^']*)')"""
    r"""(?:\s+encoding\s*=\s*(?:"([^"]*)"|'([^']*)'))?"""
    r"""(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>""",
    re.ASCII,
)
#: What may stand before the first element, beside a document type: blanks, comments, instructions.
_BEFORE: Final = re.compile(r"\s+|<!--.*?-->|<\?(?!xml[\s?]).*?\?>", re.DOTALL | re.ASCII)
_DOCTYPE: Final = re.compile(r"<!DOCTYPE", re.IGNORECASE)
#: A declaration is no longer than this.
_HEAD: Final = 512


class Misdeclared(MalformedMessage):
    """The bytes are not in the encoding that the document declares: a person has to ask the sender which is right."""


@dataclass(frozen=True, slots=True)
class Text:
    """
    A document as text.

    Args:
        text: without byte order mark and declaration.
        codec: what the bytes are in.
    """

    text: str
    codec: str


def decoded(body: bytes, charset: str = "") -> Text:
    """
    The text of a document.

    Args:
        charset: what the mapping declares for documents that say nothing of their encoding.

    Raises:
        Misdeclared: M803, M704 or M705: nobody can say what the characters are.
        MalformedMessage: M804, an encoding that no sender may ask for; M801, there is a document type.
    """
    codec, body, marked = _marked(body)
    if not codec:
        head = body[:_HEAD].decode("latin-1")
        if "\x00" in head[:4] and "<" in head[:4]:
            raise Misdeclared("M803", "UTF-16 or UTF-32 without a byte order mark")
        said = _said(_DECLARATION.match(head))
        codec = (codec_named(said or charset or "utf-8")) or ""
        if not codec:
            raise MalformedMessage("M804", "the document declares an encoding that is not accepted")
        if said and codec.startswith(("utf-16", "utf-32")):
            raise Misdeclared("M803", "it declares UTF-16 or UTF-32 and is in bytes of ASCII")
    try:
        text = decode(body, codec, codec.upper())
        # A body in UTF-16 is full of NUL, which is none: control characters are looked for in its text.
        refuse_controls(*((body, text, codec) if not marked or codec == "utf-8" else (text.encode(), text, "utf-8")))
    except MalformedMessage as error:
        raise Misdeclared(error.code, error.message, offset=error.offset) from None
    declaration = _DECLARATION.match(text)
    if declaration is not None:
        _check(declaration, codec, marked=marked)
        text = text[declaration.end() :]
    if _DOCTYPE.match(text, prolog_end(text)):
        raise MalformedMessage("M801", "the document has a document type declaration")
    return Text(text, codec)


def prolog_end(text: str) -> int:
    """Where the first thing begins that is neither blank nor a comment nor an instruction."""
    at = 0
    while (found := _BEFORE.match(text, at)) is not None:
        at = found.end()
    return at


def _marked(body: bytes) -> tuple[str, bytes, bool]:
    for mark, codec in _MARKS:
        if body.startswith(mark):
            # The marks of UTF-16 and UTF-32 say the order of bytes too, which Python's codecs of these names read.
            return codec, body[len(mark) :] if codec == "utf-8" else body, True
    return "", body, False


def _said(declaration: re.Match[str] | None) -> str:
    return (declaration[3] or declaration[4] or "") if declaration else ""


def _check(declaration: re.Match[str], codec: str, *, marked: bool) -> None:
    version, said = declaration[1] or declaration[2], _said(declaration)
    if version != "1.0":
        # XML 1.1 allows control characters and other line ends, and no sender of letters needs it.
        raise MalformedMessage("M804", "the document is not of XML 1.0")
    if not said or not marked:
        return
    named = codec_named(said)
    if named is None:
        raise MalformedMessage("M804", "the document declares an encoding that is not accepted")
    if named.removesuffix("-le").removesuffix("-be") != codec:
        raise Misdeclared("M803", "the encoding that the document declares is not the one that it is in")
