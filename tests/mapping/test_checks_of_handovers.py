"""The checks of what is handed over: transfers, transitions, and drafts of pointers to crisis plans. Each can fail."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.model import MessageFacts

NOW = datetime(2025, 5, 2, 18, tzinfo=UTC)
POINTER = "example-crisis-team/crisis-plan"
FAILS, HOLDS = ["I650"], []


def code(system: str, value: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": value}]}


MINE, OTHER = "nhs-dd-care-plan-type-mental-health", "nhs-dd-care-plan-type"
VERIFIED, UNTRACED = code("nhs-number-status", "01"), code("nhs-number-status", "02")
PLACE = {"plan_place": "https://x.example/", "plan_media_type": "application/pdf", "custodian_code": {"value": "RZX"}}
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
]


@cache
def mapping(name: str) -> SupplierMapping:
    return Catalogue(Library([built_in("mappings")])).mapping(name)


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
