"""
The field ledger: what became of every populated leaf of a message (mapping language §10).

Each leaf is in exactly one state, the first of these that holds:

    failed       read, and it would not convert, or its code was refused or omitted
    bound        read, and its value is in an item
    selector     it decided a predicate or a condition, or how the message itself is read and answered
    ignored      the mapping names it under `ignore`, with the reason
    passed over  the mapping can reach it, but took another alternative, repetition or branch
    unmapped     no mapping mentions it

It is drawn up after a message was read, from the entries that reading left in the trace and the leaves that the format
finds populated. A leaf counts as bound only as far as its conversion says that this very value depends on it. Paths go
into a ledger, and never contents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mhbridge.formats import (
    PLACE,
    PLACE_BITS,
    STATE_BITS,
    Cell,
    Format,
    Loop,
    Message,
    Nested,
    Path,
    Source,
    no_more,
    nowhere,
)
from mhbridge.mapping import marks, nodes
from mhbridge.mapping.conversions import WHOLE, Context
from mhbridge.mapping.marks import Mark, Trace, raw_of
from mhbridge.model import LeafState, Ledger

__all__ = ["FieldLedger", "Leaf", "Taken", "always_read", "detailed", "drawn_up"]

_ALL: Final = frozenset({WHOLE})
#: Entries that hold a raw value.
_VALUES: Final = frozenset({marks.READ, marks.READ_IN_PART, marks.FAILED, marks.FAILED_WHOLE})
_FAILURES: Final = frozenset({marks.FAILED, marks.FAILED_WHOLE})

#: What became of a leaf that was read, in the lowest bits of what is taken of a group.
_BOUND: Final = 0
_SELECTOR: Final = 1
_FAILED: Final = 2
#: Bits of each of the three counts that are added up as one number.
_WIDTH: Final = 32
#: What is remembered of groups, and how long a group may be for that.
_MOST: Final = 2048
_LONGEST: Final = 512
_MOST_REACHED: Final = 256
#: Messages in which more was read are seldom alike.
_MOST_READ: Final = 160


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    One leaf in the detailed ledger.

    Args:
        path: of this leaf: `PID-3[2].4`.
        like: of all leaves like it: `PID-3.4`.
        by: the paths of the mapping that took it: that bound it, or whose predicate it satisfied.
        reason: why it is ignored.
    """

    path: str
    like: str
    state: LeafState
    by: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Level:
    """
    The paths that are read at one place, and the loops that begin there.

    Args:
        asks: what a path or a loop reaches here or below depends on what a message says, not on its shapes alone.
        holds: where nothing is reached but what is in a cursor, whether any of some places is in one.
    """

    marks: tuple[Mark, ...]
    loops: tuple[tuple[Loop, _Level, bool], ...]
    touches: frozenset[Any]
    asks: bool
    holds: Callable[[Any, Sequence[int]], bool] | None


#: Place → mask of what is bound, of selectors, and of what failed.
_States: TypeAlias = tuple[dict[int, int], dict[int, int], dict[int, int]]
#: What was taken: of each group, each cell and its state as one number; of a message that is one group its states.
_Into: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class _Outcome:
    """
    What became of the leaves of one group.

    Args:
        counts: bound, selectors and ignored, put together as one number (`_WIDTH` bits each).
        failed: the places that failed.
        open: the places that are none of these.
    """

    counts: int
    failed: tuple[Cell, ...]
    open: tuple[Cell, ...]


