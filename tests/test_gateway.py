"""The gateway on the real store and the real flow: what is answered is durable, what is wrong is said and counted."""

from __future__ import annotations

import asyncio
import gc
import io
import json
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import shipped
from databases import database, with_tables
from mhbridge import gateway as gateways
from mhbridge import log as logs
from mhbridge import pipeline
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.adapters.sqlite.session import SqliteSession
from mhbridge.errors import MalformedMessage, StoreError
from mhbridge.gateway import Gateway, Outbox, Outlet, Watch
from mhbridge.gateway.pressure import Disk, Limits
from mhbridge.gateway.turns import Turns
from mhbridge.model import Envelope, Verdict
from mhbridge.ports import Delivered, Status

ROOT = Path(__file__).parents[1]
ADT = ROOT / "fixtures" / "example-mental-health" / "adt"
LETTERS = ROOT / "fixtures" / "example-mental-health" / "discharge-letter"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SUPPLIER = "example-mental-health"
CANARY = "Zyxwvutsrq"


async def until(condition):
    """What is waited for happens in another task, or in a file."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def mappings():
    catalogue = shipped.catalogue()
    return tuple(catalogue.mapping(name) for name in catalogue.feeds(SUPPLIER))


class Destination:
    name = "d"

    def __init__(self):
        self.sent = []

    async def deliver(self, delivery):
        self.sent.append(delivery.document)
        return Delivered(2)


@pytest.fixture(autouse=True, params=["worked before the answer", "worked after it", "on PostgreSQL"])
def fast(request, monkeypatch):
    """
    All that holds of the gateway holds whether a message is worked before its sender is answered, or after; and
    wherever its store is.
    """
    monkeypatch.setattr(World, "fast", request.param != "worked after it")
    if request.param != "on PostgreSQL":
        yield World.fast
        return
    with database(with_tables()) as address:
        from mhbridge.adapters.postgres import Address, PostgresStore

        def made(_path):
            return PostgresStore(Address(address), master=lambda: b"m" * 32)

        monkeypatch.setattr(World, "made", staticmethod(made))
        yield World.fast


class World:
    fast = True

    @staticmethod
    def made(path):
        return SqliteStore(path / "store.db")

    def __init__(self, path, mappings, **feed):
        self.stream = io.BytesIO()
        log = logs.make(self.stream)
        self.store, self.destination = self.made(path), Destination()
        documents = frozenset({"encounter-event", "mental-health-inpatient-discharge"})
        routes = (pipeline.Route(documents, ("d",)),)
        name = f"{SUPPLIER}/mllp"
        feeds = {name: pipeline.Feed(SUPPLIER, name, mappings, routes, live=False, **feed)}
        self.outbox = Outbox(store=self.store, outlets=[Outlet(self.destination)], clock=lambda: NOW, log=log)
        self.gateway = Gateway(
            store=self.store,
            feeds=feeds,
            outbox=self.outbox,
            deadlines={"d": 60.0},
            clock=lambda: NOW,
            log=log,
            fast=self.fast,
        )

    async def worked(self):
        """Until nothing waits."""
        async with asyncio.timeout(10):
            while (await self.store.status(NOW)).messages.get("stored"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def envelope(self, body):
        return Envelope(body, SUPPLIER, f"{SUPPLIER}/mllp", NOW, "mllp", "127.0.0.1")

    async def receive(self, body):
        return await self.gateway.receive(self.envelope(body))

    async def delivered(self, number):
        await until(lambda: len(self.destination.sent) >= number)
        return self.destination.sent

    def lines(self, event):
        return [line for line in map(json.loads, self.stream.getvalue().splitlines()) if line["event"] == event]


@asynccontextmanager
async def running(path, mappings, **feed):
    world = World(path, mappings, **feed)
    await world.store.open()
    await world.gateway.open()
    try:
        yield world
        if world.gateway.ready:
            await world.worked()
    finally:
        await world.gateway.close()
        status = await world.store.status(NOW)
        assert status.differences == ()
        await world.store.close()


async def test_a_message_becomes_a_document_and_is_delivered(tmp_path, mappings):
    async with running(tmp_path, mappings) as world:
        committed = await world.gateway.take(world.envelope((LETTERS / "plain.hl7").read_bytes()))
        assert committed.answer.verdict is Verdict.ACCEPTED
        assert committed.answer.reference == str(committed.envelope)
        (document,) = await world.delivered(1)
        bundle = json.loads(document.body)
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "document")
        assert document.identifier == f"urn:uuid:{bundle['id']}"
        assert await world.store.original(committed.messages[0]) == (LETTERS / "plain.hl7").read_bytes()
        (received,) = world.lines("received")
        assert (received["messages"], received["reference"]) == (1, committed.answer.reference)


async def test_a_repeat_gets_the_first_answer_and_is_not_delivered_again(tmp_path, mappings):
    body = (LETTERS / "plain.hl7").read_bytes()
    async with running(tmp_path, mappings) as world:
        first = await world.receive(body)
        await world.delivered(1)
        again = await asyncio.gather(*(world.receive(body) for _ in range(5)))
        assert {(a.verdict, a.text, a.reference, a.answered_at, a.repeated) for a in again} == {
            (first.verdict, first.text, first.reference, first.answered_at, True)
        }
        await asyncio.sleep(0.05)
        assert len(world.destination.sent) == 1
        status = await world.store.status(NOW)
        assert (status.receipts, status.repeats) == (6, 5)


async def test_the_same_sent_at_once_is_taken_once(tmp_path, mappings):
    body = (ADT / "a01-admission.hl7").read_bytes()
    async with running(tmp_path, mappings) as world:
        answers = await asyncio.gather(*(world.receive(body) for _ in range(10)))
        assert len({answer.reference for answer in answers}) == 1
        assert sorted(answer.repeated for answer in answers) == [False] + [True] * 9
        await world.delivered(1)


@pytest.mark.parametrize("body", [b"", b"\r\n", b"hello", CANARY.encode(), b"\x00" * 100])
async def test_what_cannot_be_read_at_all_is_rejected_counted_and_not_kept(tmp_path, mappings, body):
    async with running(tmp_path, mappings) as world:
        answer = await world.receive(body)
        assert (answer.verdict, answer.reference) == (Verdict.REJECTED, "")
        assert answer.code.startswith("M7")
        status = await world.store.status(NOW)
        assert (status.receipts, status.refusals, sum(status.messages.values())) == (1, 1, 0)
        assert [line["code"] for line in world.lines("refused")] == [answer.code]
        assert CANARY not in world.stream.getvalue().decode() + answer.text


@pytest.mark.parametrize(("parked", "verdict"), [("accept", Verdict.ACCEPTED), ("refuse", Verdict.REFUSED)])
async def test_what_no_mapping_takes_is_kept_for_a_person_and_the_sender_told_as_configured(
    tmp_path, mappings, parked, verdict, fast
):
    body = (ADT / "a01-admission.hl7").read_bytes().replace(b"ADT^A01", b"ADT^A28")
    async with running(tmp_path, mappings, parked=parked) as world:
        answer = await world.receive(body)
        assert answer.reference
        if fast:
            assert (answer.verdict, answer.code) == (verdict, "M710")
        else:
            assert (answer.verdict, answer.text, answer.issues) == (Verdict.ACCEPTED, "Safely stored.", ())
            await world.worked()
        assert (await world.store.status(NOW)).messages == {"parked": 1}
        assert [line["code"] for line in world.lines("parked")] == ["M710"]


# --- our own faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["taken_of", "step", "answer"])
async def test_a_fault_of_ours_parks_the_message_and_the_next_goes_on(tmp_path, mappings, monkeypatch, function):
    poison = (ADT / "a01-admission.hl7").read_bytes()
    real, broken = getattr(pipeline, function), []

    def fail(*values, **named):
        if not broken:
            broken.append(1)
            raise RuntimeError(CANARY)
        return real(*values, **named)

    async with running(tmp_path, mappings) as world:
        monkeypatch.setattr(pipeline, function, fail)
        committed = await world.gateway.take(world.envelope(poison))
        assert committed.answer.verdict is Verdict.ACCEPTED
        # Nothing is lost: the bytes are there for the release that has mended it.
        assert await world.store.original(committed.messages[0]) == poison
        await world.worked()
        assert (await world.store.messages())[0].code == "D902"
        answer = await world.receive((ADT / "a02-transfer.hl7").read_bytes())
        assert answer.code == ""
        ((_, error),) = [(line["event"], line["error"]) for line in world.lines("poisoned")]
        assert error == "RuntimeError"
        assert CANARY not in world.stream.getvalue().decode()


async def test_while_the_store_fails_nothing_is_acknowledged_and_readiness_says_so(tmp_path, mappings):
    async with running(tmp_path, mappings) as world:
        commit = world.store.commit

        async def failing(*_values, **_named):
            raise StoreError("S210", "full")

        assert world.gateway.ready
        world.store.commit = failing
        body = (ADT / "a01-admission.hl7").read_bytes()
        with pytest.raises(StoreError):
            await world.receive(body)
        assert not world.gateway.ready
        world.store.commit = commit
        assert (await world.receive(body)).verdict is Verdict.ACCEPTED
        assert world.gateway.ready


async def test_more_than_there_is_room_for_waits_and_is_sent_away_in_the_end(tmp_path, mappings):
    first, second = (ADT / "a01-admission.hl7").read_bytes(), (ADT / "a02-transfer.hl7").read_bytes()
    async with running(tmp_path, mappings) as world:
        pressure, room = world.gateway.pressure, len(first) + len(second) - 1
        pressure._limits = Limits(room=room, patience=0.2)
        commit, free = world.store.commit, asyncio.Event()

        async def slow(*values, **named):
            await free.wait()
            return await commit(*values, **named)

        world.store.commit = slow
        inside = asyncio.create_task(world.receive(first))
        await until(lambda: pressure.inside)
        with pytest.raises(StoreError) as refused:
            await world.receive(second)
        assert refused.value.code == "D904"
        pressure._limits = Limits(room=room, patience=60.0)
        waiting = asyncio.create_task(world.receive(second))
        await until(pressure._waiting.total)
        free.set()
        assert {(await answer).verdict for answer in (inside, waiting)} == {Verdict.ACCEPTED}


@contextmanager
def full(session):
    """The disk is full, as far as the store knows."""
    if isinstance(session, SqliteSession):
        most = session.connection.pragma("max_page_count")
        session.connection.pragma("max_page_count", 1)
        yield
        session.connection.pragma("max_page_count", most)
        return

    def fails():
        from psycopg.errors import DiskFull

        raise DiskFull

    session.commit = fails
    yield
    del session.commit


async def test_when_the_disk_is_full_nothing_is_taken_nobody_is_lied_to_and_it_goes_on_by_itself(tmp_path, mappings):
    async with running(tmp_path, mappings) as world:
        free = Disk(10**12, 10**13)
        world.gateway.pressure._disk = lambda: free
        world.gateway.pressure._limits = Limits(patience=0.05)
        assert (await world.receive((ADT / "a01-admission.hl7").read_bytes())).verdict is Verdict.ACCEPTED
        await world.worked()
        with full(world.store._books.session), pytest.raises(StoreError) as refused:
            await world.receive((ADT / "a02-transfer.hl7").read_bytes())
        assert refused.value.code == "S210"
        assert not world.gateway.ready
        with pytest.raises(StoreError) as refused:
            await world.receive((ADT / "a02-transfer.hl7").read_bytes())
        assert refused.value.code == "D907"
        world.gateway.pressure.look()
        assert (await world.receive((ADT / "a02-transfer.hl7").read_bytes())).verdict is Verdict.ACCEPTED
        assert world.gateway.ready
        assert [line["code"] for line in world.lines("pressure")] == ["D907"]
        assert [line["code"] for line in world.lines("pressure_eased")] == ["D907"]


# --- stopping ----------------------------------------------------------------------------------------------


async def test_a_stop_answers_what_is_inside_and_takes_nothing_more(tmp_path, mappings):
    async with running(tmp_path, mappings) as world:
        commit, free, begun = world.store.commit, asyncio.Event(), asyncio.Event()

        async def slow(*values, **named):
            begun.set()
            await free.wait()
            return await commit(*values, **named)

        world.store.commit = slow
        inside = asyncio.create_task(world.receive((ADT / "a01-admission.hl7").read_bytes()))
        await begun.wait()
        closing = asyncio.create_task(world.gateway.close())
        await asyncio.sleep(0.01)
        assert not world.gateway.ready
        with pytest.raises(StoreError) as refused:
            await world.receive((ADT / "a02-transfer.hl7").read_bytes())
        assert refused.value.code == "D901"
        free.set()
        assert (await inside).verdict is Verdict.ACCEPTED
        await closing


# --- one patient after the other ---------------------------------------------------------------------------


def batch(*names):
    messages = [(ADT / name).read_bytes() for name in names]
    return b"\r".join([b"FHS|^~\\&|A|B", b"BHS|^~\\&|A|B", *(m.strip() for m in messages), b"BTS|2", b"FTS|1", b""])


@pytest.fixture
def seen(monkeypatch):
    """What was known at each step: the number of items, message by message."""
    known_at, real = [], pipeline.step

    def step(taken, known, now, feed, **named):
        known_at.append({document: dict(known[document].items) for document in known})
        return real(taken, known, now, feed, **named)

    monkeypatch.setattr(pipeline, "step", step)
    return known_at


async def test_an_event_knows_what_was_said_before_in_other_envelopes(tmp_path, mappings, seen):
    async with running(tmp_path, mappings) as world:
        await world.receive((ADT / "a01-admission.hl7").read_bytes())
        await world.receive((ADT / "a02-transfer.hl7").read_bytes())
    assert seen[0] == {"encounter-event": {}}
    assert seen[1]["encounter-event"]["patient_name"]


async def test_an_event_knows_what_was_said_before_in_the_same_envelope(tmp_path, mappings, seen):
    async with running(tmp_path, mappings) as world:
        committed = await world.gateway.take(world.envelope(batch("a01-admission.hl7", "a02-transfer.hl7")))
        assert len(committed.messages) == 2
    assert seen[0] == {"encounter-event": {}}
    assert seen[1]["encounter-event"]["patient_name"]


async def test_two_events_of_one_patient_at_once_are_worked_one_after_the_other(tmp_path, mappings, seen):
    """Without the lock both would be worked before either is committed, and neither would know of the other."""
    names = ["a01-admission.hl7", "a02-transfer.hl7", "a08-update.hl7"]
    async with running(tmp_path, mappings) as world:
        await asyncio.gather(*(world.receive((ADT / name).read_bytes()) for name in names))
    assert [bool(known["encounter-event"]) for known in seen] == [False, True, True]


async def test_the_control_for_the_lock(tmp_path, mappings, seen, monkeypatch, fast):
    @asynccontextmanager
    async def no_turn(_self, _patients):
        yield

    monkeypatch.setattr(Turns, "of", no_turn)
    names = ["a01-admission.hl7", "a02-transfer.hl7", "a08-update.hl7"]
    async with running(tmp_path, mappings) as world:
        await asyncio.gather(*(world.receive((ADT / name).read_bytes()) for name in names))
    # What is worked from the store comes from there in order.
    assert [bool(known["encounter-event"]) for known in seen] == ([False] * 3 if fast else [False, True, True])


async def test_locks_of_patients_are_not_kept(tmp_path, mappings):
    async with running(tmp_path, mappings) as world:
        for name in ("a01-admission.hl7", "a02-transfer.hl7"):
            await world.receive((ADT / name).read_bytes())
        # What only a circle still holds goes when the collector comes by, which may be seldom.
        gc.collect()
        assert len(world.gateway._turns) == 0


async def test_envelopes_that_share_patients_never_wait_for_each_other(tmp_path, mappings):
    a, b = (ADT / "a01-admission.hl7").read_bytes(), (ADT / "a01-unknown-codes.hl7").read_bytes()
    one = batch("a01-admission.hl7", "a01-unknown-codes.hl7")
    other = batch("a01-unknown-codes.hl7", "a01-admission.hl7")
    async with running(tmp_path, mappings) as world, asyncio.timeout(10):
        answers = await asyncio.gather(*(world.receive(body) for body in (one, other, a, b, one, other)))
        assert all(answer.verdict is Verdict.ACCEPTED for answer in answers)


async def test_nothing_of_any_message_is_in_the_log(tmp_path, mappings):
    """Every fixture, whole and cut in two; then each value of it that is long enough to be somebody's is looked for."""
    bodies = [path.read_bytes() for path in sorted((*ADT.glob("*.hl7"), *LETTERS.glob("*.hl7")))]
    async with running(tmp_path, mappings) as world:
        for body in bodies:
            await world.receive(body)
            await world.receive(body[: len(body) // 2])
        said = world.stream.getvalue().decode()
    values = {
        component.decode("latin-1").strip()
        for body in bodies
        for segment in body.split(b"\r")
        if segment[:3] in (b"PID", b"NK1", b"OBX", b"PD1", b"NTE")
        for field in segment.split(b"|")[2:]
        for component in field.replace(b"~", b"^").split(b"^")
    }
    leaked = [value for value in values if len(value) > 5 and value in said and value not in SUPPLIER]
    assert leaked == []


# --- the watch ---------------------------------------------------------------------------------------------


class Accounts:
    """A store of which only the accounts are asked."""

    def __init__(self):
        self.overdue, self.differences, self.fail = 0, (), False
        # As a gateway finds them that was stopped with one open.
        self.open = {"disk": "D907"}
        self.behind = {}

    async def raise_task(self, what, cause, now, *, name):
        assert (what, now) == ("gateway", now)
        self.open[name] = cause

    async def close_task(self, _what, _as_what, _now, *, name):
        self.open.pop(name, None)

    async def status(self, now):
        if self.fail:
            raise StoreError("S209", "the store has failed")
        return Status(now, 0, 0, 0, {}, {}, 0, self.overdue, None, self.differences, behind=self.behind)


class Leading:
    """As much of the parts of a gateway as the watch asks for."""

    def __init__(self, leads):
        self.leads, self.unheld = leads, 0


class Watched:
    def __init__(self, leads=None):
        self.now, self.accounts, self.stream = NOW, Accounts(), io.BytesIO()
        self.parts = None if leads is None else Leading(leads)
        self.watch = Watch(
            parts=self.parts,
            store=self.accounts,
            clock=lambda: self.now,
            log=logs.make(self.stream),
            shut=lambda: self.shut,
        )
        self.shut = ""

    async def look(self, **later):
        """What is said when so much time has gone by."""
        self.now += timedelta(**later)
        before = len(self.stream.getvalue())
        await self.watch.look()
        return [json.loads(line)["event"] for line in self.stream.getvalue()[before:].splitlines()]


async def test_a_difference_is_said_once_when_it_begins_and_once_when_it_ends():
    world = Watched()
    assert await world.look() == []
    world.accounts.differences = ("C3: …",)
    assert await world.look(minutes=1) == ["balance_differs"]
    assert await world.look(minutes=1) == []
    assert world.accounts.open == {"accounts": "D908"}
    world.accounts.differences = ()
    assert await world.look(minutes=1) == ["balance_holds"]
    assert world.accounts.open == {}
    world.shut = "D907"
    # That it is shut was said when that was seen.
    assert await world.look(minutes=1) == []
    assert world.accounts.open == {"disk": "D907"}
    world.shut = ""
    await world.look(minutes=1)
    assert world.accounts.open == {}


async def test_what_is_overdue_is_said():
    world = Watched()
    world.accounts.overdue = 1
    assert await world.look() == ["overdue"]
    world.accounts.overdue = 0
    assert await world.look() == ["none_overdue"]


async def test_a_store_that_cannot_be_asked_is_said():
    world = Watched()
    world.accounts.fail = True
    assert await world.look() == ["store_failed"]
    world.accounts.fail = False
    assert await world.look() == ["store_back"]


async def test_of_several_gateways_one_looks_for_all():
    world = Watched(leads=False)
    world.accounts.differences = ("C3: …",)
    assert await world.look(minutes=1) == []
    # Whoever does not look is well all the same.
    assert await world.look(minutes=60) == []
    assert world.watch.well
    world.parts.leads = True
    assert await world.look(minutes=1) == ["balance_differs"]


async def test_what_waits_for_a_gateway_that_has_just_gone_is_not_forgotten():
    world = Watched(leads=True)
    world.accounts.behind = {"gp": 3}
    assert await world.look() == ["balance_differs"]
    world.parts.unheld = 80
    assert await world.look(minutes=1) == ["balance_holds"]
    # Somebody has taken what was left, and it takes a while until all of it has gone.
    world.parts.unheld = 0
    assert await world.look(seconds=50) == []
    assert await world.look(seconds=11) == ["balance_differs"]


def test_the_package_says_what_it_has():
    assert set(gateways.__all__) == {
        "Clocks", "Disk", "Gateway", "Keeping", "Noticing", "Outbox", "Outlet", "Pressure", "Watch", "Workers",
    }  # fmt: skip
    assert issubclass(MalformedMessage, Exception)
