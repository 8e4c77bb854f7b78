"""
Keys, tokens and seals: how what identifies a person is stored, and how bytes are made tamper-evident.

The one place that knows the form of a stored body. Bodies are authenticated, bound to their row, and not encrypted:
who encrypts them changes `Seal` and nothing else. This module must never write a key anywhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from mhbridge.errors import StoreError

__all__ = ["KEY_SIZE", "Keys", "Seal", "keyed"]

KEY_SIZE: Final = 32
_MAC_SIZE: Final = 32

# RFC 2104 §2: the block of SHA-256, and what its key is combined with.
_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

# 128 bits: a chance meeting of two of 10^9 tokens is one in 10^20.
_TOKEN_SIZE: Final = 16


class Keys:
    """
    What is derived from the store's secret, each for one purpose, so that a token says nothing about a seal.

    Args:
        secret: `KEY_SIZE` bytes, kept outside the database.
    """

    __slots__ = ("_index", "body", "log", "proof")

    def __init__(self, secret: bytes) -> None:
        self._index = keyed(_derived(secret, b"index"))
        self.body = _derived(secret, b"body")
        self.log = _derived(secret, b"log")
        #: Kept in the database, so that a wrong secret is known before anything is read with it.
        self.proof = _derived(secret, b"proof").hex()

    def token(self, kind: str, *values: str) -> bytes:
        """
        What stands in the database for an identifier. Without the key it cannot be tried out, and NHS numbers are few.
        """
        text = b"\0".join([value.encode() for value in (kind, *values)])
        return self._index(text)[:_TOKEN_SIZE]


class Seal:
    """
    Closes bytes for one row of one table, and opens them again.

    The row is part of what is authenticated: a body moved to another row does not open there.
    """

    __slots__ = ("_mac_of",)

    #: What `body.key_id` says of bytes closed this way.
    KEY_ID: Final = 0

    def __init__(self, keys: Keys) -> None:
        self._mac_of = keyed(keys.body)

    def close(self, table: str, row: int, body: bytes) -> bytes:
        """The stored form of a body."""
        return self._mac(table, row, body) + body

    def open(self, table: str, row: int, stored: bytes) -> bytes:
        """
        The body again.

        Raises:
            StoreError: S208, when the bytes are not those that were closed for this row.
        """
        body = stored[_MAC_SIZE:]
        if not hmac.compare_digest(stored[:_MAC_SIZE], self._mac(table, row, body)):
            raise StoreError("S208", f"{table} {row} is damaged: its stored bytes are not the ones that were written")
        return body

    def _mac(self, table: str, row: int, body: bytes) -> bytes:
        return self._mac_of(b"%b %d\0%b" % (table.encode(), row, body))


def keyed(key: bytes) -> Callable[[bytes], bytes]:
    """
    HMAC-SHA-256 with this key (RFC 2104).

    What depends on the key alone is done once; and for short texts `hmac.digest` would let other threads go first each
    time, and wait for them.
    """
    block = key.ljust(_BLOCK, b"\0")
    inner, outer = (sha256(block.translate(pad)) for pad in (_INNER, _OUTER))

    def mac(text: bytes) -> bytes:
        inside, outside = inner.copy(), outer.copy()
        inside.update(text)
        outside.update(inside.digest())
        return outside.digest()

    return mac


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"mhbridge " + purpose, "sha256")
