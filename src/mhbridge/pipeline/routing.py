"""
Feeds and routes: where the messages of a supplier go to be read, and where what is made of them goes.

This module must never look at a message, only at its items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.clocks import ReadyClock
from mhbridge.mapping.packs import Stale
from mhbridge.mapping.watches import ReadyLook, ReadyWatch
from mhbridge.model import Carry, Reading

__all__ = ["Feed", "Route", "destinations", "ends_here"]


@dataclass(frozen=True, slots=True)
class Route:
    """
    Which documents go to which destinations.

    Args:
        documents: document types.
        to: names of destinations; none: what fits is known here and sent to nobody, which is as it should be.
        when: a condition over the items (derived ones included); `None` is always.
    """

    documents: frozenset[str]
    to: tuple[str, ...]
    when: Callable[[str, Mapping[str, Any]], bool] | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """
    One supplier's stream: the mappings its messages are dispatched to, and where the documents go.

    Args:
        supplier: the supplier's name.
        name: by which receipts are counted: `supplier/receiver`, or `supplier/feed` where the sender names it.
        parked: what the sender of a message that must wait for a person is told: `accept` or `refuse`.
        live: real patients: a message that says it is a trial waits for a person.
        targets: destination → target shape.
        needs: destination → level at which a delivery is done; 2, accepted, where it is not named.
        clocks: document type → the clocks that its messages start or meet.
        carries: type of a letter → what the supplier's events may give it.
        stale: type of a letter → what makes it out of date.
        looks: document type → what its messages may be to any watch that there is.
        watches: what the messages of this feed tell of, where they are our own.
        extracts: name of a mapping → what is made beside its letters, of those document types that have a route.
    """

    supplier: str
    name: str
    mappings: tuple[SupplierMapping, ...]
    routes: tuple[Route, ...] = ()
    parked: str = "accept"
    live: bool = True
    targets: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, int] = field(default_factory=dict)
    clocks: Mapping[str, tuple[ReadyClock, ...]] = field(default_factory=dict)
    carries: Mapping[str, Carry] = field(default_factory=dict)
    stale: Mapping[str, tuple[Stale, ...]] = field(default_factory=dict)
    looks: Mapping[str, Sequence[tuple[int, ReadyLook]]] = field(default_factory=dict)
    watches: tuple[ReadyWatch, ...] = ()
    extracts: Mapping[str, tuple[SupplierMapping, ...]] = field(default_factory=dict)


def destinations(
    mapping: SupplierMapping,
    reading: Reading,
    items: Mapping[str, Any],
    feed: Feed,
    now: datetime,
    *,
    document: str = "",
) -> tuple[str, ...]:
    """
    The destinations of every route that fits, each once, in the order of the routes.

    Args:
        document: type of the document that is routed, where it is not that of the reading.
    """
    fitting = _fitting(mapping, reading, items, feed, now, document or reading.document)
    return tuple(dict.fromkeys(name for route in fitting for name in route.to))


def ends_here(mapping: SupplierMapping, reading: Reading, items: Mapping[str, Any], feed: Feed, now: datetime) -> bool:
    """Whether a route says of this document that nobody is sent it."""
    return any(not route.to for route in _fitting(mapping, reading, items, feed, now, reading.document))


def _fitting(
    mapping: SupplierMapping, reading: Reading, items: Mapping[str, Any], feed: Feed, now: datetime, document: str
) -> Iterator[Route]:
    complete: Mapping[str, Any] | None = None
    for route in feed.routes:
        if document not in route.documents:
            continue
        if route.when is not None:
            complete = complete if complete is not None else mapping.derived(reading, items, now)
            if not route.when(document, complete):
                continue
        yield route
