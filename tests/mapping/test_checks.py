"""Safety checks: what each of those that come with mhbridge finds, and what follows from it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

import shipped
from mhbridge import pipeline
from mhbridge.mapping.catalogue import SupplierMapping
from mhbridge.mapping.checks import Action, ReadyCheck
from mhbridge.mapping.compiler import Compiler
from mhbridge.mapping.interpreter import Interpreter
from mhbridge.mapping.library import built_in
from mhbridge.model import DELETED, MASKED, UNKNOWN_ERROR, Envelope, MessageFacts, Outcome, Severity, Verdict

NOW = datetime(2025, 3, 14, 18, tzinfo=UTC)
SUPPLIER = "example-mental-health"
LETTER = f"{SUPPLIER}/discharge-letter"


@cache
def mappings() -> tuple[SupplierMapping, SupplierMapping]:
    """The mapping of a letter, compiled and walked."""
    found = [shipped.catalogue(one).mapping(LETTER) for one in (Compiler, Interpreter)]
    return found[0], found[1]


def concept(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "uk-core-medication-change-status", "code": code}]}


A = [{"code": {"text": "x"}}]
SIX = [
    {
        "check": {"coding": [{"system": "mhbridge-physical-health-check", "code": code}]},
        "value": "x",
        "at": "2025-03-14",
    }
    for code in ("alcohol", "glucose", "blood-pressure", "bmi", "lipids", "smoking")
]


def hba1c(code: str, unit: str) -> dict[str, Any]:
    return {"code": {"coding": [{"system": "snomed", "code": code}]}, "value": {"value": 48, "unit": unit}}


FAILS, HOLDS, UNDECIDED, SILENT = ["I650"], [], ["I608"], []
CASES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("none-known-beside-an-allergy", "both", {"no_known_allergies": True, "allergies": A}, FAILS),
    ("none-known-beside-an-allergy", "an allergy", {"allergies": A}, HOLDS),
    ("none-known-beside-an-allergy", "none known", {"no_known_allergies": True}, HOLDS),
    ("none-known-beside-an-allergy", "it is not said", {"no_known_allergies": False, "allergies": A}, HOLDS),
    ("none-known-beside-an-allergy", "nothing", {}, HOLDS),
    ("none-known-beside-an-allergy", "unread", {"no_known_allergies": True, "allergies": UNKNOWN_ERROR}, UNDECIDED),
    ("none-known-against-an-earlier-allergy", "both", {"no_known_allergies": True, "earlier_allergies": A}, FAILS),
    ("none-known-against-an-earlier-allergy", "an earlier one", {"earlier_allergies": A}, HOLDS),
    ("none-known-against-an-earlier-allergy", "none known", {"no_known_allergies": True}, HOLDS),
    ("none-beside-a-medicine", "both", {"no_medicines": True, "medicines": A}, FAILS),
    ("none-beside-a-medicine", "a medicine", {"medicines": A}, HOLDS),
    ("stopped-medicine-has-reason", "one has none", {"medicines_stopped": [{"change_reason": "x"}, *A]}, FAILS),
    ("stopped-medicine-has-reason", "each has one", {"medicines_stopped": [{"change_reason": "x"}]}, HOLDS),
    ("stopped-medicine-has-reason", "no medicine was stopped", {}, HOLDS),
    ("stopped-medicine-has-reason", "deleted", {"medicines_stopped": DELETED}, HOLDS),
    ("changed-medicine-has-reason", "amended", {"medicines": [{"change": concept("amended")}]}, FAILS),
    ("changed-medicine-has-reason", "continued", {"medicines": [{"change": concept("continued")}]}, HOLDS),
    ("changed-medicine-has-reason", "not said", {"medicines": A}, HOLDS),
    (
        "changed-medicine-has-reason",
        "with a reason",
        {"medicines": [{"change": concept("added"), "change_reason": "x"}]},
        HOLDS,
    ),
    ("left-before-admission", "before", {"admitted_at": "2025-03-14", "discharged_at": "2025-03-13"}, FAILS),
    ("left-before-admission", "the same day", {"admitted_at": "2025-03-14", "discharged_at": "2025-03-14"}, HOLDS),
    ("left-before-admission", "after", {"admitted_at": "2025-03-13", "discharged_at": "2025-03-14T09:00:00Z"}, HOLDS),
    ("left-before-admission", "who knows", {"admitted_at": "2025-03-13", "discharged_at": "2025"}, HOLDS),
    ("left-before-admission", "unread", {"admitted_at": UNKNOWN_ERROR, "discharged_at": "2025-03-14"}, UNDECIDED),
    ("risk-is-only-a-level", "only a level", {"risk_band": "high"}, FAILS),
    ("risk-is-only-a-level", "with words", {"risk_band": "high", "risk_to_self": "x"}, HOLDS),
    ("risk-is-only-a-level", "with a plan", {"risk_band": "high", "safety_plan": "x"}, HOLDS),
    ("risk-is-only-a-level", "no level", {}, HOLDS),
    ("nobody-to-call", "nobody", {}, FAILS),
    ("nobody-to-call", "somebody", {"crisis_contacts": "x"}, HOLDS),
    ("nobody-to-call", "the patient has died", {"deceased": True}, HOLDS),
    ("nobody-to-call", "withheld", {"crisis_contacts": MASKED}, SILENT),
    ("physical-health-check-missing-or-old", "none of the six", {}, FAILS),
    (
        "physical-health-check-missing-or-old",
        "each of them",
        {"physical_health": SIX, "written_at": "2025-03-14"},
        HOLDS,
    ),
    ("physical-health-check-missing-or-old", "old", {"physical_health": SIX, "written_at": "2026-03-15"}, FAILS),
    ("physical-health-check-missing-or-old", "unread", {"physical_health": UNKNOWN_ERROR}, UNDECIDED),
    ("physical-health-check-missing-or-old", "the patient has died", {"deceased": True}, HOLDS),
    ("follow-up-not-said", "nobody", {}, FAILS),
    ("family-left-out-without-reason", "no reason", {"care_plans": [{"family_involved": False}]}, FAILS),
    (
        "family-left-out-without-reason",
        "with a reason",
        {"care_plans": [{"family_involved": False, "family_not_involved_because": "x"}]},
        HOLDS,
    ),
    ("family-left-out-without-reason", "nobody says", {"care_plans": [{}]}, HOLDS),
    ("advocate-needed-and-none", "none", {"advocates": [{"needed": True, "assigned": False}]}, FAILS),
    (
        "advocate-needed-and-none",
        "and why",
        {"advocates": [{"needed": True, "assigned": False, "none_because": "x"}]},
        HOLDS,
    ),
    ("advocate-needed-and-none", "assigned", {"advocates": [{"needed": True, "assigned": True}]}, HOLDS),
    ("advocate-needed-and-none", "it is not said", {"advocates": [{"needed": True}]}, HOLDS),
    ("adjustments-needed-not-said", "which", {"adjustments_needed": True}, FAILS),
    ("adjustments-needed-not-said", "in words", {"adjustments_needed": True, "reasonable_adjustments": "x"}, HOLDS),
    ("contact-neither-copied-nor-why-not", "neither", {"contacts": [{"copy_letters": True}, {"rank": 2}]}, FAILS),
    ("contact-neither-copied-nor-why-not", "a copy", {"contacts": [{"copy_letters": True}]}, HOLDS),
    ("contact-neither-copied-nor-why-not", "why not", {"contacts": [{"not_copied_because": "x"}]}, HOLDS),
    ("contact-neither-copied-nor-why-not", "withheld", {"contacts": MASKED}, SILENT),
    ("hba1c-of-the-other-scale", "%", {"physical_health": [hba1c("999791000000106", "%")]}, FAILS),
    ("hba1c-of-the-other-scale", "mol", {"physical_health": [hba1c("1019431000000105", "mmol/mol")]}, FAILS),
    ("hba1c-of-the-other-scale", "its own", {"physical_health": [hba1c("999791000000106", "mmol/mol")]}, HOLDS),
    ("hba1c-of-the-other-scale", "no code", {"physical_health": [{"value": {"value": 6.5, "unit": "%"}}]}, HOLDS),
    ("hba1c-of-the-other-scale", "unread", {"physical_health": UNKNOWN_ERROR}, UNDECIDED),
    ("follow-up-not-said", "somebody", {"follow_up": [{"how": "x"}]}, HOLDS),
]


def said(check: ReadyCheck, items: dict[str, Any], mapping: SupplierMapping) -> list[str]:
    return [issue.code for issue in check.issues(items, mapping.run(MessageFacts("hl7v2", "MDM^T02"), NOW))]


@pytest.mark.parametrize(("name", "what", "items", "expected"), CASES, ids=[f"{one[0]}: {one[1]}" for one in CASES])
def test_a_check_finds_what_it_is_for(name: str, what: str, items: dict[str, Any], expected: list[str]) -> None:
    for mapping in mappings():
        check = next(one for one in mapping.checks if one.rule.name == name)
        assert said(check, items, mapping) == expected, what


def test_every_check_is_in_the_table_with_a_letter_that_fails_it_and_one_that_does_not() -> None:
    found = {check.rule.name for check in mappings()[0].checks}
    assert found == {name for name, _, _, result in CASES if result == FAILS}
    assert found == {name for name, _, _, result in CASES if result == HOLDS}


def test_every_check_has_a_source_and_a_hazard_of_the_log() -> None:
    log = (built_in("mappings") / "HAZARDS.md").read_text("utf-8")
    hazards = set(re.findall(r"^### (H\d\d) ", log, flags=re.MULTILINE))
    catalogue = shipped.catalogue()
    for name in catalogue.names():
        for check in catalogue.mapping(name).checks:
            assert check.rule.source
            assert check.rule.hazard in hazards, check.rule.name


def outcome(action: Action | None) -> tuple[Outcome, Verdict]:
    """Of a letter that says only a level of risk, were that check's action this; `None`: were there no check."""
    mapping = mappings()[0]
    checks = tuple(
        replace(one, rule=replace(one.rule, action=action))
        for one in mapping.checks
        if one.rule.name.startswith("risk")
    )
    mapping = replace(mapping, checks=() if action is None else checks)
    routes = (pipeline.Route(frozenset({mapping.document.name}), ("gp",)),)
    feed = pipeline.Feed(SUPPLIER, LETTER, (mapping,), routes, live=False)
    body = (built_in("fixtures") / LETTER / "no-medicines-allergies-unknown.hl7").read_bytes()
    (taken,) = pipeline.intake(Envelope(body, SUPPLIER, LETTER, NOW, "mllp"), feed).messages
    found = pipeline.step(taken, {}, NOW, feed)
    return found, pipeline.answer([found], feed, NOW).verdict


