"""
Text as FHIR's primitive types: each function takes what was written and gives the value, or says why it is none.

Blanks around a code, a number or an identifier are layout; inside text they are text. This module must never round,
shorten or complete a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from mhbridge.mapping.conversions import Unconvertible
from mhbridge.mapping.nhs_number import nhs_number

__all__ = ["CHECKED", "boolean", "code", "concept", "decimal", "identifier", "integer", "nhs", "pattern"]

# HL7 v2.5.1 §2.A.47 (NM): a sign, digits, a point. FHIR's own decimals are narrower only in how they are written.
_DECIMAL: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_CODE: Final = re.compile(r"[^\s]+( [^\s]+)*")
_BOOLEANS: Final = {"y": True, "n": False, "true": True, "false": False}

#: No measurement has so many digits; a field that has is not a number.
_DIGITS: Final = 64
#: FHIR R4 datatypes: integer is 32 bits wide.
_LARGEST: Final = (1 << 31) - 1


def decimal(text: str) -> Decimal:
    """A number with the digits it was written with: `1.10` stays `1.10`."""
    text = text.strip()
    if len(text) > _DIGITS or not _DECIMAL.fullmatch(text):
        raise Unconvertible("not a number")
    return Decimal(text)


def integer(text: str, smallest: int = -_LARGEST - 1) -> int:
    """A whole number of 32 bits."""
    text = text.strip()
    if len(text) > _DIGITS or not _INTEGER.fullmatch(text):
        raise Unconvertible("not a whole number")
    value = int(text)
    if not smallest <= value <= _LARGEST:
        raise Unconvertible(f"not a whole number from {smallest} to {_LARGEST}")
    return value


def boolean(text: str) -> bool:
    """`Y`, `N`, `true` or `false`; a `1` may be a code, so it is not one of them."""
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise Unconvertible("neither Y nor N, true nor false")
    return value


def code(text: str) -> str:
    """A code: no white space around it, and single blanks at most inside (FHIR R4 datatypes, code)."""
    text = text.strip()
    if not _CODE.fullmatch(text):
        raise Unconvertible("not a code")
    return text


def concept(text: str) -> dict[str, Any]:
    """A concept of which only words are known. One word is no code either: nothing says of which system."""
    return {"text": text}


def identifier(text: str) -> dict[str, Any]:
    """An identifier of which only the value is known."""
    return {"value": text.strip()}


def nhs(text: str) -> str:
    """An NHS number of ten digits that passes Modulus 11."""
    try:
        return nhs_number(text)
    except ValueError as error:
        raise Unconvertible(str(error)) from None


def pattern(form: str, reason: str) -> Callable[[str], str]:
    """A checker for text of one form."""
    matches = re.compile(form, re.ASCII).fullmatch

    def check(text: str) -> str:
        text = text.strip()
        if not matches(text):
            raise Unconvertible(reason)
        return text

    return check


_uri: Final = pattern(r"\S+", "a URI has no blanks")

#: Primitive types whose values are texts or numbers of one form, with what checks them (FHIR R4 datatypes).
CHECKED: Final[Mapping[str, Callable[[str], Any]]] = {
    "boolean": boolean,
    "decimal": decimal,
    "integer": integer,
    "positiveInt": lambda text: integer(text, 1),
    "unsignedInt": lambda text: integer(text, 0),
    "code": code,
    "id": pattern(r"[A-Za-z0-9.-]{1,64}", "an id has letters, digits, '-' and '.', 64 at most"),
    "uri": _uri,
    "url": _uri,
    "canonical": _uri,
    "oid": pattern(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", "not an OID of the form urn:oid:1.2.3"),
    "uuid": pattern(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "not a UUID of the form urn:uuid:…"),
    "nhs_number": nhs,
}
