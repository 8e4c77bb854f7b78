"""
Paths made into functions: which elements, texts and attributes a path means, and what its predicates look at.

A path is a chain of *stages*. Paths that begin alike share the stages of their beginning, and of what begins at the
root each document remembers what a stage found; sixty sections are then looked up by their code in one table, which is
made once. What a reader finds is `ABSENT`, a `Leaf` or an `Element`; nothing in XML deletes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, TypeAlias

from mhbridge.formats import PathError, Scope
from mhbridge.formats.xml.declaration import expanded, is_cda
from mhbridge.formats.xml.path import LAST, Step, Test, XmlPath
from mhbridge.formats.xml.tree import BLANKS, TEXT, Element, Leaf, Tree
from mhbridge.model import ABSENT

__all__ = [
    "ElementLoop",
    "Filter",
    "Route",
    "every_reader",
    "first_reader",
    "make_loop",
    "ready",
    "route",
    "source_type",
]

#: What a path ends at: an element, its text, or an attribute of this name.
Ending: TypeAlias = "tuple[str, str, bool]"
#: A leaf: element, number of the bit, text.
_Found: TypeAlias = "tuple[int, int, str]"
_ELEMENT: Final[Ending] = ("element", "", False)


@dataclass(frozen=True, slots=True)
class ElementLoop:
    """What `$each` runs over: the elements that a path means."""

    route: Route

    def cursors(self, cursor: Element) -> Iterator[Element]:
        """The elements, in the order of the document."""
        yield from self.route.elements(cursor)


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
            found = inner.elements(tree, element) if inner.ending == _ELEMENT else inner.leaves(tree, element)
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


class Route:
    """
    A path, ready for the messages of one source.

    Args:
        stages: from the cursor or the root, in order.
        ending: what it ends at.
    """

    __slots__ = ("anywhere", "asking", "ending", "inside", "relative", "stages")

    def __init__(self, stages: tuple[Stage, ...], ending: Ending, *, relative: bool) -> None:
        self.stages = stages
        self.ending = ending
        self.relative = relative
        self.asking = tuple(stage for stage in stages if isinstance(stage, Filter))
        #: Whether all that it leads to is in the cursor.
        self.inside = relative and not any(isinstance(stage, Above) for stage in stages)
        #: Of `//@name`, which is of every element of the document, the name.
        self.anywhere = ""
        if not relative and ending[0] == "attribute" and ending[2] and ending[1] != "*":
            first = stages[0]
            if len(stages) == 1 and isinstance(first, Root) and first.name == "*" and not first.deep:
                self.anywhere = ending[1]

    def found(self, tree: Tree, cursor: int) -> Sequence[int]:
        """The elements that it leads to, before what it ends at."""
        if not self.relative:
            return self.stages[-1].at(tree)
        known: Sequence[int] | None = tree.memo.get((self, cursor))
        if known is None:
            known = (cursor,)
            for stage in self.stages:
                known = stage.of(known, tree)
            tree.memo[self, cursor] = known
        return known

    def elements(self, cursor: Element) -> list[Element]:
        """The same as elements."""
        tree = cursor.tree
        return [tree.element(index) for index in self.found(tree, cursor.index)]

    def asked(self, cursor: Element) -> Iterator[tuple[Filter, Sequence[int]]]:
        """Each test, and the elements that it was made of."""
        tree = cursor.tree
        if not self.relative:
            for stage in self.asking:
                yield stage, stage.before.at(tree) if stage.before is not None else ()
            return
        found: Sequence[int] = (cursor.index,)
        last = self.asking[-1] if self.asking else None
        for one in self.stages:
            if isinstance(one, Filter):
                yield one, found
                if one is last:
                    return
            found = one.of(found, tree)

    def values(self, cursor: Element) -> list[Any]:
        """The raw values at the path, in order; empty ones are none."""
        tree = cursor.tree
        found = self.found(tree, cursor.index)
        if not found:
            return []
        if self.ending[0] == "element":
            return [tree.element(one) for one in found if tree.says(one)]
        return [Leaf(*one) for one in ended(tree, found, self.ending)]

    def first(self, cursor: Element) -> Any:
        """The first of them, or `ABSENT`."""
        tree = cursor.tree
        found = self.found(tree, cursor.index)
        if not found:
            return ABSENT
        if self.ending[0] == "element":
            for one in found:
                if tree.says(one):
                    return tree.element(one)
            return ABSENT
        if not self.ending[2]:
            for one in found:
                for leaf in ended(tree, (one,), self.ending):
                    return Leaf(*leaf)
            return ABSENT
        return next((Leaf(*one) for one in ended(tree, found, self.ending)), ABSENT)


# --- making ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def _root(name: str, deep: bool) -> Stage:
    return Root(name, deep=deep)


@lru_cache(maxsize=8192)
def _move(before: Stage | None, axis: str, name: str, deep: bool) -> Stage:
    if axis == "parent":
        return Above(before)
    return Below(before, name) if deep else Child(before, name)


@lru_cache(maxsize=8192)
def _inner(steps: tuple[Stage, ...], ending: Ending) -> Inner:
    return Inner(steps, ending)


@lru_cache(maxsize=8192)
def _filter(before: Stage | None, asks: Asks) -> Stage:
    return Filter(before, asks)


@lru_cache(maxsize=8192)
def _place(before: Stage | None, position: int) -> Stage:
    return Place(before, position)


@lru_cache(maxsize=8192)
def route(path: XmlPath, namespaces: tuple[tuple[str, str], ...]) -> Route:
    """
    Raises:
        PathError: E205, a prefix is not declared.
    """
    spaces = dict(namespaces)
    ending = _ELEMENT
    stages: list[Stage] = []
    for number, step in enumerate(path.steps):
        before = stages[-1] if stages else None
        if step.axis in ("attribute", "text"):
            ending = _ending(step, spaces)
            if number == 0 and not path.relative:
                # `//@ID`: of the root element and of all below it.
                stages.append(_root("*", deep=False))
            continue
        name = expanded(step.name, spaces) if step.name is not None else ""
        if before is None and not path.relative:
            stages.append(_root(name, step.deep) if step.axis == "child" else _root("", deep=False))
        elif step.axis != "self":
            stages.append(_move(before, step.axis, name, step.deep))
        for predicate in step.predicates:
            if predicate.position:
                stages.append(_place(stages[-1] if stages else None, predicate.position))
            for test in predicate.tests:
                stages.append(_filter(stages[-1] if stages else None, _asks(test, spaces)))
    return Route(tuple(stages), ending, relative=path.relative)


def _ending(step: Step, spaces: dict[str, str]) -> Ending:
    if step.axis == "text":
        return ("text", "", step.deep)
    assert step.name is not None
    return ("attribute", expanded(step.name, spaces, attribute=True), step.deep)


def _asks(test: Test, spaces: dict[str, str]) -> Asks:
    ending = _ELEMENT
    steps: list[Stage] = []
    for step in test.steps:
        if step.axis in ("attribute", "text"):
            ending = _ending(step, spaces)
        elif step.axis != "self":
            name = expanded(step.name, spaces) if step.name is not None else ""
            steps.append(_move(None, step.axis, name, step.deep))
    return Asks(_inner(tuple(steps), ending), test.operator, test.text.strip(BLANKS), test.negated)


def ready(path: XmlPath, scope: Scope) -> Route:
    """
    Raises:
        PathError: E205, a prefix is not declared; E206, there is no loop around a relative path.
    """
    if path.relative and not scope.loops:
        hint = "write the whole path from the root, or put it inside a $each"
        raise PathError("E206", "a relative path needs a $each around it", width=len(path.text), hint=hint)
    return route(path, tuple(scope.source.options["namespaces"].items()))


def first_reader(path: XmlPath, scope: Scope) -> Callable[[Any], Any]:
    """Cursor → the first value that is not empty, or `ABSENT`."""
    return ready(path, scope).first


def every_reader(path: XmlPath, scope: Scope) -> Callable[[Any], list[Any]]:
    """Cursor → all values that are not empty."""
    return ready(path, scope).values


def make_loop(path: XmlPath, scope: Scope) -> tuple[ElementLoop, Scope]:
    """
    Raises:
        PathError: E207, nothing is below what the path ends at.
    """
    found = ready(path, scope)
    if found.ending != _ELEMENT:
        hint = "loop over the element that has it"
        raise PathError("E207", "nothing is below an attribute or a text", width=len(path.text), hint=hint)
    loop = ElementLoop(found)
    return loop, Scope(scope.source, (*scope.loops, loop))


def source_type(path: XmlPath, scope: Scope) -> str:
    """`xml` for text and attributes, `cda` and `cda_attribute` where the dialect gives them types."""
    found = ready(path, scope)
    if not is_cda(scope.source):
        return "xml"
    return "cda" if found.ending == _ELEMENT else "cda_attribute"
