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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mhbridge.formats import Format, Loop, Message, Path, Source
from mhbridge.mapping import marks, nodes
from mhbridge.mapping.conversions import WHOLE, Context
from mhbridge.mapping.marks import Mark, Trace
from mhbridge.model import LeafState, Ledger

__all__ = ["FieldLedger", "Leaf", "Taken", "always_read", "detailed", "drawn_up"]

_ALL: Final = frozenset({WHOLE})
#: Entries that hold a raw value.
_VALUES: Final = frozenset({marks.READ, marks.READ_IN_PART, marks.FAILED, marks.FAILED_WHOLE})


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
    """The paths that are read at one place, and the loops that begin there."""

    marks: tuple[Mark, ...]
    loops: tuple[tuple[Loop, _Level], ...]
    touches: frozenset[Any]


@dataclass(slots=True)
class _Cover:
    """Cell → mask of the leaves that were found to be in a state."""

    failed: dict[int, int] = field(default_factory=dict)
    bound: dict[int, int] = field(default_factory=dict)
    selector: dict[int, int] = field(default_factory=dict)


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
        self.source = source
        self.context = context
        self._ignored = [(format_.ignored(path), reason) for path, reason in ignored]
        self.ignoring = format_.ignoring([path for path, _ in ignored])
        self._top = _level(items)
        for read in always_read(items):
            read.mark.always = True
        self.marks = tuple(_marks(self._top))
        asking = [mark for mark in self.marks if mark.always and mark.spot.asks]
        questions = {mark.spot.question for mark in asking} - {None}
        #: Paths whose predicates are asked in every message; those that ask what another does are left out.
        self._asking = [mark for mark in asking if mark.spot.question is not None or mark.spot.subject not in questions]

    # -- what was read --------------------------------------------------------------------------------------

    def cover(self, message: Message, trace: Trace, into: _Cover) -> None:
        """Add what a trace says to a cover."""
        top = self.format.cursor(message)
        asking = [(mark, top) for mark in self._asking]
        context, bound = self.context, into.bound
        for mark, kind, raw, cursor in trace:
            if kind == marks.READ and not mark.decides and mark.conversion is not None:
                # Nearly every entry: a value that went into an item.
                made = mark.conversion
                used = made.reads if made.used is None else made.used(raw, context)
                for cell, mask in mark.spot.cells(raw, used):
                    bound[cell] = bound.get(cell, 0) | mask
            elif kind in (marks.READ, marks.FAILED):
                target = into.failed if kind == marks.FAILED else into.selector if mark.decides else into.bound
                for cell, mask in self._cells(mark, raw):
                    target[cell] = target.get(cell, 0) | mask
            elif kind == marks.READ_IN_PART:
                target = into.selector if mark.decides else into.bound
                for cell, mask in self._cells_in_part(mark, *raw):
                    target[cell] = target.get(cell, 0) | mask
            elif kind == marks.COMPARED:
                for cell, mask in self._cells(mark, raw):
                    into.selector[cell] = into.selector.get(cell, 0) | mask
            elif kind == marks.FAILED_WHOLE:
                for cell, mask in mark.spot.cells(raw, _ALL):
                    into.failed[cell] = into.failed.get(cell, 0) | mask
            elif kind == marks.ASKED:
                asking.append((mark, cursor))
            elif kind == marks.DELETES:
                target = into.selector if mark.decides else into.bound
                for cell, mask in mark.spot.deleted(cursor)[: None if mark.many else 1]:
                    target[cell] = target.get(cell, 0) | mask
            elif kind == marks.KEPT:
                for cell, mask in mark.spot.every(cursor, _ALL):
                    into.bound[cell] = into.bound.get(cell, 0) | mask
        self._asked(asking, into.selector)

    def _cells(self, mark: Mark, raw: Any) -> Iterable[tuple[int, int]]:
        """The leaves that the result of a value depends on."""
        made = mark.conversion
        if made is None:
            found: Iterable[tuple[int, int]] = mark.spot.present(raw)
            return found
        used = made.reads if made.used is None else made.used(raw, self.context)
        cells: Iterable[tuple[int, int]] = mark.spot.cells(raw, used)
        return cells

    def _cells_in_part(self, mark: Mark, raw: Any, unused: frozenset[str]) -> Iterable[tuple[int, int]]:
        """The same, without what a function left out."""
        made = mark.conversion
        assert made is not None
        used = made.reads if made.used is None else made.used(raw, self.context)
        left = used.difference(*(made.parts.get(part, ()) for part in unused))
        cells: Iterable[tuple[int, int]] = mark.spot.cells(raw, left)
        return cells

    @staticmethod
    def _asked(asking: list[tuple[Mark, Any]], into: dict[int, int]) -> None:
        # Many paths ask the same leaves of the same segments (every part of a letter asks OBX-3): once is enough, and
        # those that look at all of them first.
        seen: set[tuple[int, Any]] = set()
        rest: list[tuple[Mark, Any]] = []
        for mark, cursor in asking:
            question = mark.spot.question
            if question is None:
                rest.append((mark, cursor))
            elif (id(cursor), question) not in seen:
                seen.add((id(cursor), question))
                for cell, mask in mark.spot.questioned(cursor):
                    into[cell] = into.get(cell, 0) | mask
        for mark, cursor in rest:
            if (id(cursor), mark.spot.subject) not in seen:
                for cell, mask, _ in mark.spot.asked(cursor):
                    into[cell] = into.get(cell, 0) | mask

    # -- what was not ---------------------------------------------------------------------------------------

    def ignored(self, message: Message) -> Iterator[tuple[int, int, str]]:
        """The leaves that the mapping ignores, and why."""
        for find, reason in self._ignored:
            for cell, mask in find(message):
                yield cell, mask, reason

    def passed_over(self, message: Message, trace: Trace, touched: frozenset[Any]) -> dict[int, int]:
        """
        The leaves that paths of the mapping reach and did not take.

        Args:
            touched: what is asked about (`Format.touched`); the rest is left out.
        """
        taken = {
            (id(mark), cell)
            for mark, kind, raw, _ in trace
            if kind in _VALUES and not touched.isdisjoint(mark.touches)
            for cell, _ in mark.spot.cells(raw[0] if kind == marks.READ_IN_PART else raw, mark.reads)
        }
        found: dict[int, int] = {}
        self._reach(self._top, self.format.cursor(message), touched, taken, found)
        return found

    def _reach(
        self, level: _Level, cursor: Any, touched: frozenset[Any], taken: set[tuple[int, int]], found: dict[int, int]
    ) -> None:
        if touched.isdisjoint(level.touches):
            return
        for mark in level.marks:
            if not touched.isdisjoint(mark.touches):
                for cell, mask in mark.spot.every(cursor, mark.reads):
                    # What was read and not used stays open: the value did not depend on it.
                    if (id(mark), cell) not in taken:
                        found[cell] = found.get(cell, 0) | mask
        for loop, below in level.loops:
            if touched.isdisjoint(below.touches):
                continue
            for inner in loop.cursors(cursor):
                self._reach(below, inner, touched, taken, found)

    # -- who took it ----------------------------------------------------------------------------------------

    def takers(self, message: Message, trace: Trace) -> Iterator[tuple[int, int, str]]:
        """Cell, mask and path of all that was taken; for the detailed ledger."""
        top = self.format.cursor(message)
        asked = [(mark, top) for mark in self._asking]
        for mark, kind, raw, cursor in trace:
            if kind == marks.READ_IN_PART:
                yield from ((cell, mask, mark.path) for cell, mask in self._cells_in_part(mark, *raw))
            elif kind in _VALUES:
                yield from ((cell, mask, mark.path) for cell, mask in self._cells(mark, raw))
            elif kind == marks.ASKED:
                asked.append((mark, cursor))
            elif kind == marks.DELETES:
                yield from ((cell, mask, mark.path) for cell, mask in mark.spot.deleted(cursor))
            elif kind == marks.KEPT:
                yield from ((cell, mask, mark.path) for cell, mask in mark.spot.every(cursor, _ALL))
        for mark, cursor in asked:
            yield from ((cell, mask, mark.path) for cell, mask, said in mark.spot.asked(cursor) if said)