class FieldLedger:
    """
    All that a mapping says of leaves, made once when it is compiled.

    Args:
        ignored: (path, reason) of what the mapping ignores.
        context: to ask conversions what they use; takes no notes.
    """

    def __init__(
        self,
        format_: Format,
        source: Source,
        items: tuple[nodes.BoundItem, ...],
        ignored: Sequence[tuple[Path, str]],
        context: Context,
    ) -> None:
        self.format = format_
        self.nested = format_ if isinstance(format_, Nested) else None
        self._add: Callable[[Iterable[Cell], int, Any], None] = _add if self.nested is None else _hold
        self.source = source
        self.context = context
        self._ignored = [(format_.ignored(path), reason) for path, reason in ignored]
        #: (kind, place) → mask of what is ignored in every message; and what else is in one message.
        self.ignoring, self.ignoring_here = format_.ignoring([path for path, _ in ignored])
        self._top = _level(items)
        for read in always_read(items):
            read.mark.always = True
        self.marks = tuple(_marks(self._top))
        asking = [mark for mark in self.marks if mark.always and mark.spot.asks]
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
        #: Nothing is known of any place before a message is read.
        self.anywhere = not self._selecting and self.ignoring is nowhere
        self._waiting = [
            mark for mark in self._asking if self._settled.isdisjoint((mark.spot.question, mark.spot.within))
        ]
        #: The kinds of group that these paths ask about; the empty one is any.
        self._wait_for = frozenset([getattr(mark.spot, "kind", "") for mark in self._waiting])
        self._by_shape = bool(getattr(format_, "reached_by_shape", False)) and self.ignoring_here is no_more
        #: What decides of a whole message (`alike`) → its ledger.
        self.whole: dict[Any, Ledger] = {}
        #: Kind and shape of a group, and what was taken of it → what became of its leaves.
        self.known: dict[Any, _Outcome] = {}
        self._reached: dict[frozenset[Any], tuple[_Level, frozenset[Mark]]] = {}
        self._structures: dict[tuple[Cell, ...], list[tuple[int, list[int]]]] = {}
        #: What was left open and what decides of that (`_left_over`) → what was passed over, and what is unmapped.
        self.left: dict[Any, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    # -- what was read --------------------------------------------------------------------------------------

    def alike(self, message: Message, trace: Trace, kinds: Sequence[str], shapes: Sequence[Any]) -> Any:
        """
        What tells messages apart whose ledgers differ: shapes, and which path read what of which group. `None` where it
        is what the message says, or so much that no other is like it.
        """
        if not self._by_shape or len(trace) > _MOST_READ or not self._wait_for.isdisjoint((*kinds, "")):
            return None
        if sum(map(len, shapes)) > _LONGEST:
            return None
        read: list[Any] = []
        for mark, kind, raw, cursor in trace:
            if kind > marks.PLAIN or kind < 0:
                read.append((mark, kind, cursor.position))
            elif kind == marks.READ and not mark.converts:
                read.append((mark, *mark.spot.present(raw)))
            else:
                return None
        return tuple(kinds), tuple(shapes), tuple(read), self.format.structural(message, self.source)

    def by_shape(self, left: Iterable[Cell], message: Message) -> bool:
        """Whether shapes decide which of these leaves were passed over."""
        return not self._reaching(frozenset([self.format.touched(message, cell) for cell, _ in left]))[0].asks

    def take(self, message: Message, trace: Trace, into: _Into, kinds: Collection[str] | None = None) -> None:
        """
        Add what a trace says to what was taken, but for what is selected everywhere.

        Args:
            kinds: the kinds of group that there are, where they tell what there is to be asked.
        """
        top = self.format.cursor(message)
        asking = []
        if kinds is None or not self._wait_for.isdisjoint((*kinds, "")):
            asking = [(mark, top) for mark in self._waiting]
        context, nested = self.context, self.nested is not None
        for mark, kind, raw, cursor in trace:
            if kind > marks.PLAIN:
                into[cursor.position].append(kind)
            elif kind == marks.READ and mark.converts:
                # Nearly every entry: a value that went into an item.
                used = mark.used
                state = _SELECTOR if mark.decides else _BOUND
                take = mark.spot.hold if nested else mark.spot.take
                take(raw, mark.reads if used is None else used(raw, context), into, state)
            elif kind == marks.ASKED:
                asking.append((mark, cursor))
            elif kind < 0:
                into[cursor.position].append(-kind)
            else:
                if kind in _FAILURES:
                    state = _FAILED
                elif kind == marks.COMPARED or (mark.decides and kind != marks.KEPT):
                    state = _SELECTOR
                else:
                    state = _BOUND
                self._add(self._others(mark, kind, raw, cursor), state, into)
        if asking:
            self._asked(asking, top, into)

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
        used = made.reads if made.used is None else made.used(raw, self.context)
        cells: Iterable[Cell] = mark.spot.cells(raw, used)
        return cells

    def _cells_in_part(self, mark: Mark, raw: Any, unused: frozenset[str]) -> Iterable[Cell]:
        """The same, without what a function left out."""
        made = mark.conversion
        assert made is not None
        used = made.reads if made.used is None else made.used(raw, self.context)
        left = used.difference(*(made.parts.get(part, ()) for part in unused))
        cells: Iterable[Cell] = mark.spot.cells(raw, left)
        return cells

    def _asked(self, asking: list[tuple[Mark, Any]], top: Any, into: _Into) -> None:
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
                if self.nested is None:
                    _add(mark.spot.questioned(cursor), _SELECTOR, into)
                else:
                    looked.update(mark.spot.questioned(cursor))
        if looked:
            _hold(looked, _SELECTOR, into)
        for mark, cursor in rest:
            if seen.isdisjoint(((id(cursor), mark.spot.subject), (id(cursor), mark.spot.within))):
                self._add([(cell, mask) for cell, mask, _ in mark.spot.asked(cursor)], _SELECTOR, into)

    def take_structure(self, message: Message, into: _Into) -> None:
        """Add what the format itself reads; messages of a sender are much alike in that."""
        if self.nested is not None:
            _hold(self.format.structural(message, self.source), _SELECTOR, into)
            return
        cells = tuple(self.format.structural(message, self.source))
        codes = self._structures.get(cells)
        if codes is None:
            groups = 1 + max([cell >> PLACE_BITS for cell, _ in cells], default=0)
            held: list[list[int]] = [[] for _ in range(groups)]
            _add(cells, _SELECTOR, held)
            codes = [(group, found) for group, found in enumerate(held) if found]
            if len(cells) <= _LONGEST:
                if len(self._structures) >= _MOST_REACHED:
                    self._structures.clear()
                self._structures[cells] = codes
        for group, found in codes:
            into[group] += found

    def selecting(self, kind: str, place: int) -> int:
        """The leaves at a place that questions look at in every group of a kind."""
        here = self._selecting.get(kind)
        return 0 if here is None else here.get(place, 0) | here.get(self.format.like(place), 0)

    # -- what was not ---------------------------------------------------------------------------------------

    def ignored(self, message: Message) -> Iterator[tuple[int, int, str]]:
        """The leaves that the mapping ignores, and why."""
        for find, reason in self._ignored:
            for cell, mask in find(message):
                yield cell, mask, reason

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
            places = sorted(among) if self.nested is not None else ()
            used = self._used(trace, reaching, among, places)
            self._reach(level, self.format.cursor(message), used, among, found, places)
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
            if (mark := entry[0]) in reaching and ((kind := entry[1]) > marks.PLAIN or kind in _VALUES)
            for cell, _ in _held(mark, entry[2][0] if kind == marks.READ_IN_PART else raw_of(entry), places)
            if cell in among
        }

    def _reaching(self, touched: frozenset[Any]) -> tuple[_Level, frozenset[Mark]]:
        """The paths that may read what is touched. Messages of a sender leave much the same open, so it is kept."""
        found = self._reached.get(touched)
        if found is None:
            level = _narrowed(self._top, touched)
            found = level, frozenset(_marks(level))
            if len(touched) <= _LONGEST:
                if len(self._reached) >= _MOST_REACHED:
                    self._reached.clear()
                self._reached[touched] = found
        return found

    def _reach(
        self,
        level: _Level,
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

    # -- who took it ----------------------------------------------------------------------------------------

    def takers(self, message: Message, trace: Trace) -> Iterator[tuple[int, int, str]]:
        """Cell, mask and path of all that was taken; for the detailed ledger."""
        top = self.format.cursor(message)
        asked = [(mark, top) for mark in self._asking]
        for entry in trace:
            mark, kind, raw, cursor = entry
            if kind == marks.READ_IN_PART:
                yield from ((cell, mask, mark.path) for cell, mask in self._cells_in_part(mark, *raw))
            elif kind > marks.PLAIN or kind in _VALUES:
                yield from ((cell, mask, mark.path) for cell, mask in self._cells(mark, raw_of(entry)))
            elif kind == marks.ASKED:
                asked.append((mark, cursor))
            elif kind == marks.DELETES:
                yield from ((cell, mask, mark.path) for cell, mask in mark.spot.deleted(cursor))
            elif kind == marks.KEPT:
                yield from ((cell, mask, mark.path) for cell, mask in mark.spot.every(cursor, _ALL))
        for mark, cursor in asked:
            yield from ((cell, mask, mark.path) for cell, mask, said in mark.spot.asked(cursor) if said)


def _held(mark: Mark, raw: Any, places: Sequence[int]) -> Iterable[Cell]:
    """The cells of a raw value; none, where it can be told quickly that it holds none of some places."""
    if places and not mark.spot.holds(raw, places):
        return ()
    cells: Iterable[Cell] = mark.spot.cells(raw, mark.reads)
    return cells


#: A mapping's ledger and what reading one message under it left.
Taken = tuple[FieldLedger, Trace]


# --- drawing up --------------------------------------------------------------------------------------------


def drawn_up(message: Message, taken: Sequence[Taken]) -> Ledger:
    """The ledger of one message under all mappings that took it: a leaf is open only if it is open in all of them."""
    ledgers = [ledger for ledger, _ in taken]
    first = ledgers[0]
    if first.nested is not None:
        return _of_nested(first.nested, message, taken)
    kinds, shapes = first.format.shapes(message)
    alike = first.alike(message, taken[0][1], kinds, shapes) if len(taken) == 1 else None
    if alike is not None and (before := first.whole.get(alike)) is not None:
        return before
    into = _taken(message, taken, len(shapes), kinds)
    known = first.known if len(ledgers) == 1 else {}
    counts = 0
    lost: list[Cell] = []
    open_: list[Cell] = []
    left: list[Cell] = []
    for group, key in enumerate(zip(kinds, shapes, map(tuple, into), strict=True)):
        outcome = known.get(key)
        if outcome is None:
            outcome = _outcome(ledgers, *key)
            _remember(known, key, outcome)
        counts += outcome.counts
        if outcome.failed:
            lost += [(group << PLACE_BITS | place, mask) for place, mask in outcome.failed]
        if outcome.open:
            open_ += [(group << PLACE_BITS | place, mask) for place, mask in outcome.open]
    passed: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    if open_:
        ignored, left = _less_ignored(message, taken, open_)
        counts += ignored << 2 * _WIDTH
        if left:
            passed, unmapped = _left_over(message, taken, kinds, shapes, left)
    bound, selectors, ignored = (counts >> part * _WIDTH & (1 << _WIDTH) - 1 for part in range(3))
    made = Ledger(bound, selectors, ignored, passed, _paths(first, message, lost) if lost else (), unmapped)
    if alike is not None and first.by_shape(left, message):
        if len(first.whole) >= _MOST_REACHED:
            first.whole.clear()
        first.whole[alike] = made
    return made


def _of_nested(format_: Nested, message: Message, taken: Sequence[Taken]) -> Ledger:
    """The same of a message that is one group, of which the format finds by itself what was left open."""
    first = taken[0][0]
    became = format_.became(message, _held_states(message, taken), [ledger.ignoring_here for ledger, _ in taken])
    passed, unmapped = _left_over(message, taken, (), (), became.open) if became.open else ((), ())
    failed = _paths(first, message, became.failed)
    return Ledger(became.bound, became.selectors, became.ignored, passed, failed, unmapped)


def _paths(ledger: FieldLedger, message: Message, cells: Iterable[Cell]) -> tuple[str, ...]:
    path, source = ledger.format.path, ledger.source
    return tuple([path(message, cell, bit, source, exact=True) for cell, mask in cells for bit in _bits(mask)])


def _taken(
    message: Message, taken: Sequence[Taken], groups: int, kinds: Collection[str] | None = None
) -> list[list[int]]:
    """What was taken of each group, each cell and its state as one number."""
    into: list[list[int]] = [[] for _ in range(groups)]
    _take(message, taken, into, kinds)
    return into


def _held_states(message: Message, taken: Sequence[Taken]) -> _States:
    """The same of a message that is one group: place → mask of what is in each state."""
    into: _States = ({}, {}, {})
    _take(message, taken, into)
    return into


def _take(message: Message, taken: Sequence[Taken], into: _Into, kinds: Collection[str] | None = None) -> None:
    for ledger, trace in taken:
        ledger.take(message, trace, into, kinds)
    taken[0][0].take_structure(message, into)


def _hold(cells: Iterable[Cell], state: int, into: _States) -> None:
    held = into[state]
    for place, mask in cells:
        held[place] = held.get(place, 0) | mask


def _add(cells: Iterable[Cell], state: int, into: Sequence[list[int]]) -> None:
    for cell, mask in cells:
        into[cell >> PLACE_BITS].append((mask << PLACE_BITS | cell & PLACE) << STATE_BITS | state)


def _states(codes: Iterable[int]) -> _States:
    """Place → mask of what is bound, of selectors, and of what failed."""
    found: _States = ({}, {}, {})
    for code in codes:
        held, cell = found[code & (1 << STATE_BITS) - 1], code >> STATE_BITS
        place = cell & PLACE
        held[place] = held.get(place, 0) | cell >> PLACE_BITS
    return found


def _selected(ledgers: Sequence[FieldLedger], kind: str, place: int) -> int:
    """The leaves at a place that questions about all groups of a kind look at."""
    mask = 0
    for ledger in ledgers:
        mask |= ledger.selecting(kind, place)
    return mask


def _outcome(ledgers: Sequence[FieldLedger], kind: str, shape: Any, codes: tuple[int, ...]) -> _Outcome:
    """What became of the leaves of a group of which this was taken."""
    if all(ledger.anywhere for ledger in ledgers):
        return _outcome_anywhere(ledgers[0].format.layout(kind, shape), codes)
    bound, selector, failed = _states(codes)
    counts = [0, 0, 0]
    lost: list[Cell] = []
    open_: list[Cell] = []
    for place, populated in ledgers[0].format.layout(kind, shape):
        mask = populated
        if found := mask & failed.get(place, 0):
            lost.append((place, found))
            mask &= ~found
        ignored = 0
        for ledger in ledgers:
            ignored |= ledger.ignoring(kind, place)
        said = (bound.get(place, 0), selector.get(place, 0) | _selected(ledgers, kind, place), ignored)
        for state, claimed in enumerate(said):
            counts[state] += (mask & claimed).bit_count()
            mask &= ~claimed
        if mask:
            open_.append((place, mask))
    together = sum(count << state * _WIDTH for state, count in enumerate(counts))
    return _Outcome(together, tuple(lost), tuple(open_))


def _outcome_anywhere(layout: Sequence[Cell], codes: tuple[int, ...]) -> _Outcome:
    """The same where nothing is known of a place (an element of a document) before a message is read."""
    bound, selector, failed = _states(codes)
    taken = bound.keys() | selector.keys() | failed.keys()
    lost: list[Cell] = []
    open_ = [cell for cell in layout if cell[0] not in taken]
    whole = len(open_)
    counts = [0, 0]
    for place, populated in layout:
        if place not in taken:
            continue
        mask = populated
        if found := mask & failed.get(place, 0):
            lost.append((place, found))
            mask &= ~found
        if found := mask & bound.get(place, 0):
            counts[_BOUND] += found.bit_count()
            mask &= ~found
        if found := mask & selector.get(place, 0):
            counts[_SELECTOR] += found.bit_count()
            mask &= ~found
        if mask:
            open_.append((place, mask))
    if len(open_) != whole:
        open_.sort()
    return _Outcome(counts[_BOUND] | counts[_SELECTOR] << _WIDTH, tuple(lost), tuple(open_))


def _remember(known: dict[Any, _Outcome], key: tuple[str, Any, tuple[int, ...]], outcome: _Outcome) -> None:
    _, shape, codes = key
    if len(shape) <= _LONGEST and len(codes) <= _LONGEST:
        if len(known) >= _MOST:
            known.clear()
        known[key] = outcome


def _less_ignored(message: Message, taken: Sequence[Taken], open_: list[Cell]) -> tuple[int, list[Cell]]:
    """How many leaves are ignored in this message alone, and those that are not."""
    ignored: dict[int, int] = {}
    for ledger, _ in taken:
        for cell, mask in ledger.ignoring_here(message, open_):
            ignored[cell] = ignored.get(cell, 0) | mask
    if not ignored:
        return 0, open_
    count = 0
    left: list[Cell] = []
    for cell, remaining in open_:
        mask = remaining
        if found := mask & ignored.get(cell, 0):
            count += found.bit_count()
            mask &= ~found
        if mask:
            left.append((cell, mask))
    return count, left


def _left_over(
    message: Message, taken: Sequence[Taken], kinds: Sequence[str], shapes: Sequence[Any], left: list[Cell]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of what was passed over, and of what is unmapped; remembered where shapes decide of it."""
    first = taken[0][0]
    touched = frozenset([first.format.touched(message, cell) for cell, _ in left])
    among = {cell for cell, _ in left}
    key = None
    if getattr(first.format, "reached_by_shape", False) and len(taken) == 1 and len(left) <= _LONGEST:
        decided = first.decided_by(taken[0][1], touched, among)
        if decided is not None:
            groups = dict.fromkeys([cell >> PLACE_BITS for cell, _ in left])
            key = tuple(kinds), tuple([shapes[group] for group in groups]), tuple(left), decided
            if (known := first.left.get(key)) is not None:
                return known
    over: dict[int, int] = {}
    for ledger, trace in taken:
        for cell, mask in ledger.passed_over(message, trace, touched, among).items():
            over[cell] = over.get(cell, 0) | mask
    passed = [(cell, found) for cell, mask in left if (found := mask & over.get(cell, 0))]
    unmapped = [(cell, found) for cell, mask in left if (found := mask & ~over.get(cell, 0))]
    made = _paths(first, message, passed), _paths(first, message, unmapped)
    if key is not None and sum(map(len, key[1])) <= _LONGEST:
        if len(first.left) >= _MOST_REACHED:
            first.left.clear()
        first.left[key] = made
    return made


def detailed(message: Message, taken: Sequence[Taken]) -> list[Leaf]:
    """Every populated leaf by itself, in the order of the message; slow, for people."""
    ledgers = [ledger for ledger, _ in taken]
    format_, source = ledgers[0].format, ledgers[0].source
    kinds, shapes = format_.shapes(message)
    if ledgers[0].nested is not None:
        states = [_held_states(message, taken)]
    else:
        states = [_states(codes) for codes in _taken(message, taken, len(shapes))]
    by: dict[tuple[int, int], dict[str, None]] = {}
    reasons: dict[tuple[int, int], str] = {}
    populated = list(format_.populated(message))
    there = dict(populated)
    ignored: dict[int, int] = {}
    over: dict[int, int] = {}
    touched = frozenset(format_.touched(message, cell) for cell, _ in populated)
    for ledger, trace in taken:
        for cell, mask, path in ledger.takers(message, trace):
            for bit in _bits(mask & there.get(cell, 0)):
                by.setdefault((cell, bit), {})[path] = None
        for cell, mask, reason in ledger.ignored(message):
            ignored[cell] = ignored.get(cell, 0) | mask
            for bit in _bits(mask & there.get(cell, 0)):
                reasons.setdefault((cell, bit), reason)
        for cell, mask in ledger.passed_over(message, trace, touched, there).items():
            over[cell] = over.get(cell, 0) | mask
    found: list[Leaf] = []
    for cell, mask in populated:
        group, place = cell >> PLACE_BITS, cell & PLACE
        bound, selector, failed = (held.get(place, 0) for held in states[group])
        claims = (
            (LeafState.FAILED, failed),
            (LeafState.BOUND, bound),
            (LeafState.SELECTOR, selector | _selected(ledgers, kinds[group], place)),
            (LeafState.IGNORED, ignored.get(cell, 0)),
            (LeafState.PASSED_OVER, over.get(cell, 0)),
        )
        for bit in _bits(mask):
            state = next((state for state, claimed in claims if claimed >> bit & 1), LeafState.UNMAPPED)
            exact, like = (format_.path(message, cell, bit, source, exact=exact) for exact in (True, False))
            reason = reasons.get((cell, bit), "") if state is LeafState.IGNORED else ""
            found.append(Leaf(exact, like, state, tuple(by.get((cell, bit), ())), reason))
    return found


def _bits(mask: int) -> Iterator[int]:
    at = 0
    while mask:
        low = (mask & -mask).bit_length() - 1
        yield at + low
        mask >>= low + 1
        at += low + 1


# --- the paths of a mapping --------------------------------------------------------------------------------


def _level(tree: Any) -> _Level:
    """The paths below a part of a mapping, by the loops that they stand in."""
    here: list[Mark] = []
    loops: list[tuple[Loop, _Level, bool]] = []
    for node in nodes.walk(_bodies(tree), closed=(nodes.BindEach,)):
        if isinstance(node, nodes.Read):
            here.append(node.mark)
        elif isinstance(node, nodes.BindEach):
            here.append(node.mark)
            loops.append((node.loop, _level((node.body,)), node.mark.spot.asks))
    touches = frozenset[Any]().union(*(mark.touches for mark in here), *(below.touches for _, below, _ in loops))
    return _Level(tuple(here), tuple(loops), touches, _asks(here, loops), _holds(here, loops))


def _asks(marks: Iterable[Mark], loops: Iterable[tuple[Loop, _Level, bool]]) -> bool:
    return any(mark.spot.asks for mark in marks) or any(asks or below.asks for _, below, asks in loops)


def _holds(marks: Sequence[Mark], loops: Iterable[tuple[Loop, _Level, bool]]) -> Any:
    inside = all(getattr(mark.spot, "inside", False) for mark in marks) and all(below.holds for _, below, _ in loops)
    return marks[0].spot.holds if marks and inside else None


def _narrowed(level: _Level, touched: frozenset[Any]) -> _Level:
    """A level without the paths, and the loops, that read nothing of what is touched."""
    marks = tuple(mark for mark in level.marks if not touched.isdisjoint(mark.touches))
    loops = tuple(
        (loop, _narrowed(below, touched), asks)
        for loop, below, asks in level.loops
        if not touched.isdisjoint(below.touches)
    )
    return _Level(marks, loops, level.touches & touched, _asks(marks, loops), level.holds)


def _bodies(tree: Any) -> Any:
    return tuple(item.body if isinstance(item, nodes.BoundItem) else item for item in tree)


def _marks(level: _Level) -> Iterator[Mark]:
    yield from level.marks
    for _, below, _ in level.loops:
        yield from _marks(below)


def always_read(items: tuple[nodes.BoundItem, ...]) -> Iterator[nodes.Read | nodes.BindEach]:
    """The paths that are read in every message, whatever it holds."""
    waiting: list[Any] = [item.body for item in items]
    while waiting:
        node = waiting.pop()
        match node:
            case nodes.Read() | nodes.BindEach():
                yield node
            case nodes.BindValue() | nodes.Truth() | nodes.Present() | nodes.OneOf() | nodes.Coded():
                waiting.append(node.value)
            case nodes.BindRecord():
                waiting += [node.when] if node.when is not None else [body for _, body in node.fields]
            case nodes.BindCase():
                first, body = node.branches[0] if node.branches else (None, None)
                waiting.append(first if first is not None else body)
            case nodes.BindList():
                waiting += node.entries
            case nodes.Apply():
                for arg, passing in zip(node.args, node.passing, strict=True):
                    waiting.append(arg)
                    if passing and not isinstance(arg, nodes.Literal):
                        break  # what follows is not read when this one is not there
            case nodes.Alternatives() | nodes.AnyOf() | nodes.AllOf():
                waiting.append(node.terms[0])
            case nodes.Choose() | nodes.Decide():
                waiting.append(node.condition)
            case nodes.Negation():
                waiting.append(node.term)
            case nodes.Equal():
                waiting += (node.left, node.right)
