"""The generated narrative of a section: complete, in order, and safe to read alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.fhir.narrative import Field, div, plain, section
from mhbridge.fhir.xhtml import ELEMENTS, NAMESPACE, visible
from mhbridge.fhir.xhtml_rules import faults
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR

TITLES = {"snomed": "SNOMED CT"}


def titles(system: str) -> str:
    return TITLES.get(system, system)


RESULT = (
    Field("code", "Name", "CodeableConcept"),
    Field("value", "Result", "any"),
    Field("notes", "Notes", "text", many=True),
)
REPORT = (
    Field("code", "Test", "CodeableConcept"),
    Field("at", "Date", "dateTime"),
    Field("results", "Results", "observation", many=True, fields=RESULT),
)
MEDICINE = (
    Field("code", "Medication name", "CodeableConcept"),
    Field("form", "Form", "CodeableConcept"),
    Field("dose", "Dose directions", "text"),
    Field("status", "", "code"),
    Field("reason", "Indication", "text"),
)
STAY = (Field("ward", "Ward", "place"),)


def medicine(name: str, **more: Any) -> dict[str, Any]:
    return {"code": {"coding": [{"system": "snomed", "code": "1", "display": name}]}, **more}


#: (what it shows, fields, items, the narrative)
SECTIONS: list[tuple[str, tuple[Field, ...], dict[str, Any], str]] = [
    (
        "values under their labels in the order of the document type",
        (Field("b", "Ward & bed", "place"), Field("a", "Date/time of discharge", "dateTime")),
        {"a": "2025-03-14T10:30:00+00:00", "b": {"ward": "Maple", "bed": "4"}},
        "<p><b>Ward &amp; bed:</b> ward Maple, bed 4</p><p><b>Date/time of discharge:</b> 14 March 2025, 10:30</p>",
    ),
    ("nothing when nothing is present", (Field("a", "A", "text"),), {"other": "x"}, ""),
    (
        "absent and deleted are not shown, unknown says why",
        tuple(Field(name, name.upper(), "text") for name in "abcd"),
        {"a": ABSENT, "b": DELETED, "c": UNKNOWN_ERROR, "d": MASKED},
        (
            "<p><b>C:</b> Recorded by the sender, but it could not be read; see the original message</p>"
            "<p><b>D:</b> Withheld</p>"
        ),
    ),
    (
        "text keeps its lines, paragraphs and columns",
        (Field("plan", "Safety plan", "text"),),
        {"plan": 'Ring "Sam" first\nthen 111\n\nScore   3 <of> 10'},
        (
            "<p><b>Safety plan:</b></p><p>Ring &quot;Sam&quot; first<br/>then 111</p>"
            "<p>Score\u00a0\u00a0 3 &lt;of&gt; 10</p>"
        ),
    ),
    (
        "a list in order; one alone without a list; none, nothing",
        (
            Field("a", "Actions", "text", many=True),
            Field("b", "B", "text", many=True),
            Field("c", "C", "text", many=True),
        ),
        {"a": ["second last", "last\nof all"], "b": [DELETED, "only"], "c": []},
        ("<p><b>Actions:</b></p><ul><li>second last</li><li>last<br/>of all</li></ul><p><b>B:</b> only</p>"),
    ),
    (
        "records as a table of the columns that have a value, a label for each",
        (Field("m", "Medicines", "medicine", many=True, fields=MEDICINE),),
        {
            "m": [
                medicine("Sertraline", dose="50 mg\nin the morning", status="active"),
                medicine("Clozapine", reason=UNKNOWN_ERROR, dose=DELETED),
            ]
        },
        (
            '<p><b>Medicines:</b></p><table border="1"><thead><tr><th>Medication name</th><th>Dose directions</th>'
            "<th>Indication</th></tr></thead><tbody>"
            "<tr><td>Sertraline</td><td>50 mg<br/>in the morning</td><td></td></tr><tr><td>Clozapine</td><td></td>"
            "<td>Recorded by the sender, but it could not be read; see the original message</td></tr></tbody></table>"
        ),
    ),
    (
        "a record that was kept whole as text, among others",
        (Field("m", "Medicines", "medicine", many=True, fields=MEDICINE),),
        {
            "m": [
                medicine("Sertraline", dose="50 mg"),
                {"code": {"text": "Olanz 5/7 nocte"}},
                "as received",
                DELETED,
                MASKED,
            ]
        },
        (
            '<p><b>Medicines:</b></p><table border="1"><thead><tr><th>Medication name</th><th>Dose directions</th></tr>'
            "</thead><tbody><tr><td>Sertraline</td><td>50 mg</td></tr><tr><td>Olanz 5/7 nocte</td><td></td></tr>"
            '<tr><td colspan="2">as received</td></tr><tr><td colspan="2">Withheld</td></tr></tbody></table>'
        ),
    ),
    (
        "what would not fit on a page beside the rest, in one cell under its labels",
        (Field("m", "People", "m", many=True, fields=tuple(Field(n, n.upper(), "string") for n in "abcdefg")),),
        {"m": [dict.fromkeys("abcdefg", "1"), {"a": "2", "g": "3"}, {"a": "4"}, "as received"]},
        (
            '<p><b>People:</b></p><table border="1"><thead><tr><th>A</th><th>B</th><th>C</th><th>D</th><th>E</th>'
            "<th>Further</th></tr></thead><tbody><tr><td>1</td><td>1</td><td>1</td><td>1</td><td>1</td>"
            "<td><ul><li><b>F:</b> 1</li><li><b>G:</b> 1</li></ul></td></tr>"
            "<tr><td>2</td><td></td><td></td><td></td><td></td><td><ul><li><b>G:</b> 3</li></ul></td></tr>"
            "<tr><td>4</td><td></td><td></td><td></td><td></td><td></td></tr>"
            '<tr><td colspan="6">as received</td></tr></tbody></table>'
        ),
    ),
    (
        "one record as label and value",
        (
            Field("m", "Medicines", "medicine", many=True, fields=MEDICINE),
            Field("n", "Clozapine clinic", "m", fields=MEDICINE),
        ),
        {"m": [medicine("Sertraline", dose="50 mg")], "n": {"dose": UNKNOWN_ERROR, "status": "active"}},
        (
            "<p><b>Medicines:</b></p><ul><li><b>Medication name:</b> Sertraline</li>"
            "<li><b>Dose directions:</b> 50 mg</li></ul>"
            "<p><b>Clozapine clinic:</b></p><ul><li><b>Dose directions:</b> "
            "Recorded by the sender, but it could not be read; see the original message</li></ul>"
        ),
    ),
    (
        "records of one field as a list",
        (Field("s", "Ward stays", "stay", many=True, fields=STAY),),
        {"s": [{"ward": {"name": "Maple Ward"}}, {"ward": {"name": "Elm Ward"}}, {}]},
        "<p><b>Ward stays:</b></p><ul><li>Ward: Maple Ward</li><li>Ward: Elm Ward</li></ul>",
    ),
    (
        "records within records, in one line each",
        (Field("r", "Investigations", "report", many=True, fields=REPORT),),
        {
            "r": [
                {
                    "code": {"text": "Urea and electrolytes"},
                    "results": [
                        {"code": {"text": "Sodium"}, "value": {"value": Decimal("140.0"), "unit": "mmol/L"}},
                        {"code": {"text": "Potassium"}, "value": MASKED, "notes": ["haemolysed", "repeat"]},
                    ],
                },
                {"code": {"text": "Lithium"}, "at": "2025-03-01", "results": [{"value": "0.6"}]},
            ]
        },
        (
            '<p><b>Investigations:</b></p><table border="1"><thead><tr><th>Test</th><th>Date</th><th>Results</th></tr>'
            "</thead><tbody><tr><td>Urea and electrolytes</td><td></td><td>"
            "<ul><li>Name: Sodium; Result: 140.0 mmol/L</li>"
            "<li>Name: Potassium; Result: Withheld; Notes: haemolysed, repeat</li></ul></td></tr>"
            "<tr><td>Lithium</td><td>1 March 2025</td><td>Result: 0.6</td></tr></tbody></table>"
        ),
    ),
    (
        "records of which nothing has a label",
        (Field("m", "Medicines", "medicine", many=True, fields=MEDICINE),),
        {"m": [{"status": "active"}, {"status": "stopped"}]},
        "",
    ),
    (
        "a code without words, and one of the sender's own",
        (Field("a", "Method", "CodeableConcept"), Field("b", "Destination", "CodeableConcept")),
        {
            "a": {"coding": [{"system": "snomed", "code": "306689006"}]},
            "b": {"coding": [{"system": "example-places", "code": "H2", "display": "Home"}]},
        },
        "<p><b>Method:</b> code 306689006 in SNOMED CT</p><p><b>Destination:</b> Home (code H2 in example-places)</p>",
    ),
    (
        "text with markup of its own, made safe, under its label",
        (Field("l", "Letter", "xhtml"), Field("m", "More", "xhtml", many=True), Field("n", "None", "xhtml")),
        {
            "l": "<p>Dear <b>doctor</b><script>x()</script></p>",
            "m": ["<i>a</i>", "b < c", UNKNOWN_ERROR],
            "n": "<script/>",
        },
        (
            "<p><b>Letter:</b></p><div><p>Dear <b>doctor</b></p></div><p><b>More:</b></p><div><i>a</i></div>"
            "<div>b &lt; c</div>"
            "<p>Recorded by the sender, but it could not be read; see the original message</p>"
        ),
    ),
    (
        "a value of another shape than its type",
        (Field("a", "Born", "date"), Field("b", "Name", "HumanName", many=True), Field("c", "Alive", "boolean")),
        {"a": "14/03/85", "b": "Quince", "c": {"text": "so far"}},
        "<p><b>Born:</b> 14/03/85</p><p><b>Name:</b> Quince</p><p><b>Alive:</b> so far</p>",
    ),
    ("an item without a label", (Field("a", "", "text"),), {"a": "x"}, "<p>x</p>"),
]


@pytest.mark.parametrize(
    ("fields", "items", "xhtml"), [case[1:] for case in SECTIONS], ids=[case[0] for case in SECTIONS]
)
def test_a_section(fields: tuple[Field, ...], items: dict[str, Any], xhtml: str) -> None:
    assert section(fields, items, titles) == xhtml
    if xhtml:
        assert faults(div(xhtml)) == []


# --- any items ---------------------------------------------------------------------------------------------

TYPES = """
    string text code markdown date dateTime time boolean integer decimal nhs_number xhtml any CodeableConcept Coding
    Quantity Range Ratio Period HumanName Address ContactPoint Identifier Attachment Annotation Dosage Timing Reference
    person organisation place SampledData
