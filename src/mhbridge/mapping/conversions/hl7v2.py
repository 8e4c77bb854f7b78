"""
Which HL7 v2 data type becomes which item type: the table of pairs.

The order of a source type's targets is the order in which an `any of` tries them. `varies` (OBX-5) goes by OBX-2, and
`undeclared` (a Z segment) by the item's type. This module must never convert anything itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible, plain
from mhbridge.mapping.conversions import coded as c
from mhbridge.mapping.conversions import identifiers as i
from mhbridge.mapping.conversions import people as p
from mhbridge.mapping.conversions import results as r
from mhbridge.mapping.conversions import times as t
from mhbridge.mapping.conversions.identifiers import nothing
from mhbridge.mapping.conversions.primitives import CHECKED, concept, identifier
from mhbridge.mapping.types import Type

if TYPE_CHECKING:
    from mhbridge.formats.hl7v2 import Segment, Value

__all__ = ["NATURAL", "by_value_type", "conversions", "results"]

_Convert: TypeAlias = "Callable[[Value, Context], Any]"
_Used: TypeAlias = "Callable[[Value, Context], frozenset[str]]"
#: convert, reads, and used where it differs.
_Entry: TypeAlias = "tuple[_Convert, frozenset[str]] | tuple[_Convert, frozenset[str], _Used]"
_Entries: TypeAlias = "Mapping[str, _Entry]"

_ONE: Final = frozenset({"1"})
_ALL: Final = frozenset({WHOLE})
_TYPE: Final = frozenset({"OBX-2"})
_TEXTS: Final = ("string", "text", "markdown")
#: Types of OBX-5 that do not become a text by themselves, and whose parts are words all the same.
_PEOPLE_AND_PLACES: Final = ("AD", "CN", "DLN", "JCC", "PL", "PN", "PPN", "TN", "XAD", "XCN", "XON", "XPN", "XTN")
#: The same, and those of several numbers; and where none is named, which is text.
_IN_PARTS: Final = frozenset({"", "CP", "DR", "MA", "MO", "NA", "NR", "TQ", *_PEOPLE_AND_PLACES})


# --- simple types ------------------------------------------------------------------------------------------


def _leaf(convert: Callable[[str], Any]) -> _Convert:
    """A conversion of the first component."""

    def run(value: Value, _context: Context) -> Any:
        text = value.component(1)
        return convert(text) if text.strip() else nothing(value)

    return run


def _leaf_in(convert: Callable[[str, Context], Any]) -> _Convert:
    """A conversion of the first component that needs the context."""

    def run(value: Value, context: Context) -> Any:
        text = value.component(1)
        return convert(text, context) if text else nothing(value)

    return run


def _whole(convert: Callable[[str], Any]) -> _Convert:
    """A conversion of the whole value: separators inside it are part of the text."""

    def run(value: Value, context: Context) -> Any:
        text = value.encoded
        if '"' in text or value.segment.delimiters.escape_character in text:
            if value.strange:
                context.note("I631", "an escape in the text is none that is known; it stands there as it came")
            text = value.text
        return convert(text) if text.strip() else nothing(value)

    return run


def _as_it_is(text: str) -> str:
    return text


_text: Final[_Entry] = (_whole(_as_it_is), _ALL)
_word: Final[_Entry] = (_leaf(_as_it_is), _ONE)
_date_time: Final = _leaf_in(t.v2_date_time)
_date: Final = _leaf_in(t.v2_date)


def _texts(entry: _Entry) -> dict[str, _Entry]:
    return dict.fromkeys(_TEXTS, entry)


def _checked(*names: str, make: Callable[[Callable[[str], Any]], _Convert] = _leaf) -> dict[str, _Entry]:
    """Primitive types of one form, from the first component or from the whole."""
    return {name: (make(CHECKED[name]), _ONE if make is _leaf else _ALL) for name in names}


def _times() -> dict[str, _Entry]:
    return {
        "dateTime": (_date_time, _ONE),
        "date": (_date, _ONE),
        "instant": (_leaf_in(t.v2_instant), _ONE),
    }


def _simple() -> Iterator[tuple[str, _Entries]]:
    prose: _Entries = {
        **_texts(_text),
        "CodeableConcept": (_whole(concept), _ALL),
        "Identifier": (_whole(identifier), _ALL),
        **_checked("code", "nhs_number", "boolean", "id", "uri", "url", "canonical", "oid", "uuid", make=_whole),
    }
    for name in ("ST", "TX", "FT"):
        yield name, prose
    codes: _Entries = {
        "CodeableConcept": (c.bare, _ONE),
        **_checked("code", "boolean"),
        **_texts(_word),
    }
    for name in ("ID", "IS", "DLD"):
        yield name, codes
    whole_numbers = _checked("integer", "positiveInt", "unsignedInt")
    yield "NM", {"Quantity": (r.number, r.NM), **_checked("decimal"), **whole_numbers, **_texts(_word)}
    yield "SI", {**whole_numbers, **_texts(_word)}
    yield "DTM", _times()
    yield "TS", _times()
    yield "DT", {name: entry for name, entry in _times().items() if name != "instant"}
    yield "TM", {"time": (_leaf_in(t.v2_time), _ONE)}


# --- composite types ---------------------------------------------------------------------------------------


def _composite() -> Iterator[tuple[str, _Entries]]:
    cx: _Entries = {
        "Identifier": (i.cx, i.CX, i.cx_used),
        "nhs_number": (i.cx_nhs_number, i.CX - {"5"}, i.cx_nhs_number_used),
        **_texts(_word),
    }
    yield "CX", cx
    yield "CK", cx
    yield "EI", {"Identifier": (i.ei, i.EI, i.ei_used), **_texts(_word)}
    for name in ("PI", "PLN"):
        yield name, {"Identifier": (i.licence, i.LICENCE, i.licence_used), **_texts(_word)}
    yield "OG", _texts(_word)
    yield "HD", {**_texts(_word), **_checked("code")}
    for name in ("XPN", "PN"):
        yield name, {"HumanName": (p.human_name, p.XPN, p.human_name_used)}
    yield "FN", _texts((p.family_name, _ONE))
    for name in ("XAD", "AD"):
        yield name, {"Address": (p.address, p.XAD, p.address_used)}
    yield "SAD", _texts((p.street, frozenset({"1", "2", "3"})))
    yield "XTN", {"ContactPoint": (p.contact_point, p.XTN, p.contact_point_used)}
    yield "TN", {"ContactPoint": (p.contact_point, _ONE), **_texts(_text)}
    # One conversion for all versions of a type: v2.5 made many a CE a CWE, and senders do not wait for their tables.
    for name in ("CE", "CF", "CWE", "CNE"):
        yield (
            name,
            {
                "CodeableConcept": (c.cwe, c.CWE, c.cwe_used),
                "Coding": (_coding, c.CODING, c.coding_used),
                **_texts((c.words, c.WORDS, c.words_used)),
                "code": (c.first_code, _ONE),
            },
        )
    for name in ("XCN", "PPN", "CN"):
        yield name, {"person": (p.person, p.PERSON, p.person_used)}
    yield "XON", {"organisation": (p.organisation, p.XON, p.organisation_used)}
    yield "PL", {"place": (p.place, p.PL, p.place_used)}


def _coding(value: Value, context: Context) -> Any:
    return c.coding(value, context) or nothing(value)


def _measured() -> Iterator[tuple[str, _Entries]]:
    texts = _texts((r.structured_text, r.SN))
    yield (
        "SN",
        {
            "Quantity": (r.structured_quantity, r.SN),
            "Range": (r.structured_range, r.SN),
            "Ratio": (r.structured_ratio, r.SN),
            **texts,
        },
    )
    yield "CQ", {"Quantity": (r.quantity, r.CQ, r.quantity_used)}
    yield "NR", {"Range": (r.range_of, r.NR)}
    yield "DR", {"Period": (r.period, r.DR)}
    yield "ED", {"Attachment": (r.attachment, r.ED, r.attachment_used)}
    yield "RP", {"Attachment": (r.pointer, r.RP, r.pointer_used)}


def _in_results(common: Mapping[str, _Entries]) -> Iterator[tuple[str, _Entries]]:
    """What differs in OBX-5: numbers have their unit in OBX-6, and times kept as text are kept as FHIR writes them."""
    units = r.UNITS
    yield "NM", {**common["NM"], "Quantity": (r.result_number, r.NM | units, r.result_number_used)}
    yield (
        "SN",
        {
            **common["SN"],
            "Quantity": (r.result_structured, r.SN | units, r.result_structured_used),
            "Range": (r.result_range, r.SN | units, r.result_structured_used),
        },
    )
    for name in ("DT", "DTM", "TS"):
        yield name, {**common[name], **_texts(common[name]["dateTime"])}
    yield "TM", {**common["TM"], **_texts(common["TM"]["time"])}


# --- the table ---------------------------------------------------------------------------------------------

#: The HL7 v2 type that an item type is, where the source declares none.
NATURAL: Final[Mapping[str, str]] = {
    "CodeableConcept": "CWE",
    "Coding": "CWE",
    "Identifier": "CX",
    "HumanName": "XPN",
    "Address": "XAD",
    "ContactPoint": "XTN",
    "person": "XCN",
    "organisation": "XON",
    "place": "PL",
    "Quantity": "CQ",
    "Range": "NR",
    "Period": "DR",
    "Attachment": "ED",
    "dateTime": "TS",
    "date": "TS",
    "instant": "TS",
    "time": "TM",
    "decimal": "NM",
    "integer": "NM",
    "positiveInt": "NM",
    "unsignedInt": "NM",
    "boolean": "ID",
    "code": "ST",
    "nhs_number": "CX",
    "string": "ST",
    "text": "FT",
    "markdown": "FT",
    "id": "ST",
    "uri": "ST",
    "url": "ST",
    "canonical": "ST",
    "oid": "ST",
    "uuid": "ST",
}


def conversions() -> Iterator[Conversion]:
    """All conversions of HL7 v2 values, except those of `varies`."""
    every = _every()
    for source, entries in every.items():
        for target, entry in entries.items():
            yield _made(source, target, entry)
    for target, source in NATURAL.items():
        yield _made("undeclared", target, every[source][target])


def results() -> Iterator[Conversion]:
    """The conversions of a value in OBX-5, by the data type that OBX-2 names."""
    every = _every()
    for source, entries in {**every, **dict(_in_results(every))}.items():
        for target, entry in entries.items():
            yield _made(source, target, entry)


def _every() -> dict[str, _Entries]:
    return {name: entries for part in (_simple(), _composite(), _measured()) for name, entries in part}


def _made(source: str, target: str, entry: _Entry) -> Conversion:
    convert, reads, *used = entry
    # TN is a XTN of which only the first component is told apart.
    quick = _PLAIN.get(convert) if source != "TN" else None
    parts, common = _PARTS.get(convert, {}), convert in _COMMON
    return Conversion(source, Type(target), convert, reads, used[0] if used else None, parts, quick, common=common)


#: The plain forms of those that have one.
_PLAIN: Final[Mapping[Any, plain.Plain]] = {
    _word[0]: plain.word,
    _text[0]: plain.prose,
    _date_time: plain.date_time,
    _date: plain.date,
    c.bare: plain.bare,
    c.cwe: plain.cwe,
    c.first_code: plain.first_code,
    c.words: plain.words,
    _coding: plain.coding,
    i.cx: plain.cx,
    i.cx_nhs_number: plain.cx_nhs_number,
    i.ei: plain.ei,
    i.licence: plain.licence,
    p.address: plain.address,
    p.contact_point: plain.contact_point,
    p.human_name: plain.human_name,
    p.organisation: plain.organisation,
    p.person: plain.person,
    p.place: plain.place,
    r.result_number: plain.result_number,
}

#: What comes again in message after message, whoever they are about: codes, and those who work there.
_COMMON: Final = frozenset({c.bare, c.cwe, p.organisation, p.person, p.place})

_XCN_ISSUER: Final = frozenset({"9", "9.2", "9.3"})
_XON_ISSUER: Final = frozenset({"6", "6.2", "6.3"})

#: What the parts of values are made of, for functions that leave some of them out.
_PARTS: Final[Mapping[Any, Mapping[str, frozenset[str]]]] = {
    p.person: {"issuer": _XCN_ISSUER, "identifiers": p.PERSON - p.XCN},
    p.organisation: {"issuer": _XON_ISSUER, "identifiers": p.XON - {"1"}},
    p.place: {"ward": frozenset({"1"}), "within": frozenset({"2", "3"}), "site": frozenset({"4", "4.2", "4.3"})},
    c.cwe: {
        "display": frozenset({"2", "5", "11"}),
        "text": frozenset({"9"}),
        "version": frozenset({"7", "8", "13"}),
        "others": c.CWE - c.CODING - {"9"},
    },
}


@lru_cache(maxsize=256)
def _with_type(used: frozenset[str]) -> frozenset[str]:
    return used | _TYPE


def by_value_type(target: Type, choices: Mapping[str, Conversion]) -> Conversion:
    """
    The conversion of `varies`: the one of the data type that OBX-2 names.

    HL7 v2.5.1 §7.4.2.2: OBX-2 says the data type of OBX-5, any of table 0125.

    Args:
        choices: data type → its conversion to the target.
    """
    # Words for whoever reads: what has no text of its own, a name or an address, as its parts one after the other.
    others = Conversion("varies", target, _parts_said, _ALL) if target.name in _TEXTS and not target.options else None

    def chosen(value: Value) -> Conversion:
        fields = value.segment.fields
        found = choices.get(fields[2]) if len(fields) > 2 else None  # as it nearly always stands there
        if found is None:
            field = value.field(2)
            name = "" if field is None else field.component(1).strip()
            found = choices.get(name, others if name in _IN_PARTS else None)
        if found is None:
            raise Unconvertible(f"a result of the data type named in OBX-2 does not become: {target}")
        return found

    def convert(value: Value, context: Context) -> Any:
        found = chosen(value)
        if found.tried is None:
            value.taken, result = found, found.convert(value, context)
        else:
            value.taken, result = found.tried(value, context)
        return result

    def used(value: Value, context: Context) -> frozenset[str]:
        taken = value.taken
        if taken is None:
            try:
                taken = chosen(value)
            except Unconvertible:
                return _TYPE
        return _with_type(taken.reads if taken.used is None else taken.used_of(value, context))

    def quick(parts: list[str], segment: Segment, context: Context) -> tuple[Any, frozenset[str]] | None:
        fields = segment.fields
        found = choices.get(fields[2]) if len(fields) > 2 else None
        if found is None or found.plain is None or (made := found.plain(parts, segment, context)) is None:
            return None
        return made[0], _with_type(made[1])

    reads = _TYPE.union(*(choice.reads for choice in choices.values()), () if others is None else others.reads)
    return Conversion("varies", target, convert, reads, used, plain=quick)


def _parts_said(value: Value, _context: Context) -> Any:
    """A value of any type in words. Where OBX-2 names none it is a text, whose separators are part of it."""
    if value.field(2) is None:
        return value.text if value.text.strip() else nothing(value)
    said = [one.strip() for number in range(1, value.components + 1) for one in value.subcomponents(number)]
    return " ".join(filter(None, said)) or nothing(value)
