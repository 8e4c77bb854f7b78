"""
Whether a coded value is in the value set that it is bound to, as far as the tables can list it.

Only bindings of strength `required` are ever asked about. A value set that cannot be listed (SNOMED CT hierarchies,
languages, media types) is never said to lack a code.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from mhbridge.fhir.definitions import Binding, Definitions

__all__ = ["DATA_ABSENT", "codes", "is_bound", "is_of_system", "systems"]

DATA_ABSENT: Final = (
    "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor",
)


@cache
def codes(definitions: Definitions, binding: Binding | None) -> frozenset[Any] | None:
    """
    The codes that a required binding allows, both bare (for `code`) and with their system; None when any may stand.
    """
    if binding is None or binding.strength != "required":
        return None
    found = definitions.valueset(binding.valueset)
    if found is None or found.codes is None:
        return None
    return frozenset(found.codes) | {code for _, code in found.codes}


@cache
def systems(definitions: Definitions) -> dict[str, frozenset[str]]:
    """The code systems that the tables have whole, with their codes."""
    found = {url: definitions.codesystem(url) for url in definitions.names("codesystem")}
    return {url: frozenset(known) for url, known in found.items() if known}


def is_of_system(definitions: Definitions, coding: Any) -> bool:
    """Whether the code of a Coding is one of its system's, as far as the tables have that whole."""
    system, code = coding.get("system"), coding.get("code")
    if type(system) is not str or type(code) is not str:
        return True
    known = systems(definitions).get(system)
    if known is None or code in known:
        return True
    if "/v3-" in system:
        return code[:1] == "_"  # HL7 V3 names groups of codes so, which the tables leave out
    # The tables of HL7 v2 do not distinguish capital letters.
    return "/v2-" in system and code.casefold() in {each.casefold() for each in known}


def is_bound(allowed: frozenset[Any], kind: str, value: Any) -> bool:
    """Whether a code, Coding, Quantity or CodeableConcept has one of the codes, or says why it has none."""
    if kind == "CodeableConcept":
        codings = value.get("coding") if type(value) is dict else None
        candidates = codings if isinstance(codings, list) else []
    else:
        candidates = [value]
    if any(_pair(candidate) in allowed for candidate in candidates):
        return True
    return type(value) is dict and any(_says_absent(node) for node in (value, *candidates))


def _pair(value: Any) -> Any:
    """A code, Coding or Quantity as it stands in a set of codes."""
    if type(value) is not dict:
        return value if type(value) is str else None
    pair = (value.get("system"), value.get("code"))
    return pair if all(isinstance(part, str) for part in pair) else None


def _says_absent(node: Any) -> bool:
    extensions = node.get("extension") if isinstance(node, dict) else None
    if not isinstance(extensions, list):
        return False
    return any(isinstance(e, dict) and e.get("url") in DATA_ABSENT for e in extensions)
