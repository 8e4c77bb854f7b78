"""
Functions of values of any kind: whether they are there, which one, what they are as text, and identifiers.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from uuid import UUID, uuid5

from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.spreadsheet import refuse_reworked
from mhbridge.mapping.functions import Example, Parameter, function, structural
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = ["FUNCTIONS", "REASONS"]

#: Codes of FHIR R4's data-absent-reason, which `unknown` may give.
REASONS: Final = frozenset(
    {
        "unknown",
        "asked-unknown",
        "temp-unknown",
        "not-asked",
        "asked-declined",
        "masked",
        "not-applicable",
        "unsupported",
        "as-text",
        "error",
        "not-a-number",
        "negative-infinity",
        "positive-infinity",
        "not-performed",
        "not-permitted",
    }
)

#: The namespace of identifiers that are derived here; it was drawn once and must never change.
_NAMESPACE: Final = UUID("7c1f0ad2-5b0e-4d0c-9a53-2f7d4c0a6be1")
#: FHIR R4: the system of identifiers that are URIs.
_URIS: Final = "urn:ietf:rfc:3986"
_ODS: Final = "ods"
_GMC: Final = "gmc-number"
_NATIONAL: Final = re.compile(r"(?P<kind>[CG])(?P<digits>\d{7})", re.ASCII)

_TEXT: Final = ("text", "string", "markdown")


# --- states ------------------------------------------------------------------------------------------------


@function(
    Parameter("value", "value", ("any",), presence=True),
    results=("boolean",),
    states=True,
    examples=(
        Example('exists(AL1[3.1="716186003"]-3)', ("716186003",), result=True),
        Example("exists(PV1-45)", (ABSENT,), result=False),
        Example("exists(PV1-45)", (DELETED,), result=False),
    ),
)
def exists(context: Context, value: Any, *, want: str) -> bool:  # noqa: ARG001
    """Whether a value is present: neither absent nor deleted nor unknown."""
    return not isinstance(value, State)


@function(
    Parameter("reason", "literal"),
    results=("want",),
    examples=(Example('unknown("not-asked")', ("not-asked",), Unknown("not-asked")),),
)
def unknown(context: Context, reason: str, *, want: str) -> State:  # noqa: ARG001
    """There is a value, but not here; the reason is a code of FHIR's data-absent-reason."""
    if reason not in REASONS:
        raise Unconvertible("not a code of FHIR's data-absent-reason")
    return Unknown(reason)


@function(results=("want",), examples=(Example("deleted()", (), DELETED),))
def deleted(context: Context, *, want: str) -> State:  # noqa: ARG001
    """There is no value any more: an earlier one is taken away."""
    return DELETED


# --- several values ----------------------------------------------------------------------------------------


@function(
    Parameter("values", "all", ("want",)),
    results=("want",),
    examples=(Example("first(PID-13)", (["a", "b"],), "a"),),
)
def first(context: Context, values: Any, *, want: str) -> Any:  # noqa: ARG001
    """The first of several values."""
    if not isinstance(values, list):
        return values
    for value in values:
        if not isinstance(value, State):
            return value
    return ABSENT


@function(
    Parameter("values", "all", ("text",)),
    results=_TEXT,
    examples=(
        Example('lines(OBX[3.1="PLAN"]-5)', (["Ring the ward.", "See the GP."],), "Ring the ward.\nSee the GP."),
    ),
)
def lines(context: Context, values: Any, *, want: str) -> Any:  # noqa: ARG001
    """Several texts as one, each on a line of its own."""
    if not isinstance(values, list):
        return values
    present = [value for value in values if not isinstance(value, State)]
    return "\n".join(present) if present else ABSENT


# --- text --------------------------------------------------------------------------------------------------

