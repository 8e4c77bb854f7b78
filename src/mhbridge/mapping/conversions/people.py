"""
HL7 v2 names, addresses, telephone numbers, people, organisations and places.

XPN, PN, FN, XAD, AD, SAD, XTN, TN, XCN, CN, PPN, XON, PL become FHIR's HumanName, Address and ContactPoint and the
records `person`, `organisation` and `place`. A use code without a FHIR counterpart is not read and stays open in the
ledger. This module must never split, join or re-case a name, and must never make two people one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mhbridge.mapping.conversions import Context
from mhbridge.mapping.conversions.identifiers import identifier_of, issuer_used, nothing, typed

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Value

__all__ = [
    "NAME_PARTS",
    "PERSON",
    "PL",
    "PLACE_PARTS",
    "XAD",
    "XCN",
    "XON",
    "XPN",
    "XTN",
    "address",
    "address_kind",
    "address_used",
    "contact",
    "contact_point",
    "contact_point_used",
    "family_name",
    "human_name",
    "human_name_used",
    "located",
    "named",
    "organisation",
    "organisation_used",
    "person",
    "person_used",
    "place",
    "place_used",
    "placed",
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
NAME_PARTS: Final = (XPN, XPN - {"7"})
_XCN: Final = (XCN, XCN - {"10"})


def named(texts: Sequence[str], title: str = "", family: Sequence[str] = ()) -> dict[str, Any]:
    """
    A HumanName.

    Args:
        texts: family, given, further given, suffix, prefix, degree, and the name type (table 0200).
        title: the professional suffix.
        family: the family name's parts, itself first.
    """
    found: dict[str, Any] = {}
    surname, first, further, suffix, prefix, degree, use = texts
    surname = surname.strip()
    if len(family) > 1 and any(family[1:]):
        # A surname of which only the parts are sent is those parts in their order.
        surname = surname or " ".join(filter(None, family[1:]))
        parts = zip(_FAMILY_PARTS, family[1:], strict=False)
        found["_family"] = {
            "extension": [{"url": _EXTENSION + name, "valueString": text} for name, text in parts if text]
        }
    if surname:
        found["family"] = surname
    if first := first.strip():
        found["given"] = [first, further] if (further := further.strip()) else [first]
    elif further := further.strip():
        found["given"] = [further]
    if prefix := prefix.strip():
        found["prefix"] = [prefix]
    if (suffix or degree or title) and (behind := [text for text in (suffix.strip(), degree.strip(), title) if text]):
        found["suffix"] = behind
    if use and found and (kind := _NAME_USE.get(use) or _NAME_USE.get(use.strip().upper())):
        found["use"] = kind
    return found


def _family(value: Value, number: int) -> list[str]:
    return [text.strip() for text in value.subcomponents(number)[:5]]


def human_name(value: Value, _context: Context) -> Any:
    """XPN[HumanName], PN: the parts, and the use where the name type has one."""
    return named(value.texts(1, 7), value.component(14).strip(), _family(value, 1)) or nothing(value)


def _any(value: Value, components: tuple[int, ...]) -> bool:
    """Whether something is in any of the components; in a surname's parts as well."""
    return any(value.component(number).strip() for number in components) or any(
        part.strip() for part in value.subcomponents(components[0])
    )


def _without_idle_use(value: Value, reads: tuple[frozenset[str], frozenset[str]], use: int) -> frozenset[str]:
    return reads[0] if value.component(use).strip().upper() in _NAME_USE else reads[1]


def human_name_used(value: Value, _context: Context) -> frozenset[str]:
    """A name type without a counterpart is not used, nor is one without a name."""
    if not _any(value, (1, 2, 3, 4, 5, 6, 14)):
        return frozenset()
    return _without_idle_use(value, NAME_PARTS, 7)


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

XAD: Final = frozenset({"1", "1.2", "1.3", "2", "3", "4", "5", "6", "7"})
_XAD_WITHOUT: Final = XAD - {"7"}


