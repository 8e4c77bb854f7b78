"""
A gateway on the real store of which nothing leaves but by hand, and the few lines in which a scenario is written.

On the left what happens: a message comes (`letter one`: the text of the letter); a destination is sent what is first in
its lane and takes it, is silent, or fails; or minutes go by. On the right of `:` what it was sent: the number of the
version, in the order in which versions were made, and those that it replaces; of an event the patient and the ward; of
a message its state.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import shipped
from mhbridge import log as logs
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.fhir.bundle import loads
from mhbridge.gateway import Gateway, Outbox
from mhbridge.mapping.library import built_in
from mhbridge.model import DeliveryState, Envelope
from mhbridge.pipeline import Feed, Route
from mhbridge.ports import DueDelivery, Move

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
SUPPLIER = "example-mental-health"
FIXTURES = built_in("fixtures") / SUPPLIER
LETTER, EVENT = "mental-health-inpatient-discharge", "encounter-event"


@cache
def feed() -> Feed:
    catalogue = shipped.catalogue()
    mappings = tuple(catalogue.mapping(f"{SUPPLIER}/{name}") for name in ("adt", "discharge-letter", "unlink"))
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
        self.now = NOW
        self._sent = 0
        self._days = 0

    async def run(self, scenario: str) -> None:
        for line in scenario.strip().splitlines():
            what, _, expected = (part.strip() for part in line.partition(":"))
            who, *said = what.split()
            if who in ("gp", "team", "spine"):
                assert await self.deliver(who, said[0]) == expected, line
            elif who == "wait":
                self.now += timedelta(minutes=int(said[0]))
                self.gateway.backlog.wake()
            elif who == "message":
                for _ in range(100):
                    await asyncio.sleep(0)
                assert await self.worked(self.messages[int(said[0]) - 1]) == expected, line
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
            if "as" in more:
                fields |= {"PID_3": f"{more[-1]}^^^EXMH"}
            body = changed("discharge-letter/plain", fields)
        elif kind == "merge":
            retired, stays = text, more[0]
            fields |= {"MRG_1": f"{retired}^^^EXMH", "PID_3": f"{stays}^^^EXMH", "PID_13": "", "EVN_6": at}
            body = changed("adt/a40-merge", fields)
        elif kind == "unlink":
            second = f"PID|2||{text}^^^EXMH||TESTPATIENT^Mary^^^^^L".encode()
            body = changed("unlink/a37-unlink", fields | {"PID_3": f"{more[0]}^^^EXMH", "EVN_6": at})
            body = body[: body.index(b"PID|2|")] + second + b"\r"
        elif kind == "cancel":
            body = changed("adt/a13-cancel-discharge", fields | {"EVN_6": at})
        else:
            fields["PID_13"] = ""
            for word in filter(None, (text, *more)):
                if word.startswith("@"):
                    at = f"202505{word[1:]}1200"
                elif word.startswith("NHS="):
                    fields["PID_3"] = f"{word[4:]}^^^NHS~" + fields["PID_3"]
                elif word.startswith("M-"):
                    fields |= {"PID_3": f"{word}^^^EXMH", "PV1_19": f"S-{word}^^^EXMH-SPELL"}
                else:
                    fields |= {"PID_13": f"{word}^PRN^PH"} if word.isdigit() else {"PV1_3": word}
            body = changed(EVENTS[kind], fields | {"EVN_6": at})
        committed = await self.gateway.take(Envelope(body, SUPPLIER, feed().name, self.now, "mllp"))
        (message,) = committed.messages
        self.messages.append(message)
        state = await self.worked(message)
        for document in await self.store.documents(message):
            if document.bundle == "document":
                self.numbers.setdefault(document.identifier, len(self.numbers) + 1)
        return state

    async def worked(self, message: int) -> str:
        """The state of a message that is not worked before its sender is answered, once it is."""
        trace = None
        for _ in range(500):
            trace = await self.store.trace(message)
            assert trace is not None
            if trace.message.state != "stored":
                break
            await asyncio.sleep(0)
        assert trace is not None
        return trace.message.state

    async def head(self, destination: str) -> DueDelivery | None:
        due = await self.store.due(
            self.now, 10, without=[name for name in ("gp", "team", "spine") if name != destination]
        )
        return next(iter(due), None)

    async def deliver(self, destination: str, how: str) -> str:
        """Send what is first in the lane of a destination, and record how that went."""
        head = await self.head(destination)
        if head is None:
            return "nothing"
        await self.store.start([head.id], self.now, self.now + timedelta(minutes=1))
        if how != "begins":
            state = {"takes": DeliveryState.DONE, "silent": DeliveryState.UNKNOWN, "fails": DeliveryState.RETRY}[how]
            level = 2 if how == "takes" else 0
            await self.store.finish([Move(head.id, state, level=level, due_at=self.now)], self.now)
        return self.said(head.document.body)

    def said(self, body: bytes) -> str:
        """`2 replaces 1`, `3 withdrawn replaces 2`; of an event `M-1 ELM`, `M-2 retires M-1`."""
        bundle = loads(body)
        self.bodies.append(bundle)
        if bundle["type"] == "transaction":
            return _said_of_event([entry["resource"] for entry in bundle["entry"]])
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


def _said_of_event(resources: list[Any]) -> str:
    said = []
    for patient in sorted((r for r in resources if r["resourceType"] == "Patient"), key=lambda r: "active" in r):
        (number,) = [one["value"] for one in patient["identifier"] if one["value"].startswith("M-")]
        said.append(f"retires {number}" if patient.get("active") is False else number)
        said += [one["value"] for one in patient.get("telecom", ()) if one["value"].isdigit()]
    said += [r["location"][0]["location"]["display"] for r in resources if r["resourceType"] == "Encounter"]
    return " ".join(said)


@asynccontextmanager
async def a_ward(path: Path, using: Feed | None = None, *, fast: bool = True) -> AsyncIterator[Ward]:
    """
    Args:
        using: another feed than that of the ward's events and letters.
        fast: messages are worked before their sender is answered; else all of them after.
    """
    using = using or feed()
    log = logs.make(io.BytesIO())
    store = SqliteStore(path / "store.db", turns=lambda _name: InlineTurns())
    outbox = Outbox(store=store, outlets=[], clock=lambda: NOW, log=log)
    ward: Ward
    gateway = Gateway(
        store=store, feeds={using.name: using}, outbox=outbox, deadlines={}, clock=lambda: ward.now, log=log, fast=fast
    )
    ward = Ward(gateway, store)
    await store.open()
    await gateway.open()
    try:
        yield ward
    finally:
        await gateway.close()
        assert (await store.status(NOW)).differences == ()
        await store.close()
