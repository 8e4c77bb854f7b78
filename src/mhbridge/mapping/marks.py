"""
What is written down while a mapping reads a message, so that the field ledger can be drawn up afterwards.

A *mark* stands for one path of a mapping. Reading leaves entries of (mark, what became of it, raw value, cursor) in the
run's trace; nothing else is done while a message is read. What the entries mean is `mapping.ledger`'s. This module must
never look at a value.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final, TypeAlias

from mhbridge.formats import LoopSpot, Spot
from mhbridge.mapping.conversions import WHOLE, Conversion

__all__ = [
    "ASKED",
    "COMPARED",
    "DELETES",
    "DROPPED",
    "FAILED",
    "FAILED_WHOLE",
    "KEPT",
    "READ",
    "READ_IN_PART",
    "WORD",
    "Entry",
    "Mark",
    "Trace",
    "flip",
    "narrow",
    "raw_of",
]

#: A present value was read and goes where its mark says: into an item, or into a decision.
READ: Final = 0
#: `""` was read.
DELETES: Final = 1
#: A value was read and did not become what was wanted.
FAILED: Final = 2
#: All that stands at the path is kept as text, because a part of an atomic record failed.
KEPT: Final = 3
#: A value was read and then not used: the function that it was read for gave nothing.
DROPPED: Final = 4
#: Predicates of the path were asked; there is no value.
ASKED: Final = 5
#: Read, not what was wanted, and all that it says was kept as text.
FAILED_WHOLE: Final = 6
#: A value beside the one that was read was compared with it.
COMPARED: Final = 7
#: A value was read, and the function that it was read for made no use of some parts: raw is (raw, parts).
READ_IN_PART: Final = 8
#: A present value was read as a word, for which no raw value was made: raw is its place's content, cursor its row.
WORD: Final = 9

_ALL: Final = frozenset({WHOLE})
_TAKEN: Final = (READ, WORD)


class Mark:
    """
    One path of a mapping.

    Args:
        path: as written.
        conversion: what its values become; `None` where only their presence is asked.
        decides: it stands in a condition, and no value of it goes anywhere.
        many: all values are read, not the first.
        item: what is being bound.
        rule: place in the mapping file.
    """

    __slots__ = (
        "always",
        "code",
        "conversion",
        "converts",
        "decides",
        "item",
        "many",
        "opened",
        "path",
        "reads",
        "rule",
        "spot",
        "touches",
        "used",
    )

    def __init__(
        self,
        path: str,
        spot: Spot | LoopSpot,
        conversion: Conversion | None = None,
        *,
        decides: bool = False,
        many: bool = False,
        item: str = "",
        rule: str = "",
    ) -> None:
        self.path = path
        self.spot: Any = spot
        self.conversion = conversion
        self.decides = decides
        self.many = many
        self.item = item
        self.rule = rule
        self.reads = conversion.reads if conversion is not None else _ALL
        #: A value counts as far as its conversion says; and what says how far, where that is not all that it reads.
        self.converts = conversion is not None
        self.used = conversion.used if conversion is not None else None
        #: The kinds of cell that it may read values of; a loop reads none.
        touches = getattr(spot, "touches", None)
        self.touches: frozenset[Any] = touches(self.reads) if touches is not None else frozenset()
        #: Read in every message: at the top, before anything that decides. Set once the whole mapping is known.
        self.always = False
        #: (What stands at its place, the row) → the raw value; for words. And what a word is in the ledger.
        self.opened: Callable[[Any, Any], Any] | None = None
        self.code = 0

    def __repr__(self) -> str:
        return f"<Mark {self.path} {self.rule}>"


Entry: TypeAlias = tuple[Mark, int, Any, Any]
Trace: TypeAlias = list[Entry]


def flip(trace: Trace, marks: Container[Mark], kind: int) -> None:
    """
    Change what became of the values that were read last for some marks: a function did not use them, or failed.

    Its arguments were read just before, so their entries are the end of the trace.
    """
    at = len(trace) - 1
    while at >= 0 and trace[at][0] in marks:
        mark, was, raw, cursor = trace[at]
        if was in _TAKEN:
            trace[at] = (mark, kind, raw_of(trace[at]), cursor)
        elif was == READ_IN_PART:
            trace[at] = (mark, kind, raw[0], cursor)
        at -= 1


def raw_of(entry: Entry) -> Any:
    """The raw value of an entry that has one; made now where it is a word."""
    mark, kind, raw, cursor = entry
    if kind == WORD:
        assert mark.opened is not None
        return mark.opened(raw, cursor)
    return raw


def narrow(trace: Trace, marks: Container[Mark], unused: frozenset[str]) -> None:
    """Say of the values that were read last for some marks that some of their parts were not used."""
    at = len(trace) - 1
    while at >= 0 and trace[at][0] in marks:
        mark, was, _, cursor = trace[at]
        if was in _TAKEN and mark.conversion is not None and not unused.isdisjoint(mark.conversion.parts):
            trace[at] = (mark, READ_IN_PART, (raw_of(trace[at]), unused), cursor)
        at -= 1
