"""
The README's table of findings, row by row: what the next person to care for the patient finds in the document.

Each is read from the narrative, because that is what GP systems show, and from the coded entries beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import shipped
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.narrative import plain
from mhbridge.mapping.library import built_in
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

FIXTURES = built_in("fixtures") / "example-mental-health"


@cache
def document(fixture: str) -> Mapping[str, Any]:
    catalogue = shipped.catalogue()
    outcomes, _ = outcomes_of(
        (FIXTURES / fixture).read_bytes(), feed_of(catalogue, "example-mental-health"), RECEIVED_AT
    )
    bundle: Mapping[str, Any] = loads(outcomes[0].documents[0].body)
    return bundle


def resources(fixture: str, type_: str) -> list[Mapping[str, Any]]:
    return [e["resource"] for e in document(fixture)["entry"] if e["resource"]["resourceType"] == type_]


def heading(fixture: str, code: str) -> Mapping[str, Any]:
    sections = resources(fixture, "Composition")[0]["section"]
    return next(s for s in sections if any(c["code"] == code for c in s["code"].get("coding", ())))


def said(fixture: str, code: str) -> str:
    return " ".join(plain(heading(fixture, code)["text"]["div"]).split())


LETTER = "discharge-letter/plain.hl7"
BARE = "discharge-letter/minimal.hl7"
BAND = "discharge-letter/no-medicines-allergies-unknown.hl7"

# finding, fixture, heading, words that must be read there
READ = [
    ("physical health", LETTER, "investigation-results", "Body mass index"),
    ("suicide risk and safety", LETTER, "plan-and-requested-actions", "I walk to the allotment, I put the radio on."),
    ("suicide risk and safety", LETTER, "plan-and-requested-actions", "crisis"),
    ("families", LETTER, "patient-and-carer-concerns-expectations-and-wishes", "Hawthorn works nights"),
    ("families", LETTER, "patient-demographics", "Carer"),
    ("follow-up", LETTER, "plan-and-requested-actions", "17 March 2025, 10:30"),
    ("social care", LETTER, "social-context", "Lives with her partner."),
    ("medicines that were stopped", LETTER, "medications-and-medical-devices", "Sertraline"),
    ("accountability", LETTER, "person-completing-record", "PRETEND, Osric (Dr)"),
]


@pytest.mark.parametrize(("finding", "fixture", "code", "words"), READ, ids=[f"{r[0]}-{r[3][:12]}" for r in READ])
def test_it_is_read_in_the_narrative(finding: str, fixture: str, code: str, words: str) -> None:
    assert words in said(fixture, code), finding


def test_physical_health_is_coded_with_exact_values() -> None:
    values = [o["valueQuantity"]["value"] for o in resources(LETTER, "Observation") if "valueQuantity" in o]
    assert "21.40" in {str(value) for value in values}  # every digit that was sent


def test_the_safety_plan_is_a_care_plan_in_the_patients_own_words() -> None:
    plans = {plan["title"]: plan for plan in resources(LETTER, "CarePlan")}
    assert "Who I can be with: Hawthorn, my mum." in plans["Safety plan"]["description"]


def test_a_risk_level_is_never_made_and_only_carried_in_words() -> None:
    """NHS England, April 2025: risk bands are unacceptable. One that is sent is told as the sender's, coded nowhere."""
    assert "Low" in said(BAND, "safety-alerts")
    coded = [e["resource"] for e in document(BAND)["entry"] if e["resource"]["resourceType"] != "Composition"]
    assert not any(re.search(r"\bLow\b", str(resource)) for resource in coded)
    assert not resources(BAND, "RiskAssessment")
    assert not re.search(r"\b(low|medium|high) risk\b", said(LETTER, "safety-alerts"), re.IGNORECASE)


def test_a_medicine_that_was_stopped_is_not_among_the_current_ones() -> None:
    found = resources(LETTER, "MedicationStatement")
    statuses = {m["medicationCodeableConcept"]["coding"][0]["display"]: m["status"] for m in found}
    assert statuses["Sertraline 100mg tablets"] == "stopped"
    (current,) = [entry for entry in resources(LETTER, "List") if "Medic" in str(entry["code"])]
    listed = {item["item"]["reference"] for item in current["entry"]}
    stopped = {e["fullUrl"] for e in document(LETTER)["entry"] if e["resource"].get("status") == "stopped"}
    assert stopped
    assert not listed & stopped


@pytest.mark.parametrize(
    "code", ["allergies-and-adverse-reaction", "clinical-summary", "general-practitioner-practice"]
)
def test_a_required_heading_that_is_empty_says_so(code: str) -> None:
    """Nothing recorded is not the same as none known."""
    section = heading(BARE, code)
    assert "not recorded by the sender" in said(BARE, code).lower()
    assert section["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert "no known" not in said(BARE, code).lower()


def test_missing_allergies_never_become_no_known_allergies() -> None:
    assert resources(BARE, "AllergyIntolerance") == []


def test_nothing_of_a_restricted_patients_whereabouts_is_in_the_document() -> None:
    fixture = "discharge-letter/restricted-patient.hl7"
    sent = (FIXTURES / fixture).read_bytes().decode()
    numbers = set(re.findall(r"07700 900\d{3}", sent))
    assert numbers, "the control: the message does hold telephone numbers"
    body = str(document(fixture))
    assert not [number for number in numbers if number in body]
    (patient,) = resources(fixture, "Patient")
    assert not {"address", "telecom", "contact", "generalPractitioner"} & patient.keys()
    assert not resources(fixture, "RelatedPerson")


def test_every_row_of_the_readme_names_a_fixture_and_a_test_that_exist() -> None:
    root = Path(__file__).parent.parent
    table = (root / "README.md").read_text("utf-8").split("## Findings")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 13
    for finding, _, fixture, test in rows:
        named = re.findall(r"`([^`]+\.\w+)`", fixture)
        assert all((FIXTURES / name).is_file() or (FIXTURES.parent / name).is_file() for name in named), finding
        tests = re.findall(r"`(tests/[^`]+)`", test)
        assert tests, finding
        assert all((root / name).is_file() for name in tests), finding
