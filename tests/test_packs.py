"""The discharge packs against their standards' list of headings: all are there, and the mandatory ones never vanish."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from mhbridge.mapping.checker.sections import Section
from mhbridge.mapping.library import Library, built_in
from mhbridge.mapping.loading import Loader

#: document type → column of codes/headings.csv
PACKS = {
    "mental-health-inpatient-discharge": "mental_health_discharge",
    "acute-inpatient-discharge": "acute_discharge",
    "community-discharge": "acute_discharge",
    "emergency-care-discharge": "emergency_care",
}
#: Headings that a pack has and its standard has not, each for its reason.
BEYOND = {
    # The Mental Health Act status is of the Emergency Care Data Set; whoever reads should know who else has it.
    "emergency-care-discharge": {"legal-information", "distribution-list"},
    # The panel of the six checks is no heading of the record standard: it says what is not under one.
    "mental-health-inpatient-discharge": {"physical-health-gaps"},
}


@cache
def loader() -> Loader:
    return Loader(Library([built_in("mappings")]))


def sections(document: str) -> dict[str, Section]:
    pack = loader().document(document)
    assert pack is not None
    build = loader().build(pack, "r4", "")
    assert build is not None
    return {section.heading: section for section in build.sections}


def needs(column: str) -> dict[str, str]:
    headings = loader().codes("").headings.values()
    return {heading.name: heading.needs[column] for heading in headings if column in heading.needs}


@pytest.mark.parametrize(("document", "column"), PACKS.items(), ids=list(PACKS))
def test_a_pack_has_the_headings_of_its_standard_and_no_others(document: str, column: str) -> None:
    # What others said of allergies stands apart from what the author of the letter says.
    assert sections(document).keys() == needs(column).keys() | BEYOND.get(document, set()) | {"earlier-allergies"}


@pytest.mark.parametrize(("document", "column"), PACKS.items(), ids=list(PACKS))
def test_a_mandatory_heading_says_something_when_nothing_came(document: str, column: str) -> None:
    found = sections(document)
    mandatory = [name for name, need in needs(column).items() if need == "mandatory"]
    assert len(mandatory) >= 5
    assert [name for name in mandatory if found[name].empty is None] == []


def test_the_two_standards_differ_where_they_differ() -> None:
    """The control: what is shared is not thereby the same."""
    mental, acute = (loader().document(name) for name in list(PACKS)[:2])
    assert mental is not None
    assert acute is not None
    shared = mental.items.keys() & acute.items.keys()
    differing = {name: (mental.items[name].need, acute.items[name].need) for name in shared}
    assert {name: both for name, both in differing.items() if both[0] != both[1]} == {
        "diagnoses": ("required", "mandatory"),
        "contacts": ("required", "optional"),
        "organ_donation": ("optional", "required"),
        "advice_given": ("required", "optional"),
        "author_contact": ("mandatory", "optional"),
        "physical_health": ("required", "optional"),
    }
    assert "family-history" in sections("mental-health-inpatient-discharge")
    assert "family-history" not in sections("acute-inpatient-discharge")


def test_an_event_of_a_patient_writes_nothing_that_patients_share() -> None:
    """
    Two patients' events at once would overwrite each other's consultant, the older over the newer: whoever and wherever
    is shared is named by identifier and words.
    """
    written = set()
    for golden in sorted(Path(str(built_in("fixtures"))).rglob("*.r4.json")):
        found = json.loads(golden.read_bytes())
        for bundle in found if isinstance(found, list) else [found]:
            if bundle["type"] == "transaction":
                written |= {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    # The roles are those of one referral: their ids are derived from it.
    assert written == {
        *("Patient", "Encounter", "AllergyIntolerance", "Condition", "Procedure", "Observation", "DiagnosticReport"),
        *("ServiceRequest", "Specimen", "Appointment", "PractitionerRole"),
    }
