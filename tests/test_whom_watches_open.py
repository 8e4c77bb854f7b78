"""
Of whom everything is opened for a watch: whoever is passed over had nothing to be told of them.

Histories of several senders are generated (stays, deaths, removed notices, admissions elsewhere, merges and their
undoing, late arrivals, numbers that are shared, verified or missing), and after each message what is to be told by what
the store names is compared with what is to be told when everything of everybody is opened.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mhbridge.adapters.sql import watching as kept
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.adapters.sqlite.session import SqliteSession
from mhbridge.mapping.catalogue import load
from mhbridge.model import (
    DELETED,
    Answer,
    Envelope,
    Key,
    MessageFacts,
    MessageState,
    Outcome,
    Reading,
    Verdict,
)  # fmt: skip
from mhbridge.pipeline import looks_of, notices, watching
from mhbridge.pipeline.watching import ELSEWHERE, MORE, SIGNAL, STAY, Active, may_meet
from mhbridge.ports import Noticed

T0 = datetime(2025, 3, 14, 9, tzinfo=UTC)
TRUST, OTHER, HOSPITAL, NATIONAL = "example-mental-health", "example-community", "example-acute", "example-nems"
NUMBERS = ("9990001014", "9990020108")
VERIFIED = {"coding": [{"system": "nhs-number-status", "code": "01"}]}
CODES = {
    "encounter_class": [("v3-act-code", "IMP"), ("v3-act-code", "EMER"), ("v3-act-code", "AMB")],
    "admission_method": [("nhs-dd-admission-method", "11"), ("nhs-dd-admission-method", "21")],
    "discharge_method": [("nhs-dd-discharge-method", "1"), ("nhs-dd-discharge-method", "4")],
    "death_status": [("uk-core-death-notification-status", one) for one in "12U"],
}
HISTORIES = 12
#: Sender → the types that it sends, and which items they may have.
SENT = {
    TRUST: {
        "encounter-event": (
            "admitted_at", "discharged_at", "cancelled", "encounter_class", "deceased", "discharge_method",
        ),
        "mental-health-inpatient-discharge": ("admitted_at", "discharged_at", "act", "deceased"),
        "care-contact": ("started_at", "act"),
    },
    OTHER: {"community-referral": ("referred_at", "act"), "community-discharge": ("discharged_at", "act", "deceased")},
    HOSPITAL: {
        "encounter-event": ("admitted_at", "encounter_class", "planned", "admission_method", "cancelled", "deceased"),
        "acute-inpatient-discharge": ("act", "deceased"),
        "emergency-care-discharge": ("arrived_at", "act", "deceased"),
    },
    NATIONAL: {"death-notice": ("deceased", "death_status")},
}  # fmt: skip

#: Items by which a type says of which stay it is.
STAYS = ("spell_id", "attendance_id", "referral_id", "contact_id")


@cache
def watches() -> tuple[Active, ...]:
    """The watches of two trusts."""
    catalogue = load([Path(__file__).parents[1] / "mappings"], only=True)
    mapping = catalogue.mapping(f"{TRUST}/deaths")
    other = replace(mapping, supplier=replace(mapping.supplier, name=OTHER))
    return tuple(
        Active(one.supplier.name, one, watch)
        for one in (mapping, other)
        for name in ("death-after-discharge", "care-team-notice")
        for watch in catalogue.watches(name)
    )


def code(name: str, wanted: str) -> Any:
    """One of the codes of an item."""
    return next({"coding": [{"system": system, "code": one}]} for system, one in CODES[name] if one == wanted)


def value(name: str, chance: random.Random, at: datetime) -> Any:
    """What a message says of an item."""
    if name in CODES:
        return code(name, chance.choice(CODES[name])[1])
    if name == "act":
        return chance.choice(("new", "new", "cancel"))
    if name in ("cancelled", "planned"):
        return chance.choice((True, False, DELETED))
    if name == "deceased" and chance.random() < 0.6:
        return chance.choice((False, False, True, DELETED))
    return (at - timedelta(days=chance.randrange(40))).isoformat(timespec="minutes")


def reading(chance: random.Random, at: datetime, *, is_shared: bool, dies: bool) -> Reading:
    """A message of somebody, that may come late."""
    supplier = chance.choice((TRUST, TRUST, OTHER, HOSPITAL, HOSPITAL, NATIONAL))
    document, names = chance.choice(list(SENT[supplier].items()))
    key = Key("everybody" if is_shared else supplier, f"P{chance.randrange(2)}")
    items = {name: value(name, chance, at) for name in names if chance.random() < 0.6 and (dies or name != "deceased")}
    stay = f"{key.system} {key.value} {chance.randrange(2)}"
    items |= {"patient_key": {"system": key.system, "value": key.value}, **dict.fromkeys(STAYS, stay)}
    if chance.random() < 0.8:
        items |= {"nhs_number": chance.choice(NUMBERS[: 1 + (chance.random() < 0.3)]), "nhs_number_status": VERIFIED}
    if chance.random() < 0.05:
        items["nhs_number_status"] = DELETED
    sent = at - timedelta(days=chance.choice((0, 0, 0, 3, 20)))
    return Reading(
        MessageFacts("hl7v2", "ADT^A08", sent_at=f"{sent:%Y%m%d%H%M}"), supplier, document=document, items=items,
        patient=key, episode=stay, mapping=f"{supplier}/any", mapping_hash="0" * 8,
    )  # fmt: skip


class History:
    """A store to which messages come one after the other."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path, turns=lambda _: InlineTurns())
        self.looks = looks_of(one.watch for one in watches())
        self.n = self.looked_at = self.opened = self.patients = self.told = self.taken_back = 0

    async def take(self, outcome: Outcome, at: datetime) -> None:
        """A message, and after it what is to be told: with everything opened, and by what the store names."""
        self.n += 1
        envelope = Envelope(b"message %d" % self.n, "any", "any/feed", at, "mllp", "")
        await self.store.commit(envelope, b"%032d" % self.n, [outcome], Answer(Verdict.ACCEPTED, "", at), {})
        everybody = await self.store.ask(lambda reader: reader.session.statement("select id from patient", {}))
        people = [await self.store.ask(kept.everything, patient) for (patient,) in everybody]
        seen = await self.store.seen(100)
        wanted = {one.body: one.told for person in people for one in notices(watches(), person, at)}
        found = {one.body: one.told for one in seen for one in notices(watches(), one.person, at)}
        assert found == wanted
        await self.store.noticed(
            [Noticed(one.patient, one.turn, tuple(found.values()) if one is seen[0] else ()) for one in seen]
        )
        self.patients += len(everybody)
        self.looked_at += len(seen)
        self.opened += sum(1 for one in seen if one.person.heard)
        self.told += len(found)
        self.taken_back += sum(1 for told in found.values() if not told.said)

    async def hear(self, said: Reading, at: datetime) -> None:
        mapping = watches()[0].mapping
        await self.take(
            Outcome(
                said.facts, MessageState.DONE, readings=(said,), patient=said.patient,
                watched=watching.role(self.looks, mapping, said),
            ),
            at,
        )  # fmt: skip

    async def merge(self, retired: Key, survivor: Key, at: datetime, *, undone: bool) -> None:
        past = await self.store.joining(retired, survivor, undone=undone)
        facts = MessageFacts("hl7v2", "ADT^A40")
        joining = past.joining
        merges = () if joining is None or joining.contrary or joining.joined != undone else (joining,)
        await self.take(Outcome(facts, MessageState.DONE, patient=survivor, past=(past,), merges=merges), at)


