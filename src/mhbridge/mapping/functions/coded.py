"""
Functions of codes: translating by a table, stating a system, asking a list.

A code that a table does not have is kept, omitted or refused, as the mapping declares, and always noted (I602). This
module must never look in another table, or take a code of one system for a code of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mhbridge.fhir.stated import stated
from mhbridge.mapping.codes import CodeList, Member, Row, Table, codes_of
from mhbridge.mapping.conversions import Context, Unconvertible
from mhbridge.mapping.conversions.spreadsheet import LOST_ZEROS
from mhbridge.mapping.functions import Example, Parameter, function
from mhbridge.model import ABSENT, UNKNOWN_ERROR, State, Unknown

__all__ = ["FUNCTIONS"]

_NOT_MAPPED: Final = "I602"
_UNDECIDED: Final = Unknown("unknown")

_SEX: Final = Table(
    "sex",
    {
        "2": (Row("itk-0001", "2", "administrative-gender", "female", "Female"),),
        "9": (Row("itk-0001", "9", "administrative-gender", "other", "Other"),),
    },
    ("itk-0001",),
)
_BEDS: Final = CodeList(
    "beds",
    {("nhs-dd-bed-type", "200"): (Member("nhs-dd-bed-type", "200", since="2024-04-01"),)},
    dated=True,
)


def _known(coding: Mapping[str, str], context: Context) -> str:
    """The system that a coding names, when it is one of ours; a sender's own name for it says nothing to a table."""
    system = coding.get("system", "")
    return system if context.systems.known(system) else ""


def _received(value: Any, table: Table) -> tuple[list[dict[str, str]], str]:
    """
    The codings and the words of what came. One word alone is the code that the table is asked for: the mapping says
    so by naming the table, and with it the system.
    """
    if isinstance(value, str):
        return [{"code": value}], ""
    codings, text = value.get("coding", []), value.get("text", "")
    word = text.strip()
    bare = not codings and word and len(word.split()) == 1
    if bare and (table.source_system or word in table.rows):
        return [{"code": word}], ""
    return codings, text


def _find(codings: list[dict[str, str]], text: str, table: Table, day: str, context: Context) -> Row | None:
    """The row of the first coding that has one; of a value that is only words, the row of the words."""
    for coding in codings:
        name = coding.get("code")
        if name and (row := table.find(name, _known(coding, context), day)):
            return row
    return table.find(text.strip(), date=day) if text and not codings else None


def _as_received(codings: list[dict[str, str]], row: Row | None, table: Table) -> list[dict[str, str]]:
    """The codings that came; a bare code belongs to the system that the table is for."""
    system = row.source_system if row is not None else table.source_system
    return [coding if "system" in coding or not system else {"system": system, **coding} for coding in codings]


_WITHOUT_WORDS: Final = frozenset({"display", "text", "version", "others"})
_NOTHING: Final = frozenset[str]()


def _words_unused(result: Any, value: Any, *_: Any) -> frozenset[str]:
    """Where a primitive is wanted, of a concept with codings only these are used."""
    primitive = not isinstance(result, dict) and isinstance(value, dict)
    return _WITHOUT_WORDS if primitive and value.get("coding") else _NOTHING


def _key(value: Any, table: Table, *date: Any) -> tuple[Any, ...] | None:
    """A code that the table has, and what stands beside it; not where the date counts, or where there are others."""
    if date or table.dated:
        return None
    codings, text = (value.get("coding"), value.get("text")) if isinstance(value, dict) else (None, value)
    if not codings:
        return (text,) if text in table.rows else None
    if text or len(codings) != 1:
        return None
    only = codings[0]
    return tuple(only.items()) if only.get("code") in table.rows else None


@function(
    Parameter("value", "value", ("CodeableConcept", "code", "string"), needed=True),
    Parameter("table", "table"),
    Parameter("date", "value", ("dateTime", "date"), optional=True),
    results=("CodeableConcept", "code", "string", "boolean"),
    states=True,
    unused=_words_unused,
    key=_key,
    examples=(
        Example(
            "code(PID-8, sex)",
            ("2", _SEX),
            {
                "coding": [
                    {"system": "administrative-gender", "code": "female", "display": "Female"},
                    {"system": "itk-0001", "code": "2"},
                ]
            },
        ),
        Example("code(PID-8, sex)", ("2", _SEX), "female", want="code"),
        Example("code(PID-8, sex)", ("7", _SEX), {"coding": [{"system": "itk-0001", "code": "7"}], "text": "7"}),
        Example("code([Sex], sex)", ({"text": "2"}, _SEX), "female", want="code"),
        Example(
            "code([Sex], sex)", ({"text": "7"}, _SEX), {"coding": [{"system": "itk-0001", "code": "7"}], "text": "7"}
        ),
        Example("code([Sex], sex)", ({"text": "not said"}, _SEX), {"text": "not said"}),
    ),
)
def code(context: Context, value: Any, table: Table, date: Any = ABSENT, *, want: str) -> Any:
    """
    The code that a table has for a code: the target's coding first, then what was received. Where a primitive is
    wanted, the target's code alone. A table with dates needs the date that counts.

    A code that the table does not have, or has without a counterpart: `unmapped: keep` keeps it as received with its
    text, `omit` gives unknown("error"), `refuse` parks the message; each time an issue I602 says so.
    """
    codings, text = _received(value, table)
    row = _find(codings, text, table, "" if isinstance(date, State) else date, context)
    if row is None or not row.target_code:
        return _unmapped(context, codings, text, table, want, decided=row is not None)
    if want != "CodeableConcept":
        return _primitive(row.target_code, want)
    # What the table says is the same for all whom it is said of (`stated`); what came is theirs.
    target = {"system": row.target_system, "code": row.target_code}
    if row.target_display:
        target["display"] = row.target_display
    source = {"system": row.source_system, "code": row.source_code}
    # A table may only put the words to a code of its own system; the code is not said twice then, but the sender's own
    # words for it are kept where they are not the table's.
    others = []
    for coding in _as_received(codings, row, table):
        if (coding.get("system"), coding.get("code")) != (row.target_system, row.target_code):
            others.append(coding)
        elif (words := coding.get("display", "")) and words != row.target_display:
            text = text or words
    both = [target, *others]
    concept: dict[str, Any] = {"coding": stated(both) if others in ([], [source]) else [stated(target), *others]}
    if text:
        concept["text"] = text
    return concept


