"""
HL7 v2 names, addresses, telephone numbers, people, organisations and places.

XPN, PN, FN, XAD, AD, SAD, XTN, TN, XCN, CN, PPN, XON, PL become FHIR's HumanName, Address and ContactPoint and the
records `person`, `organisation` and `place`. A use code without a FHIR counterpart is not read and stays open in the
ledger. This module must never split, join or re-case a name, and must never make two people one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import Context
from mhbridge.mapping.conversions.identifiers import identifier_of, issuer_used, nothing, typed

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Value

__all__ = [
    "PERSON",
    "PL",
    "XAD",
    "XCN",
    "XON",
    "XPN",
    "XTN",
    "address",
    "address_used",
    "contact_point",
    "contact_point_used",
    "family_name",
    "human_name",
    "human_name_used",
    "organisation",
    "organisation_used",
    "person",
    "person_used",
    "place",
    "place_used",
    "street",
]

# --- names -------------------------------------------------------------------------------------------------

#: Table 0200 → FHIR name-use. v2-to-FHIR's map, then the ITK's own values (ITK HL7 v2 v1.0.15 §5.3.2; Reference Tables
#: v1.0.14, 4.39: B is PREVIOUS-BIRTH, M is PREVIOUS-MAIDEN, N is PREFERRED). An alias is v3's pseudonym, which FHIR's
#: map of name-use ties to `nickname`. U (unspecified) has no use.
_NAME_USE: Final[Mapping[str, str]] = {
    "L": "official",
    "R": "official",
    "D": "usual",
    "N": "nickname",
    "PREFERRED": "nickname",
    "A": "nickname",
    "M": "maiden",
    "PREVIOUS-MAIDEN": "maiden",
    "B": "old",
    "PREVIOUS-BIRTH": "old",
    "PREVIOUS-BACHELOR": "old",
    "PREVIOUS": "old",
    "BAD": "old",
    "S": "anonymous",
    "MSK": "anonymous",
    "NAV": "temp",
    "TEMP": "temp",
}

#: FN.2 to FN.5, as FHIR's extensions of a family name (v2-to-FHIR, FN[HumanName]).
_FAMILY_PARTS: Final = ("own-prefix", "own-name", "partner-prefix", "partner-name")
_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/humanname-"

_FN: Final = ("", ".2", ".3", ".4", ".5")
XPN: Final = frozenset({*(f"1{sub}" for sub in _FN), "2", "3", "4", "5", "6", "7", "14"})
XCN: Final = frozenset({*(f"2{sub}" for sub in _FN), "3", "4", "5", "6", "7", "10"})
_ISSUER: Final = ("9", "9.2", "9.3")
PERSON: Final = XCN | {"1", "9", "9.2", "9.3", "13"}
#: With the name type, and without.
_XPN: Final = (XPN, XPN - {"7"})
_XCN: Final = (XCN, XCN - {"10"})


def _name(value: Value, family: int, texts: list[str], use: str, title: str = "") -> dict[str, Any]:
    """
    A HumanName.

    Args:
        family: the number of the component that the family name is in.
        texts: family, given, further given, suffix, prefix, degree.
        use: the name type (table 0200).
        title: the professional suffix.
    """
    found: dict[str, Any] = {}
    surname, first, further, suffix, prefix, degree = texts
    if not value.simple:
        parts = [text.strip() for text in value.subcomponents(family)[:5]]
        if any(parts[1:]):
            # A surname of which only the parts are sent is those parts in their order.
            surname = surname or " ".join(filter(None, parts[1:]))
            named = zip(_FAMILY_PARTS, parts[1:], strict=False)
            found["_family"] = {
                "extension": [{"url": _EXTENSION + name, "valueString": text} for name, text in named if text]
            }
    if surname:
        found["family"] = surname
    if first or further:
        found["given"] = [first, further] if first and further else [first or further]
    if prefix:
        found["prefix"] = [prefix]
    if suffix or degree or title:
        found["suffix"] = [text for text in (suffix, degree, title) if text]
    if use and found and (kind := _NAME_USE.get(use.upper())):
        found["use"] = kind
    return found


def human_name(value: Value, _context: Context) -> Any:
    """XPN[HumanName], PN: the parts, and the use where the name type has one."""
    *texts, use = value.texts(1, 7)
    title = value.component(14).strip() if value.components > 13 else ""
    found = _name(value, 1, texts, use, title)
    if found and value.simple:
        value.used = _XPN["use" not in found]
    return found or nothing(value)


def _any(value: Value, components: tuple[int, ...]) -> bool:
    """Whether something is in any of the components; in a surname's parts as well."""
    return any(value.component(number).strip() for number in components) or any(
        part.strip() for part in value.subcomponents(components[0])
    )


