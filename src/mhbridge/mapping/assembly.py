"""
Puts the resources of one document together: which exist, their identities, who refers to whom.

Existence is decided from the items before anything is built, so a reference never dangles (mapping language §6.2.2).
Templates (`$for`) are built on demand, once per identity, and filled from each occurrence in order (§6.3). Names never
make two people one: the identity of a person is the first identifier, and without one the whole content. Whatever is
not sure to be the same stays two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mhbridge.fhir.bundle import Identities, dumps
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT, Issue, Severity, State

__all__ = ["Assembly", "Built", "Made", "identity_of"]


@dataclass(frozen=True, slots=True)
class Made:
    """
    One resource of a build, ready to run: what the compiler (or the interpreter) made of `nodes.Resource`.

    Args:
        key: the fields that are the identity of a declared record; empty: its place.
        declared: it is made for a declared record, not for a person, an organisation or a place.
    """

    name: str
    type: str
    kind: str
    exists: Callable[..., bool]
    body: Callable[..., dict[str, Any]]
    over: Callable[..., Any] | None = None
    upsert: Callable[..., Any] | None = None
    key: tuple[str, ...] = ()
    declared: bool = False
    rule: str = ""


class Built(NamedTuple):
    """A resource that was built. `upsert` is the Identifier to update by, in a transaction."""

    name: str
    url: str
    resource: dict[str, Any]
    upsert: Mapping[str, Any] | None = None


class Assembly:
    """
    The work on one document.

    Args:
        seed: names the document: supplier, document type, and the values of its identity items.
    """

    def __init__(self, made: Mapping[str, Made], items: Mapping[str, Any], run: Run, seed: tuple[str, ...]) -> None:
        self._made, self._items, self._run = made, items, run
        self.identities = Identities(*seed)
        self._one: dict[str, dict[str, str]] = {}
        self._all: dict[str, list[dict[str, str]]] = {}
        self._element: dict[tuple[str, int], dict[str, str]] = {}
        self._records: dict[tuple[str, str], dict[str, Any]] = {}
        self._urls: dict[tuple[str, str], str] = {}
        self._work: deque[tuple[str, str]] = deque()
        self._places: dict[tuple[str, int], str] = {}
        self._elements: dict[str, list[tuple[int, Any, str]]] = {}

    # -- references, called by generated code ---------------------------------------------------------------

    def one(self, name: str) -> Any:
        """A Reference to a resource that there is once; absent when it does not exist."""
        return self._one.get(name, ABSENT)

    def all(self, name: str) -> Any:
        """References to all resources of a loop, or of a template."""
        return self._all.get(name) or ABSENT

    def element(self, name: str, element: Any) -> Any:
        """The Reference to the resource made for one element of a loop."""
        if isinstance(element, list):
            return [r for e in element if (r := self._element.get((name, id(e))))] or ABSENT
        return self._element.get((name, id(element)), ABSENT)

    def template(self, name: str, record: Any) -> Any:
        """The Reference to the resource made for this record; asking is what makes it."""
        if not record:
            return ABSENT
        if isinstance(record, list):
            return [r for e in record if not isinstance(r := self.template(name, e), State)] or ABSENT
        made = self._made[name]
        if not made.exists(self._items, self, self._run, record, 0):
            return ABSENT
        identity = (name, self._declared(made, record) if made.declared else identity_of(record))
        if identity not in self._records:
            self._records[identity] = dict(record)
            self._urls[identity] = self._url(*identity)
            self._work.append(identity)
            self._all.setdefault(name, []).append({"reference": self._urls[identity]})
        else:
            self._merge(identity, record)
        return {"reference": self._urls[identity]}

    def _declared(self, made: Made, record: Mapping[str, Any]) -> str:
        """The identity of a declared record: the fields named by its key, or its place among those asked for."""
        if key := key_of(record, made.key):
            return key
        return self._places.setdefault((made.name, id(record)), str(len(self._places)))

    def _merge(self, identity: tuple[str, str], record: Mapping[str, Any]) -> None:
        known = self._records[identity]
        if known == record:
            return
        for key, value in record.items():
            if isinstance(value, State):
                continue
            if isinstance(known.get(key, ABSENT), State):
                known[key] = value
                if identity not in self._work:
                    self._work.append(identity)  # built again: it knows more now
            elif known[key] != value and key != "identifiers":
                self._conflict(
                    f"two values of {key} for the same {identity[0]}; the first one is used", key, identity[0]
                )

    def _conflict(self, text: str, item: str, name: str) -> None:
        issue = Issue("I606", Severity.WARNING, text, item=item, rule=self._made[name].rule)
        if issue not in self._run.issues:
            self._run.issues.append(issue)

    def _url(self, name: str, key: str) -> str:
        return f"urn:uuid:{self.identities.of(name, key)}"

    # -- the whole ------------------------------------------------------------------------------------------

    def build(self) -> list[Built]:
        """All resources: those declared, in order, then templates in order of demand."""
        for made in self._made.values():
            if made.kind == "one":
                if made.exists(self._items, self, self._run, None, 0):
                    self._one[made.name] = {"reference": self._url(made.name, "")}
            elif made.kind == "each":
                self._enumerate(made)
        found: list[Built] = []
        for made in self._made.values():
            if made.kind == "one" and made.name in self._one:
                found.append(self._built(made, self._one[made.name]["reference"], None, 0))
            for place, element, url in self._elements.get(made.name, ()):
                found.append(self._built(made, url, element, place))
        return found + self._templates()

    def _enumerate(self, made: Made) -> None:
        assert made.over is not None
        elements = made.over(self._items, self, self._run, None, 0)
        taken: set[str] = set()
        for place, element in enumerate(() if isinstance(elements, State) else elements):
            if not made.exists(self._items, self, self._run, element, place):
                continue
            # Two equal results stay two: identity is the place, or the fields that the record's declaration names.
            key = key_of(element, made.key) or str(place)
            url = self._url(made.name, key)
            if url in taken:
                self._conflict("two records have the same key; both are kept", ", ".join(made.key), made.name)
                url = self._url(made.name, f"{key} {place}")
            taken.add(url)
            self._elements.setdefault(made.name, []).append((place, element, url))
            self._element[(made.name, id(element))] = {"reference": url}
            self._all.setdefault(made.name, []).append({"reference": url})

    def _templates(self) -> list[Built]:
        done: dict[tuple[str, str], Built] = {}
        while self._work:
            identity = self._work.popleft()
            built = self._built(self._made[identity[0]], self._urls[identity], self._records[identity], 0)
            done[identity] = built
        return list(done.values())

    def _built(self, made: Made, url: str, element: Any, place: int) -> Built:
        body = made.body(self._items, self, self._run, element, place)
        resource = {"resourceType": made.type, "id": url.removeprefix("urn:uuid:"), **body}
        upsert = None
        if made.upsert is not None:
            value = made.upsert(self._items, self, self._run, element, place)
            upsert = None if isinstance(value, State) else value
        return Built(made.name, url, resource, upsert)


def identity_of(record: Mapping[str, Any]) -> str:
    """
    What names a person, organisation or place: the first identifier, and without one the whole content.

    An identifier that names no system is told apart by all that it says, its issuer above all.
    """
    identifiers = record.get("identifiers")
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else {}
    if first.get("system") and first.get("value"):
        return f"{first['system']}|{first['value']}"
    return _content(first if first.get("value") else record)


def key_of(record: Any, key: tuple[str, ...]) -> str:
    """What the fields of a key say; empty when there is no key, or when a field of it is missing."""
    if not key or not isinstance(record, dict):
        return ""
    values = [record.get(field, ABSENT) for field in key]
    return "" if any(isinstance(value, State) for value in values) else dumps(values).decode()


def _content(record: Mapping[str, Any]) -> str:
    return dumps({key: value for key, value in sorted(record.items()) if not isinstance(value, State)}).decode()
