"""
The stages of a path: from some elements to others, one step at a time, and what a predicate looks at on the way.

Paths that begin alike share their stages (`reach`), and of what begins at the root each document remembers what a stage
found. A stage must never keep anything of a document itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from mhbridge.formats.xml.path import LAST
from mhbridge.formats.xml.tree import BLANKS, TEXT, Tree

__all__ = [
    "ELEMENT",
    "Above",
    "Asks",
    "Below",
    "Child",
    "Ending",
    "Filter",
    "Inner",
    "Place",
    "Root",
    "Stage",
    "ended",
]

#: What a path ends at: an element, its text, or an attribute of this name.
Ending: TypeAlias = "tuple[str, str, bool]"
#: A leaf: element, number of the bit, text.
_Found: TypeAlias = "tuple[int, int, str]"
ELEMENT: Final[Ending] = ("element", "", False)


@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """A path of a test, from the element that is tested. There is one of each, so what is looked up by it is quick."""

    steps: tuple[Stage, ...]
    ending: Ending

    def elements(self, tree: Tree, element: int) -> Sequence[int]:
        """Where it leads, before what it ends at."""
        found: Sequence[int] = (element,)
        for stage in self.steps:
            found = stage.of(found, tree)
        return found

    def leaves(self, tree: Tree, element: int) -> list[_Found]:
        """What stands there: element, number of the bit, text; remembered, since the field ledger asks again."""
        known: dict[int, list[_Found]] | None = tree.memo.get(self)
        if known is None:
            known = tree.memo[self] = {}
        here = known.get(element)
        if here is None:
            here = known[element] = ended(tree, self.elements(tree, element), self.ending)
        return here


@dataclass(frozen=True, slots=True)
class Asks:
    """One test of a predicate, ready."""

    inner: Inner
    operator: str
    text: str
    negated: bool

    def holds(self, tree: Tree, element: int) -> bool:
        """Whether it does."""
        inner = self.inner
        if not self.operator:
            # An element is there even when nothing is in it.
            found = inner.elements(tree, element) if inner.ending == ELEMENT else inner.leaves(tree, element)
            return bool(found) is not self.negated
        wanted = self.text
        kind, name, deep = inner.ending
        if kind == "attribute" and not inner.steps and not deep:
            same = tree.said(element, name).strip(BLANKS) == wanted
        else:
            same = any(text.strip(BLANKS) == wanted for _, _, text in inner.leaves(tree, element))
        return (same is (self.operator == "=")) is not self.negated


class Stage(ABC):
    """
    One move from elements to elements.

    Args:
        before: the stage that it goes on from; `None`: the root, or a cursor.
    """

    __slots__ = ("before",)

    def __init__(self, before: Stage | None) -> None:
        self.before = before

    @abstractmethod
    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:
        """Where the stage leads."""

    def at(self, tree: Tree) -> Sequence[int]:
        """From the root of a document; remembered."""
        known: Sequence[int] | None = tree.memo.get(self)
        if known is None:
            known = tree.memo[self] = self.of(self.before.at(tree) if self.before else (), tree)
        return known


class Root(Stage):
    """The document itself, above its root element; the envelope's too."""

    __slots__ = ("deep", "name")

    def __init__(self, name: str, *, deep: bool) -> None:
        super().__init__(None)
        self.name = name
        self.deep = deep

    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:  # noqa: ARG002  # begins anew
        """See `Stage`."""
        top = tree.top
        roots = (top,) if self.deep or not top else (top, 0)
        here = [root for root in roots if self.name in ("*", tree.names[root])]
        if not self.deep:
            return here[:1]
        return here + _below(tree, top, self.name)


class Child(Stage):
    """To the children of a name."""

    __slots__ = ("name",)

    def __init__(self, before: Stage | None, name: str) -> None:
        super().__init__(before)
        self.name = name

    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:
        """See `Stage`."""
        name = self.name
        if len(found) == 1 and name != "*":
            one: Sequence[int] = tree.called(found[0]).get(name, ())
            tree.spend(1 + len(one))
            return one
        out: list[int] = []
        for element in found:
            out += tree.children(element) if name == "*" else tree.called(element).get(name, ())
        tree.spend(len(out) + len(found))
        if any(b < a for a, b in pairwise(out)):
            out.sort()
        return out


