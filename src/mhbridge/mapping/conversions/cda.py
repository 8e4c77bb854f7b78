"""
HL7 CDA R2 data types as item values: an element becomes what the item is.

After the abstract data types of HL7 v3 (CDA R2 uses release 1) and HL7's C-CDA on FHIR guide 1.2.0, with what NHS CDA
does differently. A `nullFlavor` is a reason why there is no value. This module must never guess the system of a code
from its looks, and never complete a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Conversion, Unconvertible
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.conversions.at import XSI, At, leaf, made
from mhbridge.mapping.conversions.primitives import CHECKED, decimal, nhs
from mhbridge.mapping.conversions.xml import time_written
from mhbridge.model import ABSENT, State, Unknown

__all__ = ["conversions", "null", "original", "referred"]

#: HL7's ConceptMap CF-NullFlavorDataAbsentReason (C-CDA on FHIR 1.2.0); those that it leaves out are `unknown`.
_REASONS: Final[Mapping[str, str]] = {
    "NI": "unknown",
    "UNK": "unknown",
    "ASKU": "asked-unknown",
    "NAV": "temp-unknown",
    "NASK": "not-asked",
    "NAVU": "unknown",
    "MSK": "masked",
    "NA": "not-applicable",
    "NP": "unknown",
    "OTH": "unsupported",
    "TRC": "unsupported",
    "QS": "unsupported",
    "DER": "unknown",
    "INV": "unsupported",
    "UNC": "unsupported",
    "NINF": "negative-infinity",
    "PINF": "positive-infinity",
}

#: NHS number, verified; and the OID of one that nobody has traced (NHS CDA, identifiers of a patient).
_NHS: Final = ("2.16.840.1.113883.2.1.4.1", "2.16.840.1.113883.2.1.3.2.4.18.23")
#: NHS CDA: a local identifier. All of England shares the OID; who gave the number is said beside it.
_LOCAL: Final = "2.16.840.1.113883.2.1.3.2.4.18.24"
#: ITU-T X.660: what a URI of an OID may say (RFC 3061).
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def null(at: At) -> State:
    """
    Why there is no value: the reason of the element's nullFlavor, or absent.

    Raises:
        Unconvertible: the word is no nullFlavor.
    """
    flavour = at.take("nullFlavor")
    if not flavour:
        return ABSENT
    reason = _REASONS.get(flavour)
    if reason is None:
        raise Unconvertible("this is no nullFlavor of HL7 v3")
    return Unknown(reason)


# --- times -------------------------------------------------------------------------------------------------


def _time(convert: Callable[[str, Context], str]) -> Callable[[At, Context], Any]:
    def run(at: At, context: Context) -> Any:
        value = at.take("value")
        if value:
            return convert(time_written(value), context)
        ends = [end for name in ("low", "high", "center") if (end := at.one(name)) is not None]
        if any(end.peek("value") for end in ends):
            raise Unconvertible("an interval of time: bind its low or its high")
        return null(at)

    return run


def _period(at: At, context: Context) -> Any:
    """IVL_TS: from, until; of a point in time both."""
    found: dict[str, Any] = {}
    if at.peek("value"):
        found["start"] = found["end"] = t.v2_date_time(time_written(at.take("value")), context)
        return found
    for name, key in (("low", "start"), ("high", "end")):
        end = at.one(name)
        if end is not None and end.peek("value"):
            found[key] = t.v2_date_time(time_written(end.take("value")), context)
    return found or null(at)


# --- identifiers -------------------------------------------------------------------------------------------


def _identifier(at: At, context: Context) -> Any:
    """II: an OID and a number under it, or a UUID, or an OID by itself (RFC 3986 URIs)."""
    root, extension = at.peek("root"), at.peek("extension")
    if not root and not extension:
        return null(at)
    if not extension:
        at.take("root")
        if _UUID.fullmatch(root):
            return {"system": "urn:ietf:rfc3986", "value": f"urn:uuid:{root.lower()}"}
        if not _OID.fullmatch(root):
            raise Unconvertible("the root is neither an OID nor a UUID")
        return {"system": "urn:ietf:rfc3986", "value": f"urn:oid:{root}"}
    at.take("extension")
    authority = at.peek("assigningAuthorityName")
    declared, given = context.authorities.get(root), context.authorities.get(authority) if authority else None
    if declared is None and given and (root == _LOCAL or not context.systems.named(root)):
        # Who gave the number says more than an OID that all share, or that nobody knows.
        at.take("assigningAuthorityName")
        return {"system": context.systems.of_uri(given), "value": extension}
    found: dict[str, Any] = {"value": extension}
    at.take("root")
    if declared:
        found["system"] = context.systems.of_uri(declared)
    elif root != _LOCAL and (system := _system(root, context)):
        found["system"] = system
    if authority:
        found["assigner"] = {"display": at.take("assigningAuthorityName")}
    elif root and root != _LOCAL and "system" not in found:
        found["assigner"] = {"display": root}
    return found


def _system(root: str, context: Context) -> str:
    """The system of an OID or a UUID; empty where it is neither: a URI that is none would spoil the document."""
    known = context.systems.named(root)
    if known:
        return known
    if _OID.fullmatch(root):
        return f"urn:oid:{root}"
    return f"urn:uuid:{root.lower()}" if _UUID.fullmatch(root) else ""


def _nhs_number(at: At, _context: Context) -> Any:
    """II of the NHS: whether the number was traced is another item."""
    root, extension = at.take("root"), at.take("extension")
    if not extension:
        return null(at)
    if root not in _NHS:
        raise Unconvertible("the number is not of the NHS")
    return nhs(extension)


# --- codes -------------------------------------------------------------------------------------------------


def _coding(at: At, context: Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    code = at.take("code")
    if not code:
        return found
    system = at.take("codeSystem")
    if system:
        found["system"] = _system(system, context) or system
        if version := at.take("codeSystemVersion"):
            found["version"] = version
    elif name := at.take("codeSystemName"):
        found["system"] = context.systems.named(name) or name
    found["code"] = code
    if display := at.take("displayName"):
        found["display"] = display
    return found


def referred(at: At) -> str:
    """The words that a reference to the narrative means (HL7 CDA R2 §4.3.5.1)."""
    reference = at.one("reference")
    name = reference.peek("value") if reference is not None else ""
    target = at.tree.with_id(name[1:]) if name.startswith("#") else None
    if reference is None or target is None:
        return ""
    reference.take("value")
    if at.seen is not None:
        at.seen.add(leaf(target, at.tree.keys[target].index("ID") + 1))
    return At(at.tree, target, at.seen).words()


def original(at: At) -> str:
    """originalText: its own words, or those that it refers to."""
    text = at.one("originalText")
    if text is None:
        return ""
    own = text.words()
    return own or referred(text)


def concept(at: At, context: Context) -> Any:
    """CD, CE, CV, CS: the code, its translations, the words; also a text in the place of a code."""
    codings = [coding for one in (at, *at.all("translation")) if (coding := _coding(one, context))]
    text = original(at)
    if not text and not codings:
        # OTH with a name, or a plain ST where a code was expected.
        text = at.take("displayName") or (at.own() if at.bare else "")
    found: dict[str, Any] = {}
    if codings:
        found["coding"] = codings
    if text:
        found["text"] = text
    return found or null(at)


def _code(at: At, _context: Context) -> Any:
    code = at.take("code")
    return CHECKED["code"](code) if code else null(at)


# --- numbers -----------------------------------------------------------------------------------------------


def _kind(at: At) -> str:
    """`xsi:type` without its prefix."""
    return at.peek(f"{XSI}type").rpartition(":")[2]


def _amount(at: At) -> dict[str, Any]:
    found: dict[str, Any] = {"value": decimal(at.take("value"))}
    unit = at.take("unit")
    if unit and unit != "1":
        # PQ.unit is a UCUM code by definition (HL7 v3 data types R1 §2.37.2); what is none is words.
        found["unit"] = unit
        if _UCUM.fullmatch(unit):
            found |= {"system": "ucum", "code": unit}
    return found


#: No blank and none of the marks that UCUM does not have; a unit with one is words in the place of a code.
_UCUM: Final = re.compile(r"[!#-'*-:;<>?@A-Z\[\]^_`a-z{|}~.()=+\"]{1,60}")


def _quantity(at: At, _context: Context) -> Any:
    """PQ, INT, REAL; of an interval that is open on one side its end, with a comparator."""
    kind = _kind(at)
    if kind not in ("", "PQ", "INT", "REAL", "MO", "IVL_PQ", "IVL_INT", "IVL_REAL"):
        raise Unconvertible("not a quantity")
    if kind:
        at.take(f"{XSI}type")
    if at.peek("value"):
        return _amount(at)
    ends = {name: end for name in ("low", "high") if (end := at.one(name)) is not None and end.peek("value")}
    if len(ends) == 2:
        raise Unconvertible("an interval between two numbers is no quantity")
    for name, end in ends.items():
        open_ = end.take("inclusive").lower() == "false"
        comparator = {"low": ">", "high": "<"}[name] + ("" if open_ else "=")
        return {"comparator": comparator, **_amount(end)}
    translation = at.one("translation")
    text = original(translation) if translation is not None else ""
    if text:
        raise Unconvertible("a quantity in words")
    return null(at)


def _value(name: str) -> Callable[[At, Context], Any]:
    check = CHECKED[name]

    def run(at: At, _context: Context) -> Any:
        value = at.take("value") or (at.own() if at.bare else "")
        return check(value) if value else null(at)

    return run


# --- names, addresses, telecoms ----------------------------------------------------------------------------

#: EntityNameUse → FHIR NameUse (FHIR R4, ConceptMap cm-name-use-v3, where it is one to one).
_NAME_USES: Final[Mapping[str, str]] = {"L": "official", "P": "nickname"}
_NAME_PARTS: Final[Mapping[str, str]] = {"prefix": "prefix", "given": "given", "suffix": "suffix"}


def _name(at: At, context: Context) -> Any:
    """EN, PN: its parts in their order; without parts the words."""
    found: dict[str, Any] = {}
    for name, part in at.children:
        if name == "family" and (text := part.words()):
            # A double name comes as two elements in some systems.
            found["family"] = f"{found['family']} {text}" if "family" in found else text
        elif name in _NAME_PARTS and (text := part.words()):
            found.setdefault(_NAME_PARTS[name], []).append(text)
    if not found:
        text = at.words()
        if not text:
            return null(at)
        found["text"] = text
    elif at.words_between.strip(" \t\r\n,."):
        # Words between the parts belong to nobody: the name as it was written keeps them.
        found["text"] = at.words()
    _use(at, _NAME_USES, found)
    valid = at.one("validTime")
    if valid is not None and isinstance(period := _period(valid, context), dict):
        found["period"] = period
    return found


def _use(at: At, table: Mapping[str, str], found: dict[str, Any]) -> None:
    """The use, where FHIR has a word for the first that it has one for."""
    uses = [table[word] for word in at.peek("use").split() if word in table]
    if uses:
        at.take("use")
        found["use"] = uses[0]


#: PostalAddressUse → FHIR: use, or type.
_ADDRESS_USES: Final[Mapping[str, str]] = {
    "H": "home", "HP": "home", "HV": "home", "WP": "work", "DIR": "work", "PUB": "work", "TMP": "temp", "BAD": "old",
}  # fmt: skip
_ADDRESS_TYPES: Final[Mapping[str, str]] = {"PHYS": "physical", "PST": "postal"}
_LINES: Final = frozenset(
    {
        "streetAddressLine", "additionalLocator", "unitID", "unitType", "deliveryAddressLine", "deliveryMode",
        "deliveryModeIdentifier", "deliveryInstallationType", "deliveryInstallationArea",
        "deliveryInstallationQualifier", "buildingNumberSuffix", "postBox", "precinct", "careOf", "censusTract",
    }
)  # fmt: skip
#: What makes one line together, in the order in which it stands.
_STREET: Final = frozenset(
    {"houseNumber", "houseNumberNumeric", "direction", "streetName", "streetNameBase", "streetNameType"}
)
_PLACES: Final[Mapping[str, str]] = {
    "city": "city", "county": "district", "state": "state", "postalCode": "postalCode", "country": "country",
}  # fmt: skip


def _address(at: At, context: Context) -> Any:
    """AD: lines, places; without parts the words."""
    found: dict[str, Any] = {}
    lines: list[str] = []
    street: list[str] = []
    for name, part in at.children:
        if name in _STREET:
            if text := part.words():
                street.append(text)
            continue
        if street:
            lines.append(" ".join(street))
            street = []
        if name in _LINES and (text := part.words()):
            lines.append(text)
        elif name in _PLACES and (text := part.words()):
            key = _PLACES[name]
            found[key] = f"{found[key]}, {text}" if key in found else text
    if street:
        lines.append(" ".join(street))
    if lines:
        found["line"] = lines
    if not found:
        text = at.words()
        if not text:
            return null(at)
        found["text"] = text
    elif at.words_between.strip(" \t\r\n,."):
        found["text"] = at.words()
    words = at.peek("use").split()
    uses = [_ADDRESS_USES[word] for word in words if word in _ADDRESS_USES]
    types = [_ADDRESS_TYPES[word] for word in words if word in _ADDRESS_TYPES]
    if uses or types:
        at.take("use")
    if uses:
        found["use"] = uses[0]
    if types:
        found["type"] = types[0]
    valid = at.one("useablePeriod")
    if valid is not None and isinstance(period := _period(valid, context), dict):
        found["period"] = period
    return found


_TELECOM_USES: Final[Mapping[str, str]] = {
    "H": "home", "HP": "home", "HV": "home", "WP": "work", "DIR": "work", "PUB": "work", "MC": "mobile",
    "TMP": "temp", "BAD": "old",
}  # fmt: skip
_SCHEMES: Final[Mapping[str, str]] = {
    "tel": "phone", "fax": "fax", "mailto": "email", "http": "url", "https": "url", "sms": "sms", "x-text-fax": "fax",
    "x-text-tel": "other", "ftp": "other", "file": "other", "nfs": "other", "telnet": "other", "modem": "other",
    "mllp": "other",
}  # fmt: skip
_NUMBER: Final = re.compile(r"\+?[\d\s()./-]{5,}(?:\s*(?:x|ext\.?)\s*\d+)?", re.ASCII | re.IGNORECASE)


def _contact(at: At, _context: Context) -> Any:
    """TEL: a URL (HL7 v3 data types R1 §2.18); a number without a scheme is a telephone's."""
    value = at.take("value")
    if not value:
        return null(at)
    scheme, colon, rest = value.partition(":")
    system = _SCHEMES.get(scheme.strip().lower()) if colon else None
    found: dict[str, Any]
    if system is not None:
        whole = system in ("url", "other")
        found = {"system": system, "value": value if whole else rest.strip()}
    elif "@" in value:
        found = {"system": "email", "value": value}
    elif len(value) <= 100 and _NUMBER.fullmatch(value):
        found = {"system": "phone", "value": value}
    else:
        raise Unconvertible("neither a URL nor a telephone number")
    if not found["value"]:
        return null(at)
    _use(at, _TELECOM_USES, found)
    return found


