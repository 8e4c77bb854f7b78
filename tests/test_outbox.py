"""Delivery on the real store: order within a lane, what follows each result, what a stop or a crash leaves behind."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from mhbridge import log as logs
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import (
    DestinationHeld,
    DestinationRejected,
    DestinationSilent,
    DestinationUnavailable,
    StoreError,
)
from mhbridge.gateway import Outbox, Outlet
from mhbridge.model import (
    Answer,
    DeliveryState,
    Document,
    Envelope,
    Key,
    MessageFacts,
    MessageState,
    Outcome,
    Planned,
    Verdict,
)
from mhbridge.ports import Delivered

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CANARY = "Zyxwvutsrq"
UNAVAILABLE = DestinationUnavailable("D941", CANARY)
SILENT = DestinationSilent("D942", CANARY)
HELD = DestinationHeld("D944", CANARY)
REJECTED = DestinationRejected("D946", CANARY)


async def until(condition):
    """What is waited for happens in another task, or in a file."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Clock:
    """Real time, from a fixed instant, that a test can put forward."""

    def __init__(self):
        self.ahead = timedelta()
        self._begin = asyncio.get_running_loop().time()

    def __call__(self):
        return START + self.ahead + timedelta(seconds=asyncio.get_running_loop().time() - self._begin)


class Destination:
    """A sender that does as it is told, and remembers what it was given."""

    def __init__(self, name="d"):
        self.name, self.sent, self.looked, self.at_once, self.most = name, [], [], 0, 0
        self.deliver_plan, self.look_plan = [], []
        self.free = asyncio.Event()
        self.free.set()

    async def deliver(self, delivery):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.free.wait()
            self.sent.append(delivery.document.body.decode())
            return self._as_planned(self.deliver_plan)
        finally:
            self.at_once -= 1

    async def look(self, delivery):
        self.looked.append(delivery.document.body.decode())
        return self._as_planned(self.look_plan)

    def _as_planned(self, plan):
        result = plan.pop(0) if plan else Delivered(2, "Bundle/1")
        if isinstance(result, BaseException):
            raise result
        return result


class World:
    """A store, an outbox and its destinations."""

    def __init__(self, path, destinations, **options):
        self.clock, self.stream, self.sent = Clock(), io.BytesIO(), 0
        self.store = SqliteStore(path / "store.db")
        self.destinations = destinations
        self.outlets = [Outlet(d, **options.pop("outlet", {"timeout": 0.5})) for d in destinations]
        settings = {"jitter": lambda: 1.0, "first": 0.01, "settle": 0.01, "drain": 1.0} | options
        self.outbox = Outbox(
            store=self.store, outlets=self.outlets, clock=self.clock, log=logs.make(self.stream), **settings
        )

    async def add(self, body, *, patient="1", to=("d",), deadline=3600.0, needs=2):
        """One message with one document, delivered to all of `to`."""
        now = self.clock()
        outcome = Outcome(
            MessageFacts("hl7v2", "MDM^T02", control_id=body),
            MessageState.DONE,
            documents=(
                Document("x", "r4", "document", sha256(body.encode()).digest(), f"urn:uuid:{body}", body.encode()),
            ),
            deliveries=tuple(Planned(0, name, needs) for name in to),
            patient=Key("local", patient),
        )
        envelope = Envelope(body.encode(), "s", "s/mllp", now, "mllp")
        answer = Answer(Verdict.ACCEPTED, "Safely stored.", now)
        deadlines = dict.fromkeys(to, deadline)
        committed = await self.store.commit(envelope, sha256(body.encode()).digest(), [outcome], answer, deadlines)
        self.outbox.wake()
        return committed.messages[0]

    async def states(self, message):
        """(state, code, attempts) of the message's deliveries."""
        return [(d["state"], d["code"], d["attempts"]) for d in (await self.store.trace(message)).deliveries]

    async def until(self, message, *states):
        async with asyncio.timeout(5):
            while [state for state, _, _ in await self.states(message)] != list(states):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def lines(self, event):
        return [line for line in map(json.loads, self.stream.getvalue().splitlines()) if line["event"] == event]