def address(value: Value, _context: Context) -> Any:
    """XAD[Address], AD: the lines in their order, town, county (`state`), postcode, country, use."""
    street, other, city, state, code, country, kind = value.texts(1, 7)
    lines = [street, value.component(1, 2), value.component(1, 3), other]
    found = located([text for line in lines if (text := line.strip())], city, state, code, country)
    if not found:
        return nothing(value)
    address_kind(found, kind)
    return found


def located(lines: list[str], city: str, state: str, code: str, country: str) -> dict[str, Any]:
    """
    An Address without what kind it is; empty where there is nothing of it.

    Args:
        lines: those that say something, without blanks around them.
    """
    found: dict[str, Any] = {"line": lines} if lines else {}
    if city := city.strip():
        found["city"] = city
    if state := state.strip():
        found["state"] = state
    if code := code.strip():
        found["postalCode"] = code
    if country := country.strip():
        found["country"] = country
    return found


def address_kind(address: dict[str, Any], kind: str) -> frozenset[str]:
    """Say of an Address what kind it is (table 0190), where FHIR has it; gives all that it depends on then."""
    if kind not in _ADDRESS_USE:
        kind = kind.strip().upper()
    if kind in _ADDRESS_USE:
        address["use"] = _ADDRESS_USE[kind]
    elif kind in _POSTAL:
        address["type"] = "postal"
    else:
        return _XAD_WITHOUT
    return XAD


def address_used(value: Value, _context: Context) -> frozenset[str]:
    """An address type without a counterpart is not used, nor is one without an address."""
    if not _any(value, (1, 2, 3, 4, 5, 6)):
        return frozenset()
    return address_kind({}, value.component(7))


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
_FIRST: Final = frozenset({"1"})
_MAIL: Final = frozenset({"4"})
_NUMBER: Final = frozenset({"5", "6", "7", "8"})
_UNFORMATTED: Final = frozenset({"12"})

XTN: Final = frozenset({"1", "2", "3", "4", "5", "6", "7", "8", "12"})


def _composed(parts: Sequence[str]) -> str:
    """The number of XTN.5 to XTN.8 as people write it (ITU-T E.123): `+44 20 79460000 ext. 12`."""
    country, area, local, extension = map(str.strip, parts)
    if not local:
        return ""
    country = f"+{country.removeprefix('+')}" if country else ""
    return " ".join(filter(None, (country, area, local, f"ext. {extension}" if extension else "")))


def contact(parts: Sequence[str]) -> tuple[dict[str, Any], frozenset[str]]:
    """The ContactPoint of twelve components, and those that it is made of; both empty when there is none."""
    number, mail = parts[0].strip(), parts[3].strip()
    system, use, used = _contact_kind(parts[1], parts[2], bool(number), bool(mail), "@" in number)
    if system == "email":
        text, places = (mail, _MAIL) if mail else (number, _FIRST)
    elif number:
        text, places = number, _FIRST
    elif composed := _composed(parts[4:8]):
        text, places = composed, _NUMBER
    else:
        # v2.7 and later: the number as one unformatted text.
        text, places = parts[11].strip(), _UNFORMATTED
    if not text:
        return {}, frozenset()
    found = {"system": system, "value": text}
    if use:
        found["use"] = use
    return found, used[places]


#: What a kind of contact depends on beside each of the places that its text may come from.
_Beside: TypeAlias = Mapping[frozenset[str], frozenset[str]]


@lru_cache(maxsize=256)
def _contact_kind(use: str, kind: str, number: bool, mail: bool, at: bool) -> tuple[str, str, _Beside]:
    """
    The system and the use of a ContactPoint, and what it depends on.

    Args:
        use: XTN.2.
        kind: XTN.3.
        number: there is a number, mail: there is an address, at: the number looks like one.
    """
    use, kind = use.strip().upper(), kind.strip().upper()
    system, used = _CONTACT_SYSTEM.get(kind, ""), ""
    if system:
        used = "3"
    elif use == "NET" or (mail and not number) or at:
        system = "email"
        used = "2" if use == "NET" else ""
    # v2-to-FHIR maps the equipment type CP to the use `mobile`, which says more than where it rings.
    rings = "mobile" if kind == "CP" else _CONTACT_USE.get(use, "")
    if rings and kind != "CP":
        used += "2"
    return system or "phone", rings, {places: places.union(used) for places in (_FIRST, _MAIL, _NUMBER, _UNFORMATTED)}


