"""
What document types have of their own: fixtures from several formats, checks, which event starts which clock, and whom a
notice goes to and takes back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from mhbridge import config, pipeline
from mhbridge.app.feeds import feeds_from
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.library import built_in
from mhbridge.model import MessageFacts, Reading
from mhbridge.testing.replaying import cases, feed_of
from shipped import catalogue

NOW = datetime(2025, 6, 21, 8, tzinfo=UTC)
EMERGENCY, ACUTE = "example-emergency/attendance-letter", "example-acute/discharge-letter"
NOTICE = "example-acute/social-care-notice"


@cache
def mapping(name: str) -> SupplierMapping:
    return catalogue().mapping(name)


#: Document types that come in one format only, each with the reason.
ONE_FORMAT = {
    "care-team-notice": "the gateway makes it of an admission and a stay, in its own form; nobody can send one",
    "death-after-discharge": "the gateway makes it of a death and a stay, in its own form; nobody can send one",
}


def bar(document: str, found: dict[str, int]) -> list[str]:
    """What a document type lacks, given its fixtures by format: six of them, from two formats."""
    formats = 1 if document in ONE_FORMAT else 2
    return [
        *(["six fixtures"] if sum(found.values()) < 6 else []),
        *([f"{formats} formats"] if sum(map(bool, found.values())) < formats else []),
    ]


@cache
def fixtures() -> dict[str, dict[str, int]]:
    """Document type → format → how many messages."""
    found: dict[str, dict[str, int]] = {name: {} for name in documents()}
    for case in cases(built_in("fixtures")):
        supplied = mapping(f"{case.supplier}/{case.feed}")
        formats = found[supplied.document.name]
        formats[supplied.source.format] = formats.get(supplied.source.format, 0) + 1
        # What is made beside a letter, where its golden file is there.
        for beside in supplied.document.extracts if case.path.with_suffix(".beside.json").is_file() else ():
            formats = found[beside]
            formats[supplied.source.format] = formats.get(supplied.source.format, 0) + 1
    return found


def documents() -> list[str]:
    return sorted(path.name for path in (built_in("mappings") / "documents").iterdir() if path.is_dir())


@pytest.mark.parametrize("document", documents())
def test_a_document_type_has_six_fixtures_from_two_formats(document: str) -> None:
    assert bar(document, fixtures()[document]) == []


@pytest.mark.parametrize(
    ("document", "found", "lacks"),
    [
        ("community-discharge", {"csv": 5, "json": 1}, []),
        ("community-discharge", {"csv": 12}, ["2 formats"]),
        ("community-discharge", {"csv": 4, "json": 1}, ["six fixtures"]),
        ("visit-event", {"hl7v2": 6}, ["2 formats"]),
        ("care-team-notice", {"json": 6}, []),
        ("care-team-notice", {}, ["six fixtures", "1 formats"]),
    ],
)
def test_a_type_that_lacks_them_would_be_seen(document: str, found: dict[str, int], lacks: list[str]) -> None:
    assert bar(document, found) == lacks


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
    (NOTICE, "discharge-notice-without-a-date", "none", {"notice": "discharge", "act": "new"}, FAILS),
    (
        NOTICE,
        "discharge-notice-without-a-date",
        "a day",
        {"notice": "discharge", "act": "new", "planned_discharge": "2025-06-21"},
        HOLDS,
    ),
    (NOTICE, "discharge-notice-without-a-date", "an assessment", {"notice": "assessment", "act": "new"}, HOLDS),
    (NOTICE, "discharge-notice-without-a-date", "withdrawn", {"notice": "discharge", "act": "cancel"}, HOLDS),
    (NOTICE, "nothing-is-asked", "nothing", {"act": "new"}, FAILS),
    (NOTICE, "nothing-is-asked", "a need", {"act": "new", "needs_expected": "x"}, HOLDS),
    (NOTICE, "nothing-is-asked", "a question", {"act": "new", "asked_of_authority": ["x"]}, HOLDS),
    (NOTICE, "nothing-is-asked", "withdrawn", {"act": "cancel"}, HOLDS),
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


def reading(case: str) -> Reading:
    body = (built_in("fixtures") / NOTICE / f"{case}.hl7").read_bytes()
    (found,) = pipeline.outcome_now(body, feed_of(catalogue(), "example-acute"), NOW)
    return next(one for one in found.readings if one.document == "social-care-notice")


def test_a_withdrawal_takes_back_the_notice_that_it_names_and_no_other() -> None:
    """What a cancellation takes back is what has its episode; another notice of the same stay goes on."""
    assessment, discharge, changed, gone = map(reading, ("assessment", "discharge", "discharge-changed", "withdrawn"))
    assert gone.items["act"] == "cancel"
    assert gone.episode == assessment.episode
    assert gone.patient == discharge.patient
    assert gone.episode != discharge.episode
    assert changed.episode == discharge.episode


@pytest.mark.parametrize(("code", "to"), [("ZZLA1", ["council"]), ("ZZLA2", [])])
def test_a_notice_goes_to_the_local_authority_that_it_names(code: str, to: list[str]) -> None:
    text = f"""
[gateway]
mode = "test"

[[receiver]]
supplier = "example-acute"
kind = "mllp"
listen = "127.0.0.1:0"

[[destination]]
name = "council"
kind = "folder"
path = "council"

[[route]]
documents = ["social-care-notice"]
to = ["council"]
recipients = {{items = ["local_authority"], organisations = ["{code}"]}}
"""
    (feed,) = feeds_from(config.parse(text, environ={}), catalogue()).values()
    body = (built_in("fixtures") / NOTICE / "assessment.hl7").read_bytes()
    (found,) = pipeline.outcome_now(body, feed, NOW)
    assert [planned.destination for planned in found.deliveries] == to
