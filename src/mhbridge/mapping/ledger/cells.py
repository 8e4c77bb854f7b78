"""
How the ledger puts leaves and what became of them together as numbers. This module must never know a mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from mhbridge.formats import PLACE, PLACE_BITS, STATE_BITS, Cell

__all__ = [
    "BOUND",
    "FAILED",
    "LONGEST",
    "MOST_REACHED",
    "SELECTOR",
    "Into",
    "Sorted",
    "add",
    "bits",
    "hold",
    "sorted_by_state",
]

#: What became of a leaf that was read, in the lowest bits of what is taken of a group.
BOUND: Final = 0
SELECTOR: Final = 1
FAILED: Final = 2
#: How long what is remembered may be, and how much of it.
LONGEST: Final = 512
MOST_REACHED: Final = 256

#: Place → mask of what is bound, of selectors, and of what failed.
Sorted: TypeAlias = tuple[dict[int, int], dict[int, int], dict[int, int]]
#: What was taken: of each group, each cell and its state as one number; of a message that is one group `Sorted`.
Into: TypeAlias = Any


def hold(cells: Iterable[Cell], state: int, into: Sorted) -> None:
    """Add cells to a message that is one group."""
    held = into[state]
    for place, mask in cells:
        held[place] = held.get(place, 0) | mask


def add(cells: Iterable[Cell], state: int, into: Sequence[list[int]]) -> None:
    """Add cells to their groups."""
    for cell, mask in cells:
        into[cell >> PLACE_BITS].append((mask << PLACE_BITS | cell & PLACE) << STATE_BITS | state)


def sorted_by_state(codes: Iterable[int]) -> Sorted:
    """Place → mask of what is bound, of selectors, and of what failed."""
    found: Sorted = ({}, {}, {})
    for code in codes:
        held, cell = found[code & (1 << STATE_BITS) - 1], code >> STATE_BITS
        place = cell & PLACE
        held[place] = held.get(place, 0) | cell >> PLACE_BITS
    return found


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set in a mask, the lowest first."""
    at = 0
    while mask:
        low = (mask & -mask).bit_length() - 1
        yield at + low
        mask >>= low + 1
        at += low + 1
