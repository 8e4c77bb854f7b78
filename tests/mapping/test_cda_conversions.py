"""
What elements of a CDA become (`conversions/cda.txt`), and that every leaf that a conversion says it used matters, and
no other: the field ledger believes it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mhbridge.formats.xml import FORMAT, Element, Leaf
from mhbridge.mapping.conversions import WHOLE, _registered, conversion
from mhbridge.mapping.conversions.at import leaf
from mhbridge.mapping.types import parse_type
from mhbridge.model import Unknown

sys.path.insert(0, str(Path(__file__).parent))
from test_conversions import CONTEXT, HERE, TEXT, check, exact, outcome

BODY = (
    '<d xmlns="urn:hl7-org:v3"><p ID="w1">Words of the <q>narrative</q></p>'
    '<p ID="w2">Other words</p>{}</d>'
)  # fmt: skip
SOURCE = FORMAT.declare("Europe/London", "", {"namespaces": {"": "urn:hl7-org:v3"}, "root": "d", "dialect": "cda"})


def read(document: bytes) -> Element:
    ((found, _),) = FORMAT.messages(document, [SOURCE])
    return found.tree.root.children[2]


def cases() -> list:
    found = []
    for line in (HERE / "cda.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            targets, value, expected = re.fullmatch(r"(.*?) :: (.*) => (.*)", line).groups()
            expected, *notes = re.split(r" ; (?=I6\d\d)", expected)
            each = [targets] if "any of" in targets else targets.split()
            found += [(target, value, expected, tuple(notes)) for target in each]
    return found


CDA = cases()


@pytest.mark.parametrize(("target", "value", "expected", "notes"), CDA)
def test_cda(target, value, expected, notes) -> None:
    made = conversion("cda", parse_type(target))
    result = outcome(made.convert, read(BODY.format(value).encode()))
    if expected.startswith("UNKNOWN "):
        assert result[0] == Unknown(expected.removeprefix("UNKNOWN "))
    else:
        check(*result, expected, notes)


def test_every_pair_is_in_the_table() -> None:
    assert set(_registered()["cda"]) - {case[0] for case in CDA} == set()


@pytest.mark.parametrize(
    ("dates", "target", "value", "expected", "notes"), [case for case in TEXT if "\\" not in case[2]]
)
def test_a_text_of_any_document_becomes_what_a_cell_becomes(dates, target, value, expected, notes) -> None:
    leaf = Leaf(read(BODY.format("<x/>").encode()), 0, value)
    context = replace(CONTEXT, dates="" if dates == "iso" else dates)
    check(*outcome(conversion("xml", parse_type(target)).convert, leaf, context), expected, notes)


@pytest.mark.parametrize(("text", "target", "expected"), [
    ("20250314152000+0000", "dateTime", "2025-03-14T15:20:00+00:00"), ("20250314", "date", "2025-03-14"),
    ("20250314152000+00", "instant", "2025-03-14T15:20:00+00:00"), ("true", "boolean", True),
])  # fmt: skip
def test_an_attribute_of_a_cda_has_times_of_hl7(text, target, expected) -> None:
    leaf = Leaf(read(BODY.format("<x/>").encode()), 1, text)
    assert conversion("cda_attribute", parse_type(target)).convert(leaf, CONTEXT) == expected


OTHERS = (
    "ZQXJ7", "Zqx Jvk", "7", "1.2.9", "UNK", "NA", "CD", "ST", "#w2", "ordered", "delete", "text/html", "WP",
    "19770304", "false", "9990000026", "https://y.example", "JVBERi1=", "", "tel:01632 960009",
)  # fmt: skip


@pytest.mark.parametrize(("target", "value"), sorted({case[:2] for case in CDA if not case[2].startswith("! ")}))
def test_what_is_used_matters_and_nothing_else(target, value) -> None:
    """A leaf that a conversion says it used changes the result with some value; another with none that stays unused."""
    made = conversion("cda", parse_type(target))
    ((whole, _),) = FORMAT.messages(BODY.format(value).encode(), [SOURCE])
    element = whole.tree.root.children[2]
    before, used = result_of(made, element), made.used_of(element, CONTEXT)
    for place, mask in FORMAT.populated(whole):
        for bit in (bit for bit in range(mask.bit_length()) if mask >> bit & 1):
            name = FORMAT.path(whole, place, bit, SOURCE, exact=True)
            others = [read(FORMAT.altered(whole, place, bit, other, SOURCE)) for other in OTHERS]
            changed = [other for other in others if result_of(made, other) != before]
            if WHOLE in used or leaf(place, bit) in used:
                assert changed, f"{name} is said to be used"
            else:
                silent = [other for other in changed if not {WHOLE, leaf(place, bit)} & made.used_of(other, CONTEXT)]
                assert not silent, f"{name} is said not to be used"


def result_of(made, element):
    result, notes = outcome(made.convert, element)
    return exact(result) if not isinstance(result, Unknown) else repr(result), notes


def test_the_table_is_where_it_is_looked_for() -> None:
    assert Path(HERE, "cda.txt").exists()
    assert len(CDA) > 90
