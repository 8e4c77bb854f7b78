"""
Names, addresses and telecoms of CDA as item values. This module must never say a use that the sender did not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.at import At
from mhbridge.mapping.conversions.cda.reasons import null
from mhbridge.mapping.conversions.cda.times import as_period

__all__ = ["as_address", "as_contact", "as_name"]

#: EntityNameUse → FHIR NameUse (FHIR R4, ConceptMap cm-name-use-v3, where it is one to one).
_NAME_USES: Final[Mapping[str, str]] = {"L": "official", "P": "nickname"}
_NAME_PARTS: Final[Mapping[str, str]] = {"prefix": "prefix", "given": "given", "suffix": "suffix"}


def as_name(at: At, context: Context) -> Any:
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
    if valid is not None and isinstance(period := as_period(valid, context), dict):
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


def as_address(at: At, context: Context) -> Any:
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
    if valid is not None and isinstance(period := as_period(valid, context), dict):
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


def as_contact(at: At, _context: Context) -> Any:
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
