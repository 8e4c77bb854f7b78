"""
How far the log has come, told outside of the store: signed lines, each the last row of the log at one instant.

A chain shows that nothing in it was changed or taken out, and cannot show that its end was cut off, or that an older
copy of the store was put in its place. Whoever has seen the end can. A line is signed with a key of the store, so that
none can be made up to hide another. After a store was restored from a backup a line says so, and what had been told of
rows that are gone is void. This module must never read the log itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from mhbridge.adapters.sql.sealing import Keys, keyed
from mhbridge.errors import StoreError

__all__ = ["Head", "heads_in", "line_of"]


class Head(NamedTuple):
    """
    The last row of the log at one instant.

    Args:
        restored: from here on it is another log's end that counts: the store came from a backup.
    """

    at: int
    writer: int
    seq: int
    mac: bytes
    restored: bool = False


def line_of(keys: Keys, head: Head) -> str:
    """The signed line of a head."""
    said = {"at": head.at, "writer": head.writer, "seq": head.seq, "mac": head.mac.hex(), "restored": head.restored}
    return orjson.dumps(said | {"sign": _sign(keys, said)}).decode()


def heads_in(keys: Keys, lines: Iterable[str]) -> list[Head]:
    """
    The heads that must be in the log.

    A last line without its end is what a power cut leaves, and is passed over.

    Raises:
        StoreError: S224, when a line was not written by this store.
    """
    heads: list[Head] = []
    rows = list(lines)
    for number, text in enumerate(rows, 1):
        try:
            said: dict[str, Any] = orjson.loads(text)
            sign = said.pop("sign")
            head = Head(said["at"], said["writer"], said["seq"], bytes.fromhex(said["mac"]), said["restored"])
            ours = hmac.compare_digest(sign, _sign(keys, said))
        except (ValueError, KeyError, TypeError, AttributeError):
            if number == len(rows) and not text.endswith("}"):
                break
            ours = False
        if not ours:
            raise StoreError("S224", f"line {number} of the heads of the log was not written by this store")
        if head.restored:
            heads = [one for one in heads if one.writer != head.writer or one.seq <= head.seq]
        heads.append(head)
    return heads


def _sign(keys: Keys, said: dict[str, Any]) -> str:
    return keyed(keys.heads)(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hex()