@asynccontextmanager
async def delivering(path, *destinations, **options):
    world = World(path, destinations or (Destination(),), **options)
    await world.store.open()
    await world.store.recover(world.clock())
    await world.outbox.open()
    try:
        yield world
    finally:
        await world.outbox.close()
        status = await world.store.status(world.clock())
        await world.store.close()
        assert status.differences == ()
        assert CANARY not in world.stream.getvalue().decode()


# --- results -----------------------------------------------------------------------------------------------

RESULTS = {
    "taken": ([], [], "done", "", ["a"], []),
    "not now, then taken": ([UNAVAILABLE, UNAVAILABLE], [], "done", "", ["a", "a", "a"], []),
    "not wanted": ([REJECTED], [], "parked", "D946", ["a"], []),
    "no answer, and it is there": ([SILENT], [], "done", "", ["a"], ["a"]),
    "no answer, and it is not there": ([SILENT], [None], "done", "", ["a", "a"], ["a"]),
    "no answer, and nobody can tell at first": ([SILENT], [SILENT, SILENT], "done", "", ["a"], ["a"] * 3),
    "no answer, and nobody can be asked": ([SILENT], [REJECTED], "parked", "D946", ["a"], ["a"]),
    "no answer, and then not to be reached": ([SILENT], [UNAVAILABLE], "done", "", ["a"], ["a"] * 2),
    "a fault of ours": ([ValueError(CANARY)], [None], "done", "", ["a", "a"], ["a"]),
    "handed over, no more is asked": ([Delivered(1)], [], "awaiting", "", ["a"], []),
}


@pytest.mark.parametrize("name", RESULTS)
async def test_a_result_decides_what_happens_next(name, tmp_path):
    deliver, look, state, code, sent, looked = RESULTS[name]
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        there.deliver_plan, there.look_plan = list(deliver), list(look)
        message = await world.add("a")
        await world.until(message, state)
        ((_, last, _),) = await world.states(message)
        assert (last, there.sent, there.looked) == (code, sent, looked)


async def test_level_one_is_enough_where_no_more_is_asked(tmp_path):
    async with delivering(tmp_path) as world:
        world.destinations[0].deliver_plan = [Delivered(1)]
        await world.until(await world.add("a", needs=1), "done")


async def test_a_sender_that_does_not_keep_to_its_time_is_cut_off_and_looked_up(tmp_path):
    async with delivering(tmp_path, outlet={"timeout": 0.05}) as world:
        (there,) = world.destinations
        there.free.clear()
        message = await world.add("a")
        await world.until(message, "done")
        assert (there.sent, there.looked) == ([], ["a"])


async def test_the_wait_doubles_and_what_the_destination_asks_for_is_honoured(tmp_path):
    async with delivering(tmp_path, first=100.0) as world:
        (there,) = world.destinations
        there.deliver_plan = [UNAVAILABLE, UNAVAILABLE, DestinationUnavailable("D941", "", after=700.0), UNAVAILABLE]
        message = await world.add("a")
        for n in range(1, 5):
            await world.until(message, "retry")
            await until(lambda n=n: len(world.lines("will_retry")) >= n)
            world.clock.ahead += timedelta(seconds=901)
            world.outbox.wake()
        await world.until(message, "done")
        assert [line["seconds"] for line in world.lines("will_retry")] == [100, 200, 770, 800]


async def test_waits_differ_between_lanes(tmp_path):
    numbers = iter([0.0, 1.0])
    async with delivering(tmp_path, first=100.0, jitter=lambda: next(numbers)) as world:
        world.destinations[0].deliver_plan = [UNAVAILABLE, UNAVAILABLE]
        for n in range(2):
            await world.until(await world.add(f"a{n}", patient=str(n)), "retry")
        assert [line["seconds"] for line in world.lines("will_retry")] == [50, 100]


async def test_unknown_past_its_deadline_is_for_a_person(tmp_path):
    async with delivering(tmp_path, settle=100.0) as world:
        (there,) = world.destinations
        there.deliver_plan, there.look_plan = [SILENT], [SILENT] * 10
        message = await world.add("a", deadline=60.0)
        await world.until(message, "unknown")
        world.clock.ahead += timedelta(seconds=200)
        world.outbox.wake()
        await world.until(message, "parked")
        assert await world.states(message) == [("parked", "D955", 1)]


