"""
What values become (`conversions/hl7v2.txt`, `conversions/text.txt`), and that every component a conversion says it
reads matters, and no other: the ledger believes it.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.errors import explanations
from mhbridge.formats import Scope
from mhbridge.formats.hl7v2 import FORMAT, Value
from mhbridge.mapping.code_files import load_systems
from mhbridge.mapping.conversions import WHOLE, Context, Conversion, Unconvertible, _registered, conversion
from mhbridge.mapping.conversions.fhir import TYPES as FHIR
from mhbridge.mapping.conversions.hl7v2 import NATURAL
from mhbridge.mapping.conversions.times import date_patterns
from mhbridge.mapping.types import PRIMITIVES, Type, parse_type
from mhbridge.model import ABSENT, DELETED, State

HERE = Path(__file__).parent / "conversions"
SYSTEMS, PROBLEMS = load_systems([("systems.csv", (HERE / "systems.csv").read_text("utf-8"))])
CONTEXT = Context(
    authorities={"RXX": "https://trust.example/Id/patient", "TEAM": "nhs-number"}, systems=SYSTEMS, supplier="example"
)
STATES = {"ABSENT": ABSENT, "DELETED": DELETED}

#: Source types of other formats, which have tests of their own (`test_cda_conversions.py`, `formats/`).
ELSEWHERE = frozenset({"json", "xml", "cda", "cda_attribute", "document", *FHIR})


def registered() -> dict[str, dict[str, Conversion]]:
    return {source: dict(targets) for source, targets in _registered().items() if source not in ELSEWHERE}


SOURCE = FORMAT.declare("Europe/London", "", {"messages": ["ADT^A08"]})


def found(path: str, line: str) -> object:
    """What a path of the format finds in a message that has this segment."""
    body = f"MSH|^~\\&|A|B|C|D|20250314||ADT^A08|1|P|2.4\r{line}\r".encode()
    ((message, _),) = FORMAT.messages(body, [SOURCE])
    parsed, _ = FORMAT.scan(path, 0, len(path))
    return FORMAT.first(parsed, Scope(SOURCE))(FORMAT.cursor(message))


def raw(source: str, text: str) -> object:
    if source != "varies":
        return found("ZZZ-1", f"ZZZ|{text}")
    kind, value, unit = text.split("|")
    return found("OBX-5", f"OBX|1|{kind}|X||{value}|{unit}")


def table(name: str) -> list[tuple[str, str, str, str, tuple[str, ...]]]:
    """(source, target, value, expected, notes) of every line; a line stands for all its sources and targets."""
    cases = []
    for line in (HERE / name).read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        head, value, expected = re.fullmatch(r"(.*?) :: (.*) => (.*)", line).groups()
        expected, *notes = re.split(r" ; (?=I6\d\d)", expected)
        sources, targets = head.split(" > ")
        each = [targets] if "any of" in targets else targets.split()
        for source, target in product(sources.split() if name == "hl7v2.txt" else [sources], each):
            cases.append((source, target, value, expected, tuple(notes)))
    return cases


HL7V2, TEXT = table("hl7v2.txt"), table("text.txt")


def outcome(convert, value, context=CONTEXT):
    """What a conversion gives: (what, notes)."""
    notes: list[str] = []
    try:
        result = convert(value, replace(context, note=lambda code, _text: notes.append(code)))
    except Unconvertible as error:
        return f"! {error}" if error.code == "I601" else f"! {error.code} {error}", ()
    return result, tuple(notes)


def check(result, notes, expected, wanted) -> None:
    if expected in STATES:
        assert result is STATES[expected]
    elif expected.startswith("! "):
        assert result == expected
    else:
        assert exact(result) == json.loads(expected, parse_float=Exact, parse_int=Exact)
    assert notes == wanted


class Exact(str):
    """A number by its digits: `1.10` is not `1.1`."""

    __slots__ = ()


def exact(value):
    if isinstance(value, dict):
        return {key: exact(part) for key, part in value.items()}
    if isinstance(value, list):
        return [exact(part) for part in value]
    if isinstance(value, (Decimal, int)) and not isinstance(value, bool):
        return Exact(str(value))
    return value


# --- the tables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target", "value", "expected", "notes"), HL7V2)
def test_hl7v2(source, target, value, expected, notes) -> None:
    check(*outcome(conversion(source, parse_type(target)).convert, raw(source, value)), expected, notes)


@pytest.mark.parametrize(("dates", "target", "value", "expected", "notes"), TEXT)
def test_text(dates, target, value, expected, notes) -> None:
    context = replace(CONTEXT, dates="" if dates == "iso" else dates)
    check(*outcome(conversion("text", parse_type(target)).convert, value, context), expected, notes)


def test_the_systems_have_no_faults() -> None:
    assert PROBLEMS == ()


def test_every_pair_is_in_a_table() -> None:
    shown = {(case[0], case[1]) for case in HL7V2} | {("text", case[1]) for case in TEXT}
    pairs = {(source, target) for source, targets in registered().items() for target in targets}
    assert pairs - shown == set()


def test_every_target_is_a_type() -> None:
    known = PRIMITIVES | {"person", "organisation", "place"}
    for targets in registered().values():
        assert {target for target in targets if target[0].islower()} <= known


def test_no_reason_holds_the_value() -> None:
    """Reasons become issues, which never hold a value of the message."""
    canary = "ZQXJ7canary"
    asked = 0
    for source, targets in registered().items():
        for made in targets.values():
            raws = (
                [canary] if source == "text" else [raw(source, canary), raw(source, f"{canary}^{canary}^{canary}^A^1")]
            )
            for value in raws:
                result, _ = outcome(made.convert, value)
                if isinstance(result, str) and result.startswith("! "):
                    asked += 1
                    assert canary not in result
    assert asked > 30


PAIRS = [made for targets in registered().values() for made in targets.values()]
LEAF = st.sampled_from(
    ["", '""', "A1", "20250314", "20251026013000", "1.10", "Base64", "SCT", "\\.br\\", "Zoë", " ", "<", "٣"]
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(PAIRS),
    st.lists(st.lists(LEAF, min_size=1, max_size=3), min_size=1, max_size=9),
    st.text(max_size=20),
)
def test_whatever_comes_a_conversion_converts_or_says_why(made, leaves, anything) -> None:
    """Generated values: a value, a state or `Unconvertible`, and the same again for the same value."""
    if made.source == "text":
        value = anything
    else:
        value = raw(made.source, "^".join("&".join(subs) for subs in leaves))
        if isinstance(value, State):
            return
    result = outcome(made.convert, value)
    assert result == outcome(made.convert, value)
    assert result[0] is not None
    assert made.used_of(value, CONTEXT) <= made.reads


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([made for made in PAIRS if made.source != "text"]),
    st.lists(st.lists(LEAF, min_size=1, max_size=3), min_size=1, max_size=14),
    st.integers(1, 14),
    st.integers(1, 3),
    LEAF,
)
def test_what_is_not_used_never_matters(made, leaves, at, sub, other) -> None:
    """Generated values: the ledger may call a leaf open only if nothing of it is in the result."""
    before = put_together(
        made.source,
        flat := {("", n, m): leaf for n, subs in enumerate(leaves, 1) for m, leaf in enumerate(subs, 1) if leaf},
    )
    after = put_together(made.source, flat | {("", at, sub): other})
    values = [raw(made.source, text) for text in (before, after)]
    if any(isinstance(value, State) for value in values) or '""' in before + after:
        return
    if any({WHOLE, str(at) if sub == 1 else f"{at}.{sub}"} & made.used_of(value, CONTEXT) for value in values):
        return
    first, second = (outcome(made.convert, value) for value in values)
    assert first == second or str(first[0]).startswith("! ") or str(second[0]).startswith("! ")


def test_every_note_is_explained() -> None:
    codes = {code for case in (*HL7V2, *TEXT) for code in case[4]}
    assert codes == {"I621", "I622", "I623", "I645", "I648"}
    assert codes | {"I601", "I602"} <= explanations().keys()


def test_pairs_that_do_not_exist() -> None:
    assert conversion("CX", Type("dateTime")) is None
    assert conversion("PL", Type("string")) is None
    assert conversion("XYZ", Type("string")) is None
    assert conversion("CX", parse_type("any of [dateTime, boolean]")) is None
    assert conversion("varies", Type("spell")) is None


def test_a_list_type_converts_its_elements() -> None:
    assert conversion("CX", parse_type("list of Identifier")) is conversion("CX", parse_type("list of Identifier"))
    assert conversion("CX", parse_type("list of Identifier")).target == Type("Identifier")


# --- what is read ------------------------------------------------------------------------------------------

# Replacements for a component. Some of them mean something to some conversion, so that a change is a change.
OTHERS = (
    "ZQXJ7",
    "7",
    "20240607",
    "H",
    "L",
    "PRN",
    "PH",
    "Internet",
    "ISO",
    "4.5.6",
    "Y",
    "UCUM",
    "Hex",
    "-",
    "CE",
    "NM",
)

Place = tuple[str, int, int]


def taken_apart(source: str, text: str) -> dict[Place, str]:
    """(field or '', component, subcomponent) → text of every populated leaf."""
    fields = dict(zip(("OBX-2", "", "OBX-6"), text.split("|"), strict=True)) if source == "varies" else {"": text}
    return {
        (field, at, sub): leaf
        for field, whole in fields.items()
        for at, component in enumerate(whole.split("^"), 1)
        for sub, leaf in enumerate(component.split("&"), 1)
        if leaf
    }


def put_together(source: str, leaves: dict[Place, str]) -> str:
    def field(name: str) -> str:
        mine = {(at, sub): leaf for (of, at, sub), leaf in leaves.items() if of == name}
        parts = []
        for at in range(1, max((at for at, _ in mine), default=0) + 1):
            subs = {sub: leaf for (of, sub), leaf in mine.items() if of == at}
            parts.append("&".join(subs.get(sub, "") for sub in range(1, max(subs, default=0) + 1)))
        return "^".join(parts)

    return "|".join(field(name) for name in ("OBX-2", "", "OBX-6")) if source == "varies" else field("")


def place(read: str) -> Place:
    """`4.2` and `OBX-6.3` as places; a missing number is 1."""
    field, numbers = re.fullmatch(r"(OBX-\d+)?\.?([\d.]*)", read).groups()
    at, _, sub = numbers.partition(".")
    if field:
        return field, int(at or 1), int(sub or 1)
    return "", int(at), int(sub or 1)


def changed(made, source: str, leaves: dict[Place, str], at: Place) -> bool:
    """Whether some other text in one place changes what comes of the value."""
    before, _ = outcome(made.convert, raw(source, put_together(source, leaves)))
    for other in OTHERS:
        if other != leaves.get(at):
            after, _ = outcome(made.convert, raw(source, put_together(source, leaves | {at: other})))
            if after != before:
                return True
    return False


def samples() -> list[tuple[str, str, str]]:
    """Every value of the table that converts, in a form without escapes."""
    return [
        (source, target, value)
        for source, target, value, expected, _ in HL7V2
        if not expected.startswith("! ") and "\\" not in value and '""' not in value
    ]


@pytest.mark.parametrize(("source", "target", "value"), samples())
def test_what_is_used_matters_and_nothing_else(source, target, value) -> None:
    made = conversion(source, parse_type(target))
    used = made.used_of(raw(source, value), CONTEXT)
    assert used <= made.reads
    leaves = taken_apart(source, value)
    if WHOLE in used:
        assert all(changed(made, source, leaves, at) for at in leaves)
        return
    places = {place(read) for read in used}
    for at in leaves:
        if at in places:
            assert changed(made, source, leaves, at), f"{at} is said to be used and makes no difference"
            continue
        before, _ = outcome(made.convert, raw(source, value))
        for other in OTHERS:
            mutant = raw(source, put_together(source, leaves | {at: other}))
            if at not in {place(read) for read in made.used_of(mutant, CONTEXT)}:
                assert outcome(made.convert, mutant)[0] == before, f"{at} is said to be unused and makes a difference"


@pytest.mark.parametrize(
    ("source", "target"),
    sorted({(case[0], case[1]) for case in HL7V2 if "any of" not in case[1] and case[0] != "varies"}),
)
def test_every_declared_component_changes_the_result(source, target) -> None:
    """The declaration is not wider than the truth: over the table's values, each component matters once."""
    made = conversion(source, Type(target))
    values = [value for of, to, value in samples() if (of, to) == (source, target)]
    for read in made.reads - {WHOLE}:
        at = place(read)
        shown = any(changed(made, source, taken_apart(source, value), at) for value in values)
        assert shown, f"{source} > {target}: nothing shows that {read} is read"