async def history(path: Path, seed: int, messages: int = 25) -> History:
    """One that the seed names."""
    chance = random.Random(seed)
    is_shared, merges, dies = chance.random() < 0.2, chance.random() < 0.5, seed % 2 > 0
    made = History(path)
    await made.store.open()
    try:
        at = T0
        for _ in range(messages):
            at += timedelta(hours=chance.randrange(1, 60))
            if merges and chance.random() < 0.15:
                one, other = (Key(TRUST, f"P{n}") for n in chance.sample(range(2), 2))
                await made.merge(one, other, at, undone=chance.random() < 0.4)
            else:
                await made.hear(reading(chance, at, is_shared=is_shared, dies=dies), at)
    finally:
        await made.store.close()
    return made


async def test_whoever_is_not_looked_at_had_nothing_to_be_told(tmp_path: Path) -> None:
    made = [await history(tmp_path / f"{seed}.db", seed) for seed in range(HISTORIES)]
    # There was something to find and to take back, and many were passed over.
    assert sum(one.told for one in made) > 2 * HISTORIES
    assert sum(one.taken_back for one in made) > 4
    assert sum(one.opened for one in made) < sum(one.patients for one in made) / 4


def _alone(session: SqliteSession, name: str, keys: Sequence[Any], among: Any = SqliteSession.among) -> list[Any]:
    """Nobody is ever anybody else."""
    if name != "watched_alone":
        return among(session, name, keys)
    rows = [session.run("watched_as", {"patient": key}) for key in keys]
    return [(key, *(found[0] if found else ("", 0))) for key, found in zip(keys, rows, strict=True)]


