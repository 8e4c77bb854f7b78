"""
A document as elements with their attributes and texts: light, frozen in practice, without comments and instructions.

Elements are numbered in the order of the document; the number of an element, with one bit for its own text and one for
each attribute, is what the field ledger knows a leaf by. This module must never hold what is not in the document, and
never walk it without counting its steps: a path that asks too much costs its message and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from contextlib import suppress
from itertools import compress, count, repeat
from operator import contains
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


_CHILDLESS: Final[Mapping[str, list[int]]] = {}


class Element:
    """
    One element, as whoever asks for it sees it; what it says is the tree's.

    A tree holds no element, so that nothing goes round in a circle: a document is gone as soon as nobody reads in it,
    and the next one finds its memory warm.

    Args:
        index: its number in the document; `end` is that of the first element after it that is not inside it.
        name: `{namespace}local`, or `local` in no namespace.
        text: before its first child.
        tail: after its own end, inside its parent.
        own: all its direct text together, or empty when that is blank.
    """

    __slots__ = ("end", "index", "name", "tree")

    def __init__(self, tree: Tree, index: int) -> None:
        self.tree = tree
        self.index = index
        self.name = tree.names[index]
        self.end = tree.ends[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Element) and other.index == self.index and other.tree is self.tree

    def __hash__(self) -> int:
        return self.index

    @property
    def attributes(self) -> dict[str, str]:
        """What it has, by name."""
        return self.tree.held(self.index)

    @attributes.setter
    def attributes(self, attributes: dict[str, str]) -> None:
        self.tree.hold(self.index, attributes)

    @property
    def text(self) -> str:
        """See above."""
        return self.tree.texts[self.index]

    @text.setter
    def text(self, text: str) -> None:
        self.tree.texts[self.index] = text

    @property
    def tail(self) -> str:
        """See above."""
        return self.tree.tails[self.index]

    @tail.setter
    def tail(self, text: str) -> None:
        self.tree.tails[self.index] = text

    @property
    def own(self) -> str:
        """See above."""
        return self.tree.own(self.index)

    @property
    def parent(self) -> Element | None:
        """The element that it is in."""
        parent = self.tree.parents[self.index]
        return None if parent < 0 else self.tree.element(parent)

    @property
    def children(self) -> list[Element]:
        """The elements directly in it."""
        tree = self.tree
        shown = tree.shown.get(self.index)
        return [tree.element(child) for child in (tree.children(self.index) if shown is None else shown)]

    @children.setter
    def children(self, children: list[Element]) -> None:
        self.tree.shown[self.index] = [child.index for child in children]

    @property
    def local(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("}")[2]

    def bit(self, attribute: str) -> int:
        """The number of the bit of an attribute that it has."""
        return list(self.attributes).index(attribute) + 1

    def inside(self) -> list[Element]:
        """It and everything below it, in the order of the document."""
        return [self.tree.element(index) for index in range(self.index, self.end)]

    def words(self) -> str:
        """All its text and that of everything below it, as it stands."""
        return self.tree.words(self.index)

    def __repr__(self) -> str:
        return f"<Element {self.local} {self.index}>"


class Leaf:
    """The text or one attribute of an element, as a path finds it."""

    __slots__ = ("bit", "index", "text")

    def __init__(self, index: int, bit: int, text: str) -> None:
        self.index = index
        self.bit = bit
        self.text = text


class Tree:
    """
    One document, with the envelope round it: of each element, by its number, what it is called, holds and says.

    Most elements of a document are never asked for by themselves, so there is an `Element` only of those that are.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        #: The names of its attributes, and where in the values of all attributes its own begin.
        self.keys: list[tuple[str, ...]] = []
        self.offsets: list[int] = []
        self.values: list[str] = []
        #: The number of the parent; -1 of the outermost.
        self.parents: list[int] = []
        self.ends: list[int] = []
        self.texts: list[str] = []
        self.tails: list[str] = []
        #: The populated leaves of each element.
        self.masks: list[int] = []
        #: The element that the message is in: that of a document in an envelope.
        self.top = 0
        self.steps = 0
        #: What paths that begin at the root found, and what they are looked up by.
        self.memo: dict[Any, Any] = {}
        #: The children that some elements have for as long as the document is written.
        self.shown: dict[int, list[int]] = {}
        self._held: dict[int, dict[str, str]] = {}
        self._own: dict[int, str] = {}
        self._by_name: dict[str, list[int]] = {}
        self._called: dict[int, dict[str, list[int]]] = {}

    def element(self, index: int) -> Element:
        """The element of a number."""
        return Element(self, index)

    @property
    def outer(self) -> Element:
        """The outermost element."""
        return self.element(0)

    @property
    def root(self) -> Element:
        """The element that the message is in."""
        return self.element(self.top)

    @root.setter
    def root(self, root: Element) -> None:
        self.top = root.index

    @property
    def limit(self) -> int:
        """How many steps may be taken."""
        return _STEPS + _EACH * len(self.names)

    def held(self, index: int) -> dict[str, str]:
        """The attributes of an element."""
        found = self._held.get(index)
        if found is None:
            keys, at = self.keys[index], self.offsets[index]
            found = self._held[index] = dict(zip(keys, self.values[at : at + len(keys)], strict=True))
        return found

    def hold(self, index: int, attributes: dict[str, str]) -> None:
        """Give an element other attributes, for as long as it is written."""
        self._held[index] = attributes

    def said(self, index: int, attribute: str) -> str:
        """What an attribute of an element says; empty where it has none."""
        keys = self.keys[index]
        return self.values[self.offsets[index] + keys.index(attribute)] if attribute in keys else ""

    def children(self, index: int) -> list[int]:
        """The elements directly in one."""
        ends = self.ends
        found: list[int] = []
        at, end = index + 1, ends[index]
        while at < end:
            found.append(at)
            at = ends[at]
        return found

    def called(self, index: int) -> Mapping[str, list[int]]:
        """The elements directly in one, by their names."""
        found = self._called.get(index)
        if found is None:
            names, ends = self.names, self.ends
            at, end = index + 1, ends[index]
            if at == end:
                return _CHILDLESS
            found = self._called[index] = {}
            while at < end:
                found.setdefault(names[at], []).append(at)
                at = ends[at]
        return found

    def own(self, index: int) -> str:
        """All direct text of an element together, or empty when that is blank."""
        if not self.masks[index] & TEXT:
            return ""
        if self.ends[index] == index + 1:
            return self.texts[index]
        found = self._own.get(index)
        if found is None:
            tails = self.tails
            pieces = [self.texts[index], *[tails[child] for child in self.children(index)]]
            found = self._own[index] = "".join(pieces)
        return found

    def words(self, index: int) -> str:
        """All text in an element and in everything below it, as it stands."""
        end = self.ends[index]
        if end == index + 1:
            return self.texts[index]
        texts, tails, ends = self.texts, self.tails, self.ends
        out = [texts[index]]
        opened: list[int] = []
        for at in range(index + 1, end):
            while opened and ends[opened[-1]] <= at:
                out.append(tails[opened.pop()])
            out.append(texts[at])
            opened.append(at)
        out += [tails[one] for one in reversed(opened)]
        return "".join(out)

    def says(self, index: int) -> bool:
        """Whether anything is in an element."""
        masks = self.masks
        if masks[index]:
            return True
        end = self.ends[index]
        return end > index + 1 and any(masks[index + 1 : end])

    def populated(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The elements of a stretch that have leaves, each with the mask of them."""
        return [(at, mask) for at, mask in enumerate(self.masks[begin:end], begin) if mask]

    def spend(self, steps: int) -> None:
        """
        Raises:
            MalformedMessage: M806, paths have looked at more than any mapping needs to.
        """
        self.steps += steps
        if self.steps > _STEPS and self.steps > self.limit:
            raise MalformedMessage("M806", "the paths of the mapping take too many steps in this document")

    def by_name(self, name: str) -> list[int]:
        """All elements of a name."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = []
            names, at = self.names, -1
            with suppress(ValueError):
                while True:
                    at = names.index(name, at + 1)
                    found.append(at)
        return found

    def named(self, name: str, within: int) -> list[int]:
        """All elements of a name below one, in the order of the document."""
        found = self.by_name(name)
        begin = bisect_right(found, within)
        return found[begin : bisect_left(found, self.ends[within], begin)]

    def having(self, attribute: str) -> list[tuple[int, int, str]]:
        """All populated attributes of a name, in the order of the document: element, number of the bit, value."""
        known = self.memo.get("@")
        if known is None:
            known = self.memo["@"] = {}
            for index, keys in enumerate(self.keys):
                begin = self.offsets[index]
                for bit, (name, value) in enumerate(zip(keys, self.values[begin : begin + len(keys)], strict=True), 1):
                    if value.strip(BLANKS):
                        known.setdefault(name, []).append((index, bit, value))
        found: list[tuple[int, int, str]] = known.get(attribute, [])
        return found

    def with_id(self, name: str) -> int | None:
        """The element whose attribute `ID` says this (HL7 CDA R2 §4.3.5.1: what a reference to the narrative names)."""
        known: dict[str, int] | None = self.memo.get("ID")
        if known is None:
            known = self.memo["ID"] = {}
            for index in compress(count(), map(contains, self.keys, repeat("ID"))):
                known.setdefault(self.said(index, "ID"), index)
        return known.get(name)


def written_name(name: str) -> tuple[str, str]:
    """(namespace, local name) of `{namespace}local`."""
    space, brace, local = name.rpartition("}")
    return (space[1:], local) if brace else ("", name)