#: Wider than any paragraph, so that no line is broken that was not broken before.
_WIDTH: Final = 100_000
#: Tags that a person's "BP <90" never is. Text without any is text: nothing in angle brackets may be lost from it.
_HTML: Final = re.compile(
    r"</?(?:html|head|body|title|style|script|section|article|center|div|p|o:p|br|hr|pre|blockquote|h[1-6]|a|img|span|font"
    r"|b|i|u|s|q|em|strong|big|small|strike|del|ins|sub|sup|code|ul|ol|li|dl|dt|dd|table|caption|thead|tbody|tr|td|th)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)


@function(
    Parameter("value", "value", ("xhtml", "text")),
    results=_TEXT,
    examples=(
        Example("plain(OBX-5)", ("<p>Stable.<br/>Ring on <b>Monday</b>.</p>",), "Stable.\nRing on Monday."),
        Example("plain([Summary])", (r"{\rtf1\ansi Stable.\par Ring on {\b Monday}.}",), "Stable.\nRing on Monday."),
        Example("plain([Summary])", ("BP <90, pain >5",), "BP <90, pain >5"),
    ),
)
def plain(context: Context, value: str, *, want: str) -> Any:  # noqa: ARG001
    """
    The text of HTML, XHTML or RTF, without its markup, its line breaks and lists kept. Text that is none of these stays
    as it is.
    """
    from mhbridge.fhir.plaintext import plain as without_markup
    from mhbridge.fhir.rtf import BadRtf, is_rtf, text_of

    if is_rtf(value):
        try:
            return text_of(value) or ABSENT
        except BadRtf as error:
            raise Unconvertible(str(error)) from None
    if not _HTML.search(value):
        return value
    # A rule across the page is as wide as the page.
    return without_markup(value, _WIDTH).replace("-" * _WIDTH, "---") or ABSENT


@function(
    Parameter("value", "value", ("code", "string")),
    Parameter("yes", "literal"),
    Parameter("no", "literal"),
    results=("boolean",),
    examples=(
        Example('flag(PID-30, "Y", "N")', ("Y", "Y", "N"), result=True),
        Example('flag(ZPD-1, "1", "0")', ("0", "1", "0"), result=False),
    ),
)
def flag(context: Context, value: str, yes: str, no: str, *, want: str) -> bool:  # noqa: ARG001
    """True or false, by the two words that the sender has for them; any other word does not convert."""
    word = value.strip()
    if word not in (str(yes), str(no)):
        raise Unconvertible("neither of the two words for yes and no")
    return word == str(yes)


@function(
    Parameter("value", "value", ("decimal",)),
    Parameter("unit", "value", ("string", "code"), optional=True),
    Parameter("system", "literal", optional=True),
    results=("Quantity",),
    states=True,
    examples=(
        Example('quantity([Value], [Unit], "ucum")', (72, "kg"), {"value": 72, "unit": "kg"}),
        Example("quantity([Value])", (72,), {"value": 72}),
    ),
)
def quantity(context: Context, value: Any, unit: Any = ABSENT, system: str = "", *, want: str) -> Any:  # noqa: ARG001
    """A number and its unit; with the name of a system the unit is a code of it."""
    if isinstance(value, State):
        return value
    if isinstance(unit, State) or not unit:
        return {"value": value}
    if not system:
        return {"value": value, "unit": unit}
    if not context.systems.known(system):
        raise Unconvertible("the system of the unit is not one of codes/systems.csv")
    return {"value": value, "unit": unit, "system": system, "code": unit}


# --- identifiers -------------------------------------------------------------------------------------------


@function(
    Parameter("value", "value", ("string", "code")),
    Parameter("system", "value", ("string", "code")),
    results=("Identifier",),
    examples=(
        Example(
            'identifier([SpellID], "https://trust.example/Id/spell")',
            ("S1", "https://trust.example/Id/spell"),
            {"system": "https://trust.example/Id/spell", "value": "S1"},
        ),
        Example("identifier([PatID], [PatOrg])", ("P1", "RXX"), {"value": "P1", "assigner": {"display": "RXX"}}),
    ),
)
def identifier(context: Context, value: str, system: str, *, want: str) -> Any:  # noqa: ARG001
    """
    An identifier from its value and its system: a name or URI, or an issuer that the supplier declares; an issuer that
    nobody declared stays as the assigner's words.
    """
    refuse_reworked(value.strip())
    found, issuer = {"value": value.strip()}, system.strip()
    issuer = context.authorities.get(issuer, issuer)
    if context.systems.known(issuer):
        return {"system": issuer, **found}
    if ":" in issuer and not any(character.isspace() for character in issuer):
        return {"system": context.systems.of_uri(issuer), **found}
    return {**found, "assigner": {"display": issuer}}


@function(
    Parameter("code", "value", ("code", "organisation")),
    results=("organisation",),
    examples=(
        Example("ods_organisation(MSH-4)", ("RXX",), {"identifiers": [{"system": "ods", "value": "RXX"}]}),
        Example(
            "ods_organisation(PD1-3)",
            ({"identifiers": [{"value": "X99999"}], "name": "Example Surgery"},),
            {"identifiers": [{"system": "ods", "value": "X99999"}], "name": "Example Surgery"},
        ),
    ),
)
def ods_organisation(context: Context, code: Any, *, want: str) -> Any:  # noqa: ARG001
    """
    An organisation from its ODS code; of an organisation, its identifiers that name no system become ODS codes.
    """
    if isinstance(code, str):
        refuse_reworked(code.strip())
        return {"identifiers": [{"system": _ODS, "value": code.strip()}]}
    if "identifiers" not in code:
        return code
    named = [one if "system" in one else {"system": _ODS, **one} for one in code["identifiers"]]
    return {**code, "identifiers": named}


@function(
    Parameter("person", "value", ("person",)),
    results=("person",),
    examples=(
        Example(
            "practitioner_code(PV1-9)",
            ({"identifiers": [{"value": "C9990001"}], "name": [{"family": "Invented"}]},),
            {"identifiers": [{"system": "gmc-number", "value": "9990001"}], "name": [{"family": "Invented"}]},
        ),
        Example(
            "practitioner_code(PD1-4)",
            ({"identifiers": [{"system": "gmc-number", "value": "G9990003"}]},),
            {"identifiers": [{"system": "gmp-number", "value": "G9990003"}]},
        ),
    ),
)
def practitioner_code(context: Context, person: Any, *, want: str) -> Any:  # noqa: ARG001
    """
    A person whose number is a national code of the NHS ITK: C and seven digits hold a GMC number, G and seven digits
    are a GP's code, when the GMC or nobody is named as issuer. Any other number stays as it is.
    """
    if "identifiers" not in person:
        return person
    return {**person, "identifiers": [_national(one) for one in person["identifiers"]]}


def _national(identifier: dict[str, Any]) -> dict[str, Any]:
    """ITK HL7 v2 v1.0.15 §6.18: XCN.1 is a consultant code or a GP's national code; its own examples call both GMC."""
    found = _NATIONAL.fullmatch(identifier.get("value", ""))
    if found is None or "assigner" in identifier or identifier.get("system", _GMC) not in (_GMC, "gmp-number"):
        return identifier
    rest = {key: value for key, value in identifier.items() if key not in ("system", "value")}
    if found["kind"] == "C":
        return {"system": _GMC, "value": found["digits"], **rest}
    return {"system": "gmp-number", "value": found[0], **rest}


@function(
    Parameter("value", "value", ("Identifier", "string", "dateTime", "any"), repeats=True),
    results=("Identifier",),
    examples=(
        Example(
            "derived_identifier(spell_id)",
            ({"value": "S1"},),
            {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:b315be16-54dd-5d0d-918c-c6322c3de735"},
        ),
    ),
)
def derived_identifier(context: Context, *values: Any, want: str) -> Any:  # noqa: ARG001
    """
    An identifier made of other values and the supplier: the same values always give the same UUID, and other values
    another.
    """
    # RFC 9562 §5.5: a name-based UUID. The name is JSON with sorted keys, in which no two lists of values look alike.
    parts = [context.supplier, *values]
    name = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=lambda number: {"decimal": str(number)})
    return {"system": _URIS, "value": f"urn:uuid:{uuid5(_NAMESPACE, name)}"}


# --- what the compiler does itself -------------------------------------------------------------------------

_ref: Final = structural(
    "ref",
    Parameter("resource", "resource"),
    Parameter("element", "value", optional=True),
    results=("Reference",),
    summary="The reference to a resource of the build, or to the one that is built for an element of a loop.",
)
_position: Final = structural(
    "position",
    Parameter("alias", "alias"),
    results=("positiveInt",),
    summary="The place of a loop's element, counted from 1.",
)
FUNCTIONS: Final = (
    exists,
    unknown,
    deleted,
    first,
    lines,
    plain,
    flag,
    quantity,
    identifier,
    ods_organisation,
    practitioner_code,
    derived_identifier,
    _ref,
    _position,
)