# --- people, organisations, places -------------------------------------------------------------------------

_PEOPLE: Final = (
    "assignedPerson", "associatedPerson", "informationRecipient", "relatedPerson", "guardianPerson", "playingEntity",
    "subject",
)  # fmt: skip
_ORGANISATIONS: Final = (
    "representedOrganization", "receivedOrganization", "scopingOrganization", "scopingEntity", "guardianOrganization",
    "representedCustodianOrganization", "providerOrganization",
)  # fmt: skip
_INNER: Final = (
    "assignedAuthor", "assignedEntity", "assignedCustodian", "intendedRecipient", "associatedEntity", "relatedEntity",
    "participantRole",
)  # fmt: skip


def _present(value: Any) -> bool:
    return not isinstance(value, State)


def _listed(at: At, name: str, convert: Callable[[At, Context], Any], context: Context) -> list[Any]:
    found = []
    for one in at.all(name):
        try:
            value = convert(one, context)
        except Unconvertible:
            context.note("I652", f"a part of this ({name}) did not convert and was left out")
            continue
        if _present(value):
            found.append(value)
    return found


def _shared(at: At, context: Context) -> dict[str, Any]:
    """What people and organisations have alike."""
    found: dict[str, Any] = {}
    if identifiers := _listed(at, "id", _identifier, context):
        found["identifiers"] = identifiers
    if telecom := _listed(at, "telecom", _contact, context):
        found["telecom"] = telecom
    if addresses := _listed(at, "addr", _address, context):
        found["address"] = addresses[0]
    return found


