"""
Keys, tokens and seals: how what identifies a person is stored, and how bytes are closed.

The one place that knows the form of a stored body. Bodies are encrypted and bound to their row; those of schema 1 are
only authenticated, and are still opened. This module must never write a key anywhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from mhbridge.errors import StoreError

if TYPE_CHECKING:
    from mhbridge.adapters.sql.keyring import Keyring

__all__ = ["KEY_SIZE", "Keys", "Seal", "derived", "keyed"]

KEY_SIZE: Final = 32
_MAC_SIZE: Final = 32

# RFC 2104 §2: the block of SHA-256, and what its key is combined with.
_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

# 128 bits: a chance meeting of two of 10^9 tokens is one in 10^20.
_TOKEN_SIZE: Final = 16
#: So many tokens are remembered.
_TOKENS: Final = 8_192


class Keys:
    """
    What is derived from the store's secret, each for one purpose, so that a token says nothing about a seal.

    Args:
        secret: `KEY_SIZE` bytes, kept outside the database.
        ring: the keys of the bodies.
    """

    __slots__ = ("_index", "_tokens", "body", "heads", "log", "proof", "ring", "secret")

    def __init__(self, secret: bytes, ring: Keyring) -> None:
        self.secret = secret
        self.ring = ring
        self._index = keyed(derived(secret, b"index"))
        self._tokens: dict[tuple[str, ...], bytes] = {}
        self.body = derived(secret, b"body")
        self.log = derived(secret, b"log")
        #: Signs what is told outside of how far the log has come.
        self.heads = derived(secret, b"heads")
        #: Kept in the database, so that a wrong secret is known before anything is read with it.
        self.proof = derived(secret, b"proof").hex()

    def token(self, kind: str, *values: str) -> bytes:
        """
        What stands in the database for an identifier. Without the key it cannot be tried out, and NHS numbers are few.
        """
        named = (kind, *values)
        found = self._tokens.get(named)
        if found is None:
            # The messages of a patient ask for the same ones again and again.
            if len(self._tokens) >= _TOKENS:
                self._tokens.clear()
            text = b"\0".join([value.encode() for value in named])
            found = self._tokens[named] = self._index(text)[:_TOKEN_SIZE]
        return found

    def forget(self) -> None:
        """Remember no identifier any more: a patient was erased."""
        self._tokens.clear()


class Seal:
    """
    Closes bytes for one row of one table, and opens them again.

    The row is part of what is authenticated: a body moved to another row does not open there.
    """

    __slots__ = ("_mac_of", "_ring")

    #: What `key_id` said in schema 1, of bytes that are authenticated and not encrypted.
    AUTHENTICATED: Final = 0

    def __init__(self, keys: Keys) -> None:
        self._mac_of = keyed(keys.body)
        self._ring = keys.ring

    def close(self, table: str, row: int, body: bytes, key: int) -> bytes:
        """The stored form of a body, under a key of the ring."""
        return self._ring.close(key, b"%b %d" % (table.encode(), row), body)

    def open(self, table: str, row: int, stored: bytes, key: int) -> bytes:
        """
        The body again.

        Raises:
            StoreError: S208 when the bytes are not those that were closed for this row, S222 when they were purged,
                S223 when their key is missing.
        """
        about = b"%b %d" % (table.encode(), row)
        if key != self.AUTHENTICATED:
            return self._ring.open(key, about, stored)
        body = stored[_MAC_SIZE:]
        if not hmac.compare_digest(stored[:_MAC_SIZE], self._mac_of(b"%b\0%b" % (about, body))):
            raise StoreError("S208", f"{table} {row} is damaged: its stored bytes are not the ones that were written")
        return body


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


def derived(secret: bytes, purpose: bytes) -> bytes:
    """A key for one purpose."""
    return hmac.digest(secret, b"mhbridge " + purpose, "sha256")