async def test_what_is_late_is_delivered_all_the_same(tmp_path):
    async with delivering(tmp_path, first=100.0) as world:
        (there,) = world.destinations
        there.deliver_plan = [UNAVAILABLE, UNAVAILABLE]
        message = await world.add("a", deadline=1.0)
        for _ in range(2):
            await world.until(message, "retry")
            await asyncio.sleep(0.02)
            world.clock.ahead += timedelta(seconds=901)
            world.outbox.wake()
        await world.until(message, "done")


# --- order and fairness ------------------------------------------------------------------------------------


async def test_one_patients_deliveries_leave_in_order_and_wait_for_each_other(tmp_path):
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        there.deliver_plan = [UNAVAILABLE, SILENT]
        messages = [await world.add(f"a{n}") for n in range(4)]
        await world.until(messages[-1], "done")
        assert there.sent == ["a0", "a0", "a1", "a2", "a3"]
        assert there.looked == ["a0"]
        assert there.most == 1


async def test_a_parked_delivery_holds_its_own_lane_and_nobody_elses(tmp_path):
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        there.deliver_plan = [REJECTED]
        first = await world.add("a0", patient="1")
        await world.until(first, "parked")
        behind, other = await world.add("a1", patient="1"), await world.add("b", patient="2")
        await world.until(other, "done")
        assert [state for state, _, _ in await world.states(behind)] == ["queued"]
        ((delivery,),) = ([(d["id"],) for d in (await world.store.trace(first)).deliveries],)
        assert await world.store.release(delivery[0], "somebody", world.clock())
        world.outbox.wake()
        await world.until(behind, "done")
        assert there.sent == ["a0", "b", "a0", "a1"]


async def test_no_more_at_a_time_than_a_destination_allows(tmp_path):
    async with delivering(tmp_path, outlet={"concurrency": 3, "timeout": 5.0}) as world:
        (there,) = world.destinations
        there.free.clear()
        messages = [await world.add(f"a{n}", patient=str(n)) for n in range(10)]
        await until(lambda: there.at_once >= 3)
        there.free.set()
        for message in messages:
            await world.until(message, "done")
        assert there.most == 3


async def test_a_slow_destination_holds_up_no_other(tmp_path):
    slow, quick = Destination("slow"), Destination("quick")
    async with delivering(tmp_path, slow, quick, outlet={"timeout": 5.0}) as world:
        slow.free.clear()
        messages = [await world.add(f"a{n}", patient=str(n), to=("slow", "quick")) for n in range(200)]
        await until(lambda: len(quick.sent) >= len(messages))
        assert slow.sent == []
        slow.free.set()


# --- destinations that fail --------------------------------------------------------------------------------


async def test_a_destination_that_is_down_is_left_alone_but_for_one_and_no_attempt_is_burnt(tmp_path):
    async with delivering(tmp_path, first=1000.0) as world:
        (there,) = world.destinations
        there.deliver_plan = [UNAVAILABLE] * 20
        messages = [await world.add(f"a{n}", patient=str(n)) for n in range(20)]
        await until(lambda: world.outbox.shut)
        await asyncio.sleep(0.4)
        tried = len(there.sent)
        # Those that were already on their way when the fifth failed.
        assert 5 <= tried <= 8
        assert world.outbox.shut == {"d": "down"}
        there.deliver_plan = [UNAVAILABLE]
        for probes in (1, 2):
            world.clock.ahead += timedelta(seconds=31)
            world.outbox.wake()
            await until(lambda probes=probes: len(there.sent) >= tried + probes)
            if probes == 1:
                await asyncio.sleep(0.4)
                assert len(there.sent) == tried + 1
        # The second probe went well: all that had not been tried goes at once.
        await until(lambda: not (world.outbox.shut))
        world.clock.ahead += timedelta(seconds=1001)
        world.outbox.wake()
        for message in messages:
            await world.until(message, "done")
        assert len(world.lines("destination_down")) == len(world.lines("destination_back")) == 1