def _without_idle_use(value: Value, reads: tuple[frozenset[str], frozenset[str]], use: int) -> frozenset[str]:
    return reads[0] if value.component(use).strip().upper() in _NAME_USE else reads[1]


def human_name_used(value: Value, _context: Context) -> frozenset[str]:
    """A name type without a counterpart is not used, nor is one without a name."""
    if value.used is not None:
        return value.used
    if not _any(value, (1, 2, 3, 4, 5, 6, 14)):
        return frozenset()
    return _without_idle_use(value, _XPN, 7)


def family_name(value: Value, _context: Context) -> Any:
    """FN as text: the surname."""
    return value.component(1) or nothing(value)


# --- addresses ---------------------------------------------------------------------------------------------

#: Table 0190 → FHIR address-use (v2-to-FHIR), and the ITK's TMP (Reference Tables v1.0.14, 4.38).
_ADDRESS_USE: Final[Mapping[str, str]] = {
    "H": "home",
    "B": "work",
    "O": "work",
    "C": "temp",
    "TMP": "temp",
    "BA": "old",
    "BI": "billing",
}
#: Table 0190 → FHIR address-type: mailing, shipping, and the ITK's PST.
_POSTAL: Final = frozenset({"M", "SH", "PST"})

#: What XAD.3 to XAD.6 are.
_PLACE: Final = ("city", "state", "postalCode", "country")
XAD: Final = frozenset({"1", "1.2", "1.3", "2", "3", "4", "5", "6", "7"})
_XAD_WITHOUT: Final = XAD - {"7"}


def address(value: Value, _context: Context) -> Any:
    """XAD[Address], AD: the lines in their order, town, county (`state`), postcode, country, use."""
    found: dict[str, Any] = {}
    street, other, *rest, kind = value.texts(1, 7)
    if value.simple:
        lines = [line for line in (street, other) if line]
    else:
        below = (value.component(1, 2).strip(), value.component(1, 3).strip())
        lines = [line for line in (street, *below, other) if line]
    if lines:
        found["line"] = lines
    found |= {name: text for name, text in zip(_PLACE, rest, strict=True) if text}
    if not found:
        return nothing(value)
    kind = kind.upper()
    used = XAD
    if kind in _ADDRESS_USE:
        found["use"] = _ADDRESS_USE[kind]
    elif kind in _POSTAL:
        found["type"] = "postal"
    else:
        used = _XAD_WITHOUT
    if value.simple:
        value.used = used
    return found


def address_used(value: Value, _context: Context) -> frozenset[str]:
    """An address type without a counterpart is not used, nor is one without an address."""
    if value.used is not None:
        return value.used
    if not _any(value, (1, 2, 3, 4, 5, 6)):
        return frozenset()
    kind = value.component(7).strip().upper()
    return XAD if kind in _ADDRESS_USE or kind in _POSTAL else _XAD_WITHOUT


def street(value: Value, _context: Context) -> Any:
    """SAD as text: street or mailing address, street name, dwelling number."""
    return " ".join(text for place in (1, 2, 3) if (text := value.component(place).strip())) or nothing(value)


