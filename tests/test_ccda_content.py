"""
What a C-CDA discharge summary has in its entries becomes resources with the codes and the units that it came with; what
it only plans, denies or asks beside it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

import shipped
from mhbridge.fhir.bundle import loads
from mhbridge.mapping.library import built_in
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

SUPPLIER = "international-ccda"


@cache
def entries() -> list[Mapping[str, Any]]:
    body = (built_in("fixtures") / SUPPLIER / "discharge" / "plain.xml").read_bytes()
    outcomes, _ = outcomes_of(body, feed_of(shipped.catalogue(), SUPPLIER), RECEIVED_AT)
    return [one["resource"] for one in loads(outcomes[0].documents[0].body)["entry"]]


def coded(code: str) -> list[Mapping[str, Any]]:
    """The resources whose code, or a component's, is this."""
    return [
        one
        for one in entries()
        if one["resourceType"] in ("Condition", "Observation", "Procedure")
        and code in {coding["code"] for part in (one, *one.get("component", ())) for coding in part["code"]["coding"]}
    ]


def value(resource: Mapping[str, Any]) -> str:
    """A value as it is written: its figure with all digits, its code, or its words."""
    quantity = resource.get("valueQuantity")
    if quantity is not None:
        return f"{quantity.get('comparator', '')}{quantity['value']} {quantity.get('code', '')}".strip()
    concept = resource.get("valueCodeableConcept", {})
    return next((coding["code"] for coding in concept.get("coding", ())), concept.get("text", ""))


@pytest.mark.parametrize(
    ("code", "what", "said"),
    [
        ("39156-5", "a vital sign", "27.50 kg/m2"),
        ("4548-4", "HbA1c in the unit that it came in", "6.50 %"),
        ("13457-7", "a result that is below a figure", "<100 mg/dL"),
        ("5778-6", "a result in words", "Amber"),
        ("72166-2", "a smoking status", "266919005"),
        ("160573003", "drinking in words", "A glass of wine on Sundays"),
        ("8867-4", "a vital sign that nobody knows", ""),
        ("44249-1", "the score of a questionnaire", "12"),
    ],
)
def test_an_entry_keeps_its_code_and_its_value(code: str, what: str, said: str) -> None:
    (found,) = coded(code)
    assert (found["resourceType"], found["status"], value(found)) == ("Observation", "final", said), what


def test_what_the_laboratory_makes_of_a_result_comes_with_it() -> None:
    (found,) = coded("4548-4")
    assert found["interpretation"][0]["coding"][0]["code"] == "H"
    assert found["referenceRange"] == [{"text": "below 5.7"}]


def test_two_pressures_of_a_panel_are_one_panel() -> None:
    (panel,) = coded("8480-6")
    assert panel is coded("8462-4")[0]
    assert [str(one["valueQuantity"]["value"]) for one in panel["component"]] == ["132", "88"]
    assert {one["code"] for half in panel["component"] for one in half["code"]["coding"]} == {
        "8480-6", "8462-4", "72313002", "1091811000000102",
    }  # fmt: skip


def test_a_problem_is_none_of_this_stays_diagnoses() -> None:
    kinds = {
        condition["code"]["coding"][0]["code"]: condition["category"][0]["coding"][0]["code"]
        for condition in entries()
        if condition["resourceType"] == "Condition"
    }
    assert kinds == {"385093006": "encounter-diagnosis", "38341003": "problem-list-item"}
    (encounter,) = [one for one in entries() if one["resourceType"] == "Encounter"]
    assert len(encounter["diagnosis"]) == 1


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("10847001", "the procedure is only planned"),
        ("195967001", "the diagnosis is denied"),
        ("76689-9", "of the social history smoking and drinking are measurements, and nothing else"),
        ("44250-9", "a question of a questionnaire is no score"),
    ],
)
def test_what_is_not_so_becomes_no_resource(code: str, why: str) -> None:
    assert coded(code) == [], why
