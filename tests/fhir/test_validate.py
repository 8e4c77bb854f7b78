"""What the validator says: nothing of good resources, and of each broken one exactly what the table expects."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
import table
from hypothesis import given, settings
from hypothesis import strategies as st
from table import BROKEN, changed

from mhbridge.errors import MalformedMessage, explanations
from mhbridge.fhir import validate as validation
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.definitions import r4
from mhbridge.fhir.invariants import INVARIANTS, OF_PROFILES
from mhbridge.fhir.models import as_model, second_opinion
from mhbridge.fhir.validate import DIAGNOSTICS, DefinitionsValidator, default_validator, operation_outcome, validate
from mhbridge.model import Issue, Severity

GOOD: dict[str, Any] = loads(table.GOOD.read_bytes())


def verdicts(issues: tuple[Issue, ...]) -> list[tuple[str, str]]:
    marks = {Severity.ERROR: "", Severity.WARNING: "W:", Severity.INFORMATION: "I:"}
    return sorted((marks[issue.severity] + issue.code, issue.path) for issue in issues)


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert validate(GOOD[name]) == ()


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row["case"])
def test_broken(row: dict[str, Any]) -> None:
    resource = changed(GOOD[row["of"]], row)
    assert verdicts(validate(resource)) == sorted((code, path) for code, path in row["expect"])


def test_the_audit_finds_what_the_rest_finds_and_no_more() -> None:
    """`fhir.resources` is asked too: it refuses nothing that is good, and its words for what is broken are known."""
    audit = DefinitionsValidator(r4(), ask_models=True)
    assert {name: audit(resource) for name, resource in GOOD.items()} == dict.fromkeys(GOOD, ())
    for row in BROKEN:
        found = verdicts(audit(changed(GOOD[row["of"]], row)))
        assert found == sorted((code, path) for code, path in row["expect"]), row["case"]


def test_the_audit_judges_types_outside_the_tables() -> None:
    account = {"resourceType": "Account", "status": "active", "guarantor": [{"onHold": True}]}
    found = DefinitionsValidator(r4(), ask_models=True)(account)
    assert verdicts(found) == [("V103", "Account.guarantor[0].party"), ("W:V122", "Account")]


def test_every_code_of_the_table_is_explained() -> None:
    known = explanations()
    assert {code.rpartition(":")[2] for row in BROKEN for code, _ in row["expect"]} <= set(known)


def test_every_invariant_is_broken_by_a_row() -> None:
    issues = [issue for row in BROKEN for issue in validate(changed(GOOD[row["of"]], row))]
    broken = {key for issue in issues for key in re.findall(r"\(([a-z][a-z0-9-]*-\d+)\)", issue.text)}
    known = {i.key for table in (INVARIANTS, OF_PROFILES) for found in table.values() for i in found}
    assert known - broken == set()


def test_a_resource_is_not_changed() -> None:
    for row in BROKEN:
        resource = changed(GOOD[row["of"]], row)
        before = copy.deepcopy(resource)
        validate(resource)
        assert resource == before


@pytest.mark.parametrize("resource", [{}, [], None, "x", 7, {"resourceType": []}, {"resourceType": None}])
def test_what_is_no_resource_at_all(resource: Any) -> None:
    assert [issue.code for issue in validate(resource)] == ["V101"]


# --- nothing leaks ---

CANARY = "Zebediah-4412"
WRONG: list[Any] = [
    CANARY,
    f" {CANARY}",
    f"#{CANARY}",
    f"{CANARY}/1",
    f"urn:uuid:{CANARY}",
    f"<div>{CANARY}",
    441244124412,
    [CANARY],
    {CANARY: CANARY},
    [[CANARY]],
    {"resourceType": CANARY},
    {"resourceType": "Patient", CANARY: CANARY, "gender": CANARY},
]


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(node, dict):
        return [path, *(leaf for key, value in node.items() for leaf in leaves(value, (*path, key)))]
    if isinstance(node, list):
        return [path, *(leaf for place, value in enumerate(node) for leaf in leaves(value, (*path, place)))]
    return [path]


PLACES = {name: leaves(resource)[1:] for name, resource in GOOD.items()}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_value_ever_stands_in_an_issue(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(GOOD)))
    place = data.draw(st.sampled_from(PLACES[name]))
    resource = copy.deepcopy(GOOD[name])
    holder = resource
    for step in place[:-1]:
        holder = holder[step]
    if data.draw(st.booleans()) and isinstance(holder, dict):
        holder[CANARY] = holder.pop(place[-1])
    else:
        holder[place[-1]] = data.draw(st.sampled_from(WRONG))
    issues = validate(resource)
    said = repr(issues) + json.dumps(operation_outcome(issues))
    assert "Zebediah" not in said
    assert "4412" not in said


def test_the_models_own_messages_would_leak() -> None:
    """The control of the test above: pydantic quotes what it refuses, so its messages must not be passed on."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match=CANARY):
        get_fhir_model_class("Patient").model_validate({"resourceType": "Patient", "birthDate": CANARY})