async def test_a_destination_that_takes_and_never_answers_is_sent_to_less_and_less_and_counts_as_down(tmp_path):
    """Nobody can be asked whether it arrived, as in MLLP: `look` says that it did not."""
    async with delivering(tmp_path, first=100.0) as world:
        (there,) = world.destinations
        there.deliver_plan, there.look_plan = [SILENT] * 6, [None] * 6
        message = await world.add("a")
        for n in range(1, 7):
            if n >= 5:
                # It counts as down: even to look, it is left alone for a while.
                await world.until(message, "unknown")
                world.clock.ahead += timedelta(seconds=31)
                world.outbox.wake()
            await until(lambda n=n: len(world.lines("will_retry")) >= n)
            await world.until(message, "retry")
            assert len(there.sent) == n  # not again before its time
            assert world.outbox.shut == ({} if n < 5 else {"d": "down"})
            world.clock.ahead += timedelta(seconds=901)
            world.outbox.wake()
        await world.until(message, "done")
        assert [line["seconds"] for line in world.lines("will_retry")] == [100, 200, 400, 800, 900, 900]
        assert len(world.lines("destination_down")) == len(world.lines("destination_back")) == 1


async def test_that_it_is_too_early_to_tell_is_no_failure_of_the_destination(tmp_path):
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        there.deliver_plan, there.look_plan = [SILENT], [DestinationSilent("D958", CANARY)] * 6
        await world.until(await world.add("a"), "done")
        assert len(there.looked) == 7
        assert world.lines("destination_down") == []


async def test_a_destination_that_refuses_us_is_held_and_asked_again_after_a_while(tmp_path):
    held, other = Destination("held"), Destination("other")
    async with delivering(tmp_path, held, other, outlet={"concurrency": 1, "timeout": 0.5}) as world:
        held.deliver_plan = [HELD, HELD]
        messages = [await world.add(f"a{n}", patient=str(n), to=("held", "other")) for n in range(10)]
        await until(lambda: len(other.sent) >= 10)
        assert (len(held.sent), world.outbox.shut) == (1, {"held": "held"})
        # It was refused for whose it is, not for what it is: no try of it is gone.
        assert {attempts for message in messages for _, _, attempts in (await world.states(message))[:1]} == {0}
        world.clock.ahead += timedelta(seconds=901)
        world.outbox.wake()
        await until(lambda: len(held.sent) >= 2)
        await asyncio.sleep(0.05)
        assert len(held.sent) == 2
        world.clock.ahead += timedelta(seconds=901)
        world.outbox.wake()
        for message in messages:
            await world.until(message, "done", "done")
        assert world.outbox.shut == {}


async def test_deliveries_to_a_destination_that_is_no_longer_configured_wait_and_hold_up_nobody(tmp_path):
    async with delivering(tmp_path) as world:
        gone = [await world.add(f"g{n}", patient=str(n), to=("gone",)) for n in range(100)]
        message = await world.add("a", patient="x")
        await world.until(message, "done")
        assert await world.states(gone[0]) == [("queued", "", 0)]
        assert {line["code"] for line in world.lines("destination_held")} == {"D957"}
        # Nor does it keep anybody asleep: another try is made without being asked for.
        world.destinations[0].deliver_plan = [UNAVAILABLE]
        await world.until(await world.add("b", patient="y"), "done")


# --- the store fails, the gateway stops --------------------------------------------------------------------


async def test_nothing_is_sent_while_the_store_cannot_record_it(tmp_path, monkeypatch):
    monkeypatch.setattr("mhbridge.gateway.outbox._STORE_PAUSE", 0.05)
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        start, failures = world.store.start, [StoreError("S210", "full")] * 3

        async def failing(*values):
            if failures:
                raise failures.pop()
            return await start(*values)

        world.store.start = failing
        message = await world.add("a")
        await asyncio.sleep(0.02)
        assert there.sent == []
        await world.until(message, "done")
        assert there.sent == ["a"]


async def test_a_result_is_recorded_as_soon_as_the_store_can(tmp_path, monkeypatch):
    monkeypatch.setattr("mhbridge.gateway.outbox._STORE_PAUSE", 0.02)
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        finish, failures = world.store.finish, [StoreError("S210", "full")] * 3

        async def failing(*values):
            if failures:
                raise failures.pop()
            await finish(*values)

        world.store.finish = failing
        await world.until(await world.add("a"), "done")
        assert there.sent == ["a"]


