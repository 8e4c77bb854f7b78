"""
What was read: which leaves an entry of a trace says are in an item, decided something, or failed.

This module must never say what was not read: that is asked of the mapping's paths (`reaching`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from mhbridge.formats import PLACE_BITS, Cell, Format, Message, Source
from mhbridge.mapping import marks
from mhbridge.mapping.conversions import WHOLE, Context
from mhbridge.mapping.ledger.cells import BOUND, FAILED, LONGEST, MOST_REACHED, SELECTOR, Into, add, hold
from mhbridge.mapping.marks import Mark, Trace, raw_of

__all__ = ["VALUES", "Taking"]

_ALL: Final = frozenset({WHOLE})
#: Entries that hold a raw value.
VALUES: Final = frozenset({marks.READ, marks.READ_IN_PART, marks.FAILED, marks.FAILED_WHOLE})
_FAILURES: Final = frozenset({marks.FAILED, marks.FAILED_WHOLE})


class Taking:
    """
    What a mapping takes of a message, by the trace of one run.

    Args:
        paths: those of the mapping.
        context: to ask conversions what they use; takes no notes.
        nested: the format is `formats.Nested`.
    """

    def __init__(
        self, format_: Format, source: Source, paths: Iterable[Mark], context: Context, *, nested: bool
    ) -> None:
        self._format = format_
        self._source = source
        self._context = context
        self._nested = nested
        self._add: Callable[[Iterable[Cell], int, Any], None] = hold if self._nested else add
        asking = [mark for mark in paths if mark.always and mark.spot.asks]
        questions = {mark.spot.question for mark in asking} - {None}
        #: Paths whose predicates are asked in every message; those that ask what another does are left out.
        self._asking = [mark for mark in asking if mark.spot.question is not None or mark.spot.subject not in questions]
        everywhere = {mark.spot.question: mark.spot.everywhere for mark in asking if mark.spot.everywhere is not None}
        #: Of these, the questions that look at every group of a kind: kind → a place, or what is alike → mask.
        self._selecting: dict[str, dict[int, int]] = {}
        for kind, place, mask in everywhere.values():
            here = self._selecting.setdefault(kind, {})
            here[place] = here.get(place, 0) | mask
        self._settled = frozenset(everywhere)
        self._waiting = [
            mark for mark in self._asking if self._settled.isdisjoint((mark.spot.question, mark.spot.within))
        ]
        #: The kinds of group that these paths ask about; the empty one is any.
        self._wait_for = frozenset([mark.spot.kind for mark in self._waiting])
        self._structures: dict[tuple[Cell, ...], list[tuple[int, list[int]]]] = {}

    @property
    def selects_nowhere(self) -> bool:
        """No question looks at every group of a kind."""
        return not self._selecting

    def asks_of(self, kinds: Collection[str]) -> bool:
        """Whether what a message says decides what is asked of groups of these kinds."""
        return not self._wait_for.isdisjoint((*kinds, ""))

    def take(self, message: Message, trace: Trace, into: Into, kinds: Collection[str] | None = None) -> None:
        """
        Add what a trace says to what was taken, but for what is selected everywhere.

        Args:
            kinds: the kinds of group that there are, where they tell what there is to be asked.
        """
        top = self._format.cursor(message)
        asking = []
        if kinds is None or self.asks_of(kinds):
            asking = [(mark, top) for mark in self._waiting]
        context, nested = self._context, self._nested
        for mark, kind, raw, cursor in trace:
            if kind > marks.PLAIN:
                into[cursor.position].append(kind)
            elif kind == marks.READ and mark.converts:
                # Nearly every entry: a value that went into an item.
                used = mark.used
                state = SELECTOR if mark.decides else BOUND
                take = mark.spot.hold if nested else mark.spot.take
                take(raw, mark.reads if used is None else used(raw, context), into, state)
            elif kind == marks.ASKED:
                asking.append((mark, cursor))
            elif kind < 0:
                into[cursor.position].append(-kind)
            else:
                if kind in _FAILURES:
                    state = FAILED
                elif kind == marks.COMPARED or (mark.decides and kind != marks.KEPT):
                    state = SELECTOR
                else:
                    state = BOUND
                self._add(self._others(mark, kind, raw, cursor), state, into)
        if asking:
            self._asked(asking, top, into)

    def take_structure(self, message: Message, into: Into) -> None:
        """Add what the format itself reads; messages of a sender are much alike in that."""
        if self._nested:
            hold(self._format.structural(message, self._source), SELECTOR, into)
            return
        cells = tuple(self._format.structural(message, self._source))
        codes = self._structures.get(cells)
        if codes is None:
            groups = 1 + max([cell >> PLACE_BITS for cell, _ in cells], default=0)
            held: list[list[int]] = [[] for _ in range(groups)]
            add(cells, SELECTOR, held)
            codes = [(group, found) for group, found in enumerate(held) if found]
            if len(cells) <= LONGEST:
                if len(self._structures) >= MOST_REACHED:
                    self._structures.clear()
                self._structures[cells] = codes
        for group, found in codes:
            into[group] += found

    def selecting(self, kind: str, place: int) -> int:
        """The leaves at a place that questions look at in every group of a kind."""
        here = self._selecting.get(kind)
        return 0 if here is None else here.get(place, 0) | here.get(self._format.like(place), 0)

    def _others(self, mark: Mark, kind: int, raw: Any, cursor: Any) -> Iterable[Cell]:
        """The leaves of an entry of any kind but a question."""
        spot = mark.spot
        found: Iterable[Cell] = ()
        if kind in (marks.READ, marks.FAILED, marks.COMPARED):
            found = self._cells(mark, raw)
        elif kind == marks.READ_IN_PART:
            found = self._cells_in_part(mark, *raw)
        elif kind == marks.FAILED_WHOLE:
            found = spot.cells(raw, _ALL)
        elif kind == marks.DELETES:
            found = spot.deleted(cursor)[: None if mark.many else 1]
        elif kind == marks.KEPT:
            found = spot.every(cursor, _ALL)
        return found

    def _cells(self, mark: Mark, raw: Any) -> Iterable[Cell]:
        """The leaves that the result of a value depends on."""
        made = mark.conversion
        if made is None:
            found: Iterable[Cell] = mark.spot.present(raw)
            return found
        used = made.reads if made.used is None else made.used(raw, self._context)
        cells: Iterable[Cell] = mark.spot.cells(raw, used)
        return cells

    def _cells_in_part(self, mark: Mark, raw: Any, unused: frozenset[str]) -> Iterable[Cell]:
        """The same, without what a function left out."""
        made = mark.conversion
        assert made is not None
        used = made.reads if made.used is None else made.used(raw, self._context)
        left = used.difference(*(made.parts.get(part, ()) for part in unused))
        cells: Iterable[Cell] = mark.spot.cells(raw, left)
        return cells

    def _asked(self, asking: list[tuple[Mark, Any]], top: Any, into: Into) -> None:
        # Many paths ask the same leaves of the same segments (every part of a letter asks OBX-3): once is enough, and
        # those that look at all of them first.
        seen: set[tuple[int, Any]] = {(id(top), question) for question in self._settled}
        #: Of a message that is one group, in which different questions look at much the same.
        looked: set[Cell] = set()
        rest: list[tuple[Mark, Any]] = []
        for mark, cursor in asking:
            question = mark.spot.question
            if question is None:
                rest.append((mark, cursor))
            elif (key := (id(cursor), question)) not in seen:
                seen.add(key)
                if not self._nested:
                    add(mark.spot.questioned(cursor), SELECTOR, into)
                else:
                    looked.update(mark.spot.questioned(cursor))
        if looked:
            hold(looked, SELECTOR, into)
        for mark, cursor in rest:
            if seen.isdisjoint(((id(cursor), mark.spot.subject), (id(cursor), mark.spot.within))):
                self._add([(cell, mask) for cell, mask, _ in mark.spot.asked(cursor)], SELECTOR, into)

    def takers(self, message: Message, trace: Trace) -> Iterator[tuple[int, int, str]]:
        """Cell, mask and path of all that was taken; for the detailed ledger."""
        top = self._format.cursor(message)
        asked = [(mark, top) for mark in self._asking]
        for entry in trace:
            mark, kind, raw, cursor = entry
            if kind == marks.READ_IN_PART:
                yield from ((cell, mask, mark.path) for cell, mask in self._cells_in_part(mark, *raw))
            elif kind > marks.PLAIN or kind in VALUES:
                yield from ((cell, mask, mark.path) for cell, mask in self._cells(mark, raw_of(entry)))
            elif kind == marks.ASKED:
                asked.append((mark, cursor))
            elif kind == marks.DELETES:
                yield from ((cell, mask, mark.path) for cell, mask in mark.spot.deleted(cursor))
            elif kind == marks.KEPT:
                yield from ((cell, mask, mark.path) for cell, mask in mark.spot.every(cursor, _ALL))
        for mark, cursor in asked:
            yield from ((cell, mask, mark.path) for cell, mask, said in mark.spot.asked(cursor) if said)
