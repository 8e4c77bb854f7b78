"""
What FHIR STU3 and R4 are made of: resources, data types, and which type each element has. Read from `structure-*.json`.

This module must never judge a resource, and reads its own package files, on first use, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

__all__ = ["PRIMITIVES", "VERSIONS", "Element", "Structure", "structure", "type_of_key"]

VERSIONS: Final = ("STU3", "R4")
#: FHIR's primitive types, of both versions.
PRIMITIVES: Final = frozenset(
    {"base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer"}
    | {"markdown", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid", "xhtml"}
)
_OF_RESOURCE: Final = "resourceType:code id:id meta:Meta implicitRules:uri language:code"
_OF_DOMAIN_RESOURCE: Final = "text:Narrative contained*:Resource extension*:Extension modifierExtension*:Extension"
_OF_ELEMENT: Final = "id:string extension*:Extension"
#: Resources that have no narrative of their own.
_PLAIN: Final = frozenset({"Bundle", "Binary", "Parameters"})


class Element(NamedTuple):
    """
    One element.

    Args:
        type: data type, `Resource`, the name of an element with elements of its own (`PatientContact`), or `choice`.
        keys: its names in JSON; several for a choice.
    """

    type: str
    many: bool
    keys: tuple[str, ...]


class Structure:
    """One version of FHIR."""

    def __init__(self, version: str) -> None:
        self.version = version
        said = json.loads(files(__package__).joinpath(f"structure-{version.lower()}.json").read_text("utf-8"))
        self.resources = frozenset(said["resources"].split())
        self._types: Mapping[str, str] = said["types"]
        #: Names of resources, data types, and elements with elements of their own.
        self.types = frozenset(self._types)
        self._elements: dict[str, Mapping[str, Element]] = {}

    def elements(self, type_: str) -> Mapping[str, Element]:
        """The elements of a type; a choice both as a whole and by each of its keys. Empty for a primitive."""
        found = self._elements.get(type_)
        if found is None:
            found = self._elements[type_] = self._read(type_)
        return found

    def _read(self, type_: str) -> Mapping[str, Element]:
        if type_ in PRIMITIVES:
            return {}
        own = self._types.get(type_, "")
        more = _OF_ELEMENT
        if type_ in self.resources or type_ == "Resource":
            more = _OF_RESOURCE if type_ in _PLAIN else f"{_OF_RESOURCE} {_OF_DOMAIN_RESOURCE}"
        found: dict[str, Element] = {}
        choices: dict[str, list[str]] = {}
        for said in f"{more} {own}".split():
            name, _, of = said.partition(":")
            name, _, choice = name.partition("@")
            many = name.endswith("*")
            key = name.removesuffix("*")
            found[key] = Element(of, many, (key,))
            if of in PRIMITIVES:
                # What a primitive has beside its value: an id and extensions.
                found[f"_{key}"] = Element("Element", many, (f"_{key}",))
            if choice:
                choices.setdefault(choice, []).append(key)
        for choice, keys in choices.items():
            found[choice] = Element("choice", False, tuple(keys))
        return found


@cache
def structure(version: str) -> Structure:
    """A version, read once."""
    return Structure(version)


@cache
def _types() -> frozenset[str]:
    """Those of all versions."""
    return frozenset[str]().union(*[structure(version).types for version in VERSIONS])


def type_of_key(key: str) -> str:
    """The data type that the key of a choice ends with: `valueDateTime` → `dateTime`; empty when it ends with none."""
    types = _types()
    for at, character in enumerate(key):
        if at and character.isupper():
            ending = key[at:]
            plain = ending[0].lower() + ending[1:]
            if plain in PRIMITIVES:
                return plain
            if ending in types:
                return ending
    return ""