class Below(Stage):
    """To everything of a name below."""

    __slots__ = ("name",)

    def __init__(self, before: Stage | None, name: str) -> None:
        super().__init__(before)
        self.name = name

    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:
        """See `Stage`."""
        ends, last = tree.ends, -1
        out: list[int] = []
        for element in found:
            if element < last:
                continue  # it is inside one whose descendants are all there already
            last = ends[element]
            out += _below(tree, element, self.name)
        tree.spend(len(out) + len(found))
        return out


class Above(Stage):
    """To the parents."""

    __slots__ = ()

    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:
        """See `Stage`."""
        tree.spend(len(found))
        return sorted({tree.parents[one] for one in found if one != tree.top} - {-1})


class Place(Stage):
    """The one at a position, among those of the same parent (XPath 1.0 §2.4)."""

    __slots__ = ("position",)

    def __init__(self, before: Stage | None, position: int) -> None:
        super().__init__(before)
        self.position = position

    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:
        """See `Stage`."""
        tree.spend(len(found))
        groups: dict[int, list[int]] = {}
        for element in found:
            groups.setdefault(tree.parents[element], []).append(element)
        chosen: list[int] = []
        for group in groups.values():
            if self.position == LAST:
                chosen.append(group[-1])
            else:
                chosen += group[self.position - 1 : self.position]
        return sorted(chosen)


class Filter(Stage):
    """Those of which one test holds."""

    __slots__ = ("asks",)

    def __init__(self, before: Stage | None, asks: Asks) -> None:
        super().__init__(before)
        self.asks = asks

    def of(self, found: Sequence[int], tree: Tree) -> Sequence[int]:
        """See `Stage`."""
        asks = self.asks
        tree.spend(len(found) * (1 + len(asks.inner.steps)))
        return [element for element in found if asks.holds(tree, element)]

    def looked(self, tree: Tree, found: Sequence[int]) -> list[tuple[int, int]]:
        """What the test looks at, as cells of the field ledger."""
        leaves = self.asks.inner.leaves
        return [(one, TEXT << bit) for element in found for one, bit, _ in leaves(tree, element)]

    def looked_from_root(self, tree: Tree) -> list[tuple[int, int]]:
        """The same from the root of a document; remembered for all that look at the same."""
        key = ("cells", self.before, self.asks.inner)
        known: list[tuple[int, int]] | None = tree.memo.get(key)
        if known is None:
            before = self.before.at(tree) if self.before is not None else ()
            known = tree.memo[key] = self.looked(tree, before)
        return known

    def at(self, tree: Tree) -> Sequence[int]:
        """By a table of what the elements say, made once for all that ask the same."""
        asks = self.asks
        if self.before is None or asks.operator != "=" or asks.negated:
            return super().at(tree)
        key = (self.before, asks.inner)
        said: dict[str, list[int]] | None = tree.memo.get(key)
        if said is None:
            said = tree.memo[key] = {}
            found = self.before.at(tree)
            tree.spend(len(found) * (1 + len(asks.inner.steps)))
            for element in found:
                for text in dict.fromkeys(text.strip(BLANKS) for _, _, text in asks.inner.leaves(tree, element)):
                    said.setdefault(text, []).append(element)
        return said.get(asks.text, ())


def _below(tree: Tree, element: int, name: str) -> list[int]:
    """Everything of a name in an element."""
    return list(range(element + 1, tree.ends[element])) if name == "*" else tree.named(name, element)


def ended(tree: Tree, found: Sequence[int], ending: Ending) -> list[_Found]:
    """The leaves that a path ends at; of elements their own text and, with `deep`, what is below them too."""
    kind, name, deep = ending
    out: list[_Found] = []
    last = -1
    for element in found:
        inside: Sequence[int] = (element,)
        if deep:
            if element < last:
                continue  # it is inside one that was gone through already
            last = tree.ends[element]
            if kind == "attribute" and name != "*":
                having = tree.having(name)
                tree.spend(len(having))
                out += [one for one in having if element <= one[0] < last]
                continue
            inside = range(element, last)
            tree.spend(len(inside))
        elif kind == "element":
            inside = range(element, tree.ends[element])
        if kind == "attribute":
            for one in inside:
                keys = tree.keys[one]
                if name != "*":
                    if name in keys:
                        at = keys.index(name)
                        value = tree.values[tree.offsets[one] + at]
                        if value.strip(BLANKS):
                            out.append((one, at + 1, value))
                    continue
                begin = tree.offsets[one]
                for at, value in enumerate(tree.values[begin : begin + len(keys)], 1):
                    if value.strip(BLANKS):
                        out.append((one, at, value))
        else:
            masks = tree.masks
            out += [(one, 0, tree.own(one)) for one in inside if masks[one] & TEXT]
    return out
