"""
Events of one patient one after the other, through the gateway and its store: what an earlier one said still holds in
the later, across stays and across kinds of message, and what it took back stays taken back.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import shipped
from mhbridge import log as logs
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.fhir.bundle import loads
from mhbridge.gateway import Gateway, Outbox
from mhbridge.mapping.library import built_in
from mhbridge.model import Envelope
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import feed_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SUPPLIER = "example-acute"
ADT = built_in("fixtures") / SUPPLIER / "adt"
LETTER = built_in("fixtures") / SUPPLIER / "discharge-letter" / "plain.hl7"


@cache
def feed() -> Feed:
    return feed_of(shipped.catalogue(), SUPPLIER, "mllp")


class Ward:
    """Sends messages to a gateway, and looks at what became of the last."""

    def __init__(self, gateway: Gateway, store: SqliteStore) -> None:
        self.gateway, self.store = gateway, store

    async def send(self, body: bytes) -> dict[str, Any]:
        envelope = Envelope(body, SUPPLIER, f"{SUPPLIER}/mllp", NOW, "mllp")
        committed = await self.gateway.take(envelope)
        (number,) = committed.messages
        trace = await self.store.trace(number)
        assert trace is not None
        documents = await self.store.documents(number)
        resources = [e["resource"] for e in loads(documents[0].body)["entry"]] if documents else []
        return {"state": trace.message.state, "code": trace.message.code, "resources": resources}


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    log, store = logs.make(io.BytesIO()), SqliteStore(tmp_path / "store.db")
    outbox = Outbox(store=store, outlets=[], clock=lambda: NOW, log=log)
    gateway = Gateway(
        store=store, feeds={f"{SUPPLIER}/mllp": feed()}, outbox=outbox, deadlines={"anywhere": 60.0},
        clock=lambda: NOW, log=log,
    )  # fmt: skip
    await store.open()
    await gateway.open()
    try:
        yield Ward(gateway, store)
    finally:
        await gateway.close()
        await store.close()


def event(name: str, **fields: str) -> bytes:
    """A fixture with fields replaced: `PID_13="…"`."""
    lines = (ADT / f"{name}.hl7").read_bytes().split(b"\r")
    for place, value in fields.items():
        segment, _, number = place.partition("_")
        at = next(i for i, line in enumerate(lines) if line.startswith(segment.encode()))
        parts = lines[at].split(b"|")
        parts += [b""] * (int(number) + 1 - len(parts))
        parts[int(number)] = value.encode()
        lines[at] = b"|".join(parts)
    return b"\r".join(lines)


def of(found: dict[str, Any], type_: str) -> dict[str, Any]:
    resource: dict[str, Any] = next(r for r in found["resources"] if r["resourceType"] == type_)
    return resource


async def test_news_of_the_patient_alone_counts_in_the_stay(ward: Ward) -> None:
    await ward.send(event("a01-admission"))
    before = await ward.send(event("a02-transfer", PID_13=""))
    assert "telecom" in of(before, "Patient")
    await ward.send(event("a31-person-update", PID_13='""', EVN_6="202506150900"))
    after = await ward.send(event("a08-update", PID_13="", EVN_6="202506160900"))
    assert "telecom" not in of(after, "Patient")
    assert of(after, "Encounter")["period"] == of(before, "Encounter")["period"]


async def test_a_person_added_before_any_stay_is_known_in_the_first(ward: Ward) -> None:
    added = await ward.send(event("a28-new-person"))
    assert [r["resourceType"] for r in added["resources"]] == ["Patient"]
    theirs = event("a28-new-person").split(b"\r")[2].split(b"|")[3].decode()
    admitted = await ward.send(event("a01-admission", PID_3=theirs, NK1_2="", PID_22="", PID_8=""))
    assert of(admitted, "Patient")["gender"] == "other"
    assert of(admitted, "Encounter")["status"] == "in-progress"


async def test_an_announced_stay_stays_announced_until_the_patient_comes(ward: Ward) -> None:
    seen = []
    for name, at in (("a05-pre-admission", "01"), ("a08-update", "02"), ("a01-admission", "12"), ("a08-update", "13")):
        found = await ward.send(event(name, EVN_6=f"202506{at}1200", MSH_9=f"X-{name}-{at}"))
        seen.append((of(found, "Encounter")["status"], of(found, "Encounter")["location"][0]["status"]))
    assert seen == [("planned", "planned")] * 2 + [("in-progress", "active")] * 2


async def test_a_location_hidden_in_an_event_is_hidden_in_the_letter_that_follows(ward: Ward) -> None:
    letter = LETTER.read_bytes()
    assert (await ward.send(letter))["state"] == "done"
    hidden = await ward.send(event("a31-person-update", ZU8_4="1"))
    assert (hidden["state"], hidden["code"]) == ("parked", "M740")
    later = await ward.send(letter.replace(b"EXAC-E-000901", b"EXAC-E-000998"))
    assert (later["state"], later["code"]) == ("parked", "M740")
    assert not {"address", "telecom", "generalPractitioner"} & of(later, "Patient").keys()
    # Nor does a later event that says nothing of it open the record again.
    assert (await ward.send(event("a08-update", ZU8_4="0", EVN_6="202512010900")))["code"] == "M740"


async def test_a_leave_changes_nothing_but_what_it_hides_is_hidden(ward: Ward) -> None:
    await ward.send(event("a01-admission"))
    assert (await ward.send(event("a21-leave")))["state"] == "filtered"
    assert (await ward.send(event("a02-transfer")))["state"] == "done"
    await ward.send(event("a21-leave", ZU8_4="1", MSH_9="LEAVE-2"))
    assert (await ward.send(event("a02-transfer", MSH_9="TRANSFER-2")))["code"] == "M740"


async def test_what_a_parked_message_hides_is_hidden_all_the_same(ward: Ward) -> None:
    await ward.send(event("a01-admission"))
    unread = await ward.send(event("a08-update", PV1_16="I", MSH_9="UPDATE-1"))
    assert unread["state"] == "parked"
    # Nobody may guess what was meant, and so nobody is hidden by it for ever.
    assert (await ward.send(event("a02-transfer")))["state"] == "done"
    hidden = await ward.send(event("a31-person-update", PID_7="19511301", ZU8_4="2"))
    assert (hidden["state"], hidden["code"]) == ("parked", "I601")
    assert (await ward.send(event("a02-transfer", MSH_9="TRANSFER-2")))["code"] == "M740"


async def test_a_merge_brings_along_that_the_retired_record_was_hidden(ward: Ward) -> None:
    retired = event("a31-location-hidden", PID_3="A-299901^^^EXAC")
    assert (await ward.send(retired))["code"] == "M740"
    assert (await ward.send(event("a01-admission")))["state"] == "done"
    merged = await ward.send(event("a40-merge"))
    assert merged["code"] == "M740"
    assert (await ward.send(event("a08-update", EVN_6="202506221200")))["code"] == "M740"


@pytest.mark.parametrize(
    ("hidden", "states"), [("1", ["done", "filtered", "parked"]), ("0", ["done", "filtered", "done"])]
)
async def test_what_a_leave_hides_is_hidden_in_the_same_envelope(ward: Ward, hidden: str, states: list[str]) -> None:
    """Nothing of it is in the store yet when what comes behind it is worked."""
    body = b"\r".join([event("a01-admission"), event("a21-leave", ZU8_4=hidden), event("a02-transfer")])
    committed = await ward.gateway.take(Envelope(body, SUPPLIER, f"{SUPPLIER}/mllp", NOW, "mllp"))
    traces = [await ward.store.trace(number) for number in committed.messages]
    assert [trace.message.state for trace in traces if trace is not None] == states


async def test_what_is_said_of_a_hidden_patient_counts_in_what_follows(ward: Ward) -> None:
    """It waits for a person, who must not be shown where the patient was before."""
    await ward.send(event("a01-admission"))
    await ward.send(event("a31-person-update", ZU8_4="1"))
    moved = await ward.send(event("a02-transfer"))
    assert moved["code"] == "M740"
    later = await ward.send(event("a08-update", PV1_3="", EVN_6="202512010900"))
    assert later["code"] == "M740"
    assert of(later, "Encounter")["location"] == of(moved, "Encounter")["location"]
    assert not {"address", "telecom", "generalPractitioner"} & of(later, "Patient").keys()


async def test_nothing_of_a_message_about_two_patients_counts_but_what_it_hides(ward: Ward) -> None:
    admitted = await ward.send(event("a01-admission"))
    lines = event("a31-person-update", ZU8_4="1", PID_5="STRANGER^NOBODY", EVN_6="202512010900").split(b"\r")
    at = next(i for i, line in enumerate(lines) if line.startswith(b"PID"))
    other = lines[at].split(b"|")
    other[3] = b"A-299977^^^EXAC"
    both = await ward.send(b"\r".join([*lines[: at + 1], b"|".join(other), *lines[at + 1 :]]))
    assert (both["state"], both["code"]) == ("parked", "M721")
    later = await ward.send(event("a02-transfer", PID_5="", EVN_6="202512020900"))
    assert later["code"] == "M740"
    assert of(later, "Patient")["name"] == of(admitted, "Patient")["name"]
