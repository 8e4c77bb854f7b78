"""
A document as elements with their attributes and texts: light, frozen in practice, without comments and instructions.

Elements are numbered in the order of the document; the number of an element, with one bit for its own text and one for
each attribute, is what the field ledger knows a leaf by. This module must never hold what is not in the document, and
never walk it without counting its steps: a path that asks too much costs its message and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final

from mhbridge.errors import MalformedMessage

__all__ = ["BLANKS", "TEXT", "Element", "Leaf", "Tree", "written_name"]

#: XML 1.0 §2.3, production 3 (S): what separates, and says nothing by itself.
BLANKS: Final = " \t\r\n"
#: The bit of an element's own text; its attributes follow in their order.
TEXT: Final = 1

#: Elements looked at while one message is read: so many, and so many more for each of its elements. What our largest
#: mappings do to the largest public documents takes a twentieth of it.
_STEPS: Final = 200_000
_EACH: Final = 400


class Element:
    """
    One element.

    Args:
        name: `{namespace}local`, or `local` in no namespace.
        text: before its first child.
        tail: after its own end, inside its parent.
        own: all its direct text together, or empty when that is blank.
        index: its number in the document; `end` is that of the first element after it that is not inside it.
    """

    __slots__ = ("attributes", "children", "end", "index", "name", "own", "parent", "tail", "text", "tree")

    def __init__(self, name: str, attributes: dict[str, str], parent: Element | None, index: int, tree: Tree) -> None:
        self.name = name
        self.attributes = attributes
        self.parent = parent
        self.index = index
        self.tree = tree
        self.children: list[Element] = []
        self.text = ""
        self.tail = ""
        self.own = ""
        self.end = index + 1

    @property
    def local(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("}")[2]

    @property
    def mask(self) -> int:
        """Its populated leaves: its own text, and each attribute that is not blank."""
        return self.tree.masks[self.index]

    def bit(self, attribute: str) -> int:
        """The number of the bit of an attribute that it has."""
        return list(self.attributes).index(attribute) + 1

    def inside(self) -> list[Element]:
        """It and everything below it, in the order of the document."""
        return self.tree.elements[self.index : self.end]

    def words(self) -> str:
        """All its text and that of everything below it, as it stands."""
        if not self.children:
            return self.text
        return "".join(self._pieces())

    def _pieces(self) -> Iterator[str]:
        yield self.text
        for child in self.children:
            yield child.words()
            yield child.tail

    def __repr__(self) -> str:
        return f"<Element {self.local} {self.index}>"


class Leaf:
    """The text or one attribute of an element, as a path finds it."""

    __slots__ = ("bit", "element", "text")

    def __init__(self, element: Element, bit: int, text: str) -> None:
        self.element = element
        self.bit = bit
        self.text = text


_index: Final = attrgetter("index")


class Tree:
    """One document, with the envelope round it."""

    def __init__(self) -> None:
        self.elements: list[Element] = []
        #: The outermost element.
        self.outer: Element = None  # type: ignore[assignment]
        #: The element that the message is in: that of a document in an envelope.
        self.root: Element = None  # type: ignore[assignment]
        self.steps = 0
        #: What paths that begin at the root found, and what they are looked up by.
        self.memo: dict[Any, Any] = {}
        #: All elements of each name.
        self.by_name: dict[str, list[Element]] = {}
        #: The populated leaves of each element, while it is read.
        self.building: list[int] = []
        self._masks: tuple[int, ...] | None = None
        #: All that have leaves, and how many of them there are before each element.
        self._populated: tuple[list[tuple[int, int]], list[int]] | None = None

    @property
    def limit(self) -> int:
        """How many steps may be taken."""
        return _STEPS + _EACH * len(self.elements)

    @property
    def roots(self) -> tuple[Element, ...]:
        """Where a path from the root may begin: the document, and the envelope around it."""
        return (self.root,) if self.root is self.outer else (self.root, self.outer)

    @property
    def masks(self) -> tuple[int, ...]:
        """The populated leaves of each element."""
        if self._masks is None:
            self._masks = tuple(self.building)
        return self._masks

    def populated(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The elements of a stretch that have leaves, each with the mask of them."""
        if self._populated is None:
            masks = self.masks
            self._populated = [cell for cell in enumerate(masks) if cell[1]], [0, *accumulate(map(bool, masks))]
        cells, before = self._populated
        return cells[before[begin] : before[end]]

    def spend(self, steps: int) -> None:
        """
        Raises:
            MalformedMessage: M806, paths have looked at more than any mapping needs to.
        """
        self.steps += steps
        if self.steps > self.limit:
            raise MalformedMessage("M806", "the paths of the mapping take too many steps in this document")

    def named(self, name: str, within: Element) -> list[Element]:
        """All elements of a name below one, in the order of the document."""
        found = self.by_name.get(name)
        if found is None:
            return []
        if within.index == 0 and within.end == len(self.elements):
            return found[1:] if found[0] is within else found[:]
        begin = bisect_right(found, within.index, key=_index)
        return found[begin : bisect_left(found, within.end, begin, key=_index)]

    def having(self, attribute: str) -> list[tuple[Element, int, str]]:
        """All populated attributes of a name, in the order of the document: element, number of the bit, value."""
        known = self.memo.get("@")
        if known is None:
            known = self.memo["@"] = {}
            for element in self.elements:
                for bit, (name, value) in enumerate(element.attributes.items(), 1):
                    if value.strip(BLANKS):
                        known.setdefault(name, []).append((element, bit, value))
        found: list[tuple[Element, int, str]] = known.get(attribute, [])
        return found

    def with_id(self, name: str) -> Element | None:
        """The element whose attribute `ID` says this (HL7 CDA R2 §4.3.5.1: what a reference to the narrative names)."""
        known = self.memo.get("ID")
        if known is None:
            known = self.memo["ID"] = {}
            for element in self.elements:
                if (said := element.attributes.get("ID")) is not None:
                    known.setdefault(said, element)
        found: Element | None = known.get(name)
        return found


def written_name(name: str) -> tuple[str, str]:
    """(namespace, local name) of `{namespace}local`."""
    space, brace, local = name.rpartition("}")
    return (space[1:], local) if brace else ("", name)