def test_the_unit_of_a_result_is_a_companion() -> None:
    made = conversion("varies", Type("Quantity"))
    assert {"OBX-2", "OBX-6", "OBX-6.2", "OBX-6.3"} <= made.reads
    assert made.used_of(raw("varies", "NM|5|kg^kilogram^UCUM"), CONTEXT) == {
        "1",
        "OBX-2",
        "OBX-6",
        "OBX-6.2",
        "OBX-6.3",
    }
    assert made.used_of(raw("varies", "NM|5|kg"), CONTEXT) == {"1", "OBX-2", "OBX-6"}


# --- contexts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("CX", "Identifier", "M-1", {"system": "https://trust.example/Id/patient", "value": "M-1"}),
        ("CX", "Identifier", "M-1^^^ELSE", {"value": "M-1", "assigner": {"display": "ELSE"}}),
        ("EI", "Identifier", "D-1", {"system": "https://trust.example/Id/document", "value": "D-1"}),
        ("XON", "organisation", "^^Y99999", {"identifiers": [{"system": "ods", "value": "Y99999"}]}),
        ("XCN", "person", "G9999998", {"identifiers": [{"system": "gmc-number", "value": "G9999998"}]}),
        ("PL", "place", "^^^RXX01", {"site": {"identifiers": [{"system": "ods", "value": "RXX01"}]}}),
    ],
)
def test_a_supplier_may_say_whose_identifiers_without_an_issuer_are(source, target, value, expected) -> None:
    declared = {
        "CX": "https://trust.example/Id/patient",
        "EI": "https://trust.example/Id/document",
        "XON": "ods",
        "XCN": "gmc-number",
        "PL": "https://fhir.nhs.uk/Id/ods-organization-code",
    }
    context = replace(CONTEXT, authorities=declared)
    assert conversion(source, Type(target)).convert(raw(source, value), context) == expected


