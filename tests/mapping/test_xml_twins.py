"""The compiler and its slow twin say the same of every document: generated, from fixtures, and damaged."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mhbridge.errors import MessageError
from mhbridge.formats.xml import FORMAT
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.testing.replaying import cases

sys.path.insert(0, str(Path(__file__).parent))
from side_by_side import compare

ROOT = built_in("mappings")
FIXTURES = [case for case in cases(built_in("fixtures")) if case.path.suffix == ".xml"]


@cache
def feeds(supplier: str) -> tuple[str, ...]:
    catalogue = Catalogue(Library([ROOT]))
    return tuple(name for name in catalogue.feeds(supplier) if catalogue.mapping(name).format.name == "xml")


CDA = [case for case in FIXTURES if feeds(case.supplier)]


@pytest.mark.parametrize("case", CDA, ids=lambda case: case.name)
def test_the_twins_agree_on_every_fixture(case) -> None:
    for name in feeds(case.supplier):
        compare(ROOT, name, case.path.read_bytes())


def test_there_is_enough_to_agree_on() -> None:
    assert sum(compare(ROOT, name, case.path.read_bytes()) for case in CDA for name in feeds(case.supplier)) > 12


# What is likely to be taken for something: reasons, codes, times, kinds, markup.
WORDS = (
    "", "UNK", "MSK", "ZZZ", "1", "true", "20250314", "20250230", "202510260130", "2025", "V", "N", "B64", "PQ", "#m1",
    "2.16.840.1.113883.6.96", "2.16.840.1.113883.2.1.4.1", "9990000018", "48765-2", "completed", "aborted",
    "tel:01632 960001",
)  # fmt: skip
VALUES = st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_twins_agree_on_damaged_fixtures(data) -> None:
    """Some leaves of a real document replaced by something else: every rule about bad values is met somewhere."""
    case = data.draw(st.sampled_from([one for one in CDA if "plain" in one.path.name or "alone" in one.path.name]))
    body = case.path.read_bytes()
    source = Catalogue(Library([ROOT])).mapping(feeds(case.supplier)[0]).source
    for _ in range(data.draw(st.integers(1, 3))):
        ((message, _takers),) = FORMAT.messages(body, [source])
        if isinstance(message, MessageError):
            return
        cell, mask = data.draw(st.sampled_from(list(FORMAT.populated(message))))
        bit = data.draw(st.sampled_from([bit for bit in range(mask.bit_length()) if mask >> bit & 1]))
        body = FORMAT.altered(message, cell, bit, data.draw(VALUES), source)
    for name in feeds(case.supplier):
        compare(ROOT, name, body)


def letters() -> st.SearchStrategy[str]:
    """Documents of the mapping that is written for this test, with everything in them that it asks for, or not."""
    value = st.sampled_from(["", "a", "b", "1.10", "2025-03-14", "Y", "  "])
    row = st.tuples(value, value, st.lists(value, max_size=3)).map(
        lambda one: f'<d c="{one[0]}" k="{one[1]}">{"".join(f"<n>{text}</n>" for text in one[2])}</d>'
    )
    return st.tuples(value, value, st.lists(row, max_size=4), value).map(
        lambda one: f'<letter no="{one[0]}"><who id="{one[1]}">{one[3]}</who><all>{"".join(one[2])}</all></letter>'
    )


MAPPING = """\
mapping: twins/letter
document: mental-health-inpatient-discharge
authors: true
source: {format: xml, root: letter, control_id: /letter/@no}
items:
  act: new
  effective_at: 2026-01-05T08:00:00Z
  completion: final
  patient_key: '= identifier(/letter/who/@id, "https://twins.example/id")'
  patient_name:
    - text: = /letter/who
  birth_date: 1970-02-28
  spell_id: '= identifier(/letter/@no, "https://twins.example/stay")'
  discharged_at: 2026-01-05T08:00:00Z
  written_at: = /letter/all/d[@c="b"]/@k
  address: '= unknown("unknown")'
  author: {name: [{text: Nobody}]}
  author_contact: '= unknown("unknown")'
  author_role: '= unknown("unknown")'
  custodian: {name: Nowhere}
  gp_practice: '= unknown("unknown")'
  clinical_summary: = //d[not(@c="a") and n]/n or /letter/all/d[last()]
  diagnoses:
    $each: /letter/all/d[n]
    $when: ./@c
    code: {text: '= ./n[2] or ./n'}
    comment: = ../d[@k="Y"]/n | lines
  no_known_allergies: = //d[1]/@k | flag("Y", "N")
ignore: {//n: 'for the test'}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    import shutil

    root = tmp_path_factory.mktemp("twins") / "mappings"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("suppliers"))
    folder = root / "suppliers" / "twins"
    folder.mkdir(parents=True)
    (folder / "supplier.yaml").write_text("supplier: twins\ntitle: Nobody\n", "utf-8")
    (folder / "letter.yaml").write_text(MAPPING, "utf-8")
    assert not [d for d in Catalogue(Library([root])).check() if d.severity.value == "error"]
    return root


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(letter=letters())
def test_the_twins_agree_on_generated_documents(library, letter: str) -> None:
    assert compare(library, "twins/letter", letter.encode()) == 1
