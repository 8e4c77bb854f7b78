"""
What the ledger is told of paths that ask nothing: of formats, or of places in them, without predicates.

See `mhbridge.formats.Spot` for what each answer means. This module must never know a format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mhbridge.formats import PLACE_BITS, STATE_BITS, Asked, Cell

__all__ = ["OneLeaf", "Unasked"]


class Unasked:
    """A path, or a loop, that has no predicates."""

    __slots__ = ()
    kind = ""
    asks = False
    subject = question = within = everywhere = None

    def questioned(self, cursor: Any) -> tuple[Cell, ...]:  # noqa: ARG002  # the protocol's
        """Nothing is asked."""
        return ()

    def asked(self, cursor: Any) -> tuple[Asked, ...]:  # noqa: ARG002
        """Nothing is asked."""
        return ()


class OneLeaf(Unasked):
    """
    A path that reads one leaf, always the same, in the first group of a message; nothing there deletes.

    Args:
        place: in that group.
        touched: what `Format.touched` gives for it.
    """

    __slots__ = ("_touches", "place")

    def __init__(self, place: int, touched: Any) -> None:
        self.place = place
        self._touches = frozenset([touched])

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:  # noqa: ARG002
        """Itself."""
        return self._touches

    def cells(self, raw: Any, parts: frozenset[str]) -> tuple[Cell, ...]:  # noqa: ARG002
        """Itself."""
        return ((self.place, 1),) if parts else ()

    def take(self, raw: Any, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:  # noqa: ARG002
        """Itself."""
        if parts:
            into[0].append((1 << PLACE_BITS | self.place) << STATE_BITS | state)

    def present(self, raw: Any) -> tuple[Cell, ...]:  # noqa: ARG002
        """Itself."""
        return ((self.place, 1),)

    def every(self, cursor: Any, parts: frozenset[str]) -> tuple[Cell, ...]:  # noqa: ARG002
        """Itself."""
        return ((self.place, 1),) if parts else ()

    def deleted(self, cursor: Any) -> tuple[Cell, ...]:  # noqa: ARG002
        """Nothing deletes."""
        return ()