def test_a_component_is_a_value_of_its_own_type() -> None:
    family = found("PID-5.1", "PID|||||LARCH&&LARCH^ROWAN")
    assert conversion("FN", Type("string")).convert(family, CONTEXT) == "LARCH"
    street = found("PID-11.1", "PID|||||||||||1 TEST ROAD&ELM STREET&2^TESTTOWN")
    assert conversion("SAD", Type("string")).convert(street, CONTEXT) == "1 TEST ROAD ELM STREET 2"
    authority = found("PID-3.4", "PID|||M-1^^^RXX&1.2.3&ISO")
    assert conversion("HD", Type("string")).convert(authority, CONTEXT) == "RXX"


@pytest.mark.parametrize(
    ("zone", "value", "expected"),
    [
        ("UTC", "202507141030", "2025-07-14T10:30:00+00:00"),
        ("America/St_Johns", "202507141030", "2025-07-14T10:30:00-02:30"),
        # Summer time in Lebanon begins at midnight: that day has no first hour.
        ("Asia/Beirut", "202503300030", "! there was no such time: the clocks went forward over it"),
        ("Asia/Beirut", "202503300100", "2025-03-30T01:00:00+03:00"),
    ],
)
def test_local_time_is_that_of_the_feed(zone, value, expected) -> None:
    from zoneinfo import ZoneInfo

    context = replace(CONTEXT, timezone=ZoneInfo(zone))
    assert outcome(conversion("TS", Type("dateTime")).convert, raw("TS", value), context)[0] == expected


