"""
Paths made into functions: which elements, texts and attributes a path means, and what its predicates look at.

A path is a chain of *stages* (`stages`). Paths that begin alike share the stages of their beginning, and of what begins
at the root each document remembers what a stage found; sixty sections are then looked up by their code in one table,
which is made once. What a reader finds is `ABSENT`, a `Leaf` or an `Element`; nothing in XML deletes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mhbridge.formats import PathError, Scope
from mhbridge.formats.xml.declaration import expanded, is_cda
from mhbridge.formats.xml.path import Step, Test, XmlPath
from mhbridge.formats.xml.stages import (
    ELEMENT,
    Above,
    Asks,
    Below,
    Child,
    Ending,
    Filter,
    Inner,
    Place,
    Root,
    Stage,
    ended,
)
from mhbridge.formats.xml.tree import BLANKS, Element, Leaf, Tree
from mhbridge.model import ABSENT

__all__ = ["ElementLoop", "Route", "every_reader", "first_reader", "make_loop", "ready", "route", "source_type"]


@dataclass(frozen=True, slots=True)
class ElementLoop:
    """What `$each` runs over: the elements that a path means."""

    route: Route

    def cursors(self, cursor: Element) -> Iterator[Element]:
        """The elements, in the order of the document."""
        yield from self.route.elements(cursor)


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
    ending = ELEMENT
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
    ending = ELEMENT
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
    if found.ending != ELEMENT:
        hint = "loop over the element that has it"
        raise PathError("E207", "nothing is below an attribute or a text", width=len(path.text), hint=hint)
    loop = ElementLoop(found)
    return loop, Scope(scope.source, (*scope.loops, loop))


def source_type(path: XmlPath, scope: Scope) -> str:
    """`xml` for text and attributes, `cda` and `cda_attribute` where the dialect gives them types."""
    found = ready(path, scope)
    if not is_cda(scope.source):
        return "xml"
    return "cda" if found.ending == ELEMENT else "cda_attribute"
