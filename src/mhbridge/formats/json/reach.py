"""
What a path of a document leads to: the nodes that its steps mean, and how what it finds is read.

All that a path decides is decided once, when a mapping is compiled; this module must never look at a leaf but for the
test of a predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from mhbridge.formats import Cell, Path, Scope
from mhbridge.formats.json.path import JsonPath, Step, Test, check, names_of
from mhbridge.formats.json.tree import Node, each, said
from mhbridge.model import ABSENT, DELETED

__all__ = [
    "Hop",
    "JsonLoop",
    "alone",
    "entries_of",
    "every_reader",
    "first_reader",
    "hop",
    "make_loop",
    "passes",
    "says_below",
    "told",
    "walk",
]


def told(node: Node, names: Sequence[str]) -> Iterator[Node]:
    """The leaves that names lead to from a node, lists gone through."""
    for one in each(node):
        if names:
            children = one.children
            if type(children) is dict and (child := children.get(names[0])) is not None:
                yield from told(child, names[1:])
        elif one.children is None and one.value is not None:
            yield one


def passes(node: Node, test: Test) -> bool:
    """Whether a test is true of an entry."""
    return _says(node, test.names, 0, test.text) is test.equal


def _says(node: Node, names: Sequence[str], at: int, text: str) -> bool:
    children = node.children
    if type(children) is dict:
        if at == len(names):
            return False
        child = children.get(names[at])
        return child is not None and _says(child, names, at + 1, text)
    if type(children) is list:
        return any(_says(one, names, at, text) for one in children)
    return at == len(names) and node.value is not None and said(node) == text


class Entries(NamedTuple):
    """
    What a test of one place finds in the entries of a list.

    Args:
        by_text: the entries, by what they say there.
        leaves: the cells that are looked at, in order.
        until: entry → how many of the leaves are looked at until its own have been.
    """

    by_text: dict[str, list[Node]]
    leaves: list[Cell]
    until: dict[int, int]


def entries_of(child: Node, names: tuple[str, ...]) -> Entries:
    """
    What a test of one place finds in the entries of a list.

    Many paths ask the same of a list, each for another text (every section of a letter), so it is looked at once.
    """
    try:
        known = child.asked
    except AttributeError:
        known = child.asked = {}
    found: Entries | None = known.get(names)
    if found is None:
        found = known[names] = Entries({}, [], {})
        by_text, leaves, until = found
        for one in each(child):
            looked = list(told(one, names))
            for text in frozenset(map(said, looked)):
                by_text.setdefault(text, []).append(one)
            leaves += [(leaf.first, 1) for leaf in looked if leaf.end > leaf.first]
            until[id(one)] = len(leaves)
    return found


def alone(step: Step) -> Test | None:
    """The one test that an entry is to pass, whatever else it says; `None` where that is not all."""
    tests = step.which.tests if step.which is not None and type(step) is Step else ()
    return tests[0] if len(tests) == 1 and tests[0].equal else None


#: From a node to all that one step leads to, in order.
Hop = Callable[[Node], Iterable[Node]]


def hop(step: Step) -> Hop:
    """How a step is taken, with all that can be known of it beforehand."""
    which, test = step.which, alone(step)
    if which is None:
        return _by_name(step.name) if type(step) is Step else step.led
    if which.position:
        return lambda node: islice(step.led(node), which.position - 1, which.position)
    if test is not None:
        return _by_text(step.name, test)
    return lambda node: [one for one in step.led(node) if all(passes(one, test) for test in which.tests)]


def _by_name(name: str) -> Hop:
    def led(node: Node) -> Iterable[Node]:
        children = node.children
        return each(children[name]) if type(children) is dict and name in children else ()

    return led


def _by_text(name: str, test: Test) -> Hop:
    names, text = test.names, test.text

    def led(node: Node) -> Iterable[Node]:
        children = node.children
        if type(children) is dict and name in children:
            return entries_of(children[name], names).by_text.get(text, ())
        return ()

    return led


def walk(node: Node, steps: Sequence[Step]) -> Iterable[Node]:
    """All that steps lead to, in order; what is empty too."""
    return _all(node, [hop(step) for step in steps])


def _all(node: Node, hops: Sequence[Hop]) -> Iterable[Node]:
    found: Iterable[Node] = (node,) if hops else each(node)
    for led in hops:
        found = [one for node in found for one in led(node)]
    return found


def _first(node: Node, hops: Sequence[Hop], at: int = 0) -> Node | None:
    """The first that says something of all that is led to, from a place on."""
    ahead = at + 1
    for one in hops[at](node):
        if ahead < len(hops):
            if (found := _first(one, hops, ahead)) is not None:
                return found
        elif one.end > one.first:
            return one
    return None


def says_below(node: Node, hops: Sequence[Hop]) -> bool:
    """Whether anything that is led to says something."""
    return _first(node, hops) is not None if hops else any(one.end > one.first for one in each(node))


def _state(node: Node) -> Any:
    """A populated node as the raw value that it is; `null` that is a leaf deletes."""
    return DELETED if node.children is None and node.value is None else node


def first_reader(path: JsonPath) -> Callable[[Any], Any]:
    """Cursor → the first value that says something, `ABSENT` if none does, or `DELETED`; of a path that is checked."""
    steps, relative = path.steps, path.relative
    if all(type(step) is Step and step.which is None for step in steps) and (steps or not relative):
        return _plain([step.name for step in steps], relative=relative)
    hops = [hop(step) for step in steps]

    def read(cursor: Node) -> Any:
        found = _first(cursor if relative else cursor.top, hops)
        return ABSENT if found is None else _state(found)

    def read_own(cursor: Node) -> Any:
        for node in each(cursor if relative else cursor.top):
            if node.end > node.first:
                return _state(node)
        return ABSENT

    return read if steps else read_own


def _plain(names: Sequence[str], *, relative: bool) -> Callable[[Any], Any]:
    """The same, of names alone: nearly every path."""

    def find(node: Node, at: int) -> Any:
        for name in names[at:]:
            children = node.children
            if type(children) is not dict:
                break
            inner = children.get(name)
            if inner is None or inner.end == inner.first:
                return ABSENT
            node = inner
            at += 1
        else:
            if type(node.children) is not list:
                return _state(node)
        if type(node.children) is list:
            for one in each(node):
                if one.end > one.first and (value := find(one, at)) is not ABSENT:
                    return value
        return ABSENT

    return (lambda cursor: find(cursor, 0)) if relative else (lambda cursor: find(cursor.top, 0))


def every_reader(path: JsonPath) -> Callable[[Any], list[Any]]:
    """Cursor → all values that say something, in order; of a path that is checked."""
    hops, relative = [hop(step) for step in path.steps], path.relative

    def read(cursor: Node) -> list[Any]:
        return [_state(node) for node in _all(cursor if relative else cursor.top, hops) if node.end > node.first]

    return read


@dataclass(frozen=True, slots=True)
class JsonLoop:
    """`$each` over all that a path finds; `names` lead there from the top."""

    steps: tuple[Step, ...]
    relative: bool
    names: tuple[str, ...]
    hops: tuple[Hop, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """How its steps are taken."""
        object.__setattr__(self, "hops", tuple(map(hop, self.steps)))

    def led(self, cursor: Node) -> Iterable[Node]:
        """All that it is led to from where it stands, what is empty too."""
        return _all(cursor if self.relative else cursor.top, self.hops)

    def cursors(self, cursor: Node) -> Iterator[Node]:
        """The entries that say something, in order."""
        for node in self.led(cursor):
            if node.end > node.first and not (node.children is None and node.value is None):
                yield node


def make_loop(path: Path, scope: Scope) -> tuple[JsonLoop, Scope]:
    """
    Raises:
        PathError: as `check`.
    """
    found = check(path, scope)
    loop = JsonLoop(found.steps, found.relative, names_of(found, scope))
    return loop, Scope(scope.source, (*scope.loops, loop))
