"""
What is to be delivered next: the heads of the lanes whose time has come, each with its document.

Each function takes a `Reader`. This module must never change what it finds.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mhbridge.adapters.sql.books import when_said
from mhbridge.adapters.sql.finding import LAST
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import DueDelivery

if TYPE_CHECKING:
    from mhbridge.adapters.sql.reading import Reader

__all__ = ["awaited", "due", "lapsed", "next_due"]


class _Head(NamedTuple):
    """The head of a lane, before its document is read. The columns of `due_heads`."""

    next_at: int
    id: int
    message: int
    patient: int
    seq: int
    state: str
    attempts: int
    deadline: int | None
    document: int
    sent_at: int | None
    needs: int


def _urgent(found: tuple[_Head, str]) -> tuple[int, int]:
    """Which of two letters is the more urgent: the one that is due at its receiver sooner."""
    head, _ = found
    return LAST if head.deadline is None else head.deadline, head.next_at


def due(
    reader: Reader, now: int, most: int, without: Collection[str]
) -> tuple[list[DueDelivery], list[tuple[int, str]]]:
    """Due heads with their documents, and the deliveries whose documents cannot be read, with the code of why."""
    deliveries: list[DueDelivery] = []
    damaged: list[tuple[int, str]] = []
    for destination, head in _heads(reader, now, most, without):
        try:
            document = reader.document(reader.row("document", id=head.document))
        except StoreError as error:
            damaged.append((head.id, error.code))
            continue
        deliveries.append(
            DueDelivery(
                id=head.id,
                message=head.message,
                destination=destination,
                patient=head.patient,
                number=head.seq,
                state=DeliveryState(head.state),
                attempts=head.attempts,
                document=document,
                deadline=when_said(head.deadline),
                sent_at=when_said(head.sent_at),
                needs=head.needs,
            )
        )
    return deliveries, damaged


def lapsed(reader: Reader, at: int) -> bool:
    """Whether an acknowledgement was to be here by now."""
    return bool(reader.rows("awaiting_due", now=at, most=1))


def awaited(reader: Reader, destination: str, level: int, after: int, most: int) -> list[tuple[int, str]]:
    """What waits for an acknowledgement of this level at least, by id, and what the destination calls it."""
    return [
        (about, remote_id)
        for about, remote_id in reader.rows("awaiting_of", destination=destination, level=level, after=after, most=most)
    ]


def next_due(reader: Reader, without: Collection[str]) -> int | None:
    """When the next lane has work."""
    times = (reader.value("next_due", destination=about) for about, _ in _destinations(reader, without))
    return min((at for at in times if at is not None), default=None)


def _destinations(reader: Reader, without: Collection[str]) -> list[tuple[int, str]]:
    return [row for row in reader.rows("destinations") if row[1] not in without]


def _heads(reader: Reader, now: int, most: int, without: Collection[str]) -> list[tuple[str, _Head]]:
    # One search of an index for each destination, so that one with a long queue costs the others nothing.
    destinations, found = _destinations(reader, without), list[tuple[str, _Head]]()
    for query, key in (("due_letters", _urgent), ("due_heads", None)):
        heads = [
            sorted(((_Head(*row), name) for row in rows), key=key)
            for about, name in destinations
            if (rows := reader.rows(query, destination=about, now=now, most=most - len(found)))
        ]
        found += [(name, head) for head, name in islice(heapq.merge(*heads, key=key), most - len(found))]
    return found