def _role(at: At) -> At:
    """Of a participation the role in it: of `author` the `assignedAuthor`."""
    return at.one(*_INNER) or at


def _person(at: At, context: Context) -> Any:
    """A role with its person and organisation, or a person alone."""
    role = _role(at)
    found = _shared(role, context)
    person = role.one(*_PEOPLE) or role
    if names := _listed(person, "name", _name, context):
        found["name"] = names
    code = role.one("code")
    if code is not None and _present(said := concept(code, context)):
        found["role"] = said
    organisation = role.one(*_ORGANISATIONS)
    if organisation is not None and _present(inner := _organisation(organisation, context)):
        found["organisation"] = inner
    device = role.one("assignedAuthoringDevice")
    if device is not None and "name" not in found:
        words = [text for name in ("manufacturerModelName", "softwareName")
                 if (one := device.one(name)) is not None and (text := one.words())]  # fmt: skip
        if words:
            found["name"] = [{"text": ", ".join(words)}]
    return found or null(role)


def _organisation(at: At, context: Context) -> Any:
    """An organisation, or the one of a role."""
    role = _role(at)
    own = role.one(*_ORGANISATIONS) or role
    found = _shared(own, context)
    name = own.one("name")
    if name is not None and (text := name.words()):
        found["name"] = text
    if not found.keys() & {"name", "identifiers"} and own is not role:
        found = {**_shared(role, context), **found}
    return found or null(own)


