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
    from mhbridge.formats.xml.tree import Tree

__all__ = ["CDA", "TEXT", "XSI", "At", "leaf", "made"]

CDA: Final = "{urn:hl7-org:v3}"
XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
#: The bit of an element's own text (`mhbridge.formats.xml.tree.TEXT`, which a mapping of HL7 v2 never loads).
TEXT: Final = 1
_BLANKS: Final = " \t\r\n"
_ALL: Final = frozenset({WHOLE})


def leaf(place: int, bit: int = 0) -> int:
    """A leaf as one number (`mhbridge.formats.xml.places.LEAF_BITS`): an element has at most a hundred attributes."""
    return place << 7 | bit


class At:
    """
    Args:
        tree: the document.
        index: the element where it reads.
        seen: takes the leaves that the result depends on, as `leaf` numbers them; `None` when nobody asks.
    """

    __slots__ = ("index", "seen", "tree")

    def __init__(self, tree: Tree, index: int, seen: set[Any] | None = None) -> None:
        self.tree = tree
        self.index = index
        self.seen = seen

    # -- looking: nothing is written down ------------------------------------------------------------------

    @property
    def local(self) -> str:
        """The element's name without its namespace."""
        return self.tree.names[self.index].rpartition("}")[2]

    @property
    def bare(self) -> bool:
        """Whether no element is in it."""
        return self.tree.ends[self.index] == self.index + 1

    @property
    def words_between(self) -> str:
        """The text that stands directly in it."""
        return self.tree.own(self.index)

    def peek(self, attribute: str) -> str:
        """What an attribute says, without blanks around it."""
        return self.tree.said(self.index, attribute).strip(_BLANKS)

    def all(self, name: str) -> list[At]:
        """The children of a name of CDA."""
        tree, seen = self.tree, self.seen
        return [At(tree, at, seen) for at in tree.called(self.index).get(CDA + name, ())]

    def one(self, *names: str) -> At | None:
        """The first child of the first of the names that there is."""
        tree, index = self.tree, self.index
        if tree.ends[index] > index + 1:
            called = tree.called(index)
            for name in names:
                if found := called.get(CDA + name):
                    return At(tree, found[0], self.seen)
        return None

    @property
    def children(self) -> Iterator[tuple[str, At]]:
        """All children of CDA, with their names."""
        tree, start = self.tree, len(CDA)
        for child in tree.children(self.index):
            name = tree.names[child]
            if name.startswith(CDA):
                yield name[start:], At(tree, child, self.seen)

    # -- taking --------------------------------------------------------------------------------------------

    def take(self, attribute: str) -> str:
        """What an attribute says, and the result depends on it."""
        tree, index = self.tree, self.index
        keys = tree.keys[index]
        if attribute not in keys:
            return ""
        at = keys.index(attribute)
        found = tree.values[tree.offsets[index] + at].strip(_BLANKS)
        if found and self.seen is not None:
            self.seen.add(leaf(index, at + 1))
        return found

    def take_own(self) -> None:
        """The result depends on the element's own text."""
        if self.seen is not None and self.tree.masks[self.index] & TEXT:
            self.seen.add(leaf(self.index))

    def own(self) -> str:
        """The element's own text, and the result depends on it."""
        self.take_own()
        return self.tree.own(self.index).strip(_BLANKS)

    def words(self) -> str:
        """All text in it, blanks made one space, and the result depends on it."""
        tree, index = self.tree, self.index
        if self.seen is not None:
            masks = tree.masks
            self.seen.update([leaf(at) for at in range(index, tree.ends[index]) if masks[at] & TEXT])
        return " ".join(tree.words(index).split())

    def whole(self) -> None:
        """The result depends on every leaf in it."""
        if self.seen is not None:
            for at, mask in self.tree.populated(self.index, self.tree.ends[self.index]):
                self.seen.update([leaf(at, bit) for bit in range(mask.bit_length()) if mask >> bit & 1])


def made(target: str, convert: Callable[[At, Context], Any]) -> Conversion:
    """The conversion that a function over an `At` is."""
    target_type = Type(target)

    def run(raw: Any, context: Context) -> Any:
        # What it used is written down at once: the ledger asks for it a moment later.
        seen: set[Any] = set()
        try:
            value = convert(At(raw.tree, raw.index, seen), context)
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