# --- telecommunication -------------------------------------------------------------------------------------

#: Table 0201 → FHIR contact-point-use (v2-to-FHIR). The ITK's ORN and VHN are PDS's HP and HV, both of them homes
#: (Reference Tables v1.0.14, 4.40).
_CONTACT_USE: Final[Mapping[str, str]] = {
    "PRN": "home",
    "ORN": "home",
    "VHN": "home",
    "WPN": "work",
    "PRS": "mobile",
}
#: Table 0202 → FHIR contact-point-system (v2-to-FHIR).
_CONTACT_SYSTEM: Final[Mapping[str, str]] = {
    "PH": "phone",
    "CP": "phone",
    "FX": "fax",
    "BP": "pager",
    "MD": "other",
    "SAT": "other",
    "TDD": "other",
    "TTY": "other",
    "INTERNET": "email",
    "X.400": "email",
}
_NUMBER: Final = (5, 6, 7, 8)

XTN: Final = frozenset({"1", "2", "3", "4", "5", "6", "7", "8", "12"})


def _composed(value: Value) -> str:
    """The number of XTN.5 to XTN.8 as people write it (ITU-T E.123): `+44 20 79460000 ext. 12`."""
    country, area, local, extension = (value.component(place).strip() for place in _NUMBER)
    if not local:
        return ""
    country = f"+{country.removeprefix('+')}" if country else ""
    return " ".join(filter(None, (country, area, local, f"ext. {extension}" if extension else "")))


def _contact(value: Value) -> tuple[dict[str, Any], frozenset[str]]:
    """The ContactPoint, and the components that it is made of; both empty when there is none."""
    number, use, kind, mail = value.texts(1, 4)
    use, kind = use.upper(), kind.upper()
    system = _CONTACT_SYSTEM.get(kind, "")
    used = {"3"} if system else set()
    if not system and (use == "NET" or (mail and not number) or "@" in number):
        system = "email"
        used = {"2"} if use == "NET" else set()
    if system == "email":
        text, places = (mail, {"4"}) if mail else (number, {"1"})
    elif number:
        text, places = number, {"1"}
    elif composed := _composed(value):
        text, places = composed, {str(place) for place in _NUMBER}
    else:
        # v2.7 and later: the number as one unformatted text.
        text, places = value.component(12).strip(), {"12"}
    if not text:
        return {}, frozenset()
    found = {"system": system or "phone", "value": text}
    if kind == "CP":
        # v2-to-FHIR maps the equipment type CP to the use `mobile`, which says more than where it rings.
        found["use"] = "mobile"
    elif use in _CONTACT_USE:
        found["use"] = _CONTACT_USE[use]
        used.add("2")
    return found, frozenset(used | places)


def contact_point(value: Value, _context: Context) -> Any:
    """
    XTN[ContactPoint], TN: one number or one e-mail address, with its kind and use.

    Where a repetition holds both, the equipment type says which is meant; the other stays open in the ledger.
    """
    found, value.used = _contact(value)
    return found or nothing(value)


def contact_point_used(value: Value, _context: Context) -> frozenset[str]:
    """What `contact_point` takes."""
    return _contact(value)[1] if value.used is None else value.used


# --- records -----------------------------------------------------------------------------------------------


def _person_issuer(value: Value) -> tuple[str, str, str]:
    if value.simple:
        return value.component(9).strip(), "", ""
    return value.component(9).strip(), value.component(9, 2).strip(), value.component(9, 3).strip()


def person(value: Value, context: Context) -> Any:
    """XCN, CN, PPN as a person: the identifier with its issuer and type, and the name."""
    found: dict[str, Any] = {}
    number, *texts, _, space, use, _, _, kind = value.texts(1, 13)
    if number:
        issuer = (space, "", "") if value.simple else _person_issuer(value)
        identifier = identifier_of(number, issuer, context, "XCN")
        if kind:
            typed(identifier, kind, context)
        found["identifiers"] = [identifier]
    name = _name(value, 2, texts, use)
    if name:
        found["name"] = [name]
    if number and value.simple:
        value.used = _PERSON_SIMPLE["use" in name, bool(space)]
    return found or nothing(value)


