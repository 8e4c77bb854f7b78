"""The checks of what is handed over: transfers, transitions, and drafts of pointers to crisis plans. Each can fail."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

import shipped
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.model import MessageFacts

NOW = datetime(2025, 5, 2, 18, tzinfo=UTC)
POINTER = "example-crisis-team/crisis-plan"
TRANSFER = "example-secure/transfer-letter"
TRANSITION = "example-camhs/transition-letter"
FAILS, HOLDS = ["I650"], []


def code(system: str, value: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": value}]}


MINE, OTHER = "nhs-dd-care-plan-type-mental-health", "nhs-dd-care-plan-type"
VERIFIED, UNTRACED = code("nhs-number-status", "01"), code("nhs-number-status", "02")
PLACE = {"plan_place": "https://x.example/", "plan_media_type": "application/pdf", "custodian_code": {"value": "RZX"}}
DAY = "2025-03-14"
NOT_NEEDED = [{"kind": "IMHA", "needed": False}]
ADULT = {"adult_service": {"name": "x"}, "adult_contact": {"name": [{"text": "x"}]}, "adult_service_agreed": "x"}
CASES: list[tuple[str, str, str, dict[str, Any], list[str]]] = [
    (POINTER, "not-a-crisis-plan", "12 of the one list", {"plan_type": code(MINE, "12")}, HOLDS),
    (POINTER, "not-a-crisis-plan", "03 of the other", {"plan_type": code(OTHER, "03")}, HOLDS),
    (POINTER, "not-a-crisis-plan", "03 of the one", {"plan_type": code(MINE, "03")}, FAILS),
    (POINTER, "not-a-crisis-plan", "12 of the other", {"plan_type": code(OTHER, "12")}, FAILS),
    (POINTER, "not-a-crisis-plan", "in words alone", {"plan_type": {"text": "Mental Health Crisis Plan"}}, FAILS),
    (POINTER, "number-not-verified", "it was", {"nhs_number": "x", "nhs_number_status": VERIFIED}, HOLDS),
    (POINTER, "number-not-verified", "not traced", {"nhs_number": "x", "nhs_number_status": UNTRACED}, FAILS),
    (POINTER, "number-not-verified", "nothing is said", {"nhs_number": "x"}, FAILS),
    (POINTER, "number-not-verified", "no number", {"nhs_number_status": VERIFIED}, FAILS),
    (POINTER, "leads-nowhere", "it does not", PLACE, HOLDS),
    *((POINTER, "leads-nowhere", f"no {name}", {**PLACE, name: None}, FAILS) for name in PLACE),
    (POINTER, "plan-not-agreed", "it is", {"plan_status": "final"}, HOLDS),
    (POINTER, "plan-not-agreed", "a draft", {"plan_status": "preliminary"}, FAILS),
    (TRANSFER, "nobody-takes-over", "nobody", {}, FAILS),
    (TRANSFER, "nobody-takes-over", "a ward", {"to_ward": {"ward": "x"}}, HOLDS),
    (TRANSFER, "nobody-takes-over", "a provider", {"receiving_organisation": {"name": "x"}}, HOLDS),
    (TRANSFER, "moved-before-admission", "before", {"admitted_at": DAY, "transferred_at": "2025-03-13"}, FAILS),
    (TRANSFER, "moved-before-admission", "the same day", {"admitted_at": DAY, "transferred_at": DAY}, HOLDS),
    (TRANSFER, "out-of-area-wishes-not-said", "near home", {}, HOLDS),
    (TRANSFER, "out-of-area-wishes-not-said", "not out of area", {"out_of_area": False}, HOLDS),
    (TRANSFER, "out-of-area-wishes-not-said", "nothing is said", {"out_of_area": True}, FAILS),
    (TRANSFER, "out-of-area-wishes-not-said", "a reason alone", {"out_of_area_reason": {"text": "x"}}, FAILS),
    (TRANSFER, "out-of-area-wishes-not-said", "wishes", {"out_of_area": True, "concerns": "x"}, HOLDS),
    (TRANSFER, "out-of-area-advocacy-not-said", "nothing is said", {"out_of_area": True}, FAILS),
    (TRANSFER, "out-of-area-advocacy-not-said", "not needed", {"out_of_area": True, "advocates": NOT_NEEDED}, HOLDS),
    (TRANSFER, "out-of-area-home-team-not-said", "nothing is said", {"out_of_area": True}, FAILS),
    (TRANSFER, "out-of-area-home-team-not-said", "a team", {"out_of_area": True, "home_team": {"name": "x"}}, HOLDS),
    (TRANSITION, "no-adult-service-named", "none", {}, FAILS),
    (TRANSITION, "no-adult-service-named", "one", {"adult_service": {"name": "x"}}, HOLDS),
    (TRANSITION, "no-adult-service-named", "why there is none", {"no_adult_service": "x"}, HOLDS),
    (TRANSITION, "adult-service-did-not-agree", "nobody", {"adult_service": {"name": "x"}}, FAILS),
    (TRANSITION, "adult-service-did-not-agree", "a person alone", {**ADULT, "adult_service_agreed": None}, FAILS),
    (TRANSITION, "adult-service-did-not-agree", "agreed", ADULT, HOLDS),
    (TRANSITION, "adult-service-did-not-agree", "no service", {}, HOLDS),
    (TRANSITION, "young-person-not-heard", "nothing is said", {}, FAILS),
    (TRANSITION, "young-person-not-heard", "wishes", {"concerns": "x"}, HOLDS),
    (TRANSITION, "young-person-not-heard", "how", {"young_person_involved": "x"}, HOLDS),
    (TRANSITION, "no-transition-plan", "none", {}, FAILS),
    (TRANSITION, "no-transition-plan", "one", {"transition_plan": "x"}, HOLDS),
]


@cache
def mapping(name: str) -> SupplierMapping:
    return shipped.catalogue().mapping(name)


@cache
def shared() -> set[str]:
    """Those of parts: their table is that of the discharge."""
    return {check.rule.name for check in mapping("example-mental-health/discharge-letter").checks}


@pytest.mark.parametrize(
    ("feed", "name", "what", "items", "expected"), CASES, ids=[": ".join(one[1:3]) for one in CASES]
)
def test_a_check_finds_what_it_is_for(
    feed: str, name: str, what: str, items: dict[str, Any], expected: list[str]
) -> None:
    check = next(one for one in mapping(feed).checks if one.rule.name == name)
    given = {key: value for key, value in items.items() if value is not None}
    run = mapping(feed).run(MessageFacts("hl7v2", "MDM^T02"), NOW)
    assert [issue.code for issue in check.issues(given, run)] == expected, what


@pytest.mark.parametrize("feed", sorted({one[0] for one in CASES}))
def test_every_check_of_theirs_is_in_the_table_both_ways(feed: str) -> None:
    found = {check.rule.name for check in mapping(feed).checks} - shared()
    assert found == {name for one, name, _, _, result in CASES if one == feed and result == FAILS}
    assert found == {name for one, name, _, _, result in CASES if one == feed and result == HOLDS}