def _primitive(target: str, want: str) -> Any:
    if want != "boolean":
        return target
    if target not in ("true", "false"):
        raise Unconvertible("the table's code is neither true nor false")
    return target == "true"


def _unmapped(
    context: Context, codings: list[dict[str, str]], text: str, table: Table, want: str, *, decided: bool
) -> Any:
    """`decided`: the table has the code, and says that it has no counterpart."""
    reason = f"the code is not in the table {table.name}"
    if decided:
        reason = f"the table {table.name} has no counterpart for the code"
    else:
        context.unknown(table, codings, text)
    if table.unmapped == "refuse":
        raise Unconvertible(reason, code=_NOT_MAPPED, refused=True)
    context.note(_NOT_MAPPED, reason)
    words = [coding.get("code", "") for coding in codings] or [text.strip()]
    if any(word.isdecimal() and table.find(word.zfill(n)) for word in words for n in range(len(word) + 1, 5)):
        # Not taken all the same: nobody can tell a lost zero from a code of another list.
        context.note(
            LOST_ZEROS, f"the table {table.name} has the code with leading zeros, which spreadsheets take away"
        )
    if table.unmapped == "omit" or want != "CodeableConcept":
        return UNKNOWN_ERROR
    said_as = text or next((said for key in ("display", "code") for c in codings if (said := c.get(key))), "")
    concept: dict[str, Any] = {"coding": _as_received(codings, None, table)} if codings else {}
    return {**concept, "text": said_as} if said_as else concept


def _stated(context: Context, code_: str, system: str, display: Any = ABSENT) -> dict[str, Any]:
    """A concept of one coding in a system that is known, or that is a URI."""
    if context.systems.known(system):
        name = system
    elif ":" in system and not any(character.isspace() for character in system):
        name = context.systems.of_uri(system)
    else:
        raise Unconvertible("the code system is not one of codes/systems.csv")
    coding = {"system": name, "code": code_}
    if display and not isinstance(display, State):
        coding["display"] = display
    return {"coding": [coding]}


@function(
    Parameter("value", "value", ("code", "string")),
    Parameter("system", "value", ("code", "string")),
    Parameter("display", "value", ("string", "text"), optional=True),
    results=("CodeableConcept",),
    states=True,
    examples=(
        Example(
            'coded([Observation], "http://snomed.info/sct")',
            ("27113001", "http://snomed.info/sct"),
            {"coding": [{"system": "http://snomed.info/sct", "code": "27113001"}]},
        ),
    ),
)
def coded(context: Context, value: Any, system: Any, display: Any = ABSENT, *, want: str) -> Any:  # noqa: ARG001
    """
    A concept from a code and the name of its system, without translating. The name may come from a table.
    """
    for needed in (value, system):
        if isinstance(needed, State):
            return needed
    return _stated(context, value, system, display)


@function(
    Parameter("value", "value", ("code", "string")),
    Parameter("system", "literal"),
    results=("CodeableConcept",),
    examples=(
        Example(
            'as_concept(kind, "http://terminology.hl7.org/CodeSystem/v3-ParticipationType")',
            ("ATND", "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"),
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "ATND"}]},
        ),
    ),
)
def as_concept(context: Context, value: str, system: str, *, want: str) -> Any:  # noqa: ARG001
    """A concept from an item that is a bare code, with the system that the build says."""
    return _stated(context, value, system)


@function(
    Parameter("value", "value", ("CodeableConcept",), needed=True),
    Parameter("list", "list"),
    Parameter("date", "value", ("dateTime", "date"), optional=True),
    results=("boolean",),
    states=True,
    examples=(
        Example(
            "member(bed_class, beds, discharged_at)",
            ({"coding": [{"system": "nhs-dd-bed-type", "code": "200"}]}, _BEDS, "2025-03-14"),
            result=True,
        ),
        Example(
            "member(bed_class, beds, discharged_at)",
            ({"coding": [{"system": "nhs-dd-bed-type", "code": "200"}]}, _BEDS, "2024"),
            Unknown("unknown"),
        ),
    ),
)
def member(context: Context, value: Any, codes: CodeList, date: Any = ABSENT, *, want: str) -> Any:  # noqa: ARG001
    """
    Whether a coded value is in a list, on a date where the list has dates; unknown when the date cannot decide.

    A coding without a system is in no list.
    """
    day = "" if isinstance(date, State) else date
    found = [codes.holds(system, code, day) for system, code in codes_of(value)]
    if True in found:
        return True
    return _UNDECIDED if None in found else False


FUNCTIONS: Final = (code, coded, as_concept, member)
