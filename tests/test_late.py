"""
Messages that come late or out of order: what a receiver has is what all messages worked so far say together.

The rule is worked twice: as the gateway does it, message by message, and by a slow twin that sorts everything anew.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shipped
from mhbridge.adapters.sql.folds import Folds, Said
from mhbridge.fhir.bundle import loads
from mhbridge.gateway.workers import work as working
from mhbridge.mapping.known import fold, moment
from mhbridge.mapping.library import built_in
from mhbridge.model import Envelope, Key, Known, Outcome, Place
from mhbridge.pipeline import Feed, Route, intake, serving

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SUPPLIER = "example-mental-health"
ADT = built_in("fixtures") / SUPPLIER / "adt"
EVENT = "encounter-event"


@cache
def feed() -> Feed:
    mapping = shipped.catalogue().mapping(f"{SUPPLIER}/adt")
    return Feed(SUPPLIER, f"{SUPPLIER}/mllp", (mapping,), (Route(frozenset({EVENT}), ("spine",)),), live=False)


@cache
def lines(name: str) -> tuple[bytes, ...]:
    return tuple((ADT / f"{name}.hl7").read_bytes().split(b"\r"))


def event(
    name: str, *, number: int = 1, at: str = "", sent: str = "", patient: str = "", stay: str = "", **fields: str
) -> bytes:
    """A fixture with another number, times, patient and fields: `PV1_3="OAK"`."""
    changed = {"MSH_9": f"N-{number}", **fields}
    changed |= {"EVN_6": at} if at else {}
    changed |= {"MSH_6": sent} if sent else {}
    if patient:
        changed |= {"PID_3": f"{patient}^^^EXMH", "PV1_19": f"{patient}-{stay}^^^EXMH-SPELL"}
    found = list(lines(name))
    for where, value in changed.items():
        segment, _, place = where.partition("_")
        row = next(i for i, line in enumerate(found) if line.startswith(segment.encode()))
        parts = found[row].split(b"|")
        parts += [b""] * (int(place) + 1 - len(parts))
        parts[int(place)] = value.encode()
        found[row] = b"|".join(parts)
    return b"\r".join(found)


class Ward:
    """A gateway without its shell: real reading, stepping and folding; what leaves is put as a FHIR server does."""

    def __init__(self) -> None:
        self.readings: list[tuple[Key, Said]] = []
        self.worked: list[tuple[Any, Any]] = []
        self.has: dict[str, Any] = {}
        self.folds = Folds(lambda token: [said for key, said in self.readings if key.value.encode() == token])

    def known(self, patient: Key, episode: str, document: str, before: Place | None) -> Known:
        return self.folds.known(patient.value.encode(), document, episode.encode(), before)

    def take(self, *bodies: bytes) -> list[Outcome]:
        """One envelope; what each of its messages became."""
        envelope = Envelope(b"\r".join(bodies), SUPPLIER, feed().name, NOW, "mllp")
        read = intake(envelope, feed())
        wanted = working.asked(b"key", read, NOW, feed())
        known = {whose: self.known(*whose, at) for whose, at in wanted.known.items()}
        outcomes = list(working.work(read, known, NOW, feed()))
        for taken, outcome in zip(read.messages, outcomes, strict=True):
            for (mapping, _), reading in zip(taken.readings, outcome.readings, strict=True):
                if outcome.state == "done":
                    self.worked.append((mapping, reading))
                self._note(reading, serving(outcome, reading))
            for planned in outcome.deliveries:
                for entry in loads(outcome.documents[planned.document].body)["entry"]:
                    self.has[entry["request"]["url"]] = entry["resource"]
        return outcomes

    def _note(self, reading: Any, items: Any) -> None:
        if items is None:
            return
        said = Said(len(self.readings) + 1, reading.document, reading.episode.encode(), *place_of(reading), items)
        self.readings.append((reading.patient, said))
        self.folds.note(len(self.readings), reading.patient.value.encode(), said)

    def ought(self) -> dict[str, Any]:
        """The slow twin: for each stay all that was said, sorted anew, made into what the receiver ought to have."""
        found: dict[str, Any] = {}
        in_order = sorted(enumerate(self.worked), key=lambda one: (*place_of(one[1][1]), one[0]))
        lasting = feed().mappings[0].document.lasting
        newest = {reading.patient: reading.episode for _, reading in self.worked}
        # The patient's own record is as the last delivery about the patient left it.
        stays = dict.fromkeys((reading.patient, reading.episode) for _, reading in self.worked)
        for patient, episode in sorted(stays, key=lambda one: newest[one[0]] == one[1]):
            theirs = [(mapping, one) for _, (mapping, one) in in_order if one.patient == patient]
            items = fold(
                {name: value for name, value in one.items.items() if name in lasting or one.episode == episode}
                for _, one in theirs
            )
            mapping, reading = theirs[0]
            for entry in mapping.build(reading, items, NOW).resource["entry"]:
                found[entry["request"]["url"]] = loads_again(entry["resource"])
        return found


def loads_again(resource: Any) -> Any:
    from mhbridge.fhir.bundle import dumps

    return loads(dumps(resource))


def place_of(reading: Any) -> Place:
    now = int(NOW.timestamp() * 1e6)
    day = 86_400_000_000
    times = (moment(reading.effective_at), moment(reading.facts.sent_at))
    event_at, sent_at = (now if at is None or at > now + day else at for at in times)
    return event_at, sent_at


SAID = st.fixed_dictionaries(
    {
        "name": st.sampled_from(
            ["a01-admission", "a02-transfer", "a03-discharge", "a08-update", "a13-cancel-discharge"]
        ),
        "patient": st.sampled_from(["M-1", "M-2"]),
        "at": st.sampled_from(["202505010900", "202505011000", "202505021000", "202505031000", "202907010900"]),
        "sent": st.sampled_from(["20250504", "20250505"]),
        "stay": st.sampled_from(["1", "2"]),
        "PID_13": st.sampled_from(["", '""', "01632 960001^PRN^PH", "01632 960002^PRN^PH"]),
        "PV1_3": st.sampled_from(["", '""', "LARCH", "OAK"]),
    }
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(SAID, min_size=1, max_size=2), max_size=6))
def test_what_a_receiver_has_is_the_fold_of_all_messages_worked(envelopes: list[list[dict[str, str]]]) -> None:
    ward, number = Ward(), 0
    for messages in envelopes:
        bodies = []
        for said in messages:
            number += 1
            bodies.append(event(number=number, **said))
        ward.take(*bodies)
        assert ward.has == ward.ought()


def test_the_control_a_fold_with_the_message_at_hand_last_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rule was before: then a late transfer puts the patient back where they were."""

    def last(known: Known, items: Any, _identifies: object) -> Any:
        return fold([known.items, *(one.items for one in known.later), items])

    def ends() -> bool:
        ward = Ward()
        ward.take(event("a01-admission", number=1, at="202505010900"))
        ward.take(event("a02-transfer", number=2, at="202505031000", PV1_3="OAK"))
        ward.take(event("a02-transfer", number=3, at="202505021000", PV1_3="LARCH"))
        return ward.has == ward.ought()

    assert ends()
    monkeypatch.setattr("mhbridge.pipeline.making.folded", last)
    assert not ends()


