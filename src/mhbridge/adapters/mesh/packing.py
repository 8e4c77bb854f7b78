"""
What is compressed, unpacked up to a limit.

This module must never hold more than was allowed, however little came.
"""

from __future__ import annotations

import zlib
from typing import Final

from mhbridge.errors import MalformedMessage

__all__ = ["gunzip", "is_packed"]

_MAGIC: Final = b"\x1f\x8b"
_WBITS: Final = 16 + zlib.MAX_WBITS


def is_packed(body: bytes) -> bool:
    """Whether it begins as gzip does (RFC 1952 §2.3.1)."""
    return body.startswith(_MAGIC)


def gunzip(packed: bytes, limit: int) -> bytes:
    """
    What was packed: one member, whole, and nothing behind it.

    Raises:
        MalformedMessage: D917 when it is larger than the limit, D980 when it is not that.
    """
    unpacking = zlib.decompressobj(_WBITS)
    try:
        body = unpacking.decompress(packed, limit + 1)
    except zlib.error:
        raise MalformedMessage("D980", "the message cannot be unpacked") from None
    if len(body) > limit:
        raise MalformedMessage("D917", "the message is larger than is accepted here")
    if not unpacking.eof or unpacking.unused_data:
        raise MalformedMessage("D980", "the message cannot be unpacked")
    return body
