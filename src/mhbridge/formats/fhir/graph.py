"""
A message of FHIR: its resources, wherever they stand in bundles, and where their references lead.

A reference leads to a resource of the same message or nowhere: nothing is ever fetched (FHIR R4 §3.1.0.1 and
bundle.html#references). One that may mean two resources leads nowhere either; this module must never choose.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from mhbridge.formats.json.scanning import Wrong
from mhbridge.formats.json.tree import Node, Tree, each, said
from mhbridge.model import Issue, MessageFacts

__all__ = ["Graph", "Message", "leaf", "type_of"]

#: Bundles inside one another: an ITK3 message holds a document.
_MOST_BUNDLES: Final = 4


def type_of(node: Node) -> str:
    """The type that a resource says it is; empty when it says none."""
    children = node.children
    if not isinstance(children, dict) or (found := children.get("resourceType")) is None:
        return ""
    return found.value if type(found.value) is str else ""


def leaf(node: Node | None, *names: str) -> Node | None:
    """The first leaf that says something below a node."""
    if node is None:
        return None
    for one in each(node):
        if not names:
            if one.children is None and one.end > one.first:
                return one
            continue
        children = one.children
        if isinstance(children, dict) and (found := leaf(children.get(names[0]), *names[1:])) is not None:
            return found
    return None


class Graph:
    """
    The resources of a message.

    Raises:
        Wrong: M830 something is no resource, M831 two entries have the same name.
    """

    def __init__(self, top: Node, known: frozenset[str]) -> None:
        self.top = top
        #: Type → resources that are entries of a bundle, or the message itself, in order. Contained ones are not.
        self.resources: dict[str, list[Node]] = {}
        #: Resource → its type and its place among those, from 1.
        self.places: dict[int, tuple[str, int]] = {}
        #: All of them as they stand in the message, and the first leaf of each.
        self._ordered: list[Node] = []
        self._firsts: list[int] = []
        self._by_url: dict[str, Node] = {}
        self._by_id: dict[str, list[Node]] = {}
        self._urls: dict[int, Node] = {}
        self._known = known
        #: Reference → where it leads, and the leaves that say so.
        self._led: dict[int, Node | None] = {}
        self._leading: dict[int, Sequence[Node]] = {}
        #: Resource → what it contains, by id; type, element → resource → who refers to it.
        self._contained: dict[int, dict[str, Node]] = {}
        self._referring: dict[tuple[str, str], dict[int, list[tuple[Node, Node]]]] = {}
        self._collect(top, None, 1)

    def _collect(self, resource: Node, url: Node | None, depth: int) -> None:
        name = type_of(resource)
        if name not in self._known:
            raise Wrong("M830", "something that is no resource of this version of FHIR stands where one is expected", 0)
        same = self.resources.setdefault(name, [])
        same.append(resource)
        self.places[id(resource)] = name, len(same)
        self._ordered.append(resource)
        self._firsts.append(resource.first)
        if (found := leaf(resource, "id")) is not None:
            self._by_id.setdefault(f"{name}/{said(found)}", []).append(resource)
        if url is not None:
            if self._by_url.setdefault(said(url), resource) is not resource:
                raise Wrong("M831", "two entries have the same fullUrl, and a reference may mean either", 0)
            self._urls[id(resource)] = url
        if name == "Bundle":
            if depth > _MOST_BUNDLES:
                raise Wrong("M825", f"more than {_MOST_BUNDLES} bundles inside one another", 0)
            for entry in self.entries(resource):
                assert isinstance(entry.children, dict)
                inner = entry.children.get("resource")
                if inner is not None and inner.children is not None:
                    self._collect(inner, leaf(entry, "fullUrl"), depth + 1)

    @staticmethod
    def entries(bundle: Node) -> Iterator[Node]:
        """The entries of a bundle."""
        assert isinstance(bundle.children, dict)
        listed = bundle.children.get("entry")
        for entry in each(listed) if listed is not None else ():
            if isinstance(entry.children, dict):
                yield entry

    def within(self, node: Node) -> Iterator[range]:
        """The leaves of each resource of an entry that stands somewhere in a node."""
        if node.children is None:
            return
        at = bisect_left(self._firsts, node.first)
        for resource in self._ordered[at : bisect_left(self._firsts, node.end, at)]:
            if resource is not node and resource.end <= node.end:
                yield range(resource.first, resource.end)

    def around(self, node: Node) -> Node:
        """The resource of an entry that a node is in; of what stands beside it, the bundle."""
        at: Node | None = node
        while at is not None and id(at) not in self.places:
            at = at.parent
        return at if at is not None else self.top

    # -- references -----------------------------------------------------------------------------------------

    def resolve(self, reference: Node) -> Node | None:
        """The resource that a Reference leads to."""
        key = id(reference)
        if key not in self._led:
            self._led[key] = self._resolved(reference)
        return self._led[key]

    def _resolved(self, reference: Node) -> Node | None:
        said_ = leaf(reference, "reference")
        if said_ is None:
            return None
        text = said(said_).strip()
        around = self.around(reference)
        if text.startswith("#"):
            inside = self._inside(around)
            return inside.get(text[1:]) or inside.get(text)
        text = text.partition("/_history/")[0]
        if (found := self._by_url.get(text)) is not None:
            return found
        if ":" not in text:
            # Relative: to the same server as the entry that it stands in, where that has an address.
            url = self._urls.get(id(around))
            base = said(url).rpartition("/")[0].rpartition("/")[0] if url is not None else ""
            if base and (found := self._by_url.get(f"{base}/{text}")) is not None:
                return found
        same = self._by_id.get("/".join(text.split("/")[-2:]), [])
        return same[0] if len(same) == 1 else None

    def _inside(self, resource: Node) -> dict[str, Node]:
        """What a resource contains, by id; what two have is of neither."""
        found = self._contained.get(id(resource))
        if found is None:
            found = self._contained[id(resource)] = {}
            assert isinstance(resource.children, dict)
            listed = resource.children.get("contained")
            twice: set[str] = set()
            for one in each(listed) if listed is not None else ():
                if (own := leaf(one, "id")) is not None and found.setdefault(said(own), one) is not one:
                    twice.add(said(own))
            for name in twice:
                del found[name]
        return found

    def referring(self, to: Node, type_: str, element: str) -> list[tuple[Node, Node]]:
        """The resources of a type whose element refers to one, each with the reference."""
        found = self._referring.get((type_, element))
        if found is None:
            found = self._referring[type_, element] = {}
            for resource in self.resources.get(type_, ()):
                assert isinstance(resource.children, dict)
                listed = resource.children.get(element)
                for reference in each(listed) if listed is not None else ():
                    if isinstance(reference.children, dict) and (led := self.resolve(reference)) is not None:
                        found.setdefault(id(led), []).append((resource, reference))
        return found.get(id(to), [])

    def led_by(self, reference: Node) -> Sequence[Node]:
        """The leaves that say where a reference leads to."""
        found = self._leading.get(id(reference))
        if found is None:
            found = self._leading[id(reference)] = tuple(self._leads(reference))
        return found

    def _leads(self, reference: Node) -> Iterator[Node]:
        if (own := leaf(reference, "reference")) is None:
            return
        yield own
        found = self.resolve(reference)
        if found is not None and found.end > found.first:
            url = self._urls.get(id(found))
            named = leaf(found, "id")
            if id(found) not in self.places and (kind := leaf(found, "resourceType")) is not None:
                yield kind  # of what is contained: of entries it is acted upon in every message
            if url is not None and said(url) == said(own).strip():
                yield url
            elif named is not None:
                yield named
                if url is not None and ":" not in said(own):
                    yield url


class Message:
    """
    One message of FHIR.

    Args:
        body: the bytes from which it can be read again alone.
    """

    __slots__ = ("body", "facts", "graph", "tree")

    def __init__(self, tree: Tree, graph: Graph, body: bytes, facts: MessageFacts) -> None:
        self.tree = tree
        self.graph = graph
        self.body = body
        self.facts = facts

    @property
    def patients(self) -> int:
        """How many patients it has as entries."""
        return max(1, len(self.graph.resources.get("Patient", ())))

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The control id, and the identifiers of the patient and the stay."""
        found = [("control_id", self.facts.control_id)] if self.facts.control_id else []
        for what, name in (("patient", "Patient"), ("visit", "Encounter")):
            for resource in self.graph.resources.get(name, ()):
                assert isinstance(resource.children, dict)
                listed = resource.children.get("identifier")
                values = [leaf(one, "value") for one in each(listed)] if listed is not None else []
                found += [(what, said(one)) for one in values if one is not None and said(one).isprintable()]
        return tuple(dict.fromkeys(found))

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """The issues as they are: a path is where a person looks."""
        return tuple(issues)