def test_every_quarter_of_an_hour_agrees_with_the_calendar() -> None:
    """The remembered offsets of days, against the zone itself, through both changes of the clocks."""
    from datetime import datetime, timedelta

    convert = conversion("TS", Type("dateTime")).convert
    for first, hours in (("2025-03-29T00:00", 60), ("2025-10-25T00:00", 60)):
        start = datetime.fromisoformat(first).replace(tzinfo=CONTEXT.timezone)
        for quarter in range(hours * 4):
            local = (start + timedelta(minutes=15 * quarter)).replace(fold=0)
            result, notes = outcome(convert, raw("TS", local.strftime("%Y%m%d%H%M")))
            if local.replace(fold=1).utcoffset() > local.utcoffset():
                assert result == "! there was no such time: the clocks went forward over it"
            else:
                assert result == local.isoformat(timespec="seconds")
                assert notes == (("I621",) if local.replace(fold=1).utcoffset() < local.utcoffset() else ())


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        ("dd/mm/yy", "'dd/mm/yy' is no date pattern: it has yyyy, mm or mmm, and dd, each once"),
        ("dd/dd/yyyy", "'dd/dd/yyyy' is no date pattern: it has yyyy, mm or mmm, and dd, each once"),
        ("dd/mm/yyyy,mm/dd/yyyy", "'dd/mm/yyyy' and 'mm/dd/yyyy' read the same text as different days"),
    ],
)
def test_date_patterns_that_are_none(dates, message) -> None:
    with pytest.raises(ValueError) as refusal:
        date_patterns(dates)
    assert str(refusal.value) == message
    context = replace(CONTEXT, dates=dates)
    result, _ = outcome(conversion("text", Type("date")).convert, "01/02/2025", context)
    assert result == "! the dates of the source have no readable pattern"


