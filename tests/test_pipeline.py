"""The pure flow: what becomes of a message, and what its sender is told, case by case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest

import shipped
from mhbridge.errors import MalformedMessage
from mhbridge.fhir.bundle import loads
from mhbridge.mapping.library import built_in
from mhbridge.model import Envelope, Known, MessageState, Outcome, Verdict
from mhbridge.pipeline import Feed, Route, Taken, answer, dedupe_key, intake, outcome_now, step

NOW = datetime(2025, 3, 14, 17, tzinfo=UTC)
FIXTURES = built_in("fixtures") / "example-mental-health"
EVERYTHING = frozenset({"mental-health-inpatient-discharge", "encounter-event"})


@cache
def feed() -> Feed:
    catalogue = shipped.catalogue()
    mappings = tuple(catalogue.mapping(name) for name in catalogue.feeds("example-mental-health"))
    return Feed(
        "example-mental-health", "example-mental-health/mllp", mappings, (Route(EVERYTHING, ("gp",)),), live=False
    )


def body(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def one(raw: bytes, using: Feed | None = None) -> Outcome:
    (outcome,) = outcome_now(raw, using or feed(), NOW)
    return outcome


def taken_of(name: str) -> Taken:
    return intake(Envelope(body(name), "example-mental-health", "f", NOW, "mllp"), feed()).messages[0]


def pid_again(raw: bytes) -> bytes:
    """A second patient after the first."""
    lines = raw.split(b"\r")
    at = next(i for i, line in enumerate(lines) if line.startswith(b"PID"))
    other = lines[at].replace(b"M-104482", b"M-999999").replace(b"9990001014", b"9990000018")
    return b"\r".join([*lines[: at + 1], other, *lines[at + 1 :]])


PARKED: list[tuple[str, Callable[[], bytes], str]] = [
    ("a type that no mapping takes", lambda: body("adt/a01-admission.hl7").replace(b"ADT^A01", b"ORU^R01"), "M710"),
    ("two patients in one message", lambda: pid_again(body("adt/a01-admission.hl7")), "M721"),
    ("a restricted patient", lambda: body("adt/a01-restricted-patient.hl7"), "M740"),
    ("a letter without its stay", lambda: body("discharge-letter/plain.hl7").replace(b"SP-2025-00481", b""), "I611"),
    ("a bad check digit", lambda: body("discharge-letter/bad-check-digit.hl7"), "I601"),
    ("undecodable bytes", lambda: body("adt/a01-admission.hl7").replace(b"Marigold", b"Mari\xffgold", 1), "M704"),
    ("a control character", lambda: body("adt/a01-admission.hl7").replace(b"Marigold", b"Mari\x00gold", 1), "M705"),
]


@pytest.mark.parametrize(("what", "raw", "code"), PARKED, ids=[case[0] for case in PARKED])
def test_it_waits_for_a_person_and_nothing_leaves(what: str, raw: Callable[[], bytes], code: str) -> None:
    outcome = one(raw())
    assert (outcome.state, outcome.code, outcome.deliveries) == (MessageState.PARKED, code, ()), what
    told = answer([outcome], feed(), NOW)
    assert (told.verdict, told.code) == (Verdict.ACCEPTED, code)
    assert told.text.startswith("Safely stored.")
    assert answer([outcome], replace(feed(), parked="refuse"), NOW).verdict is Verdict.REFUSED


def test_the_controls_are_delivered() -> None:
    """The same messages undamaged go through, so each case above is the damage's doing."""
    for name in ("adt/a01-admission.hl7", "discharge-letter/plain.hl7"):
        outcome = one(body(name))
        assert (outcome.state, len(outcome.deliveries)) == (MessageState.DONE, 1)


NO_MESSAGE = [b"", b"   \r\n", b"hello", b"%PDF-1.7\r", b"GET / HTTP/1.1\r\n\r\n", b"msh|^~\\&|", b"\xff\xfe"]


@pytest.mark.parametrize("raw", NO_MESSAGE)
def test_what_is_no_message_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage) as refused:
        intake(Envelope(raw, "example-mental-health", "f", NOW, "mllp"), feed())
    assert refused.value.code.startswith("M70")


def test_what_nobody_takes_is_not_at_rest() -> None:
    unrouted = replace(feed(), routes=(Route(frozenset({"encounter-event"}), ("gp",)),))
    assert one(body("discharge-letter/plain.hl7"), unrouted).code == "M741"


def test_a_route_may_have_a_condition_over_items() -> None:
    """Derived items too, such as `sensitive`."""
    catalogue = shipped.catalogue()
    holds = catalogue.condition("= safety_plan", "mental-health-inpatient-discharge")
    route = Route(EVERYTHING, ("gp",), lambda _document, items: holds(items))
    assert len(one(body("discharge-letter/plain.hl7"), replace(feed(), routes=(route,))).deliveries) == 1
    assert one(body("discharge-letter/minimal.hl7"), replace(feed(), routes=(route,))).code == "M741"