"""
KEYS = """
    text coding code system display value unit comparator low high numerator denominator start end family given prefix
    line city postalCode use type period assigner name role telecom address organisation identifiers ward bed site
    contentType data size title reference id version
"""

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
leaves = st.one_of(
    texts,
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=False),
    st.none(),
    st.sampled_from([ABSENT, DELETED, MASKED]),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4),
    max_leaves=12,
)
fields_ = st.recursive(
    st.builds(Field, st.sampled_from("abc"), texts, st.sampled_from(TYPES.split()), st.booleans()),
    lambda inner: st.builds(
        Field, st.sampled_from("abc"), texts, st.just("a_record"), st.booleans(), st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=5,
)
items_ = st.dictionaries(
    st.sampled_from("abc"),
    values | st.dictionaries(st.sampled_from("abc"), values, max_size=3)
    | st.lists(st.dictionaries(st.sampled_from("abc"), values, max_size=3), max_size=3),
)  # fmt: skip


@given(st.lists(fields_, max_size=4), items_)
@settings(max_examples=400, deadline=None)
def test_any_items_make_well_formed_xhtml_without_anything_that_runs(
    fields: list[Field], items: dict[str, Any]
) -> None:
    inner = section(fields, items, titles)
    for element in ET.fromstring(div(inner)).iter():
        space, _, name = element.tag[1:].partition("}")
        assert space == NAMESPACE
        assert name in ELEMENTS
        assert set(element.attrib) <= {"border", "colspan"} or "xhtml" in repr(fields)
    if inner and plain(inner):
        assert faults(div(inner)) == []


@given(st.text(st.characters(codec=None, exclude_categories=()), min_size=1))
@settings(max_examples=200, deadline=None)
def test_any_text_is_in_the_narrative(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    inner = section((Field("a", "A", "text"),), {"a": text}, titles)
    if text.isspace():
        assert inner == ""
        return
    marked = re.sub("<br/>", "\n", inner.removeprefix("<p><b>A:</b>").removeprefix("</p>")).replace("</p><p>", "\n\n")
    read = "".join(ET.fromstring(div(marked if marked.startswith("<p>") else f"<p>{marked[1:]}")).itertext())
    assert read.replace("\u00a0", " ") == visible(lines).replace("\u00a0", " ")
