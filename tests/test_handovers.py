"""
What is handed over when somebody else takes over: a transfer of an inpatient, a transition to a service for adults, and
the draft of a pointer to a crisis plan. Their letters are in the fixtures; here is what no golden file says.
"""

from __future__ import annotations

from typing import Any

import pytest

from mhbridge.fhir.bundle import loads
from mhbridge.fhir.letter import letter_text
from mhbridge.mapping.library import built_in
from mhbridge.model import MessageState, Outcome
from mhbridge.pipeline import outcome_now
from mhbridge.testing.replaying import RECEIVED_AT, feed_of
from shipped import catalogue

TRANSFERS = ("example-secure/transfer-letter/plain.hl7", "example-inpatient/transfers/plain.csv")
TRANSITIONS = ("example-camhs/transition-letter/plain.hl7", "example-young-people/transitions/plain.json")
POINTERS = (
    "example-inpatient/care-plans/plain.csv",
    "example-community/care-plans/plain.csv",
    "example-crisis-team/crisis-plan/plain.hl7",
)
#: What the National Record Locator's example of a crisis plan's pointer has.
POINTER = {
    "status": "current",
    "docStatus": "final",
    "type": "736253002",
    "category": "734163000",
    "securityLabel": "V",
    "practiceSetting": "788002001",
    "format": "urn:nhs-ic:unstructured",
}


def first(fixture: str) -> Outcome:
    body = (built_in("fixtures") / fixture).read_bytes()
    return outcome_now(body, feed_of(catalogue(), fixture.partition("/")[0]), RECEIVED_AT)[0]


def bundle(fixture: str) -> dict[str, Any]:
    found = first(fixture)
    assert found.state is MessageState.DONE
    (document,) = found.documents
    made: dict[str, Any] = loads(document.body)
    return made


def one(fixture: str, type_: str) -> dict[str, Any]:
    (found,) = (e["resource"] for e in bundle(fixture)["entry"] if e["resource"]["resourceType"] == type_)
    return dict(found)


@pytest.mark.parametrize("fixture", [*TRANSFERS, *TRANSITIONS])
def test_what_comes_first_is_what_a_reader_needs_first(fixture: str) -> None:
    titles = [section["title"] for section in one(fixture, "Composition")["section"]]
    assert titles[:4] == ["Reason for handover", "Handover details", "Plan and requested actions", "Safety alerts"]
    page = letter_text(bundle(fixture))
    assert page.index("Safety plan") < page.index("Whom to call in a crisis") < page.index("Clinical summary")


@pytest.mark.parametrize("fixture", TRANSFERS)
def test_a_transfer_is_no_discharge(fixture: str) -> None:
    """No clock of a discharge begins with it, and the stay goes on; with another provider it is theirs that does."""
    of_a_discharge = {"summary-24h", "follow-up-72h"}
    named, control = (
        {clock.name for clock in catalogue().mapping(name).clocks}
        for name in (fixture.rpartition("/")[0], "example-mental-health/discharge-letter")
    )
    assert not named & of_a_discharge
    assert of_a_discharge <= control, "the control: a discharge has them"
    assert one(fixture, "Encounter")["status"] == "in-progress"
    assert "373942005" not in str(one(fixture, "Composition")["type"])
    away = one("example-secure/transfer-letter/moved-away.hl7", "Encounter")
    assert (away["status"], "end" in away["period"]) == ("finished", True)
    planned = one("example-secure/transfer-letter/out-of-area.hl7", "Encounter")
    assert (planned["status"], "end" in planned["period"]) == ("in-progress", False)


#: Feed and kind of file → where the patient lives and who is close to them, as its plain letter says it.
HIDDEN = {
    ("example-secure/transfer-letter", "hl7"): ("960301", "900301", "Invented Row", "Y12345"),
    ("example-inpatient/transfers", "csv"): (
        "Nowhere Road",
        "Y12345",
        "Example North Community Team",
        "her sister were told",
    ),
    ("example-camhs/transition-letter", "hl7"): (
        "900401",
        "Invented Walk",
        "Y12345",
        "Both parents",
        "came to the meeting",
    ),
    ("example-young-people/transitions", "json"): (
        "900402",
        "Nowhere Road",
        "Y12345",
        "Cedar Madeup",
        "the college keeps it",
    ),
}


@pytest.mark.parametrize(("feed", "kind"), HIDDEN)
def test_of_a_restricted_patient_neither_whereabouts_nor_who_is_close_leaves(feed: str, kind: str) -> None:
    found = first(f"{feed}/restricted-patient.{kind}")
    assert (found.state, found.code, found.deliveries) == (MessageState.PARKED, "M740", ())
    text = found.documents[0].body.decode()
    assert [word for word in HIDDEN[feed, kind] if word in text] == []
    plain = first(f"{feed}/plain.{kind}").documents[0].body.decode()
    assert [word for word in HIDDEN[feed, kind] if word not in plain] == [], "the control: they are there otherwise"


@pytest.mark.parametrize("fixture", POINTERS)
def test_a_pointer_is_what_the_locator_takes_and_names_nothing_around_it(fixture: str) -> None:
    found = one(fixture, "DocumentReference")
    said = {
        "status": found["status"],
        "docStatus": found["docStatus"],
        "type": found["type"]["coding"][0]["code"],
        "category": found["category"][0]["coding"][0]["code"],
        "securityLabel": found["securityLabel"][0]["coding"][0]["code"],
        "practiceSetting": found["context"]["practiceSetting"]["coding"][0]["code"],
        "format": found["content"][0]["format"]["code"],
    }
    assert said == POINTER
    (author,) = found["author"]
    assert author == found["custodian"]
    assert author["identifier"]["system"] == "https://fhir.nhs.uk/Id/ods-organization-code"
    number = {
        "identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": found["subject"]["identifier"]["value"]}
    }
    assert found["subject"] == found["context"]["sourcePatientInfo"] == number
    assert found["content"][0]["extension"][0]["url"].endswith("Extension-England-ContentStability")
    assert "urn:uuid:" not in str({key: value for key, value in found.items() if key != "id"})
    assert "data" not in found["content"][0]["attachment"], "nothing of the plan is in it"


@pytest.mark.parametrize("fixture", POINTERS)
def test_it_is_a_draft_and_says_so(fixture: str) -> None:
    """Whether it goes to the locator, a person or a route decides: nothing here addresses it there."""
    assert one(fixture, "Composition")["status"] == "preliminary"
    assert "Preliminary: this document is not finished." in letter_text(bundle(fixture))


@pytest.mark.parametrize(
    "fixture",
    [
        "example-inpatient/care-plans/held.csv",
        "example-inpatient/care-plans/missing-mandatory.csv",
        "example-crisis-team/crisis-plan/not-verified.hl7",
        "example-crisis-team/crisis-plan/no-document.hl7",
    ],
)
def test_what_a_person_must_look_at_holds_no_pointer(fixture: str) -> None:
    """Even if somebody lets it go: the pointer itself is not made."""
    found = first(fixture)
    assert (found.state, found.deliveries) == (MessageState.PARKED, ())
    for document in found.documents:
        assert b'"DocumentReference"' not in document.body