#: A mapping's ledger and what reading one message under it left.
Taken = tuple[FieldLedger, Trace]


# --- drawing up --------------------------------------------------------------------------------------------


def drawn_up(message: Message, taken: Sequence[Taken]) -> Ledger:
    """The ledger of one message under all mappings that took it: a leaf is open only if it is open in all of them."""
    cover = _Cover()
    for ledger, trace in taken:
        ledger.cover(message, trace, cover)
    format_ = taken[0][0].format
    structural: dict[int, int] = {}
    for cell, mask in format_.structural(message, taken[0][0].source):
        structural[cell] = structural.get(cell, 0) | mask
    failed, bound, selector = cover.failed, cover.bound, cover.selector
    counts = [0, 0, 0]
    lost: list[tuple[int, int]] = []
    open_: list[tuple[int, int]] = []
    taken_whole = 0
    bound_in = bound.get
    for cell, populated in format_.populated(message):
        mask = populated
        if not failed and not mask & ~bound_in(cell, 0):
            taken_whole += mask.bit_count()
            continue
        if cell in failed and (found := mask & failed[cell]):
            lost.append((cell, found))
            mask &= ~found
        if found := mask & bound.get(cell, 0):
            counts[0] += found.bit_count()
            mask &= ~found
        if mask and (found := mask & (selector.get(cell, 0) | structural.get(cell, 0))):
            counts[1] += found.bit_count()
            mask &= ~found
        if mask:
            open_.append((cell, mask))
    counts[0] += taken_whole
    passed: list[tuple[int, int]] = []
    unmapped: list[tuple[int, int]] = []
    if open_:
        counts[2] = _sort_out(message, taken, open_, passed, unmapped)
    source = taken[0][0].source

    def paths(cells: list[tuple[int, int]]) -> tuple[str, ...]:
        return tuple(
            format_.path(message, cell, bit, source, exact=True) for cell, mask in cells for bit in _bits(mask)
        )

    return Ledger(counts[0], counts[1], counts[2], paths(passed), paths(lost), paths(unmapped))


