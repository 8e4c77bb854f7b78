"""
All that one mapping says of the leaves of messages, and what is remembered of messages of its sender.

This module must never say what became of a leaf: that is for whoever has all mappings that took a message (`account`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mhbridge.formats import Cell, Format, Message, Nested, Path, Source, no_more, nowhere
from mhbridge.mapping import marks, nodes
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.ledger.cells import LONGEST
from mhbridge.mapping.ledger.levels import always_read, level_of, marks_of
from mhbridge.mapping.ledger.reaching import Reaching
from mhbridge.mapping.ledger.taking import Taking
from mhbridge.mapping.marks import Trace
from mhbridge.model import Ledger

__all__ = ["FieldLedger", "Outcome", "Taken"]

#: Messages in which more was read are seldom alike.
_MOST_READ: Final = 160


@dataclass(frozen=True, slots=True)
class Outcome:
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
    All that a mapping says of leaves, made once when it is compiled: what it takes, what it could reach, and what it
    ignores.

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
        nested = self.nested is not None
        self.source = source
        self._ignored = [(format_.ignored(path), reason) for path, reason in ignored]
        #: (kind, place) → mask of what is ignored in every message; and what else is in one message.
        self.ignoring, self.ignoring_here = format_.ignoring([path for path, _ in ignored])
        top = level_of(items, nested=nested)
        for read in always_read(items):
            read.mark.always = True
        self.marks = tuple(marks_of(top))
        self.taking = Taking(format_, source, self.marks, context, nested=nested)
        self.reaching = Reaching(format_, top, nested=nested)
        #: Nothing is known of any place before a message is read.
        self.anywhere = self.taking.selects_nowhere and self.ignoring is nowhere
        self._by_shape = format_.reached_by_shape and self.ignoring_here is no_more
        #: What decides of a whole message (`alike`) → its ledger.
        self.whole: dict[Any, Ledger] = {}
        #: Kind and shape of a group, and what was taken of it → what became of its leaves.
        self.known: dict[Any, Outcome] = {}
        #: What was left open and what decides of that → what was passed over, and what is unmapped.
        self.left: dict[Any, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def alike(self, message: Message, trace: Trace, kinds: Sequence[str], shapes: Sequence[Any]) -> Any:
        """
        What tells messages apart whose ledgers differ: shapes, and which path read what of which group. `None` where it
        is what the message says, or so much that no other is like it.
        """
        if not self._by_shape or len(trace) > _MOST_READ or self.taking.asks_of(kinds):
            return None
        if sum(map(len, shapes)) > LONGEST:
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
        return not self.reaching.asks(frozenset([self.format.touched(message, cell) for cell, _ in left]))

    def ignored(self, message: Message) -> Iterator[tuple[int, int, str]]:
        """The leaves that the mapping ignores, and why."""
        for find, reason in self._ignored:
            for cell, mask in find(message):
                yield cell, mask, reason


#: A mapping's ledger and what reading one message under it left.
Taken: TypeAlias = tuple[FieldLedger, Trace]