async def test_a_stop_waits_for_what_is_being_sent(tmp_path):
    async with delivering(tmp_path, outlet={"timeout": 5.0}, drain=5.0) as world:
        (there,) = world.destinations
        there.free.clear()
        sending, waiting = await world.add("a0"), await world.add("a1")
        await world.until(sending, "sending")
        closing = asyncio.create_task(world.outbox.close())
        await asyncio.sleep(0.05)
        there.free.set()
        await closing
        assert [state for state, _, _ in await world.states(sending)] == ["done"]
        assert [state for state, _, _ in await world.states(waiting)] == ["queued"]


async def test_what_a_stop_cuts_off_is_looked_up_at_the_next_start_before_anything_is_sent(tmp_path):
    async with delivering(tmp_path, outlet={"timeout": 5.0}, drain=0.05) as world:
        (there,) = world.destinations
        there.free.clear()
        message = await world.add("a")
        await world.until(message, "sending")
        await world.outbox.close()
        assert [state for state, _, _ in await world.states(message)] == ["sending"]
    async with delivering(tmp_path) as again:
        (there,) = again.destinations
        there.look_plan = [None]
        await again.until(message, "done")
        assert (there.looked, there.sent) == (["a"], ["a"])


async def test_what_nobody_has_in_hand_any_more_is_found_and_looked_up(tmp_path):
    """The sweep: `sending` past its time, with no task, as after a fault that nobody foresaw."""
    async with delivering(tmp_path, outlet={"timeout": 0.05}) as world:
        (there,) = world.destinations
        finish = world.store.finish

        async def broken(*_values):
            world.store.finish = finish
            raise ValueError(CANARY)

        world.store.finish = broken
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        try:
            await world.until(await world.add("a"), "done")
        finally:
            loop.set_exception_handler(None)
        assert (there.sent, there.looked) == (["a"], ["a"])


async def test_an_idle_outbox_asks_for_nothing(tmp_path):
    async with delivering(tmp_path) as world:
        await world.until(await world.add("a"), "done")
        await asyncio.sleep(0.05)
        asked = 0
        due = world.store.due

        async def counted(*values, **named):
            nonlocal asked
            asked += 1
            return await due(*values, **named)

        world.store.due = counted
        await asyncio.sleep(0.5)
        assert asked == 0


async def test_a_hundred_patients_a_destination_that_fails_at_random_and_every_order_is_kept(tmp_path):
    """Effects at the receiver, patient by patient, are those of the messages in order, each once."""
    effects: list[str] = []
    count = 0

    class Erratic(Destination):
        async def deliver(self, delivery):
            nonlocal count
            count += 1
            body = delivery.document.body.decode()
            if count % 5 == 0:
                raise UNAVAILABLE
            effects.append(body)
            if count % 7 == 0:
                raise SILENT
            await asyncio.sleep(0)
            return Delivered(2)

        async def look(self, delivery):
            body = delivery.document.body.decode()
            return Delivered(2) if body in effects else None

    async with delivering(tmp_path, Erratic(), outlet={"concurrency": 16, "timeout": 5.0}) as world:
        last = [
            [await world.add(f"{patient}.{n}", patient=str(patient)) for n in range(3)][-1] for patient in range(100)
        ]
        async with asyncio.timeout(20):
            for message in last:
                await world.until(message, "done")
    assert sorted(effects) == sorted(f"{patient}.{n}" for patient in range(100) for n in range(3))
    for patient in range(100):
        mine = [effect for effect in effects if effect.startswith(f"{patient}.")]
        assert mine == [f"{patient}.{n}" for n in range(3)]


def test_every_state_of_a_delivery_that_a_result_can_lead_to_is_here():
    assert {state for _, _, state, *_ in RESULTS.values()} <= {state.value for state in DeliveryState}


# --- after an outage ---------------------------------------------------------------------------------------


async def test_what_has_gathered_in_an_outage_goes_at_a_pace(tmp_path):
    async with delivering(tmp_path, first=1000.0, outlet={"timeout": 0.5, "catch_up": 20.0}) as world:
        (there,) = world.destinations
        there.deliver_plan = [UNAVAILABLE] * 30
        messages = [await world.add(f"a{n}", patient=str(n)) for n in range(30)]
        # What was under way with the fifth fails as well.
        await until(lambda: world.outbox.shut and not world.outbox._in_hand)
        there.deliver_plan.clear()
        failed = len(there.sent)
        world.clock.ahead += timedelta(seconds=31)
        begun = world.clock()
        world.outbox.wake()
        await until(lambda: len(there.sent) > failed)
        # All but those that were tried already, and wait for their next try.
        await until(lambda: len(there.sent) >= 30)
        assert (world.clock() - begun).total_seconds() >= (30 - failed - 2) / 20.0
        assert there.most <= 4
        world.clock.ahead += timedelta(seconds=1001)
        world.outbox.wake()
        for message in messages:
            await world.until(message, "done")


