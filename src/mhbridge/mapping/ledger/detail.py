"""
Every populated leaf of one message by itself: slow, for people. This module must never be asked where messages flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mhbridge.formats import PLACE, PLACE_BITS, Message
from mhbridge.mapping.ledger.account import cells_taken, selected, states_taken
from mhbridge.mapping.ledger.cells import bits, sorted_by_state
from mhbridge.mapping.ledger.field_ledger import Taken
from mhbridge.model import LeafState

__all__ = ["Leaf", "detailed"]


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


def detailed(message: Message, taken: Sequence[Taken]) -> list[Leaf]:
    """Every populated leaf by itself, in the order of the message; slow, for people."""
    ledgers = [ledger for ledger, _ in taken]
    format_, source = ledgers[0].format, ledgers[0].source
    kinds, shapes = format_.shapes(message)
    if ledgers[0].nested is not None:
        states = [states_taken(message, taken)]
    else:
        states = [sorted_by_state(codes) for codes in cells_taken(message, taken, len(shapes))]
    by: dict[tuple[int, int], dict[str, None]] = {}
    reasons: dict[tuple[int, int], str] = {}
    populated = list(format_.populated(message))
    there = dict(populated)
    ignored: dict[int, int] = {}
    over: dict[int, int] = {}
    touched = frozenset(format_.touched(message, cell) for cell, _ in populated)
    for ledger, trace in taken:
        for cell, mask, path in ledger.taking.takers(message, trace):
            for bit in bits(mask & there.get(cell, 0)):
                by.setdefault((cell, bit), {})[path] = None
        for cell, mask, reason in ledger.ignored(message):
            ignored[cell] = ignored.get(cell, 0) | mask
            for bit in bits(mask & there.get(cell, 0)):
                reasons.setdefault((cell, bit), reason)
        for cell, mask in ledger.reaching.passed_over(message, trace, touched, there).items():
            over[cell] = over.get(cell, 0) | mask
    found: list[Leaf] = []
    for cell, mask in populated:
        group, place = cell >> PLACE_BITS, cell & PLACE
        bound, selector, failed = (held.get(place, 0) for held in states[group])
        claims = (
            (LeafState.FAILED, failed),
            (LeafState.BOUND, bound),
            (LeafState.SELECTOR, selector | selected(ledgers, kinds[group], place)),
            (LeafState.IGNORED, ignored.get(cell, 0)),
            (LeafState.PASSED_OVER, over.get(cell, 0)),
        )
        for bit in bits(mask):
            state = next((state for state, claimed in claims if claimed >> bit & 1), LeafState.UNMAPPED)
            exact, like = (format_.path(message, cell, bit, source, exact=exact) for exact in (True, False))
            reason = reasons.get((cell, bit), "") if state is LeafState.IGNORED else ""
            found.append(Leaf(exact, like, state, tuple(by.get((cell, bit), ())), reason))
    return found
