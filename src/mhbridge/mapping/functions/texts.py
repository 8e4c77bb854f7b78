"""
Functions of texts: several as one and one as several, patterns, and texts that have a form of their own (postcodes,
telephone numbers, names in one cell, numbers with a comma, documents in Base64).

What does not have the form does not convert: this module must never repair a text, and never look for a pattern with
anything but RE2, whose time grows with the text and not with what a sender thinks up.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from functools import lru_cache
from typing import Any, Final

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.primitives import decimal
from mhbridge.mapping.conversions.spreadsheet import note_lost_zero, refuse_reworked
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.mapping.nhs_number import nhs_number
from mhbridge.model import ABSENT, State

__all__ = ["FUNCTIONS", "PHONE_USES", "pattern_fault"]

_TEXT: Final = ("text", "string", "markdown", "code")
#: Royal Mail's forms of a postcode (Programmers' guide to the PAF), and GIR 0AA.
_POSTCODE: Final = re.compile(r"((?:[A-Z]{1,2}\d[A-Z\d]?|GIR)) *(\d[ABD-HJLNP-UW-Z]{2})", re.ASCII)
_NUMBER: Final = re.compile(r"\+?[\d\s()./-]{5,40}(?:\s*(?:x|ext\.?)\s*\d{1,8})?", re.ASCII | re.IGNORECASE)
#: FHIR R4 contact-point-use.
PHONE_USES: Final = frozenset({"home", "work", "temp", "old", "mobile"})
_COMMA: Final = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_LINES: Final = re.compile(r"[\r\n\t ]+")
#: Memory of one pattern when it runs.
_MEMORY: Final = 1 << 20
_LONGEST: Final = 1000


# --- several and one ---------------------------------------------------------------------------------------


@function(
    Parameter("values", "all", ("want",)),
    results=("want",),
    examples=(Example("last(PID-13)", (["a", "b"],), "b"),),
)
def last(context: Context, values: Any, *, want: str) -> Any:  # noqa: ARG001
    """The last of several values."""
    if not isinstance(values, list):
        return values
    return next((value for value in reversed(values) if not isinstance(value, State)), ABSENT)


@function(
    Parameter("values", "all", ("text",)),
    Parameter("between", "literal"),
    results=("text", "string", "markdown"),
    examples=(Example('join(OBX[3.1="ALERT"]-5, "; ")', (["Falls", "Latex"], "; "), "Falls; Latex"),),
)
def join(context: Context, values: Any, between: str, *, want: str) -> Any:  # noqa: ARG001
    """Several texts as one, with what stands between them."""
    if not isinstance(values, list):
        return values
    present = [value for value in values if not isinstance(value, State)]
    return str(between).join(present) if present else ABSENT


@function(
    Parameter("value", "value", ("text", "code")),
    Parameter("separator", "literal"),
    Parameter("number", "literal"),
    results=_TEXT,
    examples=(
        Example('split([Ward and bed], "/", 2)', ("Alder / 4", "/", 2), "4"),
        Example('split([Ward and bed], "/", 2)', ("Alder", "/", 2), ABSENT),
    ),
)
def split(context: Context, value: str, separator: str, number: Any, *, want: str) -> Any:  # noqa: ARG001
    """One of the pieces between separators, counted from 1, without blanks around it; absent where there is none."""
    pieces = value.split(str(separator)) if str(separator) else [value]
    at = int(number)
    if not 1 <= at <= len(pieces):
        return ABSENT
    return pieces[at - 1].strip() or ABSENT


# --- patterns ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    return re2.compile(pattern, options)


def pattern_fault(pattern: str) -> str:
    """What is wrong with a pattern; empty when it is one of RE2 with one group at most."""
    import re2

    if len(pattern) > _LONGEST:
        return f"it has more than {_LONGEST} characters"
    try:
        found = _compiled(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return "it has more than one group" if found.groups > 1 else ""


@function(
    Parameter("value", "value", ("text", "code")),
    Parameter("pattern", "literal"),
    results=_TEXT,
    examples=(
        Example('match([Result], "^[0-9.]+")', ("7.2 mmol/mol", "^[0-9.]+"), "7.2"),
        Example('match([Letter], "ref ([A-Z]{2}[0-9]+)")', ("Our ref EX17, of May", "ref ([A-Z]{2}[0-9]+)"), "EX17"),
        Example('match([Code], "^F2[0-9]")', ("F32.1", "^F2[0-9]"), ABSENT),
    ),
)
def match(context: Context, value: str, pattern: str, *, want: str) -> Any:  # noqa: ARG001
    """
    What a pattern of RE2 finds first in a text, or what its one group does; absent where it finds nothing, so that in a
    condition it asks whether it does.
    """
    found = _compiled(pattern).search(value)
    if found is None:
        return ABSENT
    return (found.group(1) if found.re.groups else found.group(0)) or ABSENT


# --- texts with a form -------------------------------------------------------------------------------------


@function(
    Parameter("value", "value", ("string", "code")),
    results=("string",),
    examples=(Example("postcode([Postcode])", ("ls1 9zz",), "LS1 9ZZ"),),
)
def postcode(context: Context, value: str, *, want: str) -> Any:  # noqa: ARG001
    """A postcode of the United Kingdom in capitals, with its blank; what has not the form of one does not convert."""
    found = _POSTCODE.fullmatch(" ".join(value.upper().split()))
    if found is None:
        raise Unconvertible("not of the form of a postcode")
    return f"{found[1]} {found[2]}"


@function(
    Parameter("value", "value", ("string",)),
    Parameter("use", "literal", optional=True),
    results=("ContactPoint",),
    examples=(
        Example('phone([Mobile], "mobile")', ("07700 900123", "mobile"),
                {"system": "phone", "value": "07700 900123", "use": "mobile"}),
        Example("phone([Ward tel])", ("0113 496 0000 ext 12",), {"system": "phone", "value": "0113 496 0000 ext 12"}),
    ),
)  # fmt: skip
def phone(context: Context, value: str, use: str = "", *, want: str) -> Any:  # noqa: ARG001
    """A telephone number as it is written, with what it is used for: home, work, mobile, temp or old."""
    text = value.strip()
    refuse_reworked(text)
    if not _NUMBER.fullmatch(text):
        raise Unconvertible("not a telephone number")
    if use and use not in PHONE_USES:
        raise Unconvertible("not a use that FHIR has: home, work, mobile, temp or old")
    note_lost_zero(text, context)
    return {"system": "phone", "value": text, **({"use": use} if use else {})}


@function(
    Parameter("value", "value", ("string", "code")),
    results=("boolean",),
    examples=(
        Example("is_nhs_number([Number])", ("999 000 0018",), result=True),
        Example("is_nhs_number([Number])", ("H123456",), result=False),
    ),
)
def is_nhs_number(context: Context, value: str, *, want: str) -> bool:  # noqa: ARG001
    """Whether a text has the form of an NHS number: ten digits, of which the last checks the others (Modulus 11)."""
    try:
        nhs_number(value.strip())
    except ValueError:
        return False
    return True


@function(
    Parameter("value", "value", ("string",)),
    results=("HumanName",),
    examples=(
        Example("surname_first([Patient])", ("INVENTED, Mary Ann",), {"family": "INVENTED", "given": ["Mary", "Ann"]}),
        Example("surname_first([Patient])", ("Mary Invented",), {"text": "Mary Invented"}),
    ),
)
def surname_first(context: Context, value: str, *, want: str) -> Any:  # noqa: ARG001
    """A name that is written surname first, with a comma behind it; one without just one comma stays a line of text."""
    family, comma, given = (part.strip() for part in value.partition(","))
    if not comma or not family or not given or "," in given:
        return {"text": value.strip()}
    return {"family": family, "given": given.split()}


@function(
    Parameter("value", "value", ("string",)),
    results=("decimal",),
    examples=(Example("decimal_comma([Weight])", ("1.072,50",), decimal("1072.50")),),
)
def decimal_comma(context: Context, value: str, *, want: str) -> Any:  # noqa: ARG001
    """A number whose decimals stand behind a comma and its thousands before dots, with all its digits."""
    text = value.strip()
    if not _COMMA.fullmatch(text):
        raise Unconvertible("not a number with a decimal comma")
    return decimal(text.replace(".", "").replace(",", "."))


@function(
    Parameter("base64", "value", ("text",)),
    Parameter("media_type", "value", ("string", "code")),
    Parameter("size", "value", ("integer",), optional=True),
    results=("Attachment",),
    examples=(
        Example('attachment([Pdf], "application/pdf", [PdfBytes])', ("JVBERi0x\r\nLjc=", "application/pdf", 8),
                {"contentType": "application/pdf", "data": "JVBERi0xLjc="}),
    ),
)  # fmt: skip
def attachment(context: Context, data: str, media_type: str, size: Any = ABSENT, *, want: str) -> Any:  # noqa: ARG001
    """
    A document that came as Base64, with its media type. Where its size in bytes is said as well, one that was cut off,
    or is longer, does not convert.
    """
    text = _LINES.sub("", data)
    try:
        body = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Unconvertible("not whole in Base64") from None
    if not body:
        raise Unconvertible("a document without a byte in it")
    if not _MEDIA_TYPE.fullmatch(media_type.strip().lower()):
        raise Unconvertible("not a media type")
    if not isinstance(size, State) and int(size) != len(body):
        raise Unconvertible("the document is not as long as it is said to be")
    return {"contentType": media_type.strip().lower(), "data": text}


FUNCTIONS: Final = (
    last,
    join,
    split,
    match,
    postcode,
    phone,
    is_nhs_number,
    surname_first,
    decimal_comma,
    attachment,
)
