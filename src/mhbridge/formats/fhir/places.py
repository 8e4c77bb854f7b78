"""
Where things are in a message of FHIR, for the field ledger: as in any JSON document, but that paths begin at resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mhbridge.formats import Cell, Path
from mhbridge.formats.fhir.graph import Graph, leaf
from mhbridge.formats.fhir.paths import FhirPath
from mhbridge.formats.fhir.structure import type_of_key
from mhbridge.formats.json.paths import Step, walk
from mhbridge.formats.json.places import leaves_of
from mhbridge.formats.json.tree import Node, each

__all__ = ["acted_upon", "ignored", "path_of"]


@dataclass(frozen=True, slots=True)
class _Named(Step):
    """An element by its name, or a choice by that as a whole: `ignore:` is read before the version is known."""

    def led(self, node: Node) -> Iterator[Node]:
        """Whatever has the name."""
        children = node.children
        if type(children) is dict:
            for key, child in children.items():
                rest = key.removeprefix(self.name)
                if key == self.name or (rest != key and rest[:1].isupper() and type_of_key(key).endswith(rest[1:])):
                    yield from each(child)


def ignored(path: Path) -> Callable[[Any], Iterable[Cell]]:
    """Message → the leaves that an entry of `ignore:` names."""
    assert isinstance(path, FhirPath)
    steps = [_Named(step.name, step.which) if type(step) is Step else step for step in path.steps]
    return lambda message: [cell for node in walk(message.tree.top, steps) for cell in _own(node, message.graph)]


def _own(node: Node, graph: Graph) -> Iterator[Cell]:
    """The leaves below a node that are not of another resource: to ignore a Bundle is not to ignore what it holds."""
    children = node.children
    if children is None or not any(id(one) in graph.places for one in _below(node)):
        yield from leaves_of(node)
        return
    for child in children.values() if isinstance(children, dict) else children:
        if id(child) not in graph.places:
            yield from _own(child, graph)


def _below(node: Node) -> Iterator[Node]:
    """The entries of a bundle, and what stands in them: as deep as other resources are."""
    children = node.children
    for child in () if children is None else children.values() if isinstance(children, dict) else children:
        yield child
        if isinstance(child.key, int) or child.key in ("entry", "resource"):
            yield from _below(child)


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