def contact_point(value: Value, _context: Context) -> Any:
    """
    XTN[ContactPoint], TN: one number or one e-mail address, with its kind and use.

    Where a repetition holds both, the equipment type says which is meant; the other stays open in the ledger.
    """
    found, value.used = contact(value.texts(1, 12))
    return found or nothing(value)


def contact_point_used(value: Value, _context: Context) -> frozenset[str]:
    """What `contact_point` takes."""
    return contact(value.texts(1, 12))[1] if value.used is None else value.used


# --- records -----------------------------------------------------------------------------------------------


def _person_issuer(value: Value) -> tuple[str, str, str]:
    return value.component(9).strip(), value.component(9, 2).strip(), value.component(9, 3).strip()


def person(value: Value, context: Context) -> Any:
    """XCN, CN, PPN as a person: the identifier with its issuer and type, and the name."""
    found: dict[str, Any] = {}
    number, *texts, _, _, use, _, _, kind = value.texts(1, 13)
    if number:
        identifier = identifier_of(number, _person_issuer(value), context, "XCN")
        typed(identifier, kind, context)
        found["identifiers"] = [identifier]
    name = named([*texts, use], family=_family(value, 2))
    if name:
        found["name"] = [name]
    return found or nothing(value)


def person_used(value: Value, context: Context) -> frozenset[str]:
    """Issuer and type matter with a number, the name type with a name."""
    names = _without_idle_use(value, _XCN, 10) if _any(value, (2, 3, 4, 5, 6, 7)) else _XCN[1]
    if not value.component(1).strip():
        return names | {"1"}
    return names | issuer_used(_person_issuer(value), _ISSUER, context) | {"1", "13"}


XON: Final = frozenset({"1", "3", "6", "6.2", "6.3", "7", "10"})


def _organisation_number(value: Value) -> tuple[str, str]:
    """XON.10 replaced XON.3 (HL7 v2.5.1 §2.A.89): (text, component)."""
    later = value.component(10).strip()
    return (later, "10") if later else (value.component(3).strip(), "3")


def _organisation_issuer(value: Value) -> tuple[str, str, str]:
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
    name, ward, room, bed = (value.component(at) for at in (9, 1, 2, 3))
    space, universal, kind = (value.component(4, sub).strip() for sub in (1, 2, 3))
    return placed(name, ward, room, bed, (space, universal, kind), context) or nothing(value)


def placed(
    name: str, ward: str, room: str, bed: str, facility: tuple[str, str, str], context: Context
) -> dict[str, Any]:
    """A place; empty where there is nothing of it."""
    found: dict[str, Any] = {}
    if name := name.strip():
        found["name"] = name
    if ward := ward.strip():
        found["ward"] = ward
    if room := room.strip():
        found["room"] = room
    if bed := bed.strip():
        found["bed"] = bed
    if facility[0] or facility[1]:
        found["site"] = {"identifiers": [_site(*facility, context)]}
    return found


def _site(space: str, universal: str, kind: str, context: Context) -> dict[str, Any]:
    """The identifier of a facility: HD.1 is a code of the supplier's declared system, HD.2 a globally unique one."""
    if space:
        return identifier_of(space, ("", "", ""), context, "PL")
    if kind == "ISO":
        return {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{universal}"}
    return {"value": universal}


def place_used(value: Value, _context: Context) -> frozenset[str]:
    """Of the facility, the namespace or else the universal id."""
    return PLACE_PARTS[bool(value.component(4).strip())]


#: What a place depends on, without the namespace of its facility and with it.
PLACE_PARTS: Final = (PL - {"4"}, PL - {"4.2", "4.3"})
