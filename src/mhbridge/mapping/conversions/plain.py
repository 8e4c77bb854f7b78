"""
The quick forms of the commonest HL7 v2 conversions: of a field in which only components are told apart.

Such a field is the list of its components: nothing in it is escaped, deleted or has subcomponents. A plain form gives
what the general form gives, and which components that depends on; where it is in doubt it gives `None`, and the general
form is asked. `test_a_plain_form_gives_what_the_general_form_gives` holds the two equal. This module must never refuse
a value, nor note anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions import coded as c
from mhbridge.mapping.conversions import identifiers as i
from mhbridge.mapping.conversions import people as p
from mhbridge.mapping.conversions import results as r
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.nhs_number import nhs_number

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Segment

__all__ = [
    "Plain",
    "address",
    "bare",
    "coding",
    "contact_point",
    "cwe",
    "cx",
    "cx_nhs_number",
    "date",
    "date_time",
    "ei",
    "first_code",
    "human_name",
    "licence",
    "organisation",
    "person",
    "place",
    "prose",
    "result_number",
    "word",
    "words",
]

#: (components, segment, context) → the value, and those of the conversion's `reads` that it depends on.
Plain: TypeAlias = "Callable[[list[str], Segment, Context], tuple[Any, frozenset[str]] | None]"

#: Put behind the components that there are, so that each that is asked for is there.
_MISSING: Final = [""] * 14

_ONE: Final = frozenset({"1"})


# --- words -------------------------------------------------------------------------------------------------


def word(parts: list[str], _segment: Segment, _context: Context) -> tuple[str, frozenset[str]] | None:
    """The first component as text."""
    text = parts[0]
    return (text, _ONE) if text and not text.isspace() else None


def prose(parts: list[str], _segment: Segment, _context: Context) -> tuple[str, frozenset[str]] | None:
    """A text that holds no separators; all of it is its first component."""
    text = parts[0]
    return (text, _ONE) if len(parts) == 1 and text and not text.isspace() else None


def date_time(parts: list[str], _segment: Segment, context: Context) -> tuple[str, frozenset[str]] | None:
    """DT, DTM, TS[dateTime]."""
    found = t.plain_date_time(parts[0], context)
    return (found, _ONE) if found is not None else None


def date(parts: list[str], _segment: Segment, context: Context) -> tuple[str, frozenset[str]] | None:
    """DT, DTM, TS[date]."""
    found = t.plain_date(parts[0], context)
    return (found, _ONE) if found is not None else None


# --- codes -------------------------------------------------------------------------------------------------


def bare(parts: list[str], _segment: Segment, _context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """ID, IS[CodeableConcept]: one word is a code."""
    code = parts[0]
    return ({"coding": [{"code": code}]}, _ONE) if code.isalnum() else None


def first_code(parts: list[str], _segment: Segment, _context: Context) -> tuple[str, frozenset[str]] | None:
    """CE, CWE[code]: one word."""
    code = parts[0]
    return (code, _ONE) if code.isalnum() else None


#: Systems and versions of further codings say nothing without them.
_SHORT: Final = c.CWE - {"6", "8", "12", "13"}


def coding(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """CE, CWE[Coding]: of a code, its display and its system."""
    if len(parts) > 3:
        return None
    found = _coding(parts, context)
    return (found, c.CODING) if found else None


def cwe(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """CE, CWE[CodeableConcept]: of a code, its display and its system."""
    if len(parts) > 3:
        return None
    one = _coding(parts, context)
    if len(one) > 1:
        return {"coding": [one]}, _SHORT
    # A code with nothing beside it, or words alone: the concept is known by its text.
    text = one.get("code") or one.get("display")
    return ({"text": text}, _SHORT) if text else None


def _coding(parts: list[str], context: Context) -> dict[str, str]:
    name, display, system = map(str.strip, (parts + _MISSING)[:3])
    if not (name or display):
        return {}
    found = {"system": c.system_named(system, context)} if system else {}
    if name:
        found["code"] = name
    if display:
        found["display"] = display
    return found


_WORDS: Final = tuple((at - 1, frozenset({str(at)})) for at in (9, 2, 1))


def words(parts: list[str], _segment: Segment, _context: Context) -> tuple[str, frozenset[str]] | None:
    """CE, CWE[string]: the original text, else the display, else the code."""
    for at, used in _WORDS:
        if at < len(parts) and (text := parts[at]) and not text.isspace():
            return text, used
    return None


# --- identifiers -------------------------------------------------------------------------------------------


def cx(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """CX[Identifier]."""
    if not (number := parts[0].strip()):
        return None
    space = parts[3].strip() if len(parts) > 3 else ""
    found = i.identifier_of(number, (space, "", ""), context, "CX")
    if len(parts) > 4 and (kind := parts[4].strip()):
        i.typed(found, kind, context)
    return found, i.CX_PARTS[bool(space)]


def cx_nhs_number(parts: list[str], _segment: Segment, context: Context) -> tuple[str, frozenset[str]] | None:
    """CX[nhs_number]: of the NHS, or of nobody."""
    space = parts[3].strip() if len(parts) > 3 else ""
    if space and not i.is_nhs(space, context):
        return None
    try:
        return nhs_number(parts[0].strip()), i.NHS_PARTS[bool(space)]
    except ValueError:
        return None


def ei(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """EI[Identifier]."""
    name, space, universal, kind = map(str.strip, (parts + _MISSING)[:4])
    if not name:
        return None
    issuer = space, universal, kind
    return i.identifier_of(name, issuer, context, "EI"), _ONE | i.issuer_used(issuer, ("2", "3", "4"), context)


def licence(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """PI, PLN[Identifier]."""
    number, kind, giver = map(str.strip, (parts + _MISSING)[:3])
    return (i.licensed(number, kind, giver, context), i.LICENCE) if number else None


# --- names, addresses, numbers -----------------------------------------------------------------------------


def human_name(parts: list[str], _segment: Segment, _context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """XPN, PN[HumanName]."""
    title = parts[13].strip() if len(parts) > 13 else ""
    found = p.named(parts if len(parts) == 7 else (parts + _MISSING)[:7], title)
    return (found, p.NAME_PARTS["use" not in found]) if found else None


def address(parts: list[str], _segment: Segment, _context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """XAD, AD[Address]."""
    street, other, city, state, code, country, kind = parts if len(parts) == 7 else (parts + _MISSING)[:7]
    street, other = street.strip(), other.strip()
    lines = [street, other] if street and other else [street or other] if street or other else []
    found = p.located(lines, city, state, code, country)
    return (found, p.address_kind(found, kind)) if found else None


def contact_point(
    parts: list[str], _segment: Segment, _context: Context
) -> tuple[dict[str, Any], frozenset[str]] | None:
    """XTN[ContactPoint]."""
    found = p.contact(parts + _MISSING)
    return found if found[0] else None


# --- records -----------------------------------------------------------------------------------------------


def person(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """XCN, CN, PPN[person]."""
    parts = (parts + _MISSING)[:13]
    number, space, kind = parts[0].strip(), parts[8].strip(), parts[12].strip()
    found: dict[str, Any] = {}
    if number:
        identifier = i.identifier_of(number, (space, "", ""), context, "XCN")
        if kind:
            i.typed(identifier, kind, context)
        found["identifiers"] = [identifier]
    # The use of the name stands behind what it is in a XPN.
    name = p.named([*parts[1:7], parts[9]])
    if name:
        found["name"] = [name]
    return (found, _PERSON["use" in name, bool(number), bool(space)]) if found else None


def _person_parts(use: bool, number: bool, space: bool) -> frozenset[str]:
    names = p.XCN if use else p.XCN - {"10"}
    return names | {"1", "9" if space else "9.2", "13"} if number else names | {"1"}


#: (The name has a use, there is a number, it has an issuer) → what a person depends on.
_PERSON: Final[Mapping[tuple[bool, ...], frozenset[str]]] = {
    key: _person_parts(*key) for key in product((False, True), repeat=3)
}


def organisation(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """XON[organisation]."""
    parts = (parts + _MISSING)[:10]
    name, former, space, kind, later = (parts[at].strip() for at in (0, 2, 5, 6, 9))
    found: dict[str, Any] = {}
    if number := later or former:
        identifier = i.identifier_of(number, (space, "", ""), context, "XON")
        i.typed(identifier, kind, context)
        found["identifiers"] = [identifier]
    if name:
        found["name"] = name
    if not found:
        return None
    return found, _organisation_parts("10" if later else "3", "6" if space else "6.2") if number else _ONE


@lru_cache(maxsize=4)
def _organisation_parts(number: str, issuer: str) -> frozenset[str]:
    return frozenset({"1", number, "7", issuer})


def place(parts: list[str], _segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """PL[place]."""
    parts = (parts + _MISSING)[:9]
    site = parts[3].strip()
    found = p.placed(parts[8], parts[0], parts[1], parts[2], (site, "", ""), context)
    return (found, p.PLACE_PARTS[bool(site)]) if found else None


# --- results -----------------------------------------------------------------------------------------------


def result_number(parts: list[str], segment: Segment, context: Context) -> tuple[dict[str, Any], frozenset[str]] | None:
    """A NM in OBX-5, with the unit of OBX-6."""
    units = segment.first(6)
    if not parts[0] or not (segment.plain or segment.delimiters.plain(units)):
        return None
    name, display, system = map(str.strip, (units.split(segment.delimiters.component) + _MISSING)[:3])
    try:
        return r.measured(parts[0], (name, display, system), context)
    except Unconvertible:
        return None
