"""
Versions of letters, their replacement and withdrawal: what left, in order, and what it said of what left before.

How a scenario is written is said in `ward`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shipped
from mhbridge.adapters.sql import intake as intake_verbs
from mhbridge.adapters.sql import settling
from mhbridge.fhir.bundle import dumps
from mhbridge.fhir.validate import default_validator
from mhbridge.mapping.library import built_in
from mhbridge.model import Act, DeliveryState, Envelope, Known, Past, Severity
from mhbridge.pipeline import Feed, Route, intake, step, succeeding
from mhbridge.ports import Move
from ward import NOW, SUPPLIER, Ward, a_ward, changed, feed

#: What is clinical in the letter and must not be in its withdrawal.
CLINICAL = ("Sertraline", "depress", "allerg", "suicid", "1 Invented Lane", "OBX")


SCENARIOS = {
    "a letter that is corrected replaces the one before": """
        letter one
        gp takes: 1
        letter two
        gp takes: 2 replaces 1
        letter three
        gp takes: 3 replaces 2
    """,
    "each receiver is told what it got itself": """
        letter one
        gp takes: 1
        letter two
        letter three
        gp takes: 3 replaces 1
        team takes: 3
        letter four
        team takes: 4 replaces 3
    """,
    "what has not left is superseded, and never leaves": """
        letter one
        gp fails: 1
        letter two
        gp takes: 2
        gp takes: nothing
    """,
    "what may have left is replaced, after it": """
        letter one
        gp silent: 1
        letter two
        gp takes: 1
        gp takes: 2 replaces 1
    """,
    "what may have left is named beside what was certainly got": """
        letter one
        gp takes: 1
        letter two
        gp silent: 2 replaces 1
        letter three
        gp takes: 2 replaces 1
        gp takes: 3 replaces 2, 1
    """,
    "the same letter again is not sent again": """
        letter one
        gp takes: 1
        letter one
        gp takes: nothing
        letter two
        gp takes: 2 replaces 1
    """,
    "who has not the same yet gets it once": """
        letter one
        letter one
        gp takes: 1
        gp takes: nothing
    """,
    "what was said before the last is said again": """
        letter one
        gp takes: 1
        letter two
        gp takes: 2 replaces 1
        letter one
        gp takes: 3 replaces 2
    """,
    "a letter of another stay is another letter": """
        letter one
        gp takes: 1
        letter two elsewhere
        gp takes: 2
    """,
    "a cancelled discharge takes back what left": """
        discharge
        letter one
        gp takes: 1
        cancel
        gp takes: 2 withdrawn replaces 1
        gp takes: nothing
        team takes: nothing
    """,
    "what may have left is taken back as well": """
        discharge
        letter one
        gp silent: 1
        cancel
        gp takes: 1
        gp takes: 2 withdrawn replaces 1
    """,
    "who got different versions is told of them": """
        discharge
        letter one
        gp takes: 1
        team takes: 1
        letter two
        gp takes: 2 replaces 1
        cancel
        gp takes: 3 withdrawn replaces 2
        team takes: 3 withdrawn replaces 1
    """,
    "a cancellation again takes back nothing twice": """
        discharge
        letter one
        gp takes: 1
        cancel
        cancel
        gp takes: 2 withdrawn replaces 1
        cancel
        gp takes: nothing
    """,
    "after a cancellation the next letter replaces the withdrawal": """
        discharge
        letter one
        gp takes: 1
        cancel
        gp takes: 2 withdrawn replaces 1
        discharge
        letter two
        gp takes: 3 replaces 2
        team takes: 3
    """,
    "the same letter after its cancellation holds again": """
        discharge
        letter one
        gp takes: 1
        cancel
        gp takes: 2 withdrawn replaces 1
        discharge
        letter one
        gp takes: 3 replaces 2
    """,
    "a withdrawal that has not left is overtaken by the next letter": """
        discharge
        letter one
        gp takes: 1
        cancel
        discharge
        letter two
        gp takes: 3 replaces 1
        gp takes: nothing
    """,
    "a cancellation after a withdrawal and a letter that did not leave sends nothing": """
        discharge
        letter one
        gp takes: 1
        cancel
        gp takes: 2 withdrawn replaces 1
        discharge
        letter two
        cancel
        gp takes: nothing
    """,
    "a cancellation of a discharge without a letter takes back nothing": """
        discharge
        cancel
        gp takes: nothing
    """,
    "a cancellation that overtakes its discharge waits for it": """
        cancel: held
        discharge
        message 1: done
    """,
    "and for what else it is worth, not for an update": """
        cancel: held
        update
        message 1: held
        wait 9
        message 1: held
        wait 2
        message 1: parked
    """,
    "a letter of another stay stays": """
        discharge
        letter one elsewhere
        gp takes: 1
        cancel
        gp takes: nothing
        team takes: 1
    """,
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
async def test_what_leaves(tmp_path: Path, scenario: str) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run(scenario)
        for bundle in ward.bodies:
            assert not [issue for issue in default_validator()(bundle) if issue.severity is Severity.ERROR]


# --- any order of letters, cancellations and deliveries ----------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.sampled_from(["letter one", "letter two", "letter three", "cancel", "cancel"]),
        st.builds(
            "{} {}".format, st.sampled_from(["gp", "team"]), st.sampled_from(["takes", "takes", "silent", "fails"])
        ),
    ),
    max_size=14,
)


class Receiver:
    """What one destination was sent, and what it got."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.got: list[str] = []
        self.last: Any = None

    def take(self, bundle: Any, how: str) -> None:
        """Judge what comes by what came before."""
        composition = bundle["entry"][0]["resource"]
        identifier = bundle["identifier"]["value"]
        replaced = [one["targetIdentifier"]["value"] for one in composition.get("relatesTo", ())]
        if identifier not in self.sent:
            # It says of the last one that certainly came that it does not hold any more, and names no strangers.
            assert set(replaced) <= self.sent
            assert not self.got or self.got[-1] in replaced
        self.sent.add(identifier)
        if how == "takes":
            self.got.append(identifier)
            self.last = bundle


