"""
Figures without identities: what a month was, in counts that name no person.

`mhbridge.ports` says what a port is. This module must never hold a figure that one person could be told from: what is
shown of small numbers is decided by whoever shows them (`mhbridge.insights`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

__all__ = ["Figure", "Figures", "Measure"]


class Measure(StrEnum):
    """
    What a figure counts, and what its `name` and `said` are.

    `MESSAGE`, `LETTER`, `HEADING`, `CODE` and `FIELD` are of a mapping, the others of a feed and a destination.
    """

    #: Messages that were worked.
    MESSAGE = "message"
    #: Letters that somebody wrote.
    LETTER = "letter"
    #: Letters by what they say under a heading (`name`): a value of `mapping.completeness.Said`.
    HEADING = "heading"
    #: Messages with a code that a table (`name`, and the path) does not have.
    CODE = "code"
    #: Messages with a field (`name`) that no line of the mapping mentions.
    FIELD = "field"
    #: Deliveries of documents by how far they got.
    DELIVERY = "delivery"
    #: Those of them that a person had to look at, or that the receiver has said no to.
    REFUSED = "refused"
    #: Deadlines (`name`): `met`, `within 72 h`, `later`, `missed`, `running` or `excluded`.
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One count.

    Args:
        sender: a mapping or a feed, both `supplier/…`.
        recipient: a destination; empty where there is none.
        document: document type.
    """

    measure: Measure
    sender: str
    recipient: str
    document: str
    name: str
    said: str
    n: int


class Figures(Protocol):
    """What a month was."""

    async def figures(self, month: str, since: datetime, until: datetime, now: datetime) -> Sequence[Figure]:
        """
        All figures of a month.

        Args:
            month: `2026-11`, which is from `since` until `until`.
            now: what is due later is not missed yet.
        """
