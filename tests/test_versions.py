"""
Versions of letters, their replacement and withdrawal: what left, in order, and what it said of what left before.

A scenario is a few lines. On the left what happens: a message comes (`letter one`: the text of the letter), or a
destination is sent what is first in its lane and takes it, is silent, or fails. On the right of `:` what it was sent:
the number of the version, in the order in which versions were made, and those that it replaces.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mhbridge import log as logs
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.adapters.sqlite import intake as intake_verbs
from mhbridge.adapters.sqlite.turns import InlineTurns
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.validate import default_validator
from mhbridge.gateway import Gateway, Outbox
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import DeliveryState, Envelope, Known, Severity
from mhbridge.pipeline import Feed, Route, intake, step
from mhbridge.ports import DueDelivery, Move

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SUPPLIER = "example-mental-health"
FIXTURES = built_in("fixtures") / SUPPLIER
LETTER, EVENT = "mental-health-inpatient-discharge", "encounter-event"
#: What is clinical in the letter and must not be in its withdrawal.
CLINICAL = ("Sertraline", "depress", "allerg", "suicid", "1 Invented Lane", "OBX")


@cache
def feed() -> Feed:
    catalogue = Catalogue(Library([built_in("mappings")]))
    mappings = tuple(catalogue.mapping(f"{SUPPLIER}/{name}") for name in ("adt", "discharge-letter"))
    routes = (Route(frozenset({LETTER}), ("gp", "team")), Route(frozenset({EVENT}), ("spine",)))
    return Feed(SUPPLIER, f"{SUPPLIER}/mllp", mappings, routes, live=False)


def changed(name: str, fields: dict[str, str]) -> bytes:
    found = (FIXTURES / f"{name}.hl7").read_bytes().split(b"\r")
    for where, value in fields.items():
        segment, _, place = where.partition("_")
        row = next(i for i, line in enumerate(found) if line.startswith(segment.encode()))
        parts = found[row].split(b"|")
        parts += [b""] * (int(place) + 1 - len(parts))
        parts[int(place)] = value.encode()
        found[row] = b"|".join(parts)
    return b"\r".join(found)


EVENTS = {"admission": "adt/a01-admission", "discharge": "adt/a03-discharge", "update": "adt/a08-update"}


class Ward:
    """A gateway of which nothing leaves but by hand."""

    def __init__(self, gateway: Gateway, store: SqliteStore) -> None:
        self.gateway, self.store = gateway, store
        self.numbers: dict[str, int] = {}
        self.bodies: list[Any] = []
        self.messages: list[int] = []
        self._sent = 0
        self._days = 0

    async def run(self, scenario: str) -> None:
        for line in scenario.strip().splitlines():
            what, _, expected = (part.strip() for part in line.partition(":"))
            who, *said = what.split()
            if who in ("gp", "team"):
                assert await self.deliver(who, said[0]) == expected, line
            else:
                state = await self.send(who, *said)
                assert state == (expected or "done"), line

    async def send(self, kind: str, text: str = "", *more: str) -> str:
        """A message comes; whatever it made has a number from then on."""
        self._sent += 1
        self._days += kind not in ("letter", "update")
        at = f"2025050{self._days}1200" if self._days else "202505010900"
        fields = {"MSH_9": f"N-{self._sent}"}
        if kind == "letter":
            stay = "SP-2" if "elsewhere" in more else "SP-2025-00481"
            fields |= {"PV1_19": f"{stay}^^^EXMH-SPELL", "PV1_7": f"9990001^{text.upper()}^Rowena^^^Dr^^^GMC"}
            body = changed("discharge-letter/plain", fields)
        elif kind == "cancel":
            body = changed("adt/a13-cancel-discharge", fields | {"EVN_6": at})
        else:
            body = changed(EVENTS[kind], fields | {"EVN_6": at})
        committed = await self.gateway.take(Envelope(body, SUPPLIER, feed().name, NOW, "mllp"))
        (message,) = committed.messages
        self.messages.append(message)
        for document in await self.store.documents(message):
            if document.bundle == "document":
                self.numbers.setdefault(document.identifier, len(self.numbers) + 1)
        trace = await self.store.trace(message)
        assert trace is not None
        return trace.message.state

    async def head(self, destination: str) -> DueDelivery | None:
        due = await self.store.due(NOW, 10, without=[name for name in ("gp", "team", "spine") if name != destination])
        return next(iter(due), None)

    async def deliver(self, destination: str, how: str) -> str:
        """Send what is first in the lane of a destination, and record how that went."""
        head = await self.head(destination)
        if head is None:
            return "nothing"
        await self.store.start([head.id], NOW, NOW + timedelta(minutes=1))
        if how != "begins":
            state = {"takes": DeliveryState.DONE, "silent": DeliveryState.UNKNOWN, "fails": DeliveryState.RETRY}[how]
            level = 2 if how == "takes" else 0
            await self.store.finish([Move(head.id, state, level=level, due_at=NOW)], NOW)
        return self.said(head.document.body)

    def said(self, body: bytes) -> str:
        """`2 replaces 1`, `3 withdrawn replaces 2`."""
        bundle = loads(body)
        self.bodies.append(bundle)
        composition = bundle["entry"][0]["resource"]
        assert composition["identifier"] == bundle["identifier"]
        assert bundle["identifier"]["value"] == f"urn:uuid:{bundle['id']}"
        number = str(self.numbers[bundle["identifier"]["value"]])
        gone = " withdrawn" if composition["status"] == "entered-in-error" else ""
        older = [self.numbers[one["targetIdentifier"]["value"]] for one in composition.get("relatesTo", ())]
        assert {one["code"] for one in composition.get("relatesTo", ())} <= {"replaces"}
        return number + gone + (f" replaces {', '.join(map(str, older))}" if older else "")

    async def states(self, destination: str) -> list[str]:
        """What became of all deliveries to a destination, in order."""
        traces = [await self.store.trace(message) for message in self.messages]
        found = [one for trace in traces if trace for one in trace.deliveries if one["destination"] == destination]
        return [one["state"] for one in sorted(found, key=lambda one: one["id"])]


@asynccontextmanager
async def a_ward(path: Path) -> AsyncIterator[Ward]:
    log = logs.make(io.BytesIO())
    store = SqliteStore(path / "store.db", turns=lambda _name: InlineTurns())
    outbox = Outbox(store=store, outlets=[], clock=lambda: NOW, log=log)
    gateway = Gateway(store=store, feeds={feed().name: feed()}, outbox=outbox, deadlines={}, clock=lambda: NOW, log=log)
    await store.open()
    await gateway.open()
    try:
        yield Ward(gateway, store)
    finally:
        await gateway.close()
        assert (await store.status(NOW)).differences == ()
        await store.close()


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
    monkeypatch.setattr(intake_verbs, "_has_changed", lambda *_: False)
    async with a_ward(tmp_path) as ward:
        with pytest.raises(Exception, match="S212"):
            await racing(ward)


async def test_what_changes_at_every_commit_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_ward(tmp_path) as ward:
        monkeypatch.setattr(intake_verbs, "_has_changed", lambda *_: True)
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
    import asyncio

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
