"""Parts that builds state are one object each, in all documents: nobody changes one, and none is a message's."""

from __future__ import annotations

from typing import Any

import pytest

import shipped
from mhbridge.fhir import stated as module
from mhbridge.fhir.bundle import dumps
from mhbridge.fhir.compiled import compiled
from mhbridge.fhir.definitions import r4
from mhbridge.fhir.stated import STATED, shared, stated
from mhbridge.mapping.library import built_in
from mhbridge.model import Outcome
from mhbridge.testing.replaying import RECEIVED_AT, cases, feed_of, outcomes_of

SUPPLIER = "example-mental-health"
FINISHED = "http://terminology.hl7.org/CodeSystem/condition-clinical"
MISSING = "urn:uuid:00000000-0000-8000-8000-000000000000"


def translated(*changes: tuple[bytes, bytes]) -> list[Outcome]:
    own = feed_of(shipped.catalogue(), SUPPLIER)
    found: list[Outcome] = []
    for case in cases(built_in("fixtures")):
        if case.supplier == SUPPLIER:
            body = case.path.read_bytes()
            for old, new in changes:
                body = body.replace(old, new)
            found += outcomes_of(body, own, RECEIVED_AT)[0]
    return found


def test_nobody_changes_a_part_and_no_message_becomes_one() -> None:
    # What other tests state stays for as long as the process.
    theirs = set(module._KNOWN)
    outcomes = translated()
    assert sum(len(outcome.documents) for outcome in outcomes) > 10
    before = len(STATED)
    assert before > 100
    # Other people, and other words for the same codes.
    assert translated((b"Marigold", b"Tansy"), (b"TESTPATIENT", b"SPECIMEN"), (b"Mother", b"Mum"))
    assert len(STATED) == before
    assert [text for text, part in module._KNOWN.items() if dumps(part) != text] == []
    ours = set(module._KNOWN) - theirs
    assert not any(name in text for text in ours for name in (b"Tansy", b"Marigold", b"Mum"))


def test_equal_parts_are_one_object() -> None:
    one = stated({"coding": [{"code": "x"}], "text": "y"})
    assert stated({"coding": [{"code": "x"}], "text": "y"}) is one
    assert stated([{"code": "x"}]) is one["coding"]
    assert stated({"text": "y", "coding": [{"code": "x"}]}) is not one
    assert stated("x") == "x"


def test_what_is_no_longer_kept_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 0)
    part = {"text": "one too many"}
    assert stated(part) == part
    assert id(stated(part)) not in STATED


def condition(status: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "subject": {"display": "x"}, "clinicalStatus": status}


def test_what_is_right_is_found_out_of_each_place() -> None:
    """And of what is wrong, each time."""
    is_clean = compiled(r4())
    active = stated({"coding": [{"system": FINISHED, "code": "active"}]})
    other = stated({"coding": [{"system": "http://snomed.info/sct", "code": "1"}]})
    broken = stated({"coding": [{"system": FINISHED, "code": "no such code"}]})
    for _ in range(3):
        assert is_clean(condition(active))
        assert not is_clean(condition(other)), "the element asks for codes of another system"
        assert is_clean(condition(active) | {"code": other})
        assert not is_clean(condition(active) | {"code": broken})
        assert not is_clean(condition({"coding": [{"system": FINISHED, "code": "no such code"}]}))


def test_where_a_reference_leads_is_asked_each_time() -> None:
    is_clean = compiled(r4())
    part = stated({"url": "http://example.org/x", "valueReference": {"reference": MISSING}})
    patient = {"resourceType": "Patient", "extension": [part]}
    entry = {"fullUrl": MISSING, "resource": {"resourceType": "Organization", "name": "x"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}
    for _ in range(3):
        assert not is_clean(bundle)
        assert is_clean({**bundle, "entry": [*bundle["entry"], entry]})


def test_where_an_extension_may_stand_is_asked_of_each_place() -> None:
    is_clean = compiled(r4())
    code = {"system": "http://snomed.info/sct", "code": "160499008"}
    url = "http://hl7.org/fhir/StructureDefinition/patient-adoptionInfo"
    part = stated({"url": url, "valueCodeableConcept": {"coding": [code]}})
    wrong = stated({"url": url, "valueString": "A"})
    for _ in range(3):
        assert is_clean({"resourceType": "Patient", "extension": [part]})
        assert not is_clean({"resourceType": "Patient", "extension": [wrong]})
        assert not is_clean({"resourceType": "Patient", "modifierExtension": [part]})
        assert not is_clean({"resourceType": "Patient", "extension": [part, part]}), "not more than once"
        assert not is_clean({"resourceType": "Location", "extension": [part]})


def test_a_whole_is_stated_where_its_one_part_is() -> None:
    known: dict[int, Any] = {}
    mine = {"coding": [{"code": "received"}]}
    assert id(shared({"url": "u", "valueCodeableConcept": mine}, mine, known)) not in STATED
    assert known == {}
    code = stated({"coding": [{"code": "of a table"}]})
    one = shared({"url": "u", "valueCodeableConcept": code}, code, known)
    assert known[id(code)] is one
    assert STATED[id(one)] is one
