"""
Which messages fit what somebody looks for: by an identifier, or by feed, state and time; the newest first, in pages.

Every question is one search of an index for each thing that it can begin with, and what these find is merged. None
walks over messages that do not fit, however many there are. This module must never write what is looked for anywhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from mhbridge.adapters.sql.searching import OF_PATIENTS
from mhbridge.model import MessageState
from mhbridge.ports import Sought

__all__ = ["LAST", "Rows", "Search", "found"]

#: Larger than every id and every time.
LAST: Final = (1 << 63) - 1


class Search(NamedTuple):
    """
    What is looked for. Times are those of receipt, in microseconds: `since` is in, `until` is out.

    Args:
        tokens: of what it may be found under; without any, and without `remote_id`, by the rest alone.
    """

    state: str = ""
    feed: str = ""
    tokens: Mapping[Sought, bytes] = MappingProxyType({})
    remote_id: str = ""
    since: int = 0
    until: int = LAST


class Rows(Protocol):
    """What runs a query by its name."""

    def rows(self, name: str, /, **values: Any) -> list[Any]:
        """The rows that it finds."""

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of its first row, or `None`."""


def found(reader: Rows, sought: Search, before: int, most: int) -> list[int]:
    """The ids of at most so many messages."""
    if sought.tokens or sought.remote_id:
        return _by_identifier(reader, sought, before, most)
    return _by_time(reader, sought, before, most)


def _by_identifier(reader: Rows, sought: Search, before: int, most: int) -> list[int]:
    fits: dict[str, Any] = {
        "state": sought.state, "feed": sought.feed, "since": sought.since, "until": sought.until,
        "before": before, "most": most,
    }  # fmt: skip
    pages: list[list[Any]] = []
    for kind, token in sought.tokens.items():
        pages.append(reader.rows("newest_with_property", token=token, **fits))
        if kind in OF_PATIENTS:
            pages.append(reader.rows("newest_of_identity", token=token, **fits))
    if sought.remote_id:
        pages.append(reader.rows("newest_with_remote_id", remote_id=sought.remote_id, **fits))
    return sorted({about for page in pages for (about,) in page}, reverse=True)[:most]


def _by_time(reader: Rows, sought: Search, before: int, most: int) -> list[int]:
    at = before
    if before != LAST:
        # The message that the last page ended with may be gone by now: then its place is that of the one before it.
        at = reader.value("received_at_or_before", id=before)
        if at is None:
            return []
    if sought.until <= at:
        at, before = sought.until, 0
    fits: dict[str, Any] = {"since": sought.since, "at": at, "before": before, "most": most}
    pages: list[Sequence[Any]] = [
        reader.rows("newest_in_state", feed=feed, state=state, **fits) for feed, state in _pairs(reader, sought)
    ]
    if sought.state == MessageState.PARKED:
        pages.append(reader.rows("newest_with_parked_delivery", feed=sought.feed, **fits))
    # A parked message may have a parked delivery as well, and is found by either.
    newest = groupby(heapq.merge(*pages, reverse=True))
    return [about for (_, about), _ in islice(newest, most)]


def _pairs(reader: Rows, sought: Search) -> set[tuple[str, str]]:
    """The feeds and states that there are: the index is of both together, so each of the few pairs is one search."""
    return {
        (feed, state)
        for feed, what, state, _ in reader.rows("tallies")
        if what == "message" and feed == (sought.feed or feed) and state == (sought.state or state)
    }