def person_used(value: Value, context: Context) -> frozenset[str]:
    """Issuer and type matter with a number, the name type with a name."""
    if value.used is not None:
        return value.used
    names = _without_idle_use(value, _XCN, 10) if _any(value, (2, 3, 4, 5, 6, 7)) else _XCN[1]
    if not value.component(1).strip():
        return names | {"1"}
    return _person_parts(names, issuer_used(_person_issuer(value), _ISSUER, context))


@lru_cache(maxsize=64)
def _person_parts(names: frozenset[str], issuer: frozenset[str]) -> frozenset[str]:
    return names | issuer | {"1", "13"}


#: (There is a use, there is an issuer) → what counts of a person with a number and without subcomponents.
_PERSON_SIMPLE: Final = {
    (use, issuer): _person_parts(_XCN[not use], frozenset({"9" if issuer else "9.2"}))
    for use in (True, False)
    for issuer in (True, False)
}

XON: Final = frozenset({"1", "3", "6", "6.2", "6.3", "7", "10"})


def _organisation_number(value: Value) -> tuple[str, str]:
    """XON.10 replaced XON.3 (HL7 v2.5.1 §2.A.89): (text, component)."""
    later = value.component(10).strip()
    return (later, "10") if later else (value.component(3).strip(), "3")


def _organisation_issuer(value: Value) -> tuple[str, str, str]:
    if value.simple:
        return value.component(6).strip(), "", ""
    return value.component(6).strip(), value.component(6, 2).strip(), value.component(6, 3).strip()


def organisation(value: Value, context: Context) -> Any:
    """XON as an organisation: the identifier with its issuer and type, and the name."""
    found: dict[str, Any] = {}
    number, _ = _organisation_number(value)
    if number:
        identifier = identifier_of(number, _organisation_issuer(value), context, "XON")
        typed(identifier, value.component(7).strip(), context)
        found["identifiers"] = [identifier]
    if name := value.component(1).strip():
        found["name"] = name
    return found or nothing(value)


def organisation_used(value: Value, context: Context) -> frozenset[str]:
    """One of the two numbers, and its issuer and type."""
    number, place = _organisation_number(value)
    if not number:
        return frozenset({"1"})
    return frozenset({"1", place, "7"}) | issuer_used(_organisation_issuer(value), ("6", "6.2", "6.3"), context)


PL: Final = frozenset({"1", "2", "3", "4", "4.2", "4.3", "9"})


def place(value: Value, context: Context) -> Any:
    """
    PL as a place: ward (point of care), room, bed, the site as an organisation, and the description as its name.

    The ITK has the ward's code in PL.2 (ITK HL7 v2 v1.0.15 §6.12): such a feed binds the components itself.
    """
    found: dict[str, Any] = {}
    for name, at in (("name", 9), ("ward", 1), ("room", 2), ("bed", 3)):
        if text := value.component(at).strip():
            found[name] = text
    space, universal, kind = (value.component(4, sub).strip() for sub in (1, 2, 3))
    if space or universal:
        found["site"] = {"identifiers": [_site(space, universal, kind, context)]}
    return found or nothing(value)


def _site(space: str, universal: str, kind: str, context: Context) -> dict[str, Any]:
    """The identifier of a facility: HD.1 is a code of the supplier's declared system, HD.2 a globally unique one."""
    if space:
        return identifier_of(space, ("", "", ""), context, "PL")
    if kind == "ISO":
        return {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{universal}"}
    return {"value": universal}


def place_used(value: Value, _context: Context) -> frozenset[str]:
    """Of the facility, the namespace or else the universal id."""
    return PL - ({"4.2", "4.3"} if value.component(4).strip() else {"4"})
