"""
Puts the resources of one document together: which exist, their identities, who refers to whom.

Existence is decided from the items before anything is built, so a reference never dangles (mapping language §6.2.2).
Templates (`$for`) are built on demand, once per identity, and filled from each occurrence in order (§6.3). Names never
make two people one: the identity of a person is the first identifier, and without one the whole content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mhbridge.fhir.bundle import dumps, resource_id
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT, DELETED, Issue, Severity, State, Unknown

__all__ = ["Assembly", "Built", "Made", "data_absent", "fill", "identity_of", "splice", "whole_as_text"]

#: FHIR R4 §2.5.1.1: why a required element has no value.
DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


@dataclass(frozen=True, slots=True)
class Made:
    """One resource of a build, ready to run: what the compiler (or the interpreter) made of `nodes.Resource`."""

    name: str
    type: str
    kind: str
    exists: Callable[..., bool]
    body: Callable[..., dict[str, Any]]
    over: Callable[..., Any] | None = None
    upsert: Callable[..., Any] | None = None
    key: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Built:
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
        self._made, self._items, self._run, self._seed = made, items, run, seed
        self._one: dict[str, dict[str, str]] = {}
        self._all: dict[str, list[dict[str, str]]] = {}
        self._element: dict[tuple[str, int], dict[str, str]] = {}
        self._records: dict[tuple[str, str], dict[str, Any]] = {}
        self._urls: dict[tuple[str, str], str] = {}
        self._work: list[tuple[str, str]] = []
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
        if isinstance(record, State) or not record:
            return ABSENT
        if isinstance(record, list):
            return [r for e in record if not isinstance(r := self.template(name, e), State)] or ABSENT
        made = self._made[name]
        if not made.exists(self._items, self, self._run, record, 0):
            return ABSENT
        identity = (name, identity_of(record))
        if identity not in self._records:
            self._records[identity] = dict(record)
            self._urls[identity] = self._url(*identity)
            self._work.append(identity)
            self._all.setdefault(name, []).append({"reference": self._urls[identity]})
        else:
            self._merge(identity, record)
        return {"reference": self._urls[identity]}

    def _merge(self, identity: tuple[str, str], record: Mapping[str, Any]) -> None:
        known = self._records[identity]
        for key, value in record.items():
            if key not in known:
                known[key] = value
                if identity not in self._work:
                    self._work.append(identity)  # built again: it knows more now
            elif known[key] != value and key != "identifiers":
                text = f"two values of {key} for the same {identity[0]}; the first one is used"
                issue = Issue("I606", Severity.WARNING, text, item=key, rule=self._made[identity[0]].rule)
                if issue not in self._run.issues:
                    self._run.issues.append(issue)

    def _url(self, name: str, key: str) -> str:
        return f"urn:uuid:{resource_id(*self._seed, name, key)}"

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
        for place, element in enumerate(() if isinstance(elements, State) else elements):
            if not made.exists(self._items, self, self._run, element, place):
                continue
            # Two equal results stay two: identity is the place, or the fields that the record's declaration names.
            key = str(place)
            if made.key and isinstance(element, Mapping):
                key = dumps(
                    [element.get(field) for field in made.key if not isinstance(element.get(field), State)]
                ).decode()
            url = self._url(made.name, key)
            self._elements.setdefault(made.name, []).append((place, element, url))
            self._element[(made.name, id(element))] = {"reference": url}
            self._all.setdefault(made.name, []).append({"reference": url})

    def _templates(self) -> list[Built]:
        done: dict[tuple[str, str], Built] = {}
        while self._work:
            identity = self._work.pop(0)
            built = self._built(self._made[identity[0]], self._urls[identity], self._records[identity], 0)
            done[identity] = built
        return list(done.values())

    def _built(self, made: Made, url: str, element: Any, place: int) -> Built:
        body = made.body(self._items, self, self._run, element, place)
        resource = {"resourceType": body.pop("resourceType"), "id": url.removeprefix("urn:uuid:"), **body}
        upsert = None
        if made.upsert is not None:
            value = made.upsert(self._items, self, self._run, element, place)
            upsert = None if isinstance(value, State) else value
        return Built(made.name, url, resource, upsert)


def identity_of(record: Mapping[str, Any]) -> str:
    """What names a person, organisation or place: the first identifier, and without one the whole content."""
    identifiers = record.get("identifiers")
    if identifiers and not isinstance(identifiers, State):
        first = identifiers[0]
        return f"{first.get('system', '')}|{first.get('value', '')}"
    return dumps({k: v for k, v in sorted(record.items()) if not isinstance(v, State)}).decode()


# --- what generated code and the interpreter both call -----------------------------------------------------


def splice(into: list[Any], value: Any, state: Any = ABSENT) -> Any:
    """Append a value, or every entry of a list; a state adds nothing. Returns the state to use if all stays empty."""
    if isinstance(value, State):
        return value if state is ABSENT else state
    if isinstance(value, list):
        into.extend(value)
    else:
        into.append(value)
    return state


def fill(into: dict[str, Any], key: str, value: Any) -> None:
    """Put a value where there is none."""
    into.setdefault(key, value)


def data_absent(into: dict[str, Any], key: str, value: Unknown, primitive: bool, many: bool) -> None:
    """Say why a required element has no value."""
    reason = {"extension": [{"url": DATA_ABSENT_REASON, "valueCode": value.reason}]}
    if primitive:
        into[f"_{key}"] = [reason] if many else reason
        if many:
            into[key] = [None]
    else:
        into[key] = [reason] if many else reason


def whole_as_text(
    record: Mapping[str, Any], keeper: str, texts: tuple[Callable[[Any, Run], str], ...], cursor: Any, run: Run
) -> dict[str, Any]:
    """
    An atomic record of which a part failed, kept whole as the text received, never in part.

    A dose without its drug, or a drug without its route, is more dangerous than a line to be read by a person.
    """
    words = [text for read in texts if (text := read(cursor, run))]
    kept = {keeper: {"text": "; ".join(words)}} if words else {}
    return kept or {key: value for key, value in record.items() if value is not DELETED}
