"""
What a month was, in figures without identities: what was counted of its messages, and what the rows say besides.

This module must never let anything of one message through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from mhbridge.adapters.sql.books import when
from mhbridge.adapters.sql.reading import Reader
from mhbridge.model import DeliveryState
from mhbridge.ports import LEVELS, Figure, Measure

__all__ = ["figures"]

_THREE_DAYS: Final = timedelta(hours=72)
_ON_ITS_WAY: Final = frozenset({
    DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.RETRY, DeliveryState.AWAITING,
})  # fmt: skip
_WITHDRAWN: Final = frozenset({DeliveryState.SUPERSEDED, DeliveryState.CANCELLED})


def figures(reader: Reader, month: str, since: int, until: int, now: int) -> list[Figure]:
    """All figures of a month, which is from one instant until another."""
    found: Counter[tuple[Measure, str, str, str, str, str]] = Counter()
    with reader.snapshot():
        names: dict[int, str] = dict(reader.rows("destinations"))
        for mapping, kind, what, name, said, n in reader.rows("figures", month=month):
            found[Measure(what), mapping, "", kind, name, said] += n
        for feed, state in reader.rows("feeds_of_messages"):
            rows = reader.rows("figures_of_deliveries", feed=feed, state=state, since=since, until=until)
            for destination, kind, moved, level, refused, n in rows:
                to = names.get(destination, "?")
                found[Measure.DELIVERY, feed, to, kind, "", _reached(DeliveryState(moved), level)] += n
                if refused:
                    found[Measure.REFUSED, feed, to, kind, "", ""] += n
        for clock, feed, to, kind, said in _clocks(reader, names, since, until, now):
            found[Measure.CLOCK, feed, to, kind, clock, said] += 1
    return [Figure(*about, n) for about, n in sorted(found.items()) if n]


def _reached(state: DeliveryState, level: int) -> str:
    """How far a delivery got."""
    if state in _WITHDRAWN and level < LEVELS.index("accepted"):
        return "withdrawn"
    if level >= LEVELS.index("accepted"):
        return LEVELS[level]
    if state is DeliveryState.PARKED:
        return "waits for a person"
    if state is DeliveryState.CLOSED:
        return "ended by a person"
    return "under way" if state in _ON_ITS_WAY else LEVELS[level]


def _clocks(
    reader: Reader, names: Mapping[int, str], since: int, until: int, now: int
) -> Iterator[tuple[str, str, str, str, str]]:
    rows: list[Any] = reader.rows("figures_of_clocks", since=since, until=until)
    for name, kind, destination, state, started_at, due_at, met_at, feed in rows:
        yield name, feed, names.get(destination, ""), kind, _stood(state, started_at, due_at, met_at, now)


def _stood(state: str, started_at: int, due_at: int, met_at: int | None, now: int) -> str:
    """How a deadline was kept."""
    match state:
        case "met" | "excluded":
            return state
        case "late":
            soon = met_at is not None and when(met_at) - when(started_at) <= _THREE_DAYS
            return "within 72 h" if soon else "later"
    return "running" if due_at > now else "missed"
