"""
What a mental health discharge has to say, noun by noun, from each of the formats that it comes in: HL7 v2, the tables
of the Mental Health Services Data Set, and CDA. It is read where a receiver reads it: in the narrative of its heading.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from mhbridge.fhir.bundle import loads
from mhbridge.fhir.letter import letter_text
from mhbridge.fhir.narrative import plain
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

#: Format → supplier and fixture.
LETTERS = {
    "hl7v2": ("example-mental-health", "discharge-letter/plain.hl7"),
    "mhsds": ("example-inpatient", "discharges/plain.mime"),
    "cda": ("example-itk", "discharge-cda/plain.xml"),
}


@cache
def document(form: str) -> Mapping[str, Any]:
    """The document that the one letter of a fixture becomes."""
    supplier, fixture = LETTERS[form]
    body = (built_in("fixtures") / supplier / fixture).read_bytes()
    catalogue = Catalogue(Library([built_in("mappings")]))
    outcomes, _ = outcomes_of(body, feed_of(catalogue, supplier), RECEIVED_AT)
    bundle: Mapping[str, Any] = loads(outcomes[0].documents[0].body)
    return bundle


def resources(form: str, type_: str) -> list[Mapping[str, Any]]:
    return [e["resource"] for e in document(form)["entry"] if e["resource"]["resourceType"] == type_]


def said(form: str, heading: str) -> str:
    """The words under a heading."""
    sections = resources(form, "Composition")[0]["section"]
    found = next(s for s in sections if any(c["code"] == heading for c in s["code"]["coding"]))
    return " ".join(plain(found["text"]["div"]).split())


PLAN, LEGAL, SUMMARY = "plan-and-requested-actions", "legal-information", "clinical-summary"

#: Noun, heading, and the words of it in each format.
NOUNS: list[tuple[str, str, dict[str, str]]] = [
    ("formulation", SUMMARY, {"hl7v2": "brought back what", "mhsds": "Overwork", "cda": "Grief, isolation"}),
]
CASES = [(noun, heading, form, words) for noun, heading, forms in NOUNS for form, words in forms.items()]


@pytest.mark.parametrize(("noun", "heading", "form", "words"), CASES, ids=[f"{one[0]}-{one[2]}" for one in CASES])
def test_it_is_read_in_the_letter_whatever_the_format(noun: str, heading: str, form: str, words: str) -> None:
    assert words in said(form, heading), noun


@pytest.mark.parametrize("form", ["hl7v2", "mhsds"])
def test_the_letter_begins_with_the_safety_plan_and_whom_to_call(form: str) -> None:
    """NHS England, Staying safe from suicide, 4 April 2025."""
    first = resources(form, "Composition")[0]["section"][0]
    lines = [line for line in plain(first["text"]["div"]).splitlines() if line.strip()]
    assert lines[0].startswith("Safety plan:")
    assert any(line.startswith("Whom to call in a crisis, at any hour:") for line in lines)
    page = letter_text(document(form))
    assert page.index("Safety plan:") < page.index("Patient demographics")