def _sort_out(
    message: Message,
    taken: Sequence[Taken],
    open_: list[tuple[int, int]],
    passed: list[tuple[int, int]],
    unmapped: list[tuple[int, int]],
) -> int:
    """What was not taken: ignored (how many), passed over, or unmapped."""
    ignored = taken[0][0].ignoring(message, open_)
    if len(taken) > 1:
        ignored = dict(ignored)
        for ledger, _ in taken[1:]:
            for cell, mask in ledger.ignoring(message, open_).items():
                ignored[cell] = ignored.get(cell, 0) | mask
    count = 0
    left: list[tuple[int, int]] = []
    for cell, remaining in open_:
        mask = remaining
        if found := mask & ignored.get(cell, 0):
            count += found.bit_count()
            mask &= ~found
        if mask:
            left.append((cell, mask))
    if left:
        format_ = taken[0][0].format
        touched = frozenset(format_.touched(message, cell) for cell, _ in left)
        over: dict[int, int] = {}
        for ledger, trace in taken:
            for cell, mask in ledger.passed_over(message, trace, touched).items():
                over[cell] = over.get(cell, 0) | mask
        for cell, remaining in left:
            mask = remaining
            if found := mask & over.get(cell, 0):
                passed.append((cell, found))
                mask &= ~found
            if mask:
                unmapped.append((cell, mask))
    return count


def detailed(message: Message, taken: Sequence[Taken]) -> list[Leaf]:
    """Every populated leaf by itself, in the order of the message; slow, for people."""
    format_, source = taken[0][0].format, taken[0][0].source
    cover = _Cover()
    for ledger, trace in taken:
        ledger.cover(message, trace, cover)
    for cell, mask in format_.structural(message, source):
        cover.selector[cell] = cover.selector.get(cell, 0) | mask
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
        for cell, mask in ledger.passed_over(message, trace, touched).items():
            over[cell] = over.get(cell, 0) | mask
    states = (
        (LeafState.FAILED, cover.failed),
        (LeafState.BOUND, cover.bound),
        (LeafState.SELECTOR, cover.selector),
        (LeafState.IGNORED, ignored),
        (LeafState.PASSED_OVER, over),
    )
    found: list[Leaf] = []
    for cell, mask in populated:
        for bit in _bits(mask):
            state = next((s for s, cells in states if cells.get(cell, 0) >> bit & 1), LeafState.UNMAPPED)
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
    loops: list[tuple[Loop, _Level]] = []
    for node in nodes.walk(_bodies(tree), closed=(nodes.BindEach,)):
        if isinstance(node, nodes.Read):
            here.append(node.mark)
        elif isinstance(node, nodes.BindEach):
            here.append(node.mark)
            loops.append((node.loop, _level((node.body,))))
    touches = frozenset[Any]().union(*(mark.touches for mark in here), *(below.touches for _, below in loops))
    return _Level(tuple(here), tuple(loops), touches)


def _bodies(tree: Any) -> Any:
    return tuple(item.body if isinstance(item, nodes.BoundItem) else item for item in tree)


def _marks(level: _Level) -> Iterator[Mark]:
    yield from level.marks
    for _, below in level.loops:
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