def test_an_invalid_translation_never_leaves() -> None:
    """Whatever the validator says is an error parks the message; here one that finds a fault everywhere."""
    from mhbridge.model import Issue, Severity

    taken = taken_of("adt/a01-admission.hl7")
    outcome = step(taken, {}, NOW, feed(), validator=lambda _: (Issue("V999", Severity.ERROR, "a fault"),))
    assert (outcome.state, outcome.code, outcome.deliveries) == (MessageState.PARKED, "M750", ())
    assert step(taken, {}, NOW, feed()).state is MessageState.DONE


def test_one_bad_message_of_a_batch_costs_itself() -> None:
    first, third = body("adt/a01-admission.hl7"), body("adt/a03-discharge.hl7")
    second = first.replace(b"EXMH-P-000201", b"X2").replace(b"Marigold", b"\xff", 1)
    batch = b"BHS|^~\\&|EXMH-PAS|EXMH\r" + first + second + third + b"BTS|3\r"
    outcomes = outcome_now(batch, feed(), NOW)
    assert [outcome.state for outcome in outcomes] == [MessageState.DONE, MessageState.PARKED, MessageState.DONE]


def test_what_is_known_is_left_unchanged_by_an_empty_field() -> None:
    admission = one(body("adt/a01-admission.hl7")).readings[0]
    taken = taken_of("adt/a02-transfer.hl7")
    alone = step(taken, {}, NOW, feed()).documents[0].body
    folded = step(taken, {"encounter-event": Known(dict(admission.items), b"1")}, NOW, feed()).documents[0].body
    assert b'"contact"' not in alone
    assert b'"contact"' in folded


def test_the_same_message_gives_the_same_bytes() -> None:
    first, second = one(body("discharge-letter/plain.hl7")), one(body("discharge-letter/plain.hl7"))
    assert first.documents == second.documents


def test_the_dedupe_key_names_sender_control_id_and_content() -> None:
    def key(raw: bytes) -> bytes:
        envelope = Envelope(raw, "example-mental-health", "f", NOW, "mllp")
        return dedupe_key(envelope, intake(envelope, feed()))

    raw = body("adt/a01-admission.hl7")
    assert key(raw) == key(raw)
    others = (raw.replace(b"EXMH-P-000201", b"EXMH-P-000999"), raw.replace(b"ALDER", b"LARCH"))
    assert len({key(raw), *map(key, others)}) == 3


def test_two_patients_with_one_stay_number_stay_two() -> None:
    """Spreadsheets turn long numbers into one: the same stay of another patient has other ids, and another series."""
    first = one(body("discharge-letter/plain.hl7"))
    second = one(body("discharge-letter/plain.hl7").replace(b"M-104482", b"M-999999"))
    assert first.documents[0].series != second.documents[0].series
    ids = [{e["resource"]["id"] for e in loads(o.documents[0].body)["entry"]} for o in (first, second)]
    assert not ids[0] & ids[1]


def test_an_event_of_nobody_waits_for_a_person() -> None:
    outcome = one(body("adt/a01-admission.hl7").replace(b"~M-104482^^^EXMH", b""))
    assert (outcome.state, outcome.code) == (MessageState.PARKED, "M722")


def test_a_trial_message_is_not_delivered_by_a_live_gateway() -> None:
    """A ward's training system that is pointed at production (HL7 v2 MSH-11)."""
    raw = body("adt/a01-admission.hl7")
    assert b"|T|2.4|" in raw
    live = replace(feed(), live=True)
    assert (one(raw, live).code, one(raw, live).deliveries) == ("M742", ())
    assert one(raw.replace(b"|T|2.4|", b"|P|2.4|"), live).state is MessageState.DONE


def test_a_letter_without_a_number_of_its_own_waits_and_makes_no_document() -> None:
    """Its versions could not be told apart; an event, which updates what is there, goes on."""
    from mhbridge.mapping.library import built_in
    from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

    feed = feed_of(shipped.catalogue(), "example-mental-health")
    folder = built_in("fixtures") / "example-mental-health"
    letter = (folder / "discharge-letter" / "plain.hl7").read_bytes().replace(b"|EXMH-W-000101|", b"||", 1)
    ((outcome,), answered) = outcomes_of(letter, feed, RECEIVED_AT)
    assert (outcome.code, outcome.documents, answered.code) == ("M743", (), "M743")
    event = (folder / "adt" / "a01-admission.hl7").read_bytes().replace(b"|EXMH-P-000201|", b"||", 1)
    ((outcome,), _) = outcomes_of(event, feed, RECEIVED_AT)
    assert outcome.code == ""