async def test_a_pause_that_one_patients_delivery_is_told_holds_for_the_destination(tmp_path):
    async with delivering(tmp_path, outlet={"concurrency": 1, "timeout": 0.5}) as world:
        (there,) = world.destinations
        there.deliver_plan = [DestinationUnavailable("D941", CANARY, after=60.0)]
        first, second = await world.add("a", patient="1"), await world.add("b", patient="2")
        await world.until(first, "retry")
        await asyncio.sleep(0.05)
        assert there.sent == ["a"]
        world.clock.ahead += timedelta(seconds=61)
        world.outbox.wake()
        await world.until(second, "done")


async def test_a_conflict_is_no_failure_of_the_destination(tmp_path):
    async with delivering(tmp_path) as world:
        world.destinations[0].deliver_plan = [DestinationUnavailable("D947", CANARY)] * 7
        await world.until(await world.add("a"), "done")
        assert world.lines("destination_down") == []


# --- what receivers say later ------------------------------------------------------------------------------


async def test_an_acknowledgement_that_overtakes_the_result_of_the_attempt_stands(tmp_path):
    """The receiver says that it has acted on it before we have read its answer to the request itself."""
    async with delivering(tmp_path) as world:
        (there,) = world.destinations
        there.deliver_plan = [DestinationSilent("D942", CANARY, remote_id="m-1")]
        there.look_plan = [Delivered(5, "m-1")]
        look, acknowledged = there.look, []

        async def overtaken(delivery):
            acknowledged.append(await world.store.acknowledge("d", "m-1", 5, world.clock()))
            return await look(delivery)

        there.look = overtaken
        message = await world.add("a", needs=5)
        await world.until(message, "done")
        await until(lambda: not world.outbox._in_hand)
        assert acknowledged == [True]
        assert world.lines("store_failed") == []


async def test_what_is_not_acknowledged_by_its_time_is_said_and_is_somebodys_task(tmp_path):
    async with delivering(tmp_path) as world:
        message = await world.add("a", needs=5, deadline=3600.0)
        await world.until(message, "awaiting")
        awaited = world.outbox._awaited
        assert await awaited.look() == 0
        world.clock.ahead += timedelta(seconds=3601)
        assert (await awaited.look(), await awaited.look()) == (1, 0)
        assert [line["code"] for line in world.lines("not_acknowledged")] == ["D960"]
        assert [task.cause for task in await world.store.tasks()] == ["D960"]
        # The next of the same patient is not held up.
        await world.until(await world.add("b"), "done")


# --- several nodes -----------------------------------------------------------------------------------------


async def test_the_lease_is_looked_at_right_before_each_send(tmp_path):
    ours = set()
    async with delivering(tmp_path, may_send=ours.__contains__) as world:
        (there,) = world.destinations
        message = await world.add("a")
        await world.until(message, "retry")
        # It was nobody's fault, so nothing is burnt.
        assert (await world.states(message), there.sent) == ([("retry", "D991", 0)], [])
        world.clock.ahead += timedelta(seconds=60)
        (due,) = await world.store.due(world.clock(), 1)
        ours.add(due.patient)
        world.outbox.wake()
        await world.until(message, "done")
        assert there.sent == ["a"]
        assert world.outbox.parts == set()


async def test_what_may_have_arrived_is_not_even_asked_for_without_a_lease(tmp_path):
    answers = iter([True, False, False, True])
    async with delivering(tmp_path, may_send=lambda _patient: next(answers)) as world:
        (there,) = world.destinations
        there.deliver_plan = [SILENT]
        message = await world.add("a")
        for n in (1, 2):
            await until(lambda n=n: len(world.lines("not_sent")) == n)
            world.clock.ahead += timedelta(seconds=60)
            world.outbox.wake()
        await world.until(message, "done")
        assert (there.sent, there.looked) == (["a"], ["a"])
