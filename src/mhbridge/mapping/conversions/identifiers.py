"""
HL7 v2 identifiers and the issuers they name: CX, EI, HD as FHIR Identifiers.

Which system an identifier belongs to is said by its assigning authority, and only the supplier's declaration says what
an authority's name means. An authority that nothing is known about stays as the assigner's words: this module must
never make up a system.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from mhbridge.fhir.definitions import r4
from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.primitives import nhs
from mhbridge.model import ABSENT, DELETED, State

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Value

__all__ = [
    "CX",
    "CX_PARTS",
    "EI",
    "HD",
    "LICENCE",
    "NHS_PARTS",
    "TYPE_SYSTEM",
    "cx",
    "cx_nhs_number",
    "cx_nhs_number_used",
    "cx_used",
    "ei",
    "ei_used",
    "identifier_of",
    "is_nhs",
    "issuer_used",
    "licence",
    "licence_used",
    "licensed",
    "nothing",
    "typed",
]

#: HL7 table 0203, whose codes say what kind an identifier is.
TYPE_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"

#: UK Core's NHS number system, as codes/systems.csv names it.
_NHS_NUMBER: Final = "nhs-number"
#: ITK Reference Tables v1.0.14, table 0363: the assigning authority of NHS numbers.
_NHS: Final = "NHS"

_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+", re.ASCII)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)

CX: Final = frozenset({"1", "4", "4.2", "4.3", "5"})
EI: Final = frozenset({"1", "2", "3", "4"})
HD: Final = frozenset({"1", "2", "3"})
LICENCE: Final = frozenset({"1", "2", "3"})


def nothing(value: Value) -> State:
    """What a value is of which nothing that matters here is there: deleted where the sender deletes, else absent."""
    return DELETED if '""' in value.text else ABSENT


# --- issuers -----------------------------------------------------------------------------------------------


def _universal(name: str, kind: str, context: Context) -> str:
    """The system that a universal id names (HL7 v2.5.1 §2.A.33, HD.2 and HD.3); empty when it is not a system."""
    if not name:
        return ""
    # What only says that it is one stays as words: a URI that is none would cost the whole document.
    if kind == "ISO":
        return context.systems.named(name) or (f"urn:oid:{name}" if _OID.fullmatch(name) else "")
    if kind in ("UUID", "GUID"):
        return f"urn:uuid:{name.lower()}" if _UUID.fullmatch(name) else ""
    if kind == "URI" and ":" in name:
        return context.systems.of_uri(name)
    return ""


def _system(space: str, universal: str, kind: str, context: Context, default: str) -> str:
    """
    The system that an assigning authority stands for; empty when nobody declared it.

    What the supplier declares comes first, then the NHS in a CX, then the globally unique id, then the names that
    code systems have in HL7 v2, and the data type's default only where the message names no issuer at all.
    """
    if space and (declared := context.authorities.get(space)):
        return context.systems.of_uri(declared)
    if space == _NHS and default == "CX":
        return _NHS_NUMBER
    found = _universal(universal, kind, context) or (space and context.systems.named(space)) or ""
    if not found and not space and not universal:
        found = context.systems.of_uri(context.authorities.get(default, ""))
    return found


def identifier_of(value: str, issuer: tuple[str, str, str], context: Context, default: str) -> dict[str, Any]:
    """
    An Identifier from its value and its issuer (namespace, universal id, its kind: an HD).

    Args:
        default: the data type, which names the system where there is no issuer: `CX`, `EI`, `XCN`, `XON`, `PL`.
    """
    system = _system(*issuer, context, default)
    if system:
        return {"system": system, "value": value}
    words = issuer[0] or issuer[1]
    return {"value": value, "assigner": {"display": words}} if words else {"value": value}


def issuer_used(issuer: tuple[str, str, str], places: tuple[str, str, str], context: Context) -> frozenset[str]:
    """Which of the three components of an issuer decide its system: places → those that matter."""
    space, universal, kind = issuer
    if space and (space in context.authorities or not universal):
        return frozenset(places[:1])
    if _universal(universal, kind, context):
        return frozenset(places[1:])
    return frozenset(places[:1] if space else places[1:2])


def typed(identifier: dict[str, Any], kind: str, context: Context) -> None:
    """
    Add the type of an identifier (table 0203).

    A code of the sender's own, which HL7 v2 lets a site add to the table, is none of HL7's: it stays as text.
    """
    if kind in _types():
        identifier["type"] = {"coding": [{"system": context.systems.of_uri(TYPE_SYSTEM), "code": kind}]}
    elif kind:
        identifier["type"] = {"text": kind}


@cache
def _types() -> frozenset[str]:
    return frozenset(r4().codesystem(TYPE_SYSTEM) or ())


# --- data types --------------------------------------------------------------------------------------------


def _cx_issuer(value: Value) -> tuple[str, str, str]:
    return value.component(4).strip(), value.component(4, 2).strip(), value.component(4, 3).strip()


def cx(value: Value, context: Context) -> Any:
    """CX[Identifier]: value, system or assigner, type."""
    number = value.component(1).strip()
    if not number:
        return nothing(value)
    found = identifier_of(number, _cx_issuer(value), context, "CX")
    typed(found, value.component(5).strip(), context)
    return found


def cx_used(value: Value, context: Context) -> frozenset[str]:
    """Without a number there is no identifier."""
    if not value.component(1).strip():
        return frozenset()
    issuer = _cx_issuer(value)
    return _NAMED_CX if issuer[0] == _NHS else frozenset({"1", "5"}) | issuer_used(issuer, _CX_ISSUER, context)


#: The same of an NHS number, without and with an issuer.
NHS_PARTS: Final = (frozenset({"1", "4.2"}), frozenset({"1", "4"}))

_CX_ISSUER: Final = ("4", "4.2", "4.3")
_NAMED_CX: Final = frozenset({"1", "4", "5"})
#: The same of a number without a namespace, and of one whose issuer is no more than that.
CX_PARTS: Final = (frozenset({"1", "4.2", "5"}), _NAMED_CX)


def cx_nhs_number(value: Value, context: Context) -> Any:
    """
    A CX that is an NHS number.

    One local number in eleven passes Modulus 11, so an authority that is not the NHS settles it: refused.
    """
    number = value.component(1).strip()
    if not number:
        return nothing(value)
    issuer = _cx_issuer(value)
    if any(issuer[:2]) and _system(*issuer, context, "CX") != _NHS_NUMBER:
        raise Unconvertible("the assigning authority of the number is not the NHS")
    return nhs(number)


def is_nhs(space: str, context: Context) -> bool:
    """Whether a namespace alone names the NHS as the assigning authority of a CX."""
    return _system(space, "", "", context, "CX") == _NHS_NUMBER


def cx_nhs_number_used(value: Value, context: Context) -> frozenset[str]:
    """As of an Identifier, without its type."""
    return cx_used(value, context) - {"5"}


def _ei_issuer(value: Value) -> tuple[str, str, str]:
    return value.component(2).strip(), value.component(3).strip(), value.component(4).strip()


def ei(value: Value, context: Context) -> Any:
    """EI[Identifier]: the entity identifier, and the system or assigner that its namespace or universal id names."""
    name = value.component(1).strip()
    if not name:
        return nothing(value)
    return identifier_of(name, _ei_issuer(value), context, "EI")


def ei_used(value: Value, context: Context) -> frozenset[str]:
    """Without an identifier there is nothing to issue."""
    if not value.component(1).strip():
        return frozenset()
    return frozenset({"1"}) | issuer_used(_ei_issuer(value), ("2", "3", "4"), context)


def licence(value: Value, context: Context) -> Any:
    """PI, PLN[Identifier]: a provider's number, its kind (table 0338), and the state or authority that gave it."""
    number, kind, giver = (value.component(at).strip() for at in (1, 2, 3))
    return licensed(number, kind, giver, context) if number else nothing(value)


def licensed(number: str, kind: str, giver: str, context: Context) -> dict[str, Any]:
    """The Identifier of a provider's number."""
    found: dict[str, Any] = {"value": number}
    if giver:
        found["assigner"] = {"display": giver}
    typed(found, kind, context)
    return found


def licence_used(value: Value, _context: Context) -> frozenset[str]:
    """Without a number there is no identifier."""
    return LICENCE if value.component(1).strip() else frozenset()
