"""
Counting all rows without reading all rows: what has ended is counted once, and its count is kept.

Ids come from one sequence and are written in its order, so the rows of a slice of ids are all there once a later id
is. A slice that is there is counted, its open rows are written down, and from then on only those are looked at: what
has ended changes no more. Whoever finds a difference counts everything again before saying so (`forget`); and one
slice in turn is counted again at each look, so that what was damaged later is found within a day.

This module must never hold a snapshot while it counts more than one slice.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, Protocol

__all__ = ["Counted", "Counts"]

#: Ids of a slice: some 10,000 messages, which take about 20 ms.
_SLICE: Final = 1 << 16
#: Where more of the rows than one in so many are open, counting them is cheaper than looking at each.
_FEW: Final = 32
_AT_ONCE: Final = 512
_LAST: Final = (1 << 63) - 1


class Reading(Protocol):
    """What runs a query by its name."""

    def rows(self, name: str, /, **values: Any) -> list[Any]:
        """The rows that it finds."""

    def among(self, name: str, keys: Sequence[Any]) -> list[Any]:
        """The rows that a query with `:each` finds for these keys."""

    def value(self, name: str, /, **values: Any) -> Any:
        """The one value of its first row, or `None`."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one instant."""


@dataclass(slots=True)
class Counted:
    """
    Rows, counted.

    Args:
        envelopes: feed → how many.
        messages: feed and state → how many.
        deliveries: destination's id, state and level → how many.
        envelopes_wrong: so many have not the messages that were counted in them (C2).
        fanout_wrong: so many messages have not the deliveries that were planned (C3).
    """

    envelopes: Counter[str] = field(default_factory=Counter)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    deliveries: Counter[tuple[int, str, int]] = field(default_factory=Counter)
    envelopes_wrong: int = 0
    fanout_wrong: int = 0

    def add(self, other: Counted) -> None:
        """Count these as well."""
        self.envelopes.update(other.envelopes)
        self.messages.update(other.messages)
        self.deliveries.update(other.deliveries)
        self.envelopes_wrong += other.envelopes_wrong
        self.fanout_wrong += other.fanout_wrong


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A slice whose ended rows need not be counted again, and which of its rows were open then."""

    ended: Counted
    messages: array[int]
    deliveries: array[int]


class Counts:
    """
    The counts of one store, kept by who reads it.

    Args:
        slice_: how many ids a slice has.
    """

    def __init__(self, slice_: int = _SLICE) -> None:
        self._width = slice_
        #: Slice n is of the ids after n · width. `None`: it is counted at each look.
        self._slices: list[_Sealed | None] = []
        self._turn = 0
        #: The differences that were found when everything was counted.
        self.said: tuple[str, ...] = ()

    def forget(self) -> None:
        """Count everything again."""
        self._slices.clear()

    def seal(self, reader: Reading) -> None:
        """Count the slices that are there since the last look, and one of the others in turn."""
        last = reader.value("last_row") or 0
        while (len(self._slices) + 1) * self._width < last:
            self._slices.append(self._sealed(reader, len(self._slices)))
        if self._slices:
            self._turn = (self._turn + 1) % len(self._slices)
            self._slices[self._turn] = self._sealed(reader, self._turn)

    def count(self, reader: Reading) -> Counted:
        """All rows, within the snapshot of the caller."""
        found = Counted()
        for number, one in enumerate(self._slices):
            found.add(self._live(reader, number) if one is None else one.ended)
        tail = len(self._slices) * self._width
        found.add(_between(reader, tail, _LAST))
        if tail:
            # A delivery of an older message, as one that is sent again.
            found.fanout_wrong += reader.value("fanout_wrong_of_new", after=tail)
        sealed = [one for one in self._slices if one is not None]
        for feed, state, n in _among(reader, "count_these_messages", (one.messages for one in sealed)):
            found.messages[feed, state] += n
        for destination, state, level, n in _among(
            reader, "count_these_deliveries", (one.deliveries for one in sealed)
        ):
            found.deliveries[destination, state, level] += n
        return found

    def _live(self, reader: Reading, number: int) -> Counted:
        return _between(reader, number * self._width, (number + 1) * self._width)

    def _sealed(self, reader: Reading, number: int) -> _Sealed | None:
        after, to = number * self._width, (number + 1) * self._width
        with reader.snapshot():
            found = _between(reader, after, to)
            if found.envelopes_wrong or found.fanout_wrong:
                return None
            messages = array("q", (about for (about,) in reader.rows("open_messages_between", after=after, to=to)))
            deliveries = array("q", (about for (about,) in reader.rows("open_deliveries_between", after=after, to=to)))
            rows = found.messages.total() + found.deliveries.total()
            if (len(messages) + len(deliveries)) * _FEW > rows:
                return None
            for feed, state, n in _among(reader, "count_these_messages", [messages]):
                found.messages[feed, state] -= n
            for about, state, level, n in _among(reader, "count_these_deliveries", [deliveries]):
                found.deliveries[about, state, level] -= n
        return _Sealed(found, messages, deliveries)


def _between(reader: Reading, after: int, to: int) -> Counted:
    """Rows with ids after one, up to another."""
    ids = {"after": after, "to": to}
    return Counted(
        Counter(dict(reader.rows("count_envelopes", **ids))),
        Counter({(feed, state): n for feed, state, n in reader.rows("count_messages", **ids)}),
        Counter({(about, state, level): n for about, state, level, n in reader.rows("count_deliveries", **ids)}),
        reader.value("envelopes_wrong", **ids),
        reader.value("fanout_wrong", **ids),
    )


def _among(reader: Reading, name: str, keys: Iterable[Iterable[int]]) -> Iterator[Any]:
    """What a query with `:each` counts, for so many keys at once as it takes."""
    waiting = chain.from_iterable(keys)
    while some := list(islice(waiting, _AT_ONCE)):
        yield from reader.among(name, some)