# --- the second opinion ---


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"resourceType": "Patient", "birthDate": "2026-02-30"}, [("V105", "Patient.birthDate")]),
        ({"resourceType": "Patient", "birthDate": "tomorrow"}, [("V105", "Patient.birthDate")]),
        ({"resourceType": "Patient", "surname": "x"}, [("V102", "Patient")]),
        ({"resourceType": "Patient", "name": {"family": "x"}}, [("V104", "Patient.name")]),
        ({"resourceType": "Patient", "telecom": [{"rank": 0}]}, [("V105", "Patient.telecom[0].rank")]),
        ({"resourceType": "Patient", "extension": [{"valueString": "x"}]}, [("V103", "Patient.extension[0].url")]),
        (
            {"resourceType": "Patient", "_birthDate": {"extension": [{"url": "x", "valueDate": "x"}]}},
            [("V105", "Patient.birthDate.extension[0].value")],
        ),
        ({"resourceType": "Patient", "deceasedBoolean": True, "deceasedDateTime": "2026"}, [("V123", "Patient")]),
        ({"resourceType": "Encounter", "status": "finished"}, [("V103", "Encounter.class")]),
        ({"resourceType": "Nothing"}, [("V123", "Nothing")]),
    ],
)
def test_second_opinion(resource: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = second_opinion(resource, resource["resourceType"])
    assert [(issue.code, issue.path) for issue in found] == expected
    assert all(issue.severity is Severity.ERROR for issue in found)


def test_what_only_the_models_refuse_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def opinion(_: Any, path: str) -> tuple[Issue, ...]:
        refused = "the FHIR model library refuses this"
        return tuple(Issue("V123", Severity.ERROR, refused, place) for place in (f"{path}.gender", f"{path}.active"))

    monkeypatch.setattr(validation, "second_opinion", opinion)
    audit = DefinitionsValidator(r4(), ask_models=True)
    found = audit({"resourceType": "Patient", "gender": "", "active": True})
    assert [(issue.code, issue.path) for issue in found] == [("V108", "Patient.gender"), ("V123", "Patient.active")]


def test_narratives_are_asked_for_on_request() -> None:
    strict = DefinitionsValidator(r4(), good_practice=True)
    assert verdicts(strict(GOOD["encounter"])) == [("W:V127", "Encounter")]
    assert verdicts(strict(GOOD["patient"])) == [("W:V127", "Patient")]  # what is contained needs none
    assert strict(GOOD["narrated"]) == ()
    assert strict(GOOD["parameters"])[0].path == "Parameters.parameter[0].resource"


# --- telling others ---


def test_operation_outcome_of_issues() -> None:
    issues = (
        *validate({"resourceType": "Patient", "gender": "M"}),
        Issue("I602", Severity.WARNING, "code not in the table", "PV1-36", "discharge_method", "x.yaml:7:3"),
    )
    outcome = operation_outcome(issues)
    assert outcome == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "code-invalid",
                "details": {
                    "coding": [{"system": DIAGNOSTICS, "code": "V106"}],
                    "text": "no code of the required value set http://hl7.org/fhir/ValueSet/administrative-gender",
                },
                "expression": ["Patient.gender"],
            },
            {
                "severity": "warning",
                "code": "processing",
                "details": {"coding": [{"system": DIAGNOSTICS, "code": "I602"}], "text": "code not in the table"},
                "diagnostics": "PV1-36; discharge_method; x.yaml:7:3",
            },
        ],
    }


def test_operation_outcome_of_nothing() -> None:
    (issue,) = operation_outcome(())["issue"]
    assert issue["severity"] == "information"
    assert issue["details"]["coding"][0]["code"] == "V100"


def test_every_operation_outcome_is_good_fhir() -> None:
    everything = [issue for row in BROKEN for issue in validate(changed(GOOD[row["of"]], row))]
    others = [Issue(code, Severity.ERROR, "x") for code in ("C801", "D901", "E101", "I601", "M701", "S201", "X001")]
    assert validate(operation_outcome([*everything, *others])) == ()
    assert validate(operation_outcome(())) == ()


# --- models ---


def test_as_model() -> None:
    patient = as_model(GOOD["patient"])
    assert type(patient).__module__ == "fhir.resources.R4B.patient"
    assert patient.name[0].family == "Testperson"


def test_as_model_refuses_without_quoting() -> None:
    with pytest.raises(MalformedMessage) as caught:
        as_model({"resourceType": "Patient", "birthDate": CANARY, "active": [CANARY]})
    assert caught.value.code == "V104"
    assert caught.value.path == "Patient.active"
    assert "and 1 more" in caught.value.message
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None or CANARY not in str(caught.value.__context__)


def test_default_validator_is_one() -> None:
    assert default_validator() is default_validator()
