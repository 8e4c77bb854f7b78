"""
The log as it stands in the database, followed row by row, and compared with what was told of it outside.

Each function takes a `Reader`. This module must never hold a snapshot for more than a short stretch of the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mhbridge.adapters.sql.books import when
from mhbridge.adapters.sql.chain import Chain, LogRow
from mhbridge.adapters.sql.heads import Head
from mhbridge.errors import StoreError

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader

__all__ = ["has_heads", "last_of", "log_from", "writers"]

#: So many log rows are checked with one snapshot.
_LOG_ROWS: Final = 2_000


def writers(reader: Reader) -> list[int]:
    """The numbers of those who have written the log: each has a chain of its own."""
    return [writer for (writer,) in reader.rows("writers")]


def log_from(reader: Reader, chain: Chain) -> int:
    """Follow the log from a row, a short snapshot at a time. Returns how many rows held."""
    followed = 0
    while rows := _log_rows(reader, chain.writer, chain.seq):
        chain.follow(rows)
        followed += len(rows)
    return followed


def last_of(reader: Reader, writer: int) -> tuple[int, bytes]:
    """Number and mac of the last row that a writer wrote; 0 when there is none."""
    seq, mac = reader.row("log_head", writer=writer) or (0, b"")
    return seq, mac


def has_heads(reader: Reader, heads: Sequence[Head]) -> None:
    """
    Check that rows which were told of outside are there, and are what they were.

    Raises:
        StoreError: S224, naming the first that is not.
    """
    for head in heads:
        # An empty log has no row, and nothing could be cut off it.
        if head.seq and reader.value("log_mac", writer=head.writer, seq=head.seq) != head.mac:
            at = when(head.at)
            raise StoreError("S224", f"row {head.seq} of the log, its last on {at:%d %B %Y at %H:%M}, is not there")


def _log_rows(reader: Reader, writer: int, seq: int) -> list[LogRow]:
    return [LogRow(*row) for row in reader.rows("log_rows", writer=writer, seq=seq, most=_LOG_ROWS)]
