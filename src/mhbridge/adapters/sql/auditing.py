"""
Who looked at what, and who did what: rows of the log's chain, written before it happens.

They are in the log and not in a table of their own, so that none can be taken out or changed without the chain saying
so. This module must never write a value of a message: the log is kept for years.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mhbridge.adapters.sql.books import Books, when
from mhbridge.adapters.sql.finding import LAST, Rows
from mhbridge.ports import AuditLine

__all__ = ["Auditing", "audit", "audited"]

#: What parts the act from the reason for it. No act has it.
_WHY: Final = ": "


class Auditing(NamedTuple):
    """An act, about to be done."""

    at: int
    who: str
    act: str
    about: int
    why: str


def audit(books: Books, items: Sequence[Auditing]) -> list[None]:
    """Write them into the log."""
    for item in items:
        books.log(item.at, "audit", item.about, f"{item.act}{_WHY}{item.why}" if item.why else item.act, item.who)
    return [None] * len(items)


def audited(reader: Rows, who: str, about: int, since: int, before: int, most: int) -> list[AuditLine]:
    """The newest of them."""
    rows = reader.rows("audited", who=who, about=about, since=since, before=before or LAST, most=most)
    return [AuditLine(seq, when(at), by, *_parted(moves), of) for seq, at, of, moves, by in rows]


def _parted(moves: str) -> tuple[str, str]:
    act, _, why = moves.partition(_WHY)
    return act, why