@pytest.mark.parametrize(
    ("action", "state", "code", "deliveries", "verdict"),
    [
        (None, "done", "", 1, Verdict.ACCEPTED),
        (Action.FLAG, "done", "", 1, Verdict.ACCEPTED),
        (Action.HOLD, "parked", "M745", 0, Verdict.ACCEPTED),
        (Action.REFUSE, "parked", "M746", 0, Verdict.REFUSED),
    ],
)
def test_what_follows_when_a_check_fails(
    action: Action | None, state: str, code: str, deliveries: int, verdict: Verdict
) -> None:
    found, answered = outcome(action)
    assert (found.state, found.code, len(found.deliveries), answered) == (state, code, deliveries, verdict)
    # The document is made whatever follows, and is not another one.
    assert [one.body for one in found.documents] == [one.body for one in outcome(None)[0].documents]
    failed = [issue for issue in found.issues if issue.code == "I650"]
    assert [(one.item, one.severity) for one in failed] == [("risk-is-only-a-level", Severity.WARNING)] * bool(action)


@pytest.mark.parametrize(
    ("action", "severity"), [(Action.FLAG, "information"), (Action.HOLD, "warning"), (Action.REFUSE, "warning")]
)
def test_a_check_that_would_hold_and_cannot_be_decided_holds_nothing_and_warns(action: Action, severity: str) -> None:
    mapping = mappings()[0]
    check = next(one for one in mapping.checks if one.rule.name == "left-before-admission")
    mapping = replace(mapping, checks=(replace(check, rule=replace(check.rule, action=action)),))
    body = (built_in("fixtures") / LETTER / "plain.hl7").read_bytes()
    reading = mapping.read(next(mapping.format.messages(body, [mapping.source]))[0], NOW)
    (issue,), follows = mapping.checked(reading, {**reading.items, "admitted_at": UNKNOWN_ERROR}, NOW)
    assert (issue.code, issue.severity.value, follows) == ("I608", severity, None)


def test_the_strictest_of_several_counts() -> None:
    mapping = mappings()[0]
    actions = (Action.HOLD, Action.REFUSE, Action.FLAG)
    three = [one for one in mapping.checks if one.rule.name in ("nobody-to-call", "follow-up-not-said")]
    three.append(next(one for one in mapping.checks if one.rule.name == "risk-is-only-a-level"))
    checks = tuple(replace(c, rule=replace(c.rule, action=a)) for c, a in zip(three, actions, strict=True))
    reading = mapping.read(
        next(mapping.format.messages(
            (built_in("fixtures") / LETTER / "no-medicines-allergies-unknown.hl7").read_bytes(), [mapping.source]
        ))[0],
        NOW,
    )  # fmt: skip
    assert replace(mapping, checks=checks).checked(reading, reading.items, NOW)[1] is Action.REFUSE
    assert replace(mapping, checks=()).checked(reading, reading.items, NOW) == ([], None)
