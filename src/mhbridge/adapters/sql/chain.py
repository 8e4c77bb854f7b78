"""
The chain of the log: each row's mac covers the row and the mac before it, so that no row can be changed or taken out.

One chain per writer; a chain over all of them would be a lock between nodes. A cut end is seen only by who has seen
the end: the head is compared while the store is open. This module must never read the table itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from mhbridge.adapters.sql.sealing import keyed
from mhbridge.errors import StoreError

__all__ = ["Chain", "LogRow"]

_START: Final = b""


class LogRow(NamedTuple):
    """One row of `log`, in the order of its columns."""

    writer: int
    seq: int
    at: int
    what: str
    about: int
    moves: str
    who: str
    mac: bytes


class Chain:
    """
    The head of one writer's chain.

    Args:
        seq: number of the last row, 0 before the first.
        mac: mac of the last row.
    """

    __slots__ = ("_mac_of", "mac", "seq", "writer")

    def __init__(self, key: bytes, writer: int, seq: int = 0, mac: bytes = _START) -> None:
        self._mac_of = keyed(key)
        self.writer = writer
        self.seq = seq
        self.mac = mac

    def link(self, at: int, what: str, about: int, moves: str, who: str) -> LogRow:
        """The next row, and the head moved to it."""
        self.seq += 1
        self.mac = self._next(self.seq, at, what, about, moves, who)
        return LogRow(self.writer, self.seq, at, what, about, moves, who, self.mac)

    def follow(self, rows: Iterable[LogRow]) -> None:
        """
        Check rows that must come next, and move the head over them.

        Raises:
            StoreError: S207, naming the first row that does not follow.
        """
        for row in rows:
            expected = self.seq + 1
            if row.seq != expected:
                raise StoreError("S207", f"row {expected} of the log is missing")
            mac = self._next(row.seq, row.at, row.what, row.about, row.moves, row.who)
            if not hmac.compare_digest(mac, row.mac):
                raise StoreError("S207", f"row {row.seq} of the log is not the one that was written")
            self.seq, self.mac = row.seq, row.mac

    def _next(self, seq: int, at: int, what: str, about: int, moves: str, who: str) -> bytes:
        # JSON is the canonical form: no text of a row can be taken for the end of it.
        row = orjson.dumps((self.writer, seq, at, what, about, moves, who))
        return self._mac_of(self.mac + row)
