"""
HL7 v2 measurements, ranges, periods and attached documents: NM, SN, CQ, NR, DR, ED and RP.

Numbers keep their digits, and a unit is a code only where its system is known. A document's bytes are checked, never
mended. This module must never turn a range into a number, nor a number into a band.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.coded import Unit, unit, unit_used
from mhbridge.mapping.conversions.identifiers import nothing
from mhbridge.mapping.conversions.primitives import decimal
from mhbridge.mapping.conversions.times import v2_date_time

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Value

__all__ = [
    "CQ",
    "DR",
    "ED",
    "NM",
    "NR",
    "RP",
    "SN",
    "UNITS",
    "attachment",
    "attachment_used",
    "measured",
    "number",
    "period",
    "pointer",
    "pointer_used",
    "quantity",
    "quantity_used",
    "range_of",
    "result_number",
    "result_number_used",
    "result_range",
    "result_structured",
    "result_structured_used",
    "structured_quantity",
    "structured_range",
    "structured_ratio",
    "structured_text",
]

NM: Final = frozenset({"1"})
SN: Final = frozenset({"1", "2", "3", "4"})
CQ: Final = frozenset({"1", "2", "2.2", "2.3"})
NR: Final = frozenset({"1", "2"})
DR: Final = frozenset({"1", "2"})
#: The companion of a result that says its unit (HL7 v2.5.1 §7.4.2.6).
UNITS: Final = frozenset({"OBX-6", "OBX-6.2", "OBX-6.3"})

_RESULT_UNIT: Final = ("OBX-6", "OBX-6.2", "OBX-6.3")
_COMPARATORS: Final = frozenset({"<", "<=", ">", ">="})


# --- numbers -----------------------------------------------------------------------------------------------


def _no_unit() -> Unit:
    return "", "", ""


def _own_unit(value: Value) -> Unit:
    return value.component(2).strip(), value.component(2, 2).strip(), value.component(2, 3).strip()


def _result_unit(value: Value) -> Unit:
    """OBX-6 of a result in OBX-5."""
    field = value.field(6)
    if field is None:
        return _no_unit()
    return field.component(1).strip(), field.component(2).strip(), field.component(3).strip()


def _number(text: str, said: Unit, context: Context) -> dict[str, Any]:
    return {"value": decimal(text), **unit(said, context)}


def number(value: Value, context: Context) -> Any:
    """NM[Quantity]: the number alone."""
    text = value.component(1)
    return _number(text, _no_unit(), context) if text.strip() else nothing(value)


def quantity(value: Value, context: Context) -> Any:
    """CQ[Quantity]: the number and its unit."""
    text = value.component(1)
    return _number(text, _own_unit(value), context) if text.strip() else nothing(value)


def quantity_used(value: Value, context: Context) -> frozenset[str]:
    """The number, and what its unit takes."""
    if not value.component(1).strip():
        return frozenset()
    return NM | unit_used(_own_unit(value), ("2", "2.2", "2.3"), context)


def result_number(value: Value, context: Context) -> Any:
    """A NM in OBX-5, with the unit of OBX-6."""
    text = value.component(1)
    return _number(text, _result_unit(value), context) if text.strip() else nothing(value)


def measured(text: str, said: Unit, context: Context) -> tuple[dict[str, Any], frozenset[str]]:
    """The Quantity of a number with a unit in OBX-6, and what it depends on."""
    return _number(text, said, context), NM | unit_used(said, _RESULT_UNIT, context)


def result_number_used(value: Value, context: Context) -> frozenset[str]:
    """The number, and what its unit takes."""
    if not value.component(1).strip():
        return frozenset()
    return NM | unit_used(_result_unit(value), _RESULT_UNIT, context)


# --- structured numbers: comparator, number, separator, number (HL7 v2.5.1 §2.A.70) ------------------------


def _structured(value: Value) -> tuple[str, str, str, str]:
    comparator, first, separator, second = (value.component(place).strip() for place in (1, 2, 3, 4))
    # "=" is the default comparator, so it says nothing.
    return "" if comparator == "=" else comparator, first, separator, second


def _structured_quantity(value: Value, said: Unit, context: Context) -> Any:
    comparator, first, separator, second = _structured(value)
    if not (comparator or first or separator or second):
        return nothing(value)
    if separator or second:
        raise Unconvertible("a structured number of two parts is not one quantity")
    found = _number(first, said, context)
    if comparator:
        if comparator not in _COMPARATORS:
            raise Unconvertible("a comparator that a Quantity does not have")
        found["comparator"] = comparator
    return found


def structured_quantity(value: Value, context: Context) -> Any:
    """SN[Quantity]: one number, perhaps with a comparator."""
    return _structured_quantity(value, _no_unit(), context)


def result_structured(value: Value, context: Context) -> Any:
    """A SN in OBX-5 as a Quantity, with the unit of OBX-6."""
    return _structured_quantity(value, _result_unit(value), context)


def result_structured_used(value: Value, context: Context) -> frozenset[str]:
    """The number and its comparator, and what its unit takes."""
    return SN | unit_used(_result_unit(value), _RESULT_UNIT, context)


def _pair(value: Value, separators: str, wanted: str, said: Unit, context: Context) -> tuple[Any, Any]:
    """The two numbers of a SN whose separator is one of those."""
    comparator, first, separator, second = _structured(value)
    if not separator or separator not in separators or comparator or not (first and second):
        raise Unconvertible(f"a structured number that is not {wanted}")
    return _number(first, said, context), _number(second, said, context)


def structured_range(value: Value, context: Context) -> Any:
    """SN[Range]: `^100^-^200`."""
    low, high = _pair(value, "-", "a range", _no_unit(), context)
    return {"low": low, "high": high}


def result_range(value: Value, context: Context) -> Any:
    """A SN in OBX-5 as a Range, with the unit of OBX-6."""
    low, high = _pair(value, "-", "a range", _result_unit(value), context)
    return {"low": low, "high": high}


def structured_ratio(value: Value, context: Context) -> Any:
    """SN[Ratio]: `^1^:^128`. A unit would be that of the whole, which a Ratio has no place for."""
    numerator, denominator = _pair(value, ":/", "a ratio", _no_unit(), context)
    return {"numerator": numerator, "denominator": denominator}


def structured_text(value: Value, _context: Context) -> Any:
    """SN as text: its parts in their order."""
    return "".join(_structured(value)) or nothing(value)


# --- ranges and periods ------------------------------------------------------------------------------------


def range_of(value: Value, context: Context) -> Any:
    """NR[Range]: from, to."""
    ends = (("low", value.component(1)), ("high", value.component(2)))
    found = {name: _number(text, _no_unit(), context) for name, text in ends if text.strip()}
    return found or nothing(value)


def period(value: Value, context: Context) -> Any:
    """DR[Period]: start, end."""
    ends = (("start", value.component(1)), ("end", value.component(2)))
    found = {name: v2_date_time(text, context) for name, text in ends if text.strip()}
    return found or nothing(value)


# --- documents ---------------------------------------------------------------------------------------------

#: Subtypes (table 0291 and what senders write) that name a media type of their own, whatever the type beside them:
#: `TEXT^PDF` is a PDF.
_MEDIA: Final[Mapping[str, str]] = {
    "PDF": "application/pdf",
    "RTF": "application/rtf",
    "DOC": "application/msword",
    "MSWORD": "application/msword",
    "DOCX": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "HTML": "text/html",
    "HTM": "text/html",
    "XHTML": "application/xhtml+xml",
    "XML": "application/xml",
    "PLAIN": "text/plain",
    "TXT": "text/plain",
    "TEXT": "text/plain",
    "TX": "text/plain",
    "FT": "text/plain",
    "JPEG": "image/jpeg",
    "JPG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "TIF": "image/tiff",
    "DICOM": "application/dicom",
    "OCTET-STREAM": "application/octet-stream",
}
#: Table 0191 → the first half of a media type.
_TOP: Final[Mapping[str, str]] = {
    "AP": "application",
    "APPLICATION": "application",
    "AU": "audio",
    "AUDIO": "audio",
    "IM": "image",
    "IMAGE": "image",
    "TEXT": "text",
    "VIDEO": "video",
}
_SUBTYPE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)
#: RFC 2046 §4.5.1: bytes of an unknown kind. Not knowing the kind must not cost the letter.
_UNKNOWN: Final = "application/octet-stream"


def _media_type(kind: str, subtype: str) -> tuple[str, bool]:
    """The media type of a type of data and its subtype, and whether the type of data decides with the subtype."""
    top, slash, rest = subtype.partition("/")
    if slash and top.lower() in _TOP.values() and _SUBTYPE.fullmatch(rest):
        return subtype.lower(), False
    if known := _MEDIA.get(subtype.upper()):
        return known, False
    if subtype and (first := _TOP.get(kind.upper())) and _SUBTYPE.fullmatch(subtype):
        return f"{first}/{subtype.lower()}", True
    return (_UNKNOWN if subtype else _MEDIA.get(kind.upper(), _UNKNOWN)), True


ED: Final = frozenset({"2", "3", "4", "5"})
RP: Final = frozenset({"1", "3", "4"})


def attachment(value: Value, _context: Context) -> Any:
    """ED[Attachment]: media type, and the bytes in Base64 without line breaks."""
    body = value.component(5)
    if not body.strip():
        return nothing(value)
    media, _ = _media_type(value.component(2).strip(), value.component(3).strip())
    return {"contentType": media, "data": _base64(value, body)}


def _base64(value: Value, body: str) -> str:
    """The bytes of ED.5 by the encoding of ED.4 (HL7 table 0299)."""
    encoding = value.component(4).strip().upper()
    try:
        if encoding == "BASE64":
            data = "".join(body.split())
            binascii.a2b_base64(data, strict_mode=True)
            return data
        if encoding == "HEX":
            return base64.b64encode(bytes.fromhex(body)).decode("ascii")
    except ValueError:
        raise Unconvertible("the document is not in the encoding that it names") from None
    if encoding != "A":
        raise Unconvertible("the document names no encoding: A, Hex or Base64")
    if value.components > 5 or len(value.subcomponents(5)) > 1:
        raise Unconvertible("the document's text has separators that are not escaped")
    return base64.b64encode(body.encode()).decode("ascii")


def attachment_used(value: Value, _context: Context) -> frozenset[str]:
    """Without bytes nothing, and the type of data only where the subtype does not say it all."""
    if not value.component(5).strip():
        return frozenset()
    _, together = _media_type(value.component(2).strip(), value.component(3).strip())
    return ED if together else ED - {"2"}


def pointer(value: Value, _context: Context) -> Any:
    """RP[Attachment]: where the document is, and its media type."""
    url = value.component(1).strip()
    if not url:
        return nothing(value)
    if any(character.isspace() for character in url):
        raise Unconvertible("the pointer is not a URL")
    found = {"url": url}
    kind, subtype = value.component(3).strip(), value.component(4).strip()
    media, _ = _media_type(kind, subtype)
    if media != _UNKNOWN or subtype:
        found["contentType"] = media
    return found


def pointer_used(value: Value, _context: Context) -> frozenset[str]:
    """The type of data only where the subtype does not say it all."""
    _, together = _media_type(value.component(3).strip(), value.component(4).strip())
    return RP if together else RP - {"3"}
