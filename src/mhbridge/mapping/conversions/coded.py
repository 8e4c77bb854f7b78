"""
HL7 v2 coded values as CodeableConcepts: CE, CF, CNE, CWE, and the bare codes of ID, IS and DLD.

A code keeps the system that the message names. The name becomes the name of a known code system where there is one;
otherwise it stays what the sender wrote, so that nothing is said that was not said. This module must never translate a
code: that is what tables are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import Context
from mhbridge.mapping.conversions.identifiers import nothing
from mhbridge.mapping.conversions.primitives import code, concept

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Value

__all__ = [
    "CODING",
    "CWE",
    "WORDS",
    "Unit",
    "bare",
    "coding",
    "coding_used",
    "cwe",
    "cwe_used",
    "first_code",
    "system_named",
    "unit",
    "unit_used",
    "words",
    "words_used",
]

#: Components of the codings of a CWE: code, display, system, version (HL7 v2.5.1 §2.A.13; the third came with v2.7).
_CODINGS: Final = ((1, 2, 3, 7), (4, 5, 6, 8), (10, 11, 12, 13))

CODING: Final = frozenset({"1", "2", "3", "7"})
CWE: Final = CODING | {"4", "5", "6", "8", "9", "10", "11", "12", "13"}
WORDS: Final = frozenset({"1", "2", "9"})


def system_named(said: str, context: Context) -> str:
    """
    The name of the code system that a message calls `said`; what the message says when no system is called so.
    """
    return context.systems.named(said) or said


def coding(value: Value, context: Context, places: tuple[int, ...] = _CODINGS[0]) -> dict[str, Any]:
    """One Coding: what is there of system, version, code and display."""
    found: dict[str, Any] = {}
    name, display, system, version = (value.component(place).strip() for place in places)
    if name or display:
        if system:
            found["system"] = system_named(system, context)
        if version:
            found["version"] = version
        if name:
            found["code"] = name
        if display:
            found["display"] = display
    return found


def cwe(value: Value, context: Context) -> Any:
    """CE, CWE[CodeableConcept]: up to three codings with their versions, and the original text."""
    found: dict[str, Any] = {}
    listed = []
    text = value.component(9).strip()
    for places in _CODINGS:
        one = coding(value, context, places)
        if not one:
            continue
        # Words without a code or a system are the concept's text; a sentence alone in the place of a code is one too.
        if not text and one.keys() == {"display"}:
            text = one["display"]
        elif not text and one.keys() == {"code"} and " " in one["code"]:
            text = one["code"]
        else:
            listed.append(one)
    # So is one word with nothing beside it: no system is named, and a free-text field is often sent that way.
    if not text and len(listed) == 1 and listed[0].keys() == {"code"}:
        text = listed.pop()["code"]
    if listed:
        found["coding"] = listed
    if text:
        found["text"] = text
    return found or nothing(value)


def _idle(value: Value) -> set[str]:
    """Systems and versions with neither a code nor a display beside them: they say nothing."""
    return {
        str(place)
        for places in _CODINGS
        if not any(value.component(place).strip() for place in places[:2])
        for place in places[2:]
    }


def cwe_used(value: Value, _context: Context) -> frozenset[str]:
    """All but idle systems and versions."""
    return CWE - _idle(value)


def coding_used(value: Value, _context: Context) -> frozenset[str]:
    """All but an idle system and version."""
    return CODING - _idle(value)


def first_code(value: Value, _context: Context) -> Any:
    """The first code alone, for items that are codes."""
    name = value.component(1)
    return code(name) if name.strip() else nothing(value)


def words(value: Value, _context: Context) -> Any:
    """CWE[string]: the original text, else the display, else the code."""
    return next((text for place in (9, 2, 1) if (text := value.component(place)).strip()), None) or nothing(value)


def words_used(value: Value, _context: Context) -> frozenset[str]:
    """The one component that `words` takes."""
    return frozenset(next(({str(place)} for place in (9, 2, 1) if value.component(place).strip()), set()))


def bare(value: Value, _context: Context) -> Any:
    """ID[CodeableConcept], IS[CodeableConcept]: a code of which the field, not the message, says the system."""
    name = value.component(1)
    bare_code = name.strip()
    if not bare_code:
        return nothing(value)
    return concept(name) if len(bare_code.split()) > 1 else {"coding": [{"code": bare_code}]}


#: (code, display, name of the system) of a unit.
Unit = tuple[str, str, str]


def unit(said: Unit, context: Context) -> Mapping[str, str]:
    """
    The unit of a Quantity: words, and a code where the message names a system that is known.

    FHIR R4 Quantity, qty-3: a code needs a system.
    """
    name, display, system = said
    found: dict[str, str] = {}
    if display or name:
        found["unit"] = display or name
    known = context.systems.named(system) if system else None
    if known and name:
        found |= {"system": known, "code": name}
    return found


def unit_used(said: Unit, places: tuple[str, str, str], context: Context) -> frozenset[str]:
    """Which of the three components of a unit `unit` takes."""
    name, display, system = said
    if name and system and context.systems.named(system):
        return frozenset(places)
    return frozenset(places[1:2] if display else places[:1])
