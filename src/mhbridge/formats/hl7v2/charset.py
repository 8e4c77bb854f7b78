"""
The names of character sets in MSH-18 (HL7 table 0211), and Python's names for them.

It must never choose between two: a name that is ambiguous or unknown has no codec, and the message is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mhbridge.formats.encoding import codec_named

__all__ = ["WIDE", "charset_codec", "wide_codec"]

#: Codecs whose ASCII characters are not single bytes: such a message has to be decoded before it can be split.
WIDE: Final = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"})

_NAMES: Final = {
    "ASCII": "ascii",
    "UNICODE": "utf-8",  # ITK HL7 v2 Message Specifications, MSH-18; table 0211 deprecates it without saying more
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "UNICODE UTF-32": "utf-32",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
}
# `8859/1` is the table's spelling, the others are what senders write.
_ISO_8859: Final = re.compile(r"(?:ISO[ -]?)?8859[/-](\d{1,2})")


@lru_cache(maxsize=64)
def charset_codec(name: str) -> str | None:
    """Python's codec for a name in MSH-18, or `None` when there is none that it surely means."""
    name = " ".join(name.upper().split())
    if found := _NAMES.get(name):
        return found
    if latin := _ISO_8859.fullmatch(name):
        return codec_named(f"iso8859-{latin[1]}")
    return codec_named(name)


def wide_codec(head: bytes) -> str | None:
    """
    The codec of bytes that are UTF-16 or UTF-32 as their beginning shows, `None` when they are not.

    A byte order mark shows it; so does the place of the NULs round the `M`, `F` or `B` that a message begins with.
    """
    if b"\x00" not in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    for mark, codec in (
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if head.startswith(mark):
            return codec
    for pattern, codec in (
        (rb"[\w\s]\x00\x00\x00", "utf-32-le"),
        (rb"\x00\x00\x00[\w\s]", "utf-32-be"),
        (rb"[\w\s]\x00[\w\s]", "utf-16-le"),
        (rb"\x00[\w\s]\x00", "utf-16-be"),
    ):
        if re.match(pattern, head):
            return codec
    return None
