"""What document types have of their own: their checks, and which event starts which clock."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from mhbridge.mapping.catalogue import Catalogue, SupplierMapping
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import MessageFacts

NOW = datetime(2025, 6, 21, 8, tzinfo=UTC)
EMERGENCY, ACUTE = "example-emergency/attendance-letter", "example-acute/discharge-letter"


@cache
def mapping(name: str) -> SupplierMapping:
    return Catalogue(Library([built_in("mappings")])).mapping(name)


SERVICE = [{"service": {"text": "x"}}]
FAILS, HOLDS = ["I650"], []
CHECKS: list[tuple[str, str, str, dict[str, Any], list[str]]] = [
    (EMERGENCY, "left-before-arrival", "before", {"arrived_at": "2025-06-20", "discharged_at": "2025-06-19"}, FAILS),
    (EMERGENCY, "left-before-arrival", "after", {"arrived_at": "2025-06-20", "discharged_at": "2025-06-21"}, HOLDS),
    (EMERGENCY, "liaison-without-follow-up", "nobody", {"mental_health_liaison": "x"}, FAILS),
    (
        EMERGENCY,
        "liaison-without-follow-up",
        "a service",
        {"mental_health_liaison": "x", "onward_services": SERVICE},
        HOLDS,
    ),
    (
        EMERGENCY,
        "liaison-without-follow-up",
        "a follow-up",
        {"mental_health_liaison": "x", "follow_up_arranged": [{"text": "x"}]},
        HOLDS,
    ),
    (EMERGENCY, "liaison-without-follow-up", "no liaison", {}, HOLDS),
    (EMERGENCY, "liaison-without-follow-up", "died", {"mental_health_liaison": "x", "deceased": True}, HOLDS),
]


@pytest.mark.parametrize(
    ("name", "check", "what", "items", "expected"), CHECKS, ids=[f"{c[1]}: {c[2]}" for c in CHECKS]
)
def test_a_check_finds_what_it_is_for(
    name: str, check: str, what: str, items: dict[str, Any], expected: list[str]
) -> None:
    found = next(one for one in mapping(name).checks if one.rule.name == check)
    run = mapping(name).run(MessageFacts("hl7v2", "MDM^T02"), NOW)
    assert [issue.code for issue in found.issues(items, run)] == expected, what


def of_class(code: str) -> dict[str, Any]:
    return {"encounter_class": {"coding": [{"system": "v3-act-code", "code": code}]}}


@pytest.mark.parametrize(
    ("event", "ward", "emergency"),
    [
        ("of an inpatient", True, False),
        ("of an attendance", False, True),
        ("of an outpatient", False, False),
        ("that names no class", True, True),  # what is missing never stops a clock
        ("that was cancelled", False, False),
    ],
)
def test_which_clock_an_event_starts(event: str, ward: bool, emergency: bool) -> None:
    items = {
        "of an inpatient": of_class("IMP"),
        "of an attendance": of_class("EMER"),
        "of an outpatient": of_class("AMB"),
        "that names no class": {},
        "that was cancelled": {"cancelled": True},
    }[event]
    for name, runs in ((ACUTE, ward), (EMERGENCY, emergency)):
        clock = next(one for one in mapping(name).clocks if one.name == "summary-24h")
        assert clock.excluded is not None
        excluded = clock.excluded(items, None, mapping(name).run(MessageFacts("hl7v2", "ADT^A03"), NOW), None, 0)
        assert excluded is not runs, name
