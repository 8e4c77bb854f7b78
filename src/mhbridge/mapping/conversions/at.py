"""
An element of a CDA as a conversion reads it: what it takes is written down, so that the field ledger knows each leaf.

A conversion is one function over an `At`, which gives the value and leaves behind what it depends on. So the two can
never differ. This module must never decide what a value means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible
from mhbridge.mapping.types import Type

if TYPE_CHECKING:
    from mhbridge.formats.xml import Element

__all__ = ["CDA", "XSI", "At", "leaf", "made"]

CDA: Final = "{urn:hl7-org:v3}"
XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_BLANKS: Final = " \t\r\n"
_ALL: Final = frozenset({WHOLE})


def leaf(place: int, bit: int = 0) -> int:
    """A leaf as one number (`mhbridge.formats.xml.places.LEAF_BITS`): an element has at most a hundred attributes."""
    return place << 7 | bit


class At:
    """
    Args:
        element: where it reads.
        seen: takes the leaves that the result depends on, as `leaf` numbers them; `None` when nobody asks.
    """

    __slots__ = ("element", "seen")

    def __init__(self, element: Element, seen: set[Any] | None = None) -> None:
        self.element = element
        self.seen = seen

    # -- looking: nothing is written down ------------------------------------------------------------------

    def peek(self, attribute: str) -> str:
        """What an attribute says, without blanks around it."""
        return self.element.attributes.get(attribute, "").strip(_BLANKS)

    def all(self, name: str) -> list[At]:
        """The children of a name of CDA."""
        wanted, seen = CDA + name, self.seen
        return [At(child, seen) for child in self.element.children if child.name == wanted]

    def one(self, *names: str) -> At | None:
        """The first child of the first of the names that there is."""
        children = self.element.children
        for name in names:
            wanted = CDA + name
            for child in children:
                if child.name == wanted:
                    return At(child, self.seen)
        return None

    @property
    def children(self) -> Iterator[tuple[str, At]]:
        """All children of CDA, with their names."""
        for child in self.element.children:
            if child.name.startswith(CDA):
                yield child.name[len(CDA) :], At(child, self.seen)

    # -- taking --------------------------------------------------------------------------------------------

    def take(self, attribute: str) -> str:
        """What an attribute says, and the result depends on it."""
        found = self.peek(attribute)
        if found and self.seen is not None:
            self.seen.add(leaf(self.element.index, self.element.bit(attribute)))
        return found

    def own(self) -> str:
        """The element's own text, and the result depends on it."""
        if self.element.own and self.seen is not None:
            self.seen.add(leaf(self.element.index))
        return self.element.own.strip(_BLANKS)

    def words(self) -> str:
        """All text in it, blanks made one space, and the result depends on it."""
        if self.seen is not None:
            element = self.element
            self.seen.update([leaf(at) for at, mask in element.tree.populated(element.index, element.end) if mask & 1])
        return " ".join(self.element.words().split())

    def whole(self) -> None:
        """The result depends on every leaf in it."""
        if self.seen is not None:
            element = self.element
            for at, mask in element.tree.populated(element.index, element.end):
                self.seen.update([leaf(at, bit) for bit in range(mask.bit_length()) if mask >> bit & 1])


def made(target: str, convert: Callable[[At, Context], Any]) -> Conversion:
    """The conversion that a function over an `At` is."""
    target_type = Type(target)

    def run(raw: Any, context: Context) -> Any:
        # What it used is written down at once: the ledger asks for it a moment later.
        seen: set[Any] = set()
        try:
            value = convert(At(raw, seen), context)
        except Unconvertible:
            raw.tree.memo[target, raw.index] = _ALL
            raise
        raw.tree.memo[target, raw.index] = frozenset(seen)
        return value

    def used(raw: Any, context: Context) -> frozenset[str]:
        known: frozenset[str] | None = raw.tree.memo.get((target, raw.index))
        if known is None:
            try:
                run(raw, context)
            except Unconvertible:
                return _ALL
            known = raw.tree.memo[target, raw.index]
        return known

    return Conversion("cda", target_type, run, _ALL, used)