def _of_one(heard: Iterable[tuple[str, int]]) -> bool:
    return may_meet([("one", seen) for _, seen in heard])


def _less(kind: int) -> Any:
    return lambda heard: may_meet([(sender, seen & ~kind) for sender, seen in heard])


@pytest.mark.parametrize(
    ("seed", "where", "name", "broken"),
    [
        (5, kept, "may_meet", _less(SIGNAL)),
        (18, kept, "may_meet", _less(ELSEWHERE)),
        (1, kept, "may_meet", _less(STAY)),
        (18, kept, "may_meet", _of_one),
        (5, SqliteSession, "among", _alone),
    ],
    ids=["no death", "no admission", "no stay", "one sender", "nobody's records joined"],
)
async def test_a_quicker_answer_that_misses_something_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, where: Any, name: str, broken: Any
) -> None:
    monkeypatch.setattr(where, name, broken)
    with pytest.raises(AssertionError):
        await history(tmp_path / "store.db", seed)


DIED, ADMITTED = {"deceased": "2025-03-20"}, {"encounter_class": code("encounter_class", "IMP")}
ROLES = {
    "a stay": (TRUST, "mental-health-inpatient-discharge", {"admitted_at": "2025-03-01"}, STAY),
    "who died": (TRUST, "mental-health-inpatient-discharge", DIED, STAY | SIGNAL),
    "who did not": (TRUST, "mental-health-inpatient-discharge", {"deceased": False}, STAY),
    "a notice": (NATIONAL, "death-notice", DIED, SIGNAL),
    "one that is removed": (NATIONAL, "death-notice", {"death_status": code("death_status", "U")}, SIGNAL),
    "one that says nothing of it": (NATIONAL, "death-notice", {"nhs_number": NUMBERS[0]}, MORE),
    # Together with a letter that replaces it and does not speak of it, it says so.
    "a letter that was taken back": (HOSPITAL, "acute-inpatient-discharge", {"act": "cancel", **DIED}, SIGNAL),
    "the letter that replaces it": (HOSPITAL, "acute-inpatient-discharge", {"act": "new"}, MORE),
    "an admission": (HOSPITAL, "encounter-event", ADMITTED, STAY | ELSEWHERE),
    # What comes later may say that it was not planned.
    "a planned one": (
        HOSPITAL, "encounter-event", {**ADMITTED, "planned": True}, STAY | ELSEWHERE,
    ),
    "an appointment": (HOSPITAL, "encounter-event", {"encounter_class": code("encounter_class", "AMB")}, STAY | MORE),
    "an attendance": (HOSPITAL, "emergency-care-discharge", {"act": "new"}, ELSEWHERE | MORE),
    "a contact": (TRUST, "care-contact", {"started_at": "2025-03-20"}, MORE),
    "what no watch looks at": (TRUST, "community-medications", DIED, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", ROLES)
def test_what_a_reading_may_be_to_a_watch(case: str) -> None:
    supplier, document, items, expected = ROLES[case]
    said = Reading(MessageFacts("", ""), supplier, document=document, items=items, mapping="m", mapping_hash="h")
    found = watching.role(looks_of(one.watch for one in watches()), watches()[0].mapping, said)
    # `MORE` beside another is of no matter.
    assert (found & ~MORE, found > 0) == (expected & ~MORE, expected > 0)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ([], False),
        ([("a", STAY)], False),
        ([("a", SIGNAL | ELSEWHERE)], False),
        ([("a", STAY | ELSEWHERE | MORE)], False),
        ([("a", STAY | SIGNAL)], True),
        ([("", STAY | ELSEWHERE)], True),
        ([("a", STAY | ELSEWHERE), ("b", MORE)], False),
        ([("a", STAY), ("b", ELSEWHERE)], True),
        ([("a", STAY | ELSEWHERE), ("b", STAY)], True),
        ([("a", STAY), ("b", SIGNAL)], True),
    ],
)
def test_when_a_stay_and_a_signal_may_meet(heard: list[tuple[str, int]], expected: bool) -> None:
    assert may_meet(heard) is expected