# Each message: fixture, event time, what it changes. Then what is said of the last one, and whether anything leaves.
LATE: list[tuple[str, list[tuple[str, str, dict[str, str]]], str, bool]] = [
    (
        "an update that newer ones have overtaken in everything",
        [("a01-admission", "01", {}), ("a08-update", "03", {"PV1_3": "OAK"}), ("a08-update", "02", {"PV1_3": "ELM"})],
        "M765",
        False,
    ),
    (
        "an update of what nothing newer has set",
        [
            ("a01-admission", "01", {"PID_13": ""}),
            ("a08-update", "03", {"PID_13": "", "PV1_3": "OAK"}),
            ("a08-update", "02", {"PID_13": "01632 960009^PRN^PH", "PV1_3": "ELM"}),
        ],
        "",
        True,
    ),
    (
        "the same in order",
        [("a01-admission", "01", {}), ("a08-update", "02", {"PV1_3": "OAK"}), ("a08-update", "03", {"PV1_3": "OAK"})],
        "",
        True,
    ),
]


@pytest.mark.parametrize(("what", "messages", "code", "leaves"), LATE, ids=[one[0] for one in LATE])
def test_a_late_message_changes_only_what_nothing_newer_has_set(
    what: str, messages: list[tuple[str, str, dict[str, str]]], code: str, leaves: bool
) -> None:
    ward = Ward()
    for number, (name, day, fields) in enumerate(messages):
        (outcome,) = ward.take(event(name, number=number, at=f"202505{day}1000", **fields))
    assert (outcome.state, bool(outcome.deliveries)) == ("done", leaves), what
    assert {issue.code for issue in outcome.issues} & {"M765"} == ({code} if code else set())
    assert ward.has == ward.ought()


def test_a_clock_that_is_far_ahead_is_not_believed_and_that_is_said() -> None:
    ward = Ward()
    (ahead,) = ward.take(event("a08-update", number=1, at="202907010900", PV1_3="ELM"))
    assert "M764" in {issue.code for issue in ahead.issues}
    (after,) = ward.take(event("a08-update", number=2, at="202506011200", PV1_3="OAK"))
    assert "M764" not in {issue.code for issue in after.issues}
    assert ward.has == ward.ought()


def test_a_reading_says_the_same_whenever_it_comes() -> None:
    """The control of the twin: it does not depend on the order of arrival but for equal times."""
    bodies = [event("a08-update", number=n, at=f"2025050{n}1000", PV1_3=ward) for n, ward in ((1, "ELM"), (2, "OAK"))]
    there, back = Ward(), Ward()
    there.take(*bodies)
    back.take(*reversed(bodies))
    assert there.has == back.has