def text_of(bundle: Any) -> str:
    if bundle["entry"][0]["resource"]["status"] == "entered-in-error":
        return "withdrawn"
    said = json.dumps(bundle, default=str)
    return next(text for text in ("one", "two", "three") if f'"{text.upper()}"' in said)


async def goes(path: Path, steps: list[str]) -> None:
    receivers = {"gp": Receiver(), "team": Receiver()}
    ought = ""

    async def deliver(ward: Ward, who: str, how: str) -> bool:
        if await ward.deliver(who, how) == "nothing":
            return False
        # What fails has certainly not come.
        if how != "fails":
            receivers[who].take(ward.bodies[-1], how)
        return True

    async with a_ward(path) as ward:
        await ward.run("discharge")
        for step in steps:
            who, how = step.split() if " " in step else (step, "")
            if who in receivers:
                await deliver(ward, who, how)
            else:
                assert await ward.send(who, *filter(None, [how])) == "done"
                ought = how or ("withdrawn" if ought else "")
        for who, receiver in receivers.items():
            while await deliver(ward, who, "takes"):
                pass
            # A letter of which nothing left need not be taken back.
            if receiver.last is None:
                assert ought in ("", "withdrawn")
            else:
                assert text_of(receiver.last) == ought


@settings(max_examples=30)
@given(steps=STEPS)
def test_in_the_end_each_receiver_holds_what_was_said_last(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(goes(Path(folder), steps))


@pytest.mark.parametrize("part", ["_standing", "withdrawals"])
def test_the_control_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Without knowing what left, or without taking back, it is found."""
    if part == "_standing":
        monkeypatch.setattr(succeeding, "_standing", lambda *_: succeeding._Standing())
    else:
        monkeypatch.setattr("mhbridge.pipeline.making.withdrawals", lambda *_: iter(()))
    with pytest.raises(AssertionError):
        asyncio.run(goes(tmp_path, ["letter one", "gp takes", "letter two", "gp takes", "cancel"]))


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
async def test_the_same_leaves_when_messages_are_worked_after_their_sender_is_answered(
    tmp_path: Path, scenario: str
) -> None:
    async with a_ward(tmp_path, fast=False) as ward:
        await ward.run(scenario)


async def test_a_referral_that_its_sender_takes_back_is_withdrawn_and_says_nothing_clinical(tmp_path: Path) -> None:
    """A row that withdraws has all that the referral said, and none of it goes out again."""
    supplier = "example-community"
    mapping = shipped.catalogue().mapping(f"{supplier}/referrals")
    routes = (Route(frozenset({"community-referral"}), ("gp", "team")),)
    using = Feed(supplier, f"{supplier}/referrals", (mapping,), routes, live=False)
    rows = (built_in("fixtures") / supplier / "referrals" / "withdrawn.csv").read_bytes().splitlines(keepends=True)
    gone = rows[0] + rows[1]
    async with a_ward(tmp_path, using) as ward:
        for body in (gone.replace(b",Withdrawn,", b",Sent,"), gone):
            await ward.gateway.take(Envelope(body, supplier, using.name, NOW, "folder"))
            for document in await ward.store.documents((await ward.store.messages())[0].id):
                ward.numbers.setdefault(document.identifier, len(ward.numbers) + 1)
            await ward.deliver("gp", "takes")
        letter, withdrawal = ward.bodies
        assert ward.said(dumps(withdrawal)) == "2 withdrawn replaces 1"
        assert await ward.deliver("team", "takes") == "nothing"
    assert "1 June 2025, 12:00" in withdrawal["entry"][0]["resource"]["section"][0]["text"]["div"]
    assert "morphine" in json.dumps(letter, default=str)
    assert "morphine" not in json.dumps(withdrawal, default=str)


async def test_a_withdrawal_says_so_and_nothing_clinical(tmp_path: Path) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run("discharge\nletter one\ngp takes: 1\ncancel\ngp takes: 2 withdrawn replaces 1")
        letter, gone = ward.bodies
    composition = gone["entry"][0]["resource"]
    assert composition["title"] == f"Withdrawn: {letter['entry'][0]['resource']['title']}"
    (section,) = composition["section"]
    assert "This document is withdrawn" in section["text"]["div"]
    assert "2 May 2025, 12:00" in section["text"]["div"]
    kinds = {entry["resource"]["resourceType"] for entry in gone["entry"]}
    assert kinds <= {"Composition", "Patient", "PractitionerRole", "Practitioner", "Organization"}
    said, before = json.dumps(gone, default=str).casefold(), json.dumps(letter, default=str).casefold()
    assert not [word for word in CLINICAL if word.casefold() in said]
    assert [word for word in CLINICAL if word.casefold() in before]
    patient = next(entry["resource"] for entry in gone["entry"] if entry["resource"]["resourceType"] == "Patient")
    assert patient["identifier"]


async def test_what_does_not_leave_any_more_is_accounted_for_and_linked(tmp_path: Path) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run("discharge\nletter one\nletter two\nteam takes: 2\ncancel")
        assert await ward.states("gp") == ["superseded", "cancelled"]
        assert await ward.states("team") == ["superseded", "done", "queued"]
        _, first, second, cancelled = ward.messages
        trace = await ward.store.trace(first)
        assert trace is not None
        links = [line.moves for line in trace.lines if line.moves.startswith("queued>superseded")]
        assert links == [f"queued>superseded: by message {second}"] * 2
        trace = await ward.store.trace(second)
        assert trace is not None
        assert f"queued>cancelled: by message {cancelled}" in [line.moves for line in trace.lines]
        # Nobody can send what was taken back, or what was replaced.
        assert await ward.store.resend(first, "somebody", NOW) == 0
        assert await ward.store.resend(second, "somebody", NOW) == 0


# --- a version leaves while its successor is being worked ---------------------------------------------------


async def racing(ward: Ward) -> list[str]:
    """The first letter begins to leave just after the step of the second was told that it had not."""
    await ward.run("letter one")
    commit, raced = ward.store.commit, []

    async def late(*values: Any, **named: Any) -> Any:
        if not raced:
            raced.append(await ward.deliver("gp", "begins"))
        return await commit(*values, **named)

    ward.store.commit = late  # type: ignore[method-assign]
    await ward.run("letter two")
    (sending,) = await ward.store.due(NOW + timedelta(minutes=2), 1, without=["team", "spine"])
    await ward.store.finish([Move(sending.id, DeliveryState.DONE, level=2)], NOW)
    return [*raced, await ward.deliver("gp", "takes")]


async def test_a_version_that_leaves_meanwhile_is_replaced(tmp_path: Path) -> None:
    async with a_ward(tmp_path) as ward:
        assert await racing(ward) == ["1", "2 replaces 1"]


async def test_the_control_without_the_comparison_the_successor_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the step still holds that nothing has left, and the store refuses to supersede what is leaving."""
    for verbs in (intake_verbs, settling):
        monkeypatch.setattr(verbs, "has_changed", lambda *_: False)
    async with a_ward(tmp_path) as ward:
        with pytest.raises(Exception, match="S212"):
            await racing(ward)


async def test_what_changes_at_every_commit_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_ward(tmp_path) as ward:
        for verbs in (intake_verbs, settling):
            monkeypatch.setattr(verbs, "has_changed", lambda *_: True)
        with pytest.raises(Exception, match="S218"):
            await ward.send("letter", "one")
        assert (await ward.store.status(NOW)).receipts == 0


# --- what waits, and what is said twice --------------------------------------------------------------------


def stepped(name: str, known: dict[str, Any], minutes: int = 0, **fields: str) -> Any:
    envelope = Envelope(changed(name, fields), SUPPLIER, feed().name, NOW, "mllp")
    (taken,) = intake(envelope, feed()).messages
    _, reading = taken.readings[0]
    said = {reading.document: Known(known)}
    return step(taken, said, NOW, feed(), past=(), worked_at=NOW + timedelta(minutes=minutes))


WAITS = [
    ("nothing is known", {}, 0, ("held", "M766", 10)),
    ("nothing has come meanwhile", {}, 9, ("held", "M766", 10)),
    ("nothing came in time", {}, 10, ("parked", "M767", None)),
    ("the discharge is known", {"event": "discharge", "discharged": True}, 0, ("done", "", None)),
    ("it was taken back already", {"event": "cancel-discharge"}, 0, ("done", "", None)),
    ("only the admission is known", {"event": "admission"}, 0, ("held", "M766", 10)),
]


@pytest.mark.parametrize(("what", "known", "minutes", "expected"), WAITS, ids=[one[0] for one in WAITS])
def test_a_cancellation_waits_for_what_it_cancels(
    what: str, known: dict[str, Any], minutes: int, expected: tuple[str, str, int | None]
) -> None:
    outcome = stepped("adt/a13-cancel-discharge", known, minutes)
    state, code, until = expected
    due_at = None if until is None else NOW + timedelta(minutes=until)
    assert (outcome.state, outcome.code, outcome.due_at) == (state, code, due_at), what
    assert bool(outcome.deliveries) == (state == "done")


def test_a_cancellation_of_the_admission_waits_for_nothing() -> None:
    assert stepped("adt/a11-cancel-admission", {}).state == "done"


@pytest.mark.parametrize(
    ("waits", "minutes", "expected"),
    [
        (True, 0, ("held", "M766")),
        (True, 9, ("held", "M766")),
        (True, 10, ("parked", "M767")),
        (False, 0, ("parked", "M767")),  # its pack says of no time in which the letter may come
    ],
)
def test_who_takes_a_letter_back_of_which_nothing_is_known_tells_nobody_of_it(
    waits: bool, minutes: int, expected: tuple[str, str]
) -> None:
    envelope = Envelope(changed("discharge-letter/plain", {}), SUPPLIER, feed().name, NOW, "mllp")
    (taken,) = intake(envelope, feed()).messages
    ((mapping, reading),) = taken.readings
    assert step(taken, {}, NOW, feed(), past=()).deliveries
    if not waits:
        mapping = replace(mapping, document=replace(mapping.document, waits=()))
    reading = replace(reading, act=Act.CANCEL, items={**reading.items, "act": "cancel"})
    taken = replace(taken, readings=((mapping, reading),))
    past = (Past(reading.patient, reading.episode),)
    outcome = step(taken, {}, NOW, feed(), past=past, worked_at=NOW + timedelta(minutes=minutes))
    assert (outcome.state, outcome.code) == expected
    assert (outcome.documents, outcome.deliveries, outcome.withdrawals) == ((), (), ())


async def test_the_letter_alone_is_enough_to_be_taken_back(tmp_path: Path) -> None:
    """Where nobody sends the events of a stay."""
    async with a_ward(tmp_path) as ward:
        await ward.run("letter one\ngp takes: 1\ncancel\ngp takes: 2 withdrawn replaces 1")


TWICE = [
    ("the same", "2025-03-14T15:20:00+00:00", False),
    ("an hour apart", "2025-03-14T14:20:00+00:00", False),
    ("more than an hour apart", "2025-03-14T14:19:00+00:00", True),
    ("the day after", "2025-03-15", True),
    ("the same instant said otherwise", "2025-03-14T16:20:00+01:00", False),
    ("deleted meanwhile", None, False),
]


@pytest.mark.parametrize("name", ["adt/a03-discharge", "discharge-letter/plain"])
@pytest.mark.parametrize(("what", "had", "warned"), TWICE, ids=[one[0] for one in TWICE])
def test_a_stay_that_ends_twice_at_different_times_is_worked_and_that_is_said(
    name: str, what: str, had: str | None, warned: bool
) -> None:
    outcome = stepped(name, {} if had is None else {"discharged_at": had})
    assert outcome.state == "done", what
    assert [issue.severity for issue in outcome.issues if issue.code == "M769"] == ["warning"] * warned


async def test_a_second_letter_with_another_discharge_is_a_version_with_a_warning(tmp_path: Path) -> None:
    async with a_ward(tmp_path) as ward:
        await ward.run("letter one\ngp takes: 1")
        body = changed("discharge-letter/plain", {"MSH_9": "N-9", "PV1_45": "202503142020"})
        committed = await ward.gateway.take(Envelope(body, SUPPLIER, feed().name, NOW, "mllp"))
        trace = await ward.store.trace(committed.messages[0])
        assert trace is not None
        assert "M769" in {issue["code"] for issue in trace.issues}
        assert trace.message.fanout == 2


async def test_of_two_at_once_the_second_knows_of_the_first(tmp_path: Path) -> None:
    """One of them in each turn of the patient; without turns, one is worked again."""
    async with a_ward(tmp_path) as ward:
        await asyncio.gather(*[ward.send("letter", text) for text in ("one", "two", "three")])
        assert await ward.states("gp") == ["superseded", "superseded", "queued"]


async def test_two_letters_of_a_stay_in_one_envelope_are_worked_one_after_the_other(tmp_path: Path) -> None:
    letters = [
        changed("discharge-letter/plain", {"MSH_9": f"N-{n}", "PV1_7": f"9990001^{name}^Rowena^^^Dr^^^GMC"}).strip()
        for n, name in enumerate(("ONE", "TWO"))
    ]
    body = b"\r".join([b"FHS|^~\\&|A|B", b"BHS|^~\\&|A|B", *letters, b"BTS|2", b"FTS|1", b""])
    async with a_ward(tmp_path) as ward:
        committed = await ward.gateway.take(Envelope(body, SUPPLIER, feed().name, NOW, "mllp"))
        first, second = await ward.store.messages(before=max(committed.messages) + 1)
        assert (second.id, second.state) == (committed.messages[0], "done")
        assert first.state == "stored"