def test_deleted_and_absent_are_falsy_and_nothing_else_is_a_state() -> None:
    result, _ = outcome(conversion("CX", Type("Identifier")).convert, raw("CX", '""^^^NHS'))
    assert isinstance(result, State)
    assert not result


# --- plain forms: what they give, the general form gives ---------------------------------------------------

PLAIN = [made for targets in registered().values() for made in targets.values() if made.plain is not None]
PARTS = st.lists(
    st.sampled_from(
        ["", "", " ", "A", "NHS", "RXX", "L", "H", "PRN", "CP", "NET", "9990001014", "20250314", " two words ", "I10"]
    )
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='|^~\\&"'), max_size=8),
    min_size=1,
    max_size=14,
)


def populated(used: frozenset[str], parts: list[str]) -> set[int]:
    """The components, none of which has parts, that `used` names and in which something is."""
    every = {number for number, part in enumerate(parts, 1) if part.strip()}
    return every if WHOLE in used else {number for number in every if str(number) in used}


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(PLAIN), PARTS)
def test_a_plain_form_gives_what_the_general_form_gives(made: Conversion, parts: list[str]) -> None:
    raw_value = raw(made.source, "^".join(parts))
    quick = made.plain(parts, raw_value.segment if isinstance(raw_value, Value) else None, CONTEXT)
    if quick is None:
        return
    value, used = quick
    assert value == made.convert(raw_value, CONTEXT)
    assert list(value) == list(made.convert(raw_value, CONTEXT)), "in the same order"
    assert populated(used, parts) == populated(made.used_of(raw_value, CONTEXT), parts)


#: Of each, what its plain form must not leave to the general one.
USUAL = {
    "AD": "1 Lane^^Town^^ZZ1 1ZZ", "CN": "1^A^B", "CX": "9990001014^^^NHS^NH", "CK": "9990001014^^^NHS",
    "DT": "20250314", "DTM": "20250314", "EI": "A^B^1.2^ISO", "ID": "A", "IS": "A", "DLD": "A", "NM": "1",
    "PI": "1^A^B", "PL": "W^R^B^S", "PLN": "1^A^B", "PN": "A^B", "PPN": "1^A^B", "SI": "1", "ST": "two words",
    "TS": "20250314", "XAD": "1 Lane^^Town^^ZZ1 1ZZ^GBR^H", "XCN": "1^A^B^^^Dr^^^X", "XON": "A^^1^^^X",
    "XPN": "A^B^C^^Ms^^L", "XTN": "01632 960001^PRN^PH",
}  # fmt: skip


@pytest.mark.parametrize("made", PLAIN, ids=lambda made: f"{made.source}[{made.target.name}]")
def test_a_plain_form_is_used(made: Conversion) -> None:
    source = NATURAL[made.target.name] if made.source == "undeclared" else made.source
    assert made.plain(USUAL.get(source, "A").split("^"), None, CONTEXT) is not None
