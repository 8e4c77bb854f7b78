"""
What became of every populated leaf of one message, under all mappings that took it.

Senders' messages are much alike, so what is found is remembered by where something stands. This module must never look
at what a leaf says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from mhbridge.formats import PLACE_BITS, Cell, Message, Nested
from mhbridge.mapping.ledger.cells import (
    BOUND,
    LONGEST,
    MOST_REACHED,
    SELECTOR,
    Into,
    Sorted,
    bits,
    sorted_by_state,
)
from mhbridge.mapping.ledger.field_ledger import FieldLedger, Outcome, Taken
from mhbridge.model import Ledger

__all__ = ["cells_taken", "drawn_up", "selected", "states_taken"]

#: Bits of each of the three counts that are added up as one number.
_WIDTH: Final = 32
#: What is remembered of groups.
_MOST: Final = 2048


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
    into = cells_taken(message, taken, len(shapes), kinds)
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
        if len(first.whole) >= MOST_REACHED:
            first.whole.clear()
        first.whole[alike] = made
    return made


def _of_nested(format_: Nested, message: Message, taken: Sequence[Taken]) -> Ledger:
    """The same of a message that is one group, of which the format finds by itself what was left open."""
    first = taken[0][0]
    became = format_.became(message, states_taken(message, taken), [ledger.ignoring_here for ledger, _ in taken])
    passed, unmapped = _left_over(message, taken, (), (), became.open) if became.open else ((), ())
    failed = _paths(first, message, became.failed)
    return Ledger(became.bound, became.selectors, became.ignored, passed, failed, unmapped)


def _paths(ledger: FieldLedger, message: Message, cells: Iterable[Cell]) -> tuple[str, ...]:
    path, source = ledger.format.path, ledger.source
    return tuple([path(message, cell, bit, source, exact=True) for cell, mask in cells for bit in bits(mask)])


def cells_taken(
    message: Message, taken: Sequence[Taken], groups: int, kinds: Collection[str] | None = None
) -> list[list[int]]:
    """What was taken of each group, each cell and its state as one number."""
    into: list[list[int]] = [[] for _ in range(groups)]
    _take(message, taken, into, kinds)
    return into


def states_taken(message: Message, taken: Sequence[Taken]) -> Sorted:
    """The same of a message that is one group: place → mask of what is in each state."""
    into: Sorted = ({}, {}, {})
    _take(message, taken, into)
    return into


def _take(message: Message, taken: Sequence[Taken], into: Into, kinds: Collection[str] | None = None) -> None:
    for ledger, trace in taken:
        ledger.taking.take(message, trace, into, kinds)
    taken[0][0].taking.take_structure(message, into)


def selected(ledgers: Sequence[FieldLedger], kind: str, place: int) -> int:
    """The leaves at a place that questions about all groups of a kind look at."""
    mask = 0
    for ledger in ledgers:
        mask |= ledger.taking.selecting(kind, place)
    return mask


def _outcome(ledgers: Sequence[FieldLedger], kind: str, shape: Any, codes: tuple[int, ...]) -> Outcome:
    """What became of the leaves of a group of which this was taken."""
    if all(ledger.anywhere for ledger in ledgers):
        return _outcome_anywhere(ledgers[0].format.layout(kind, shape), codes)
    bound, selector, failed = sorted_by_state(codes)
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
        said = (bound.get(place, 0), selector.get(place, 0) | selected(ledgers, kind, place), ignored)
        for state, claimed in enumerate(said):
            counts[state] += (mask & claimed).bit_count()
            mask &= ~claimed
        if mask:
            open_.append((place, mask))
    together = sum(count << state * _WIDTH for state, count in enumerate(counts))
    return Outcome(together, tuple(lost), tuple(open_))


def _outcome_anywhere(layout: Sequence[Cell], codes: tuple[int, ...]) -> Outcome:
    """The same where nothing is known of a place (an element of a document) before a message is read."""
    bound, selector, failed = sorted_by_state(codes)
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
            counts[BOUND] += found.bit_count()
            mask &= ~found
        if found := mask & selector.get(place, 0):
            counts[SELECTOR] += found.bit_count()
            mask &= ~found
        if mask:
            open_.append((place, mask))
    if len(open_) != whole:
        open_.sort()
    return Outcome(counts[BOUND] | counts[SELECTOR] << _WIDTH, tuple(lost), tuple(open_))


def _remember(known: dict[Any, Outcome], key: tuple[str, Any, tuple[int, ...]], outcome: Outcome) -> None:
    _, shape, codes = key
    if len(shape) <= LONGEST and len(codes) <= LONGEST:
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
    if first.format.reached_by_shape and len(taken) == 1 and len(left) <= LONGEST:
        decided = first.reaching.decided_by(taken[0][1], touched, among)
        if decided is not None:
            groups = dict.fromkeys([cell >> PLACE_BITS for cell, _ in left])
            key = tuple(kinds), tuple([shapes[group] for group in groups]), tuple(left), decided
            if (known := first.left.get(key)) is not None:
                return known
    over: dict[int, int] = {}
    for ledger, trace in taken:
        for cell, mask in ledger.reaching.passed_over(message, trace, touched, among).items():
            over[cell] = over.get(cell, 0) | mask
    passed = [(cell, found) for cell, mask in left if (found := mask & over.get(cell, 0))]
    unmapped = [(cell, found) for cell, mask in left if (found := mask & ~over.get(cell, 0))]
    made = _paths(first, message, passed), _paths(first, message, unmapped)
    if key is not None and sum(map(len, key[1])) <= LONGEST:
        if len(first.left) >= MOST_REACHED:
            first.left.clear()
        first.left[key] = made
    return made
