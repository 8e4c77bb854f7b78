"""
One walk through a resource, comparing it with the definitions: elements, cardinality, types, codes, references.

The walk reports everything it finds and stops at nothing. It must never quote the resource: texts are made of the
definitions' own words, and a name that the definitions do not have is spoken of by its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from mhbridge.fhir.bindings import codes, is_bound, is_of_system
from mhbridge.fhir.definitions import Definitions, Element
from mhbridge.fhir.extension_rules import contexts, extension_rules
from mhbridge.fhir.invariants import INVARIANTS, Invariant
from mhbridge.fhir.primitives import ABSOLUTE, OF_SYSTEM, fault
from mhbridge.fhir.profile_rules import profile_rules
from mhbridge.fhir.xhtml_rules import faults
from mhbridge.model import Issue, Severity

__all__ = ["Link", "Visit", "Walk", "issue"]

#: Deeper than any FHIR resource goes, and shallow enough for every reader (`bundle.loads` has the same limit).
DEPTH: Final = 64

#: Besides every `id`: text of FHIRPath's own type, which cannot have extensions (R4, Extension and Resource).
BARE: Final = frozenset({"Extension.url"})
_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?")
_CONDITIONAL: Final = re.compile(r"([A-Z][A-Za-z]+)\?\S+")


def issue(code: str, path: str, text: str, severity: Severity = Severity.ERROR) -> Issue:
    """An issue of the validator."""
    return Issue(code=code, severity=severity, text=text, path=path)


@dataclass(frozen=True, slots=True)
class Link:
    """
    A Reference with an address.

    Args:
        conditional: it is a search (`Patient?identifier=…`), which only a transaction may have.
        typed: the type of what it points to has been checked already.
    """

    path: str
    reference: str
    targets: tuple[str, ...]
    conditional: bool
    typed: bool


@dataclass(slots=True)
class Visit:
    """
    One resource met on the walk.

    Args:
        holder: number of the visit of the Bundle whose entry it is, -1 for none.
        entry: number of that entry.
        container: number of the visit of the resource that contains it, -1 for none.
    """

    path: str
    resource: dict[str, Any]
    kind: str
    holder: int = -1
    entry: int = -1
    container: int = -1
    links: list[Link] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the walk asks of one type, worked out once."""

    keys: dict[str, Element]
    required: tuple[tuple[str, tuple[str, ...]], ...]
    invariants: tuple[Invariant, ...]


