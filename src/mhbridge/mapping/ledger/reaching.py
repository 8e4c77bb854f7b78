"""
What was passed over: the leaves that paths of a mapping reach in a message, and did not take.

This module must never look at what was made of a value: a leaf that was read and not used was passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from typing import Any

from mhbridge.formats import Cell, Format, Message
from mhbridge.mapping import marks
from mhbridge.mapping.ledger.cells import LONGEST, MOST_REACHED
from mhbridge.mapping.ledger.levels import Level, marks_of, narrowed
from mhbridge.mapping.ledger.taking import VALUES
from mhbridge.mapping.marks import Mark, Trace, raw_of

__all__ = ["Reaching"]


class Reaching:
    """
    What the paths of a mapping reach.

    Args:
        top: all of them.
        nested: the format is `formats.Nested`.
    """

    def __init__(self, format_: Format, top: Level, *, nested: bool) -> None:
        self._format = format_
        self._nested = nested
        self._top = top
        self._reached: dict[frozenset[Any], tuple[Level, frozenset[Mark]]] = {}

    def asks(self, touched: frozenset[Any]) -> bool:
        """Whether it depends on what a message says, and not on its shapes alone, which of these leaves are reached."""
        return self._reaching(touched)[0].asks

    def passed_over(
        self, message: Message, trace: Trace, touched: frozenset[Any], among: Collection[int]
    ) -> dict[int, int]:
        """
        The leaves that paths of the mapping reach and did not take.

        Args:
            touched: what is asked about (`Format.touched`); the rest is left out.
            among: the cells that are asked about.
        """
        found: dict[int, int] = {}
        level, reaching = self._reaching(touched)
        if reaching:
            places = sorted(among) if self._nested else ()
            used = self._used(trace, reaching, among, places)
            self._reach(level, self._format.cursor(message), used, among, found, places)
        return found

    def decided_by(self, trace: Trace, touched: frozenset[Any], among: Container[int]) -> Any:
        """
        What decides, beside the kinds of groups and the shapes of those that are asked about, which of these leaves
        were passed over; `None` where it is what the message says.
        """
        level, reaching = self._reaching(touched)
        if level.asks:
            return None
        return frozenset(self._used(trace, reaching, among)) if reaching else ()

    @staticmethod
    def _used(
        trace: Trace, reaching: Container[Mark], among: Container[int], places: Sequence[int] = ()
    ) -> set[tuple[Mark, int]]:
        """Which paths read which of the cells."""
        return {
            (mark, cell)
            for entry in trace
            if (mark := entry[0]) in reaching and ((kind := entry[1]) > marks.PLAIN or kind in VALUES)
            for cell, _ in _held(mark, entry[2][0] if kind == marks.READ_IN_PART else raw_of(entry), places)
            if cell in among
        }

    def _reaching(self, touched: frozenset[Any]) -> tuple[Level, frozenset[Mark]]:
        """The paths that may read what is touched. Messages of a sender leave much the same open, so it is kept."""
        found = self._reached.get(touched)
        if found is None:
            level = narrowed(self._top, touched)
            found = level, frozenset(marks_of(level))
            if len(touched) <= LONGEST:
                if len(self._reached) >= MOST_REACHED:
                    self._reached.clear()
                self._reached[touched] = found
        return found

    def _reach(
        self,
        level: Level,
        cursor: Any,
        taken: set[tuple[Mark, int]],
        among: Collection[int],
        found: dict[int, int],
        places: Sequence[int],
    ) -> None:
        for mark in level.marks:
            spot = mark.spot
            cells = spot.standing(cursor, mark.reads, places) if places else spot.every(cursor, mark.reads)
            for cell, mask in cells:
                # What was read and not used stays open: the value did not depend on it.
                if cell in among and (mark, cell) not in taken:
                    found[cell] = found.get(cell, 0) | mask
        for loop, below, _ in level.loops:
            for inner in loop.cursors(cursor):
                if places and below.holds is not None and not below.holds(inner, places):
                    continue
                self._reach(below, inner, taken, among, found, places)


def _held(mark: Mark, raw: Any, places: Sequence[int]) -> Iterable[Cell]:
    """The cells of a raw value; none, where it can be told quickly that it holds none of some places."""
    if places and not mark.spot.holds(raw, places):
        return ()
    cells: Iterable[Cell] = mark.spot.cells(raw, mark.reads)
    return cells