def _place(at: At, context: Context) -> Any:
    """A healthCareFacility with its location and the organisation that runs it, or a place alone."""
    facility = at.one("healthCareFacility", "serviceDeliveryLocation") or at
    found: dict[str, Any] = {}
    if identifiers := _listed(facility, "id", _identifier, context):
        found["identifiers"] = identifiers
    location = facility.one("location", "place") or facility
    name = location.one("name")
    if name is not None and (text := name.words()):
        found["name"] = text
    organisation = facility.one("serviceProviderOrganization")
    if organisation is not None and _present(site := _organisation(organisation, context)):
        found["site"] = site
    return found or null(facility)


# --- all of them -------------------------------------------------------------------------------------------


def conversions() -> Iterator[Conversion]:
    """In the order in which an `any of` tries them: what can be told apart by its type first."""
    from mhbridge.mapping.conversions import narrative

    yield made("Quantity", _quantity)
    yield made("Period", _period)
    for name, convert in (("dateTime", t.v2_date_time), ("date", t.v2_date), ("instant", t.v2_instant)):
        yield made(name, _time(convert))
    yield made("CodeableConcept", _coded)
    yield made("code", _code)
    yield made("Identifier", _identifier)
    yield made("nhs_number", _nhs_number)
    yield made("HumanName", _name)
    yield made("Address", _address)
    yield made("ContactPoint", _contact)
    yield made("person", _person)
    yield made("organisation", _organisation)
    yield made("place", _place)
    for name in ("boolean", "decimal", "integer", "positiveInt", "unsignedInt"):
        yield made(name, _value(name))
    yield from narrative.conversions()


def _coded(at: At, context: Context) -> Any:
    """A coded value; what another `xsi:type` says to be none is none."""
    kind = _kind(at)
    if kind and kind not in ("CD", "CE", "CV", "CO", "CS", "CR", "ST", "SC"):
        raise Unconvertible("not a coded value")
    if kind:
        at.take(f"{XSI}type")
    return concept(at, context)
