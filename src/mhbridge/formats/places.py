"""
Where things are in a message, as the field ledger asks it: places as numbers, and what each path looks at of them.

Every format answers all of it. This module must never say what becomes of a leaf: that is the ledger's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from mhbridge.formats.messages import Message
from mhbridge.formats.paths import Path, Scope
from mhbridge.formats.sources import Source

__all__ = [
    "PLACE",
    "PLACE_BITS",
    "STATE_BITS",
    "Asked",
    "Became",
    "Cell",
    "Ignoring",
    "LoopSpot",
    "NestedLoopSpot",
    "NestedSpot",
    "Placed",
    "Spot",
    "States",
    "no_more",
    "nowhere",
]


#: A place of a message that holds something, as a number that the format makes, and the leaves in it as a bit mask.
Cell: TypeAlias = tuple[int, int]
#: The low bits of a cell's number say where it is in its *group* (a segment, a row), the others which group that is.
PLACE_BITS: Final = 20
PLACE: Final = (1 << PLACE_BITS) - 1
#: Where the ledger puts cells together as one number, the lowest bits are its own.
STATE_BITS: Final = 2
#: A cell whose leaves a predicate looked at, and whether it said yes.
Asked: TypeAlias = tuple[int, int, bool]
#: Of a message that is one group: place → mask of what is bound, of selectors, and of what failed.
States: TypeAlias = tuple[Mapping[int, int], Mapping[int, int], Mapping[int, int]]
#: (message, cells) → those of them that are ignored.
Ignoring: TypeAlias = Callable[[Any, Sequence[Cell]], Iterable[Cell]]


def nowhere(kind: str, place: int) -> int:  # noqa: ARG001  # as `Format.ignoring` has it
    """What is ignored in every message, in a format whose places mean nothing before a message is read."""
    return 0


def no_more(message: Any, cells: Sequence[Cell]) -> tuple[Cell, ...]:  # noqa: ARG001  # as `Format.ignoring` has it
    """What is ignored in one message and not in all, where there is nothing."""
    return ()


class LoopSpot(Protocol):
    """
    What the predicates of a path look at, told to the field ledger: of a `$each`, they are all that it reads.

    Args:
        asks: the path has predicates that look at leaves.
        subject: what its predicate looks at, where that is the same leaves whatever it wants to see there; else `None`.
        question: the same, where it looks at all of them; paths with the same question need to be asked only once.
        within: a question of others that looks at all that its predicate looks at; else `None`.
        kind: the kind of group that is asked, if it is asked from the outermost cursor; empty: any.
        everywhere: (kind of group, a place or `Format.like` of places, mask) of what the question looks at, where that
            is in every group of the kind if it is asked from the outermost cursor; else `None`.
    """

    @property
    def kind(self) -> str:
        """See above."""

    @property
    def asks(self) -> bool:
        """See above."""

    @property
    def subject(self) -> Any:
        """See above."""

    @property
    def question(self) -> Any:
        """See above."""

    @property
    def within(self) -> Any:
        """See above."""

    @property
    def everywhere(self) -> tuple[str, int, int] | None:
        """See above."""

    def questioned(self, cursor: Any) -> Iterable[Cell]:
        """The leaves that the `question` looks at."""

    def asked(self, cursor: Any) -> Iterable[Asked]:
        """The leaves that predicates of the path look at."""


@runtime_checkable
class Spot(LoopSpot, Protocol):
    """What one path of a mapping reads, and its predicates. `parts` are those of `Conversion.reads`."""

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """What `Format.touched` gives for the cells that the path may read."""

    def cells(self, raw: Any, parts: frozenset[str]) -> Iterable[Cell]:
        """The leaves of a raw value, and of its companion fields, that `parts` names."""

    def take(self, raw: Any, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """
        The same cells, each as `(mask << PLACE_BITS | place) << STATE_BITS | state`, added to what is taken of their
        group.
        """

    def present(self, raw: Any) -> Iterable[Cell]:
        """The leaf without which the raw value would not be there; none when there are several."""

    def every(self, cursor: Any, parts: frozenset[str]) -> Iterable[Cell]:
        """The leaves that `parts` names of all that stands at the path, whether or not it was read."""

    def deleted(self, cursor: Any) -> Sequence[Cell]:
        """The leaves that delete at the path, in order."""


class NestedLoopSpot(LoopSpot, Protocol):
    """
    The same of a format that is `Nested`.

    Args:
        inside: nothing is found but in the cursor.
    """

    @property
    def inside(self) -> bool:
        """See above."""

    def holds(self, raw: Any, places: Sequence[int]) -> bool:
        """Whether any of some places, in order, may be in a raw value."""


class NestedSpot(NestedLoopSpot, Spot, Protocol):
    """The same of a format that is `Nested`."""

    def hold(self, raw: Any, parts: frozenset[str], states: Sequence[dict[int, int]], state: int) -> None:
        """What `take` adds, added to the states that `Nested.became` gets."""

    def standing(self, cursor: Any, parts: frozenset[str], places: Sequence[int]) -> Iterable[Cell]:
        """Of `every` the cells at some places, which are in order."""


@dataclass(frozen=True, slots=True)
class Became:
    """What became of the leaves of a message, before it is asked what was passed over: counts, and cells in order."""

    bound: int
    selectors: int
    ignored: int
    failed: list[Cell]
    open: list[Cell]


class Placed(Protocol):
    """A format as the field ledger sees it."""

    #: What a path without predicates reaches is decided by the kinds and the shapes of a message's groups (`shapes`).
    reached_by_shape: bool

    def populated(self, message: Message) -> Iterable[Cell]:
        """Every cell in which something is, in the order of the message, with the mask of its populated leaves."""

    def shapes(self, message: Message) -> tuple[Sequence[str], Sequence[Hashable]]:
        """
        The groups of a message: what kind each is, and its shape.

        A shape tells where in a group something is, and nothing of what: groups of one kind and shape are populated
        alike. The ledger remembers what it found for shapes, so they must hold no content.
        """

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:
        """What is populated in a group of a shape: places in the group, in order, each with the mask of its leaves."""

    def like(self, place: int) -> int:
        """What places in a group have in common that one question looks at: a number that is no place, or the only."""

    def structural(self, message: Message, source: Source) -> Iterable[Cell]:
        """
        What the format itself reads and mhbridge acts upon: how the message is to be read, whose it is, its number.
        A leaf belongs here only if changing it changes what becomes of the message or what its sender is told.
        """

    def spot(self, path: Path, scope: Scope, *, many: bool) -> Spot:
        """What a path reads: all values, or the first one."""

    def loop_spot(self, path: Path, scope: Scope) -> LoopSpot:
        """What the predicates of a loop's path look at."""

    def ignored(self, path: Path) -> Callable[[Any], Iterable[Cell]]:
        """Message → the cells that an entry of `ignore:` names."""

    def ignoring(self, paths: Sequence[Path]) -> tuple[Callable[[str, int], int], Ignoring]:
        """
        What all entries of `ignore:` together name: (kind of group, place) → mask of what is ignored there in every
        message; and (message, cells) → at least those of the cells that the other entries name in this message.
        """

    def touched(self, message: Message, cell: int) -> Any:
        """What cells of the same kind have in common: those that a path may read (`Spot.touches`)."""

    def path(self, message: Message, cell: int, bit: int, source: Source, *, exact: bool) -> str:
        """
        The path of one leaf.

        Args:
            bit: the number of its bit in the mask.
            exact: of this leaf and no other (`PID-3[2].4`); otherwise of all leaves like it (`PID-3.4`).
        """

    def leaf(self, message: Message, cell: int, bit: int) -> str:
        """What one leaf says, as it stands; for tests of the ledger."""

    def altered(self, message: Message, cell: int, bit: int, encoded: str, source: Source) -> bytes:
        """The bytes of a message with one leaf replaced, as they stand; for tests of the ledger."""
