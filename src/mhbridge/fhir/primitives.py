"""
Whether one value has the form of its primitive type: R4's regular expressions, and what they leave out.

Both validators ask here, so that they cannot disagree about a value. This module must never quote the value: what it
finds are fixed sentences.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from datetime import date
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Any, Final

from mhbridge.fhir.definitions import Definitions
from mhbridge.model import Severity

__all__ = ["ABSOLUTE", "OF_SYSTEM", "Fault", "fault", "is_base64", "is_decimal"]

#: Code, sentence, severity.
Fault = tuple[str, str, Severity]

#: An absolute address. R4 asks for one as the system of an Identifier or Coding, as a canonical and as the url of an
#: extension that is not part of another.
ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_URN: Final = re.compile(
    r"urn:(?!uuid:|oid:).*|urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
)
#: Systems of identifiers that say what form the value has.
OF_SYSTEM: Final = {
    "urn:ietf:rfc:3986": ABSOLUTE,
    "https://tools.ietf.org/html/rfc4122": re.compile(
        r"(?i:(?:urn:uuid:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    ),
}
_ADDRESSES: Final = frozenset({"uri", "url", "canonical"})
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
#: The smallest of each; the largest is that of a signed number of 32 bits (R4, Datatypes).
_INTEGERS: Final = {"integer": -(2**31), "unsignedInt": 0, "positiveInt": 1}
_ARTICLE: Final = {"boolean": "true or false", "decimal": "a number", **dict.fromkeys(_INTEGERS, "a whole number")}
_DATED: Final = frozenset({"date", "dateTime", "instant"})


def fault(definitions: Definitions, kind: str, value: Any) -> Fault | None:
    """What is wrong with a value as one of a primitive type, or None. The markup of `xhtml` is not looked into."""
    if kind == "boolean":
        good = type(value) is bool
    elif kind in _INTEGERS:
        good = type(value) is int
        if good and not _INTEGERS[kind] <= value < 2**31:
            return _error("V105", f"the number is out of the range of {kind}")
    elif kind == "decimal":
        good = is_decimal(value)
    else:
        return _text(definitions, kind, value)
    return None if good else _error("V104", f"{_ARTICLE[kind]} is needed here ({kind})")


def _text(definitions: Definitions, kind: str, value: Any) -> Fault | None:
    if type(value) is not str:
        return _error("V104", f"text is needed here ({kind})")
    if not value:
        return _error("V108", "empty text says nothing; an absent element is left out")
    if _CONTROL.search(value):
        return _error("V119", "text must not have control characters other than tab and line end")
    if kind in ("string", "markdown"):
        if value.isspace():
            return "V108", "text of nothing but white space says nothing", Severity.WARNING
        return None
    if kind == "xhtml":
        return None
    if kind == "base64Binary":
        return None if is_base64(value) else _error("V110", "this is not base64 (RFC 4648 §4)")
    regex = _regex(definitions, kind)
    if (regex is None or regex.fullmatch(value)) and (kind not in _DATED or _is_day(value)):
        if kind in _ADDRESSES and value.startswith("urn:") and not _URN.fullmatch(value):
            return _error("V105", "a urn:uuid: is a UUID of small letters, a urn:oid: an OID")
        if kind == "canonical" and value[0] != "#" and not ABSOLUTE.match(value):
            return _error("V105", "a canonical is an absolute address, or #id of what is contained")
        return None
    if kind == "id":
        return _error("V109", "an id is 1 to 64 letters, digits, hyphens and full stops")
    return _error("V105", f"this does not have the form of the type {kind}")


def is_decimal(value: Any) -> bool:
    """Whether it is a number that JSON can write; true and false are none."""
    return type(value) is int or (isinstance(value, Decimal | float) and isfinite(value))


def is_base64(value: str) -> bool:
    """R4 allows white space between the letters; otherwise it is plain base64, padded."""
    try:
        return bool(a2b_base64("".join(value.split()), strict_mode=True))
    except (Base64Error, ValueError):
        return False


def _is_day(value: str) -> bool:
    """Whether the day of a date that has one exists. The form is known to be right."""
    try:
        return len(value) < 10 or date.fromisoformat(value[:10]) is not None
    except ValueError:
        return False


def _error(code: str, text: str) -> Fault:
    return code, text, Severity.ERROR


@cache
def _regex(definitions: Definitions, kind: str) -> re.Pattern[str] | None:
    found = definitions.regex(kind)
    return re.compile(found) if found else None
