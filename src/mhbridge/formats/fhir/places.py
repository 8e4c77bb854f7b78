"""
Where things are in a message of FHIR, for the field ledger: as in any JSON document, but that paths begin at resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mhbridge.formats import Cell, Path
from mhbridge.formats.fhir.graph import Graph, leaf
from mhbridge.formats.fhir.paths import FhirPath, Start
from mhbridge.formats.fhir.structure import type_of_key
from mhbridge.formats.json import places
from mhbridge.formats.json.path import Step, Test
from mhbridge.formats.json.reach import alone, entries_of, walk
from mhbridge.formats.json.tree import Node, each

__all__ = ["Ignored", "acted_upon", "ignored", "path_of"]


@dataclass(frozen=True, slots=True)
class _Named(Step):
    """An element by its name, or a choice by that as a whole: `ignore:` is read before the version is known."""

    def led(self, node: Node) -> Iterator[Node]:
        """Whatever has the name."""
        children = node.children
        if type(children) is dict:
            for key, child in children.items():
                if _is(key, self.name):
                    yield from each(child)


def _is(key: str, name: str) -> bool:
    """Whether a key is that of an element, or of a choice that is named as a whole."""
    rest = key.removeprefix(name)
    return key == name or (rest != key and rest[:1].isupper() and type_of_key(key).endswith(rest[1:]))


def ignored(path: Path) -> Callable[[Any], Iterable[Cell]]:
    """Message → the leaves that an entry of `ignore:` names."""
    assert isinstance(path, FhirPath)
    steps = [_Named(step.name, step.which) if type(step) is Step else step for step in path.steps]
    return lambda message: [(place, 1) for node in walk(message.tree.top, steps) for place in _own(node, message.graph)]


def _own(node: Node, graph: Graph) -> set[int]:
    """The leaves below a node that are not of another resource: to ignore a Bundle is not to ignore what it holds."""
    found = {*range(node.first, node.end)}
    for inner in graph.within(node):
        found.difference_update(inner)
    return found


class _Branch:
    """
    What is ignored below an element.

    Args:
        whole: all of it.
    """

    __slots__ = ("_by_key", "_names", "_said", "whole")

    def __init__(self) -> None:
        self.whole = False
        #: Name of an element, and the test that its entries are to pass → what is ignored below it.
        self._said: dict[tuple[str, Test | None], _Branch] = {}
        #: Name of an element → the same of those that a key like it means.
        self._by_key: dict[str, list[tuple[Test | None, _Branch]]] = {}
        self._names: tuple[str, ...] = ()

    def add(self, steps: Sequence[Step]) -> None:
        """One path more."""
        if not steps:
            self.whole = True
            return
        step = steps[0]
        self._said.setdefault((step.name, alone(step)), _Branch()).add(steps[1:])
        self._names = tuple({name for name, _ in self._said})
        self._by_key = {name: self._meant(name) for name in self._names}

    def _meant(self, key: str) -> list[tuple[Test | None, _Branch]]:
        return [(test, below) for (name, test), below in self._said.items() if _is(key, name)]

    def collect(self, node: Node, into: list[range]) -> None:
        """The leaves in a node that are ignored."""
        children = node.children
        for key, child in children.items() if type(children) is dict else ():
            meant = self._by_key.get(key)
            if meant is None:
                # Only a choice has another key than its name, with the name of a type behind it.
                if key.islower() or not key.startswith(self._names):
                    continue
                meant = self._meant(key)
            for test, below in meant:
                if test is None and below.whole:
                    into.append(range(child.first, child.end))
                    continue
                for one in each(child) if test is None else entries_of(child, test.names).by_text.get(test.text, ()):
                    if below.whole:
                        into.append(range(one.first, one.end))
                    else:
                        below.collect(one, into)


class Ignored(places.Ignored):
    """What some entries of `ignore:` name: elements of resources all at once, and path by path what leads elsewhere."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._types: dict[str, _Branch] = {}
        others: list[Path] = []
        for path in paths:
            assert isinstance(path, FhirPath)
            if _is_plain(path):
                self._types.setdefault(path.steps[0].name, _Branch()).add(path.steps[1:])
            else:
                others.append(path)
        self._others = [ignored(path) for path in others]

    def places(self, message: Any) -> set[int]:
        """All leaves that they name."""
        graph: Graph = message.graph
        found: list[range] = []
        for name, branch in self._types.items():
            for resource in graph.resources.get(name, ()):
                if branch.whole:
                    found.append(range(resource.first, resource.end))
                else:
                    branch.collect(resource, found)
        return set[int]().union(*found, [place for find in self._others for place, _ in find(message)])


def _is_plain(path: FhirPath) -> bool:
    """Whether a path names elements of a resource that holds no others, each of them alone or by one test."""
    start, *steps = path.steps
    if type(start) is not Start or start.which is not None or start.name == "Bundle":
        return False
    return all(type(step) is Step and (step.which is None or alone(step) is not None) for step in steps)


def path_of(node: Node, graph: Graph, *, exact: bool) -> str:
    """`Practitioner[2].name.family[1]`, or of all leaves like it `Practitioner.name.family`."""
    said: list[str] = []
    while id(node) not in graph.places and node.parent is not None:
        if isinstance(node.key, int):
            if exact:
                said.append(f"[{node.key + 1}]")
        else:
            said.append(f".{node.key}")
        node = node.parent
    name, place = graph.places.get(id(node), ("", 0))
    alone = len(graph.resources.get(name, ())) < 2
    return (name if alone or not exact else f"{name}[{place}]") + "".join(reversed(said))


def acted_upon(graph: Graph) -> Iterator[Node]:
    """
    The leaves by which a message is known: what each resource is, what kind of message it is, its number, its sender,
    its time, and whether it is a trial.
    """
    for resources in graph.resources.values():
        for resource in resources:
            yield from _there(leaf(resource, "resourceType"))
    for bundle in graph.resources.get("Bundle", ()):
        yield from _there(leaf(bundle, "type"))
    top = graph.top
    yield from _there(leaf(top, "identifier", "value") if "Bundle" in graph.resources else None)
    yield from _there(leaf(top, "timestamp") if "Bundle" in graph.resources else None)
    for header in graph.resources.get("MessageHeader", ())[:1]:
        for names in (("id",), ("timestamp",), ("source", "endpoint"), ("event", "code"), ("eventCoding", "code")):
            yield from _there(leaf(header, *names))
        yield from _there(leaf(header, "eventUri"))
    for name in ("Bundle", "MessageHeader", "Composition", "Patient"):
        for resource in graph.resources.get(name, ()):
            yield from _there(leaf(resource, "meta", "security", "code"))


def _there(node: Node | None) -> Iterator[Node]:
    if node is not None:
        yield node
