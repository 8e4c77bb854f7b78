"""
Elements of FHIR, STU3 and R4, as item values: nearly all are what they are, with the names of code systems for URIs.

STU3 and R4 differ in these types by nothing that is read here. A resource becomes a person, an organisation or a place.
Extensions and ids of elements are not read: they stay open in the ledger. This module must never make up a system, and
never take a part of a concept for the whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible
from mhbridge.mapping.conversions import text as t
from mhbridge.mapping.conversions.json import exact
from mhbridge.mapping.conversions.primitives import nhs
from mhbridge.mapping.conversions.times import text_date_time
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT

if TYPE_CHECKING:
    from mhbridge.formats.json.tree import Node

__all__ = ["TYPES", "by_key", "conversions"]

_ALL: Final = frozenset({WHOLE})

# --- what stands where -------------------------------------------------------------------------------------


def _object(node: Node) -> Mapping[str, Node]:
    children = node.children
    if type(children) is not dict:
        raise Unconvertible("a value or a list, where an element with parts was expected")
    return children


def _text(node: Node, name: str) -> str:
    """A part that is text; empty when it is not there, or is none."""
    child = _object(node).get(name)
    value = child.value if child is not None else None
    if value is None:
        return ""
    return ("true" if value else "false") if type(value) is bool else str(value)


def _each(node: Node, name: str) -> list[Node]:
    child = _object(node).get(name)
    return [one for one in child.entries() if one.end > one.first] if child is not None else []


def _texts(node: Node, name: str) -> list[str]:
    return [str(one.value) for one in _each(node, name) if one.children is None and one.value is not None]


def _filled(**parts: Any) -> Any:
    found = {name: value for name, value in parts.items() if value or value is False or value == 0}
    return found or ABSENT


# --- data types --------------------------------------------------------------------------------------------


def _coding(node: Node, context: Context) -> Any:
    system = _text(node, "system").strip()
    return _filled(
        system=context.systems.of_uri(system) if system else "", version=_text(node, "version"),
        code=_text(node, "code").strip(), display=_text(node, "display"),
    )  # fmt: skip


def _concept(node: Node, context: Context) -> Any:
    codings = [made for one in _each(node, "coding") if (made := _coding(one, context)) is not ABSENT]
    return _filled(coding=codings, text=_text(node, "text"))


def _of_coding(node: Node, context: Context) -> Any:
    made = _coding(node, context)
    return made if made is ABSENT else {"coding": [made]}


def _first_code(node: Node, _context: Context) -> Any:
    return next((code for one in _each(node, "coding") if (code := _text(one, "code").strip())), ABSENT)


def _first_code_used(_node: Node, _context: Context) -> frozenset[str]:
    return frozenset({"coding.code"})


def _concept_words(node: Node, _context: Context) -> Any:
    text = _text(node, "text")
    return text or next((said for one in _each(node, "coding") if (said := _text(one, "display"))), ABSENT)


def _words_used(node: Node, _context: Context) -> frozenset[str]:
    return frozenset({"text"} if _text(node, "text") else {"coding.display"})


def _period(node: Node, context: Context) -> Any:
    return _filled(start=_time(node, "start", context), end=_time(node, "end", context))


def _time(node: Node, name: str, context: Context) -> str:
    said = _text(node, name)
    return text_date_time(said, context) if said.strip() else ""


def _within(node: Node, context: Context) -> Any:
    periods = _each(node, "period")
    made = _period(periods[0], context) if periods else ABSENT
    return {} if made is ABSENT else made


def _identifier(node: Node, context: Context) -> Any:
    value = _text(node, "value").strip()
    if not value:
        return ABSENT
    system = _text(node, "system").strip()
    kind = _each(node, "type")
    made = _concept(kind[0], context) if kind else ABSENT
    assigner = _each(node, "assigner")
    return _filled(
        use=_text(node, "use"), type={} if made is ABSENT else made,
        system=context.systems.of_uri(system) if system else "", value=value, period=_within(node, context),
        assigner=_filled(display=_text(assigner[0], "display")) if assigner and _text(assigner[0], "display") else {},
    )  # fmt: skip


def _nhs_number(node: Node, context: Context) -> Any:
    value = _text(node, "value").strip()
    if not value:
        return ABSENT
    system = _text(node, "system").strip()
    if system and context.systems.of_uri(system) != "nhs-number":
        raise Unconvertible("the system of the number is not the NHS number's")
    return nhs(value)


def _name(node: Node, context: Context) -> Any:
    return _filled(
        use=_text(node, "use"), text=_text(node, "text"), family=_text(node, "family"), given=_texts(node, "given"),
        prefix=_texts(node, "prefix"), suffix=_texts(node, "suffix"), period=_within(node, context),
    )  # fmt: skip


def _address(node: Node, context: Context) -> Any:
    parts = ("use", "type", "text", "city", "district", "state", "postalCode", "country")
    found = {part: _text(node, part) for part in parts}
    return _filled(**found, line=_texts(node, "line"), period=_within(node, context))


def _contact(node: Node, context: Context) -> Any:
    if not _text(node, "value").strip():
        return ABSENT
    rank = _text(node, "rank")
    return _filled(
        system=_text(node, "system"), value=_text(node, "value").strip(), use=_text(node, "use"),
        rank=int(rank) if rank.isdecimal() and rank.isascii() and len(rank) < 4 else None,
        period=_within(node, context),
    )  # fmt: skip


def _number(node: Node, name: str) -> Any:
    said = _text(node, name)
    if not said:
        return None
    if len(said) > 64 or not _DECIMAL.fullmatch(said):
        raise Unconvertible("not a number")
    return exact(said)


_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")


def _quantity(node: Node, context: Context) -> Any:
    system = _text(node, "system").strip()
    made = _filled(
        comparator=_text(node, "comparator"), unit=_text(node, "unit"),
        system=context.systems.of_uri(system) if system else "", code=_text(node, "code"),
    )  # fmt: skip
    value = _number(node, "value")
    found = {} if made is ABSENT else made
    return {"value": value, **found} if value is not None else made


def _attachment(node: Node, context: Context) -> Any:
    size = _text(node, "size")
    return _filled(
        contentType=_text(node, "contentType"), language=_text(node, "language"), data=_text(node, "data"),
        url=_text(node, "url"), size=int(size) if size.isdecimal() and size.isascii() and len(size) < 10 else None,
        hash=_text(node, "hash"), title=_text(node, "title"), creation=_time(node, "creation", context),
    )  # fmt: skip


def _annotation(node: Node, _context: Context) -> Any:
    return _text(node, "text") or ABSENT


def _xhtml(node: Node, _context: Context) -> Any:
    from mhbridge.fhir.xhtml import sanitise

    return sanitise(_leaf(node)) or ABSENT


def _xhtml_text(node: Node, _context: Context) -> Any:
    from mhbridge.fhir.plaintext import plain

    return plain(_leaf(node)) or ABSENT


def _narrative(of: Callable[[Node, Context], Any]) -> Callable[[Node, Context], Any]:
    def run(node: Node, context: Context) -> Any:
        divs = _each(node, "div")
        return of(divs[0], context) if divs else ABSENT

    return run


def _leaf(node: Node) -> str:
    if node.children is not None:
        raise Unconvertible("an element with parts, where a value was expected")
    return "" if node.value is None else str(node.value)


def _display(node: Node, _context: Context) -> Any:
    return _text(node, "display") or ABSENT


# --- resources ---------------------------------------------------------------------------------------------


def _listed(node: Node, name: str, of: Callable[[Node, Context], Any], context: Context) -> list[Any]:
    return [made for one in _each(node, name) if (made := of(one, context)) is not ABSENT]


def _person(node: Node, context: Context) -> Any:
    addresses = _listed(node, "address", _address, context)
    return _filled(
        identifiers=_listed(node, "identifier", _identifier, context), name=_listed(node, "name", _name, context),
        telecom=_listed(node, "telecom", _contact, context), address=addresses[0] if addresses else {},
    )  # fmt: skip


def _organisation(node: Node, context: Context) -> Any:
    addresses = _listed(node, "address", _address, context)
    return _filled(
        identifiers=_listed(node, "identifier", _identifier, context), name=_text(node, "name"),
        telecom=_listed(node, "telecom", _contact, context), address=addresses[0] if addresses else {},
    )  # fmt: skip


def _place(node: Node, context: Context) -> Any:
    return _filled(identifiers=_listed(node, "identifier", _identifier, context), name=_text(node, "name"))


def _below(name: str, *parts: str) -> frozenset[str]:
    return frozenset(f"{name}.{part}" for part in parts)


def _parts(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CODING: Final = _parts("system version code display")
_CONCEPT: Final = _below("coding", *_CODING) | {"text"}
_PERIOD: Final = _parts("start end")
_IDENTIFIER: Final = (
    _parts("use system value assigner.display") | _below("period", *_PERIOD) | _below("type", *_CONCEPT)
)
_NAME: Final = _parts("use text family given prefix suffix") | _below("period", *_PERIOD)
_ADDRESS: Final = _parts("use type text line city district state postalCode country") | _below("period", *_PERIOD)
_CONTACT: Final = _parts("system value use rank") | _below("period", *_PERIOD)
_QUANTITY: Final = _parts("value comparator unit system code")
_ATTACHMENT: Final = _parts("contentType language data url size hash title creation")
_PERSON: Final = (
    _below("identifier", *_IDENTIFIER)
    | _below("name", *_NAME)
    | _below("telecom", *_CONTACT)
    | _below("address", *_ADDRESS)
)
_ORGANISATION: Final = (_PERSON - _below("name", *_NAME)) | {"name"}
_PLACE: Final = _below("identifier", *_IDENTIFIER) | {"name"}

_Entry = tuple[Callable[["Node", Context], Any], frozenset[str]]
_WORDS: Final = ("string", "text", "markdown")

#: FHIR type → item type → what makes one of the other, and what it reads.
_COMPLEX: Final[dict[str, dict[str, _Entry]]] = {
    "CodeableConcept": {"CodeableConcept": (_concept, _CONCEPT), "code": (_first_code, _CONCEPT)}
    | dict.fromkeys(_WORDS, (_concept_words, _CONCEPT)),
    "Coding": {"CodeableConcept": (_of_coding, _CODING), "Coding": (_coding, _CODING)},
    "Identifier": {"Identifier": (_identifier, _IDENTIFIER), "nhs_number": (_nhs_number, _parts("system value"))},
    "HumanName": {"HumanName": (_name, _NAME)},
    "Address": {"Address": (_address, _ADDRESS)},
    "ContactPoint": {"ContactPoint": (_contact, _CONTACT)},
    "Period": {"Period": (_period, _PERIOD)},
    "Attachment": {"Attachment": (_attachment, _ATTACHMENT)},
    "Annotation": dict.fromkeys(_WORDS, (_annotation, frozenset({"text"}))),
    "Narrative": {"xhtml": (_narrative(_xhtml), frozenset({"div"}))}
    | dict.fromkeys(_WORDS, (_narrative(_xhtml_text), frozenset({"div"}))),
    "xhtml": {"xhtml": (_xhtml, _ALL)} | dict.fromkeys(_WORDS, (_xhtml_text, _ALL)),
    "Reference": dict.fromkeys(_WORDS, (_display, frozenset({"display"}))),
    **{name: {"Quantity": (_quantity, _QUANTITY)} for name in ("Quantity", "Age", "Duration", "Count", "Distance")},
    **{name: {"person": (_person, _PERSON)} for name in ("Practitioner", "Patient", "RelatedPerson")},
    "Organization": {"organisation": (_organisation, _ORGANISATION)},
    "Location": {"place": (_place, _PLACE)},
}

#: FHIR's primitive types → the item types that they may become.
_TEXTUAL: Final = ("string", "text", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid", "nhs_number")
_TEXTUAL_MORE: Final = (
    "CodeableConcept",
    "Identifier",
    "HumanName",
    "Address",
    "ContactPoint",
    "person",
    "organisation",
)
_PRIMITIVE: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid"), (*_TEXTUAL, *_TEXTUAL_MORE)
    ),
    **dict.fromkeys(("date", "dateTime", "instant"), ("dateTime", "date", "instant", "string", "text")),
    **dict.fromkeys(
        ("integer", "positiveInt", "unsignedInt"),
        ("integer", "positiveInt", "unsignedInt", "decimal", "Quantity", "string", "text"),
    ),
    "decimal": ("decimal", "Quantity", "string", "text"),
    "boolean": ("boolean", "string", "text", "code"),
    "time": ("time", "string", "text"),
}


#: All that are read.
TYPES: Final = (*_COMPLEX, *_PRIMITIVE)


def _bare(text: str, _context: Context) -> Any:
    """A code of which the element, and not the message, says the system."""
    return {"coding": [{"code": text.strip()}]}


def _primitive(source: str, plain: Conversion) -> Conversion:
    target = plain.target.name
    of_text = _bare if source == "code" and target == "CodeableConcept" else plain.convert

    def run(node: Node, context: Context) -> Any:
        if node.children is not None:
            raise Unconvertible("an element with parts, where a value was expected")
        value = node.value
        if value is None:
            return ABSENT
        if isinstance(value, bool):
            if target == "boolean":
                return value
            value = "true" if value else "false"
        text = str(value)
        if source in ("decimal", "integer", "positiveInt", "unsignedInt") and target in ("decimal", "Quantity"):
            if len(text) > 64 or not _DECIMAL.fullmatch(text):
                raise Unconvertible("not a number")
            return exact(text) if target == "decimal" else {"value": exact(text)}
        if source == "boolean" and target == "boolean" and text not in ("true", "false"):
            raise Unconvertible("neither true nor false")
        return of_text(text, context)

    return Conversion(source, Type(target), run, _ALL)


_CONCEPT_PARTS: Final = {
    "display": frozenset({"coding.display"}), "text": frozenset({"text"}), "version": frozenset({"coding.version"}),
}  # fmt: skip


_USED: Final[Mapping[Any, Callable[[Any, Context], frozenset[str]]]] = {
    _first_code: _first_code_used,
    _concept_words: _words_used,
}


def conversions() -> Iterator[Conversion]:
    """All conversions of elements of FHIR, but for choices."""
    of_text = {made.target.name: made for made in t.conversions()}
    for source, targets in _PRIMITIVE.items():
        for target in targets:
            yield _primitive(source, of_text[target])
    for source, entries in _COMPLEX.items():
        for target, (convert, reads) in entries.items():
            used = _USED.get(convert)
            parts = _CONCEPT_PARTS if convert is _concept else {}
            yield Conversion(source, Type(target), convert, reads, used, parts)


def by_key(target: Type, choices: Mapping[str, Conversion]) -> Conversion:
    """
    The conversion of a choice (`value[x]`): that of the type that its key ends with.

    Args:
        choices: FHIR type → its conversion to the target.
    """

    def chosen(node: Node) -> Conversion:
        from mhbridge.formats.fhir.structure import type_of_key

        at: Node | None = node
        while at is not None and isinstance(at.key, int):
            at = at.parent
        found = choices.get(type_of_key(str(at.key))) if at is not None else None
        if found is None:
            raise Unconvertible("of a type that does not become what is wanted")
        return found

    def used(node: Node, context: Context) -> frozenset[str]:
        try:
            return chosen(node).used_of(node, context)
        except Unconvertible:
            return _ALL

    reads = frozenset[str]().union(*(choice.reads for choice in choices.values()))
    return Conversion("choice", target, lambda node, context: chosen(node).convert(node, context), reads, used)
