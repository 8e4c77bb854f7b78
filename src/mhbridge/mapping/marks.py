"""
What is written down while a mapping reads a message, so that the field ledger can be drawn up afterwards.

A *mark* stands for one path of a mapping. Reading leaves entries of (mark, what became of it, raw value, cursor) in the
run's trace; nothing else is done while a message is read. What the entries mean is `mapping.ledger`'s. This module must
never look at a value.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final, TypeAlias

from mhbridge.formats import PLACE, STATE_BITS, LoopSpot, Spot
from mhbridge.mapping.conversions import WHOLE, Conversion

__all__ = [
    "ASKED",
    "COMPARED",
    "DELETES",
    "DROPPED",
    "FAILED",
    "FAILED_WHOLE",
    "KEPT",
    "PLAIN",
    "READ",
    "READ_IN_PART",
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
#: Any number above this one: a present value was read of which no raw value was made. Raw is what stands at its place,
#: the cursor is its row, and the number itself is what the ledger takes of it (`Mark.plain`). A number below nought is
#: what it takes of a place beside that one, with the other sign.
PLAIN: Final = 15

_ALL: Final = frozenset({WHOLE})


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
        "beside",
        "conversion",
        "converts",
        "decides",
        "item",
        "many",
        "opened",
        "path",
        "plain",
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
        #: Of values of which no raw value is made: what they depend on → what the ledger takes of them, and of other
        #: places in their rows; and
        #: (what stands at the place, the row, the place) → the raw value all the same.
        self.plain: dict[frozenset[str], int] = {}
        self.beside: dict[frozenset[str], tuple[int, ...]] = {}
        self.opened: Callable[[Any, Any, int], Any] | None = None

    def coded(self, used: frozenset[str]) -> int:
        """What the ledger takes of a plain value that depends on these; the lowest bit says that the path decides."""
        code, beside = self.spot.codes(used)
        code |= self.decides
        assert code > PLAIN
        if beside:
            self.beside[used] = tuple(-(one | self.decides) for one in beside)
        self.plain[used] = code
        return int(code)

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
        if was == READ or was > PLAIN:
            trace[at] = (mark, kind, raw_of(trace[at]), cursor)
        elif was == READ_IN_PART:
            trace[at] = (mark, kind, raw[0], cursor)
        elif was < 0:
            trace[at] = (mark, DROPPED, None, cursor)  # the value itself is the entry before it
        at -= 1


def raw_of(entry: Entry) -> Any:
    """The raw value of an entry that has one; made now where none was."""
    mark, kind, raw, cursor = entry
    if kind > PLAIN:
        assert mark.opened is not None
        return mark.opened(raw, cursor, kind >> STATE_BITS & PLACE)
    return raw


def narrow(trace: Trace, marks: Container[Mark], unused: frozenset[str]) -> None:
    """Say of the values that were read last for some marks that some of their parts were not used."""
    at = len(trace) - 1
    while at >= 0 and trace[at][0] in marks:
        mark, was, _, cursor = trace[at]
        made = mark.conversion
        if (was == READ or was > PLAIN) and made is not None and not unused.isdisjoint(made.parts):
            trace[at] = (mark, READ_IN_PART, (raw_of(trace[at]), unused), cursor)
        at -= 1