class Walk:
    """
    One walk over one resource; afterwards `issues` and `visits` hold what it met.

    Args:
        definitions: what is compared with.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._depth = 0
        self._number = -1  # of the visit that is under way
        self.issues: list[Issue] = []
        self.visits: list[Visit] = []

    # --- resources ---

    def resource(self, node: Any, path: str = "", *, holder: int = -1, entry: int = -1, container: int = -1) -> None:
        """Walk through a resource. `path` is empty for the outermost one, which is called by its type."""
        if type(node) is not dict:
            self._report("V101", path, "a resource is a JSON object")
            return
        kind = node.get("resourceType")
        if type(kind) is not str or kind not in _resource_types(self._definitions):
            self._report("V101", path, "resourceType is missing or names no resource type of R4")
            return
        path = path or kind
        visit = Visit(path, node, kind, holder, entry, container)
        self.visits.append(visit)
        if not self._definitions.is_resource(kind):
            text = f"{kind} is not among the types of the tables; only its outline was checked"
            self._report("V122", path, text, Severity.WARNING)
            return
        if container >= 0:
            self._contained(visit)
        outer, self._number = self._number, len(self.visits) - 1
        self._members(node, kind, path)
        for at, code, text, severity in profile_rules(self._definitions).findings(node, kind, path):
            self._report(code, at, text, severity)
        self._number = outer

    def _contained(self, visit: Visit) -> None:
        identity = visit.resource.get("id")
        if "contained" in visit.resource:
            self._report("V115", visit.path, "a contained resource must not contain another (dom-2)")
        if not isinstance(identity, str):
            self._report("V103", f"{visit.path}.id", "a contained resource must have an id")
            return
        known = [v.resource.get("id") for v in self.visits if v.container == visit.container and v is not visit]
        if identity in known:
            self._report("V121", f"{visit.path}.id", "the id of another contained resource is used again")
        meta = visit.resource.get("meta")
        for key, name in (("dom-4", "versionId"), ("dom-4", "lastUpdated"), ("dom-5", "security")):
            if isinstance(meta, dict) and name in meta:
                self._report("V127", f"{visit.path}.meta.{name}", f"a contained resource must not have it ({key})")

    # --- objects ---

    def _members(self, node: Any, type_path: str, path: str, place: str = "", of: str = "") -> None:
        """
        Walk through an object.

        Args:
            type_path: its type, or for an element with elements of its own their type path.
            place: path of the element in the definitions; empty for a resource.
            of: the primitive type that the object stands beside.
        """
        if type(node) is not dict:
            self._report("V104", path, "an object is needed here")
            return
        if not node:
            self._report("V108", path, "an empty object says nothing")
            return
        if self._depth >= DEPTH:
            self._report("V120", path, f"nested more than {DEPTH} levels deep")
            return
        self._depth += 1
        plan = _plan(self._definitions, type_path)
        chosen: set[str] = set()
        for ordinal, (key, value) in enumerate(node.items(), 1):
            if key == "resourceType" and node is self.visits[self._number].resource:
                continue
            element = plan.keys.get(key)
            if element is None:
                name = key[1:] if key[:1] == "_" else ""
                element = plan.keys.get(name)
                if element is None or not self._is_primitive(element) or element.path in BARE or name == "id":
                    self._unknown(key, ordinal, plan, type_path, path)
                    continue
                if name in node:
                    continue  # seen together with the value that it belongs to
                present, companion = None, value
            else:
                present, companion = value, node.get(f"_{key}") if self._is_primitive(element) else None
            if element.choice:
                if element.path in chosen:
                    self._report("V107", f"{path}.{_step(element)}", "a choice must have one type only")
                chosen.add(element.path)
            self._member(element, present, companion, f"{path}.{_step(element)}")
        for name, keys in plan.required:
            if not any(key in node or f"_{key}" in node for key in keys):
                self._report("V103", f"{path}.{name}", "a required element is missing")
        self._typed(node, type_path, path, of)
        for key in ("extension", "modifierExtension"):
            if type(items := node.get(key)) is list:
                here = contexts(self._definitions, of or type_path, place)
                rules = extension_rules(self._definitions)
                for at, code, text, severity in rules.findings(items, here, modifier=key == "modifierExtension"):
                    self._report(code, f"{path}.{key}{at}", text, severity)
        for invariant in plan.invariants:
            if not invariant.holds(node):
                self._report("V127", path, f"{invariant.text} ({invariant.key})", invariant.severity)
        self._depth -= 1

    def _member(self, element: Element, value: Any, companion: Any, path: str) -> None:
        extended = companion is not None
        if value is None and not extended:
            self._report("V108", path, "null stands for nothing here; an absent element is left out")
        elif element.many:
            self._list(element, value, companion, path)
        elif type(value) is list or type(companion) is list:
            self._report("V104", path, "this element does not repeat: a list must not stand here")
        else:
            self._one(element, value, companion, path)

    def _list(self, element: Element, value: Any, companion: Any, path: str) -> None:
        if (value is not None and type(value) is not list) or (companion is not None and type(companion) is not list):
            self._report("V104", path, "this element repeats: a list is needed, even for one")
            return
        if value == [] or companion == []:
            self._report("V108", path, "an empty list says nothing")
            return
        if value is not None and companion is not None and len(value) != len(companion):
            self._report("V118", path, "the list of values and the list of their extensions differ in length")
        for place in range(max(len(value or ()), len(companion or ()))):
            item = value[place] if value and place < len(value) else None
            beside = companion[place] if companion and place < len(companion) else None
            if item is None and beside is None:
                self._report("V108", f"{path}[{place}]", "null stands for nothing here")
            else:
                self._one(element, item, beside, f"{path}[{place}]")

    def _one(self, element: Element, value: Any, companion: Any, path: str) -> None:
        if companion is not None:
            self._members(companion, "Element", path, element.path, element.types[0])
            if value is None and type(companion) is dict and companion.keys() == {"id"}:
                self._report("V108", path, "an id alone says nothing (ele-1)")
            elif value is None and (binding := element.binding) and codes(self._definitions, binding):
                text = f"a code of the required value set {binding.valueset}; an extension cannot take its place"
                self._report("V106", path, text)
        if value is None:
            return
        if element.children:
            self._members(value, element.children, path, element.path)
            return
        (kind,) = element.types
        if self._definitions.is_primitive(kind):
            if self._primitive(kind, value, path):
                self._bound(element, kind, value, path)
        elif kind == "Resource":
            visit = self.visits[self._number]
            if element.name == "contained":
                root = self._number if visit.container < 0 else visit.container
                self.resource(value, path, container=root)
            elif element.path == "Bundle.entry.resource":
                entry = int(path.rpartition("[")[2].partition("]")[0])
                self.resource(value, path, holder=self._number, entry=entry)
            else:
                self.resource(value, path)
        else:
            self._members(value, kind, path, element.path)
            if type(value) is dict and value:
                if element.simple and kind == "Quantity" and ("comparator" in value or "_comparator" in value):
                    self._report("V127", path, "The comparator is not used on a SimpleQuantity (sqty-1)")
                self._bound(element, kind, value, path)
                if kind == "Reference":
                    self._link(element, value, path)

    def _unknown(self, key: str, place: int, plan: _Plan, type_path: str, path: str) -> None:
        near = get_close_matches(key, plan.keys, 1, 0.75) if len(key) <= 64 else []
        hint = f"; the nearest that it has is '{near[0]}'" if near else ""
        text = f"{type_path} has no element of the name of member {place} of this object{hint}"
        self._report("V102", path, text)

    def _typed(self, node: dict[str, Any], type_path: str, path: str, of: str) -> None:
        """What only one type asks: the exclusion in Extension, and ids of elements."""
        if not of and node.keys() == {"id"} and node is not self.visits[self._number].resource:
            self._report("V108", path, "an id alone says nothing (ele-1)")
        if type_path == "Extension":
            has_value = any(key.lstrip("_").startswith("value") for key in node)
            if has_value == ("extension" in node):
                text = "an extension has either a value or inner extensions, and one of them (ext-1)"
                self._report("V117", path, text)
        if type_path in ("Identifier", "Coding", "Quantity"):
            self._system(node, type_path, path)
        identity = node.get("id")
        if isinstance(identity, str) and node is not self.visits[self._number].resource:
            if identity in self.visits[self._number].ids:
                self._report("V121", f"{path}.id", "the id of another element of this resource is used again")
            self.visits[self._number].ids.add(identity)

    def _system(self, node: dict[str, Any], type_path: str, path: str) -> None:
        """The system of an Identifier, Coding or Quantity, and that it has the Coding's code."""
        system, value = node.get("system"), node.get("value")
        if not ABSOLUTE.match(system if isinstance(system, str) else "urn:x"):
            if fault(self._definitions, "uri", system) is None:
                self._report("V105", f"{path}.system", "a system is an absolute address (R4, Identifier, Coding)")
        elif type_path == "Identifier":
            form = OF_SYSTEM.get(str(system))
            if form is not None and isinstance(value, str) and not form.fullmatch(value):
                text = "an identifier of this system is an absolute address (RFC 3986) or a UUID (RFC 4122)"
                self._report("V105", f"{path}.value", text)
        elif (
            type_path == "Coding"
            and not is_of_system(self._definitions, node)
            and fault(self._definitions, "code", node["code"]) is None
        ):
            self._report("V129", f"{path}.code", "the code system does not have this code")

    # --- values ---

    def _primitive(self, kind: str, value: Any, path: str) -> bool:
        """Whether a value is of its primitive type; says so when it is not."""
        found = fault(self._definitions, kind, value)
        if found is not None:
            code, text, severity = found
            self._report(code, path, text, severity)
            return severity is not Severity.ERROR
        if kind == "xhtml":
            for code, text in faults(value):
                self._report(code, path, text)
        return True

    def _bound(self, element: Element, kind: str, value: Any, path: str) -> None:
        """Required bindings: the code must be in the value set, as far as that can be listed."""
        allowed = codes(self._definitions, element.binding)
        if allowed is not None and not is_bound(allowed, kind, value):
            assert element.binding is not None
            self._report("V106", path, f"no code of the required value set {element.binding.valueset}")

    def _link(self, element: Element, node: dict[str, Any], path: str) -> None:
        """The form of a Reference's address and, where it tells, the type of what it points to."""
        visit = self.visits[self._number]
        reference = node.get("reference")
        named = node.get("type")
        kinds = [named.rpartition("/")[2]] if isinstance(named, str) else []
        if isinstance(reference, str) and reference:
            match = _RELATIVE.fullmatch(reference) or _CONDITIONAL.fullmatch(reference)
            if match and match[1] in _resource_types(self._definitions):
                kinds.append(match[1])
            elif reference[0] != "#" and ABSOLUTE.fullmatch(reference) is None:
                text = "a reference is Type/id, an absolute address, urn:uuid:… or #id"
                self._report("V114", f"{path}.reference", text)
                return
            conditional = match is not None and "?" in reference
            visit.links.append(Link(path, reference, element.targets, conditional, bool(kinds)))
        if element.targets and any(kind not in element.targets for kind in kinds):
            text = f"the reference points to a type that is not allowed here (allowed: {', '.join(element.targets)})"
            self._report("V113", path, text)

    # --- small things ---

    def _is_primitive(self, element: Element) -> bool:
        return len(element.types) == 1 and self._definitions.is_primitive(element.types[0])

    def _report(self, code: str, path: str, text: str, severity: Severity = Severity.ERROR) -> None:
        self.issues.append(issue(code, path, text, severity))


def _step(element: Element) -> str:
    """An element's name in FHIRPath, where a choice goes by its name without type."""
    return element.path.rpartition(".")[2].removesuffix("[x]")


@cache
def _resource_types(definitions: Definitions) -> frozenset[str]:
    """All resource types of R4, also those whose elements the tables do not have."""
    return frozenset(definitions.codesystem("http://hl7.org/fhir/resource-types") or ())


@cache
def _plan(definitions: Definitions, type_path: str) -> _Plan:
    keys = dict(definitions.keys(type_path))
    required = tuple(
        (_step(element), tuple(key for key, e in keys.items() if e.path == element.path))
        for element in definitions.elements(type_path).values()
        if element.min
    )
    invariants = tuple(i for base in definitions.bases(type_path) for i in INVARIANTS.get(base, ()))
    return _Plan(keys, required, invariants)
