"""
Paths into a message: where they stand, what a loop over one runs over, and how what they find is read.

All here is made once, when a mapping is compiled. This module must never look at what a message says.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from mhbridge.formats.sources import Source
from mhbridge.model import ABSENT
from mhbridge.model.frozen import frozen

__all__ = ["Loop", "Path", "PathError", "Plain", "PlainValue", "Plan", "Scope"]


class PathError(Exception):
    """
    A path that is not well formed, or not possible here. `code` is E107 (malformed), E205 (unknown segment, column),
    E206 (relative path outside a loop) or E207 (not below this loop in the outline); `offset` counts from the start of
    the path.
    """

    def __init__(self, code: str, message: str, *, offset: int = 0, width: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.width, self.hint = code, message, offset, width, hint


@dataclass(frozen=True, slots=True)
class Path:
    """
    A parsed path. Formats subclass it with what they need; equal text parses to equal paths.

    Args:
        text: the path as written.
        relative: it starts at the cursor of the innermost loop.
    """

    text: str
    relative: bool = False


@frozen(frozen=True, slots=True)
class Scope:
    """
    Where an expression stands: the loops around it, outermost first. Static: known before any message is read.

    Args:
        known: what a format has worked out for this place, so that it need not for each path.
    """

    source: Source
    loops: tuple[Any, ...] = ()
    known: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)


class Loop(Protocol):
    """What `$each` runs over: `cursors(cursor)` yields the places below, in the order of the message."""

    def cursors(self, cursor: Any) -> Iterator[Any]:
        """The places below `cursor`."""


PlainValue: TypeAlias = tuple[list[str], Any, Any, int]
"""
The components of a value, what stands there, the row, and the number of the value among those at its place, which is in
the lowest bits of the place.
"""


@frozen(frozen=True, slots=True)
class Plain:
    """
    How all values of a path are found where all are plain (`Plan.parts`), without making raw values of them.

    Args:
        find: cursor → all values in order; `None` where one is not plain, or may not be one.
        opened: (what stands there, the row, its place as the ledger has it) → the raw value all the same.
    """

    find: Callable[[Any], list[PlainValue] | None]
    opened: Callable[[Any, Any, int], Any]


@frozen(frozen=True, slots=True)
class Plan:
    """
    How the first value of a path is found, in steps of which paths share the first.

    A *row* is what several paths look into: a segment, a line of a file. Generated code asks for a row once for all of
    them, looks at a place in it without calling anything, and calls `value` only where something stands there.

    Args:
        key: plans with equal keys find the same row from the same cursor.
        row: (cursor, width) → the row, and what stands at its places, which are at least so many: nothing stands at
            those that it lacks, or at any where there is no row.
        place: the index of the place.
        value: (what stands at the place, the row) → the raw value, `ABSENT`, or `DELETED`.
        parts: (the same) → the components of the raw value as texts, where it has no other parts and nothing in it is
            escaped or deleted: then no raw value need be made of it. Else `None`. Rows of such plans have a `position`,
            the number of their group, and `delimiters`: what stands at places of two rows with the same means the same.
            The spot of the path has `codes`.
        chosen: the same of a path that chooses among the values at its place; see `Plain.find`.
        common: what stands at the place says where something is, or which organisation it is: the same comes again in
            messages about others, so that all that is read of it is worth remembering.
    """

    key: Hashable
    row: Callable[[Any, int], tuple[Any, Sequence[Any]]]
    place: int
    value: Callable[[Any, Any], Any]
    parts: Callable[[Any, Any], list[str] | None] | None = None
    chosen: Callable[[Any, Any], PlainValue | None] | None = None
    common: bool = False

    def find(self, cursor: Any) -> Any:
        """What `Format.first` finds; what generated code does instead is exactly this."""
        row, places = self.row(cursor, self.place + 1)
        return self.value(places[self.place], row) if places[self.place] else ABSENT
