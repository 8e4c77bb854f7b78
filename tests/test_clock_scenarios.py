"""
What happens to a stay's clocks: messages and times → who is told and when, exactly.

The real mappings, gateway, outbox and store, on an event loop whose time jumps. A control shows that the table would
notice a clock that nothing meets.
"""

from __future__ import annotations

import asyncio
import io
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import shipped
from jumping import Jumping
from mhbridge import log as logs
from mhbridge import pipeline
from mhbridge.adapters.sql import moves
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.config import duties_of, parse
from mhbridge.errors import DestinationRejected, DestinationUnavailable
from mhbridge.gateway import Clocks, Gateway, Outbox, Outlet
from mhbridge.model import Envelope
from mhbridge.ports import Delivered

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures" / "example-mental-health"
SUPPLIER = "example-mental-health"
LETTER = "mental-health-inpatient-discharge"
T0 = datetime(2025, 3, 14, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def mappings():
    catalogue = shipped.catalogue()
    return tuple(catalogue.mapping(name) for name in catalogue.feeds(SUPPLIER))


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """What looks every few seconds whether there is something to do is told of it in these tests, too."""
    for place in ("outbox._LONGEST_SLEEP", "backlog._LONGEST_SLEEP", "awaited._EVERY"):
        monkeypatch.setattr(f"mhbridge.gateway.{place}", 600.0)


class Place:
    """A destination that can be down, or refuse."""

    def __init__(self, name):
        self.name, self.down, self.refuses, self.got = name, False, False, 0

    async def deliver(self, _delivery):
        if self.down:
            raise DestinationUnavailable("D940", "down")
        if self.refuses:
            raise DestinationRejected("D946", "not wanted")
        self.got += 1
        return Delivered(2)


def adt(event, *, at, number, left=None, visit="V1", patient="P1", kind="I"):
    """An ADT of one stay, `at` and `left` in hours after T0; `left` may be empty as it is sometimes sent."""
    names = {"A01": "a01-admission", "A03": "a03-discharge", "A08": "a08-update", "A11": "a11-cancel-admission"}
    names["A13"] = "a13-cancel-discharge"
    segments = (FIXTURES / "adt" / f"{names[event]}.hl7").read_bytes().decode().split("\r")
    when, found = (T0 + at * HOUR).strftime("%Y%m%d%H%M"), []
    for segment in segments:
        fields = segment.split("|")
        match fields[0]:
            case "MSH":
                fields[6], fields[9] = f"{when}00+0000", f"C{number}"
            case "EVN":
                fields[2], fields[6] = f"{when}00+0000", when
            case "PID":
                fields[3] = f"{patient}^^^EXMH"
            case "PV1":
                fields += [""] * (46 - len(fields))
                fields[2], fields[19] = kind, f"{visit}^^^EXMH-SPELL"
                fields[44] = (T0 - 48 * HOUR).strftime("%Y%m%d%H%M")
                fields[45] = "" if left is None else (T0 + left * HOUR).strftime("%Y%m%d%H%M")
        found.append("|".join(fields))
    return "\r".join(found).encode()


def letter(*, at, number, left=None, visit="V1", patient="P1"):
    """A discharge letter of the same stay."""
    segments = (FIXTURES / "discharge-letter" / "plain.hl7").read_bytes().decode().split("\r")
    when, found = (T0 + at * HOUR).strftime("%Y%m%d%H%M"), []
    for segment in segments:
        fields = segment.split("|")
        match fields[0]:
            case "MSH":
                fields[6], fields[9] = f"{when}00+0000", f"L{number}"
            case "PID":
                fields[3] = f"{patient}^^^EXMH"
            case "PV1":
                fields += [""] * (46 - len(fields))
                fields[19] = f"{visit}^^^EXMH-SPELL"
                fields[45] = "" if left is None else (T0 + left * HOUR).strftime("%Y%m%d%H%M")
            case "OBX" if fields[3].startswith("ADMREASON"):
                fields[5] = f"Version {number}"
        found.append("|".join(fields))
    return "\r".join(found).encode()


class World:
    """A gateway with two receivers of letters and one of events. What fires is kept, with its hour after T0."""

    def __init__(
        self, path, mappings, to=("gp", "team"), seed=1, fast=True, *, supplier=SUPPLIER, start=T0, nowhere=()
    ):
        self.stream, self.fired = io.BytesIO(), []
        self.supplier, self.start = supplier, start
        log = logs.make(self.stream)
        duties = duties_of(parse("", environ={}))
        self.store = SqliteStore(path / "store.db", turns=lambda _: InlineTurns(), duties=duties)
        self.places = {name: Place(name) for name in ("gp", "team", "spine")}
        routes = [pipeline.Route(frozenset({"encounter-event"}), ("spine",))]
        if to:
            routes.append(pipeline.Route(frozenset({LETTER}), to))
        if nowhere:
            routes.append(pipeline.Route(frozenset(nowhere), ()))
        name = f"{supplier}/mllp"
        clocks = pipeline.clocks_by_document(mappings)
        feeds = {name: pipeline.Feed(supplier, name, mappings, tuple(routes), live=False, clocks=clocks)}
        outlets = [Outlet(place) for place in self.places.values()]
        self.outbox = Outbox(
            store=self.store, outlets=outlets, clock=self.clock, log=log, jitter=random.Random(seed).random
        )
        self.gateway = Gateway(
            store=self.store, feeds=feeds, outbox=self.outbox, deadlines={}, clock=self.clock, log=log, fast=fast
        )
        self.clocks = Clocks(store=self.store, clock=self.clock, log=log)
        fire = self.store.fire

        async def watched(now, most):
            found = await fire(now, most)
            self.fired += [(self.hour(), one.kind, one.queue) for one in found if one.kind in ("step", "missed")]
            return found

        self.store.fire = watched

    def clock(self):
        return self.start + timedelta(seconds=asyncio.get_running_loop().time())

    def hour(self):
        return round((self.clock() - self.start) / HOUR, 1)

    async def open(self):
        await self.store.open()
        await self.gateway.open()
        # The disk need not be looked at every five seconds of the simulated days.
        await self.gateway.pressure.close()
        await self.clocks.open()

    async def close(self):
        await self.clocks.close()
        await self.gateway.close()
        await self.store.close()

    async def until(self, hour):
        await asyncio.sleep(max((self.start + hour * HOUR - self.clock()).total_seconds(), 0))

    async def take(self, body):
        committed = await self.gateway.take(
            Envelope(body, self.supplier, f"{self.supplier}/mllp", self.clock(), "mllp", "127.0.0.1")
        )
        await asyncio.sleep(1)
        return committed.messages[0]

    async def states(self, message):
        return {clock.recipient: clock.state for clock in (await self.store.trace(message)).clocks}


def down(*names):
    return lambda world: [setattr(world.places[name], "down", True) for name in names]


def up(*names):
    return lambda world: [setattr(world.places[name], "down", False) for name in names]


A03 = {"event": "A03", "at": 0, "left": 0}
#: Title → (hour, what happens), …; who is told, at which hour and of how many recipients; how the clocks then stand.
SCENARIOS = {
    "a summary in time": (
        [(0, adt, A03), (5, letter, {"at": 5, "left": 0})],
        [],
        {"gp": "met", "team": "met"},
    ),
    "a summary that never comes": (
        [(0, adt, A03)],
        [(18.0, "step", "ward", 2), (23.0, "step", "bed-manager", 2), (24.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a summary that comes late": (
        [(0, adt, A03), (30, letter, {"at": 30, "left": 0})],
        [(18.0, "step", "ward", 2), (23.0, "step", "bed-manager", 2), (24.0, "missed", "safety", 2)],
        {"gp": "late", "team": "late"},
    ),
    "a summary that one recipient cannot take": (
        [(0, down("team"), None), (0, adt, A03), (5, letter, {"at": 5, "left": 0}), (20, up("team"), None)],
        [(18.0, "step", "ward", 1)],
        {"gp": "met", "team": "met"},
    ),
    "a summary before the event": (
        [(1, letter, {"at": 1, "left": 0}), (2, adt, A03)],
        [],
        {"gp": "met", "team": "met"},
    ),
    "a summary without any event": (
        [(0, down("gp", "team"), None), (2, letter, {"at": 2, "left": 0})],
        [(18.0, "step", "ward", 2), (23.0, "step", "bed-manager", 2), (24.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a discharge that is heard of late is told of once, as the latest": (
        [(30, adt, {**A03, "at": 30})],
        [(30.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a discharge heard of on the way takes the step that it is at": (
        [(19, adt, {**A03, "at": 19})],
        [(19.0, "step", "ward", 2), (23.0, "step", "bed-manager", 2), (24.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a discharge without its time counts from the event": (
        [(3, adt, {"event": "A03", "at": 3})],
        [(21.0, "step", "ward", 2), (26.0, "step", "bed-manager", 2), (27.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "and its time, when it comes, is believed": (
        [(3, adt, {"event": "A03", "at": 3}), (4, adt, {"event": "A08", "at": 4, "left": 1})],
        [(19.0, "step", "ward", 2), (24.0, "step", "bed-manager", 2), (25.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "an update without it says only again that the patient has left": (
        [(3, adt, {"event": "A03", "at": 3}), (9, adt, {"event": "A08", "at": 9})],
        [(21.0, "step", "ward", 2), (26.0, "step", "bed-manager", 2), (27.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a cancelled discharge stops the clock": (
        [(0, adt, A03), (10, adt, {"event": "A13", "at": 10, "left": 0})],
        [],
        {"gp": "cancelled", "team": "cancelled"},
    ),
    "cancelled, then discharged again, counts from the second": (
        [
            (0, adt, A03),
            (10, adt, {"event": "A13", "at": 10, "left": 0}),
            (40, adt, {"event": "A03", "at": 40, "left": 40}),
        ],
        [(58.0, "step", "ward", 2), (63.0, "step", "bed-manager", 2), (64.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "an admission that was taken back was none": (
        [(0, adt, A03), (10, adt, {"event": "A11", "at": 10, "left": 0}), (12, adt, {"event": "A08", "at": 12})],
        [],
        {"gp": "excluded", "team": "excluded"},
    ),
    "an outpatient visit has no such clock": (
        [(0, adt, {**A03, "kind": "O"})],
        [],
        {},
    ),
    "a corrected instant moves what is to come": (
        [(0, adt, A03), (5, adt, {"event": "A08", "at": 5, "left": 3})],
        [(21.0, "step", "ward", 2), (26.0, "step", "bed-manager", 2), (27.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a step that was taken stays taken": (
        [(0, adt, A03), (20, adt, {"event": "A08", "at": 20, "left": 4})],
        # Nobody took it, so it has come to the last queue before the second step.
        [(18.0, "step", "ward", 2), (27.0, "step", "safety", 2), (28.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "the instant of the events is believed before that of the letter": (
        [(0, down("gp", "team"), None), (0, adt, A03), (5, letter, {"at": 5, "left": 4})],
        [(18.0, "step", "ward", 2), (23.0, "step", "bed-manager", 2), (24.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
    "a newer version does not start it again": (
        [(0, adt, A03), (5, letter, {"at": 5, "left": 0}), (30, letter, {"at": 30, "left": 0, "number": 77})],
        [],
        {"gp": "met", "team": "met"},
    ),
    "a replaced version that never arrived does not meet it": (
        [
            (0, down("gp", "team"), None),
            (0, adt, A03),
            (5, letter, {"at": 5, "left": 0}),
            (8, letter, {"at": 8, "left": 0, "number": 77}),
            (20, up("gp"), None),
        ],
        [(18.0, "step", "ward", 2), (23.0, "step", "bed-manager", 1), (24.0, "missed", "safety", 1)],
        {"gp": "met", "team": "missed"},
    ),
    "a letter that is parked does not stop the clock": (
        [
            (0, adt, A03),
            (0.5, lambda world: setattr(world.places["gp"], "refuses", True), None),
            (5, letter, {"at": 5, "left": 0}),
        ],
        [(18.0, "step", "ward", 1), (23.0, "step", "bed-manager", 1), (24.0, "missed", "safety", 1)],
        {"gp": "missed", "team": "met"},
    ),
    "two stays of one patient have a clock each": (
        [
            (0, adt, A03),
            (5, letter, {"at": 5, "left": 0}),
            (100, adt, {"event": "A03", "at": 100, "left": 100, "visit": "V2"}),
        ],
        [(118.0, "step", "ward", 2), (123.0, "step", "bed-manager", 2), (124.0, "missed", "safety", 2)],
        {"gp": "missed", "team": "missed"},
    ),
}


def played(path, mappings, events, *, to=("gp", "team"), then=30.0, fast=True, **options):
    """Play a scenario: the world, and how the clocks of the last message's patient stand in the end."""

    async def play():
        world = World(path, mappings, to, fast=fast, **options)
        await world.open()
        last = 0
        for number, (hour, what, values) in enumerate(events):
            await world.until(hour)
            if values is None:
                what(world)
            else:
                last = await world.take(what(**{"number": number, **values}))
        await world.until(events[-1][0] + then)
        states, status = await world.states(last), await world.store.status(world.clock())
        tasks = await world.store.tasks()
        await world.close()
        assert status.differences == ()
        return world, states, tasks

    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(play())


def told(world):
    """(hour, kind, queue, how many clocks), in order."""
    found = {}
    for one in world.fired:
        found[one] = found.get(one, 0) + 1
    return [(*one, count) for one, count in found.items()]


@pytest.mark.parametrize("title", SCENARIOS)
def test_who_is_told_and_when(tmp_path, mappings, title):
    events, expected, states = SCENARIOS[title]
    world, found, _ = played(tmp_path, mappings, events)
    assert told(world) == expected
    assert found == states


@pytest.mark.parametrize("title", ["a summary in time", "a corrected instant moves what is to come"])
def test_it_is_the_same_where_senders_are_answered_first(tmp_path, mappings, title):
    events, expected, states = SCENARIOS[title]
    world, found, _ = played(tmp_path, mappings, events, fast=False)
    assert told(world) == expected
    assert found == states


def test_the_table_would_notice_a_clock_that_nothing_meets(tmp_path, mappings, monkeypatch):
    """The control: where deliveries do not meet clocks, a summary in time is told of like one that never came."""
    monkeypatch.setattr(moves.clocks, "follow", lambda _books, _steps: None)
    events, expected, _ = SCENARIOS["a summary in time"]
    world, _, _ = played(tmp_path, mappings, events)
    assert told(world) != expected
    assert [one[:3] for one in told(world)] == [one[:3] for one in SCENARIOS["a summary that never comes"][1]]


def test_a_discharge_that_nobody_is_told_of_has_a_clock_all_the_same(tmp_path, mappings):
    world, states, tasks = played(tmp_path, mappings, [(0, adt, A03)], to=())
    assert told(world) == [(18.0, "step", "ward", 1), (23.0, "step", "bed-manager", 1), (24.0, "missed", "safety", 1)]
    assert states == {"": "missed"}
    assert [(task.what, task.cause, task.queue, task.severity) for task in tasks] == [
        ("clock", "summary-24h", "safety", "critical")
    ]


def test_a_met_clock_ends_its_tasks_and_says_so(tmp_path, mappings):
    events, _, _ = SCENARIOS["a summary that comes late"]
    _, _, tasks = played(tmp_path, mappings, events)
    assert tasks == []
