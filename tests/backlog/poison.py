"""
Feeds in which a message whose control id begins with POISON kills the process that works it, and a gateway with them.

Run as a program, it is a whole gateway on the store that it is given, which works what waits there and then ends.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from mhbridge import log as logs
from mhbridge import pipeline
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.gateway import Gateway, Outbox, Outlet
from mhbridge.mapping.catalogue import load
from mhbridge.model import Envelope
from mhbridge.pipeline import arriving
from mhbridge.ports import Delivered

ROOT = Path(__file__).parents[2]
SUPPLIER = "example-mental-health"
FEED = f"{SUPPLIER}/mllp"
ADMISSION = (ROOT / "fixtures" / SUPPLIER / "adt" / "a01-admission.hl7").read_bytes().strip()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

_REAL = {"take": arriving.take, "step": pipeline.step}


def an_event(control: str, patient: int = 1, kind: bytes = b"A01") -> bytes:
    """An admission, or another event, of an invented patient."""
    head, _, rest = ADMISSION.partition(b"\r")
    fields = head.split(b"|")
    fields[8] = fields[8].replace(b"A01", kind)
    fields[9] = control.encode()
    return b"\r".join([b"|".join(fields), rest.replace(b"M-104482", b"M-9%05d" % patient)])


def a_batch(*messages: bytes) -> bytes:
    """Messages in one envelope."""
    count = b"%d" % len(messages)
    return b"\r".join([b"FHS|^~\\&|A|B", b"BHS|^~\\&|A|B", *messages, b"BTS|" + count, b"FTS|1", b""])


def an_envelope(body: bytes) -> Envelope:
    return Envelope(body, SUPPLIER, FEED, NOW, "mllp", "127.0.0.1")


def _die(*_values: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(where: str, harm=_die) -> None:
    """From now on a POISON message does this harm where it is taken or stepped."""
    real = _REAL[where]

    def deadly_one(one, *values, **named):
        if one.facts.control_id.startswith("POISON"):
            harm()
        return real(one, *values, **named)

    setattr({"take": arriving, "step": pipeline}[where], where, deadly_one)


def feeds(where: str = "") -> dict[str, pipeline.Feed]:
    """What a worker is given; deadly where it is said."""
    if where:
        deadly(where)
    catalogue = load([ROOT / "mappings"], only=True)
    mappings = (catalogue.mapping(f"{SUPPLIER}/adt"),)
    documents = frozenset({"encounter-event", "mental-health-inpatient-discharge"})
    return {FEED: pipeline.Feed(SUPPLIER, FEED, mappings, (pipeline.Route(documents, ("d",)),), live=False)}


class Destination:
    name = "d"

    def __init__(self):
        self.sent = []

    async def deliver(self, delivery):
        self.sent.append(delivery)
        return Delivered(2)


class World:
    """A whole gateway but for its receivers."""

    def __init__(self, path: Path, *, workers=None, fast=True, store=None, clock=lambda: NOW):
        self.stream = io.BytesIO()
        self.log = logs.make(self.stream)
        self.store, self.destination = store or SqliteStore(path / "store.db"), Destination()
        self.outbox = Outbox(store=self.store, outlets=[Outlet(self.destination)], clock=clock, log=self.log)
        self.gateway = Gateway(
            store=self.store,
            feeds=feeds(),
            outbox=self.outbox,
            deadlines={"d": 60.0},
            clock=clock,
            log=self.log,
            workers=workers,
            fast=fast,
        )

    async def take(self, body: bytes):
        return await self.gateway.take(an_envelope(body))

    async def worked(self, seconds=20.0):
        """Until nothing waits."""
        async with asyncio.timeout(seconds):
            while (await self.store.status(NOW)).messages.get("stored"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def states(self, committed) -> list[str]:
        """State and code of each message of an envelope."""
        rows = [(await self.store.trace(message)).message for message in committed.messages]
        return [" ".join(filter(None, (row.state, row.code))) for row in rows]


@asynccontextmanager
async def running(path: Path, **named):
    world = World(path, **named)
    await world.store.open()
    await world.gateway.open()
    try:
        yield world
    finally:
        await world.gateway.close()
        assert (await world.store.status(NOW)).differences == ()
        await world.store.close()


async def _main(path: str, where: str, uncounted: str = "") -> None:
    deadly(where)
    if uncounted:
        # The control: a start that is counted after the work has begun, which is to say never.
        async def begin(_self, messages, *_values):
            return messages

        SqliteStore.begin = begin
    world = World(Path(path), fast=False)
    await world.store.open()
    await world.gateway.open()
    await world.worked()
    await world.gateway.close()
    await world.store.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
