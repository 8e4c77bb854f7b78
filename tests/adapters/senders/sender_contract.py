"""
What every sender must do, whatever the destination: nothing is lost, nothing has an effect twice, and where nobody can
tell, a person is asked.

Each sender is driven as in the gateway, by the outbox on a real store, against a receiving part over a real socket or
on a real disk. A sender's own tests inherit the contract and say three things: what receives, how the sender is made,
and what it sends. Faults are plans of the receiving part; a crash is the end of a life at one call of one port, before
it or after it, and the next life goes on with the store alone.
"""

# ruff: noqa: ARG002 - what the contract gives, not every sender needs

from __future__ import annotations

import asyncio
import io
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from mhbridge import log as logs
from mhbridge.adapters.folder import DiskFiles
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.gateway import Outbox, Outlet
from mhbridge.model import (
    Answer,
    Document,
    Envelope,
    Key,
    MessageFacts,
    MessageState,
    Outcome,
    Planned,
    Verdict,
)
from mhbridge.testing import DROP_AFTER, DROP_BEFORE, LATE, LONG, NOT_FHIR, OK, TWICE, refused, slow, unavailable

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: What a real sender allows for one delivery here, in seconds of the real clock.
TIMEOUT = 0.4
#: No life takes longer: one that does has come to rest nowhere.
LONGEST = 6.0
#: Codes with which a delivery waits for a person because nobody can tell whether it arrived.
NOBODY_KNOWS = frozenset({"D948", "D955"})


class Clock:
    """The real clock, which a test puts forward to whatever is waited for next."""

    def __init__(self):
        self.ahead = timedelta()
        self._begin = time.monotonic()

    def __call__(self):
        return START + self.ahead + timedelta(seconds=time.monotonic() - self._begin)


class Ended(BaseException):
    """The process ended here."""


@dataclass
class Life:
    """
    One life of the gateway's process: counts the calls of its ports, and ends at one of them.

    Args:
        at: the number of the call at which it ends, from 1; 0 is none.
        after: it ends when the call has been made, and nobody learns what came of it.
    """

    at: int = 0
    after: bool = False
    calls: list[str] = field(default_factory=list)
    over: bool = False

    def end(self):
        self.over = True

    def _begins(self, name):
        if self.over:
            raise Ended
        self.calls.append(name)
        here = len(self.calls) == self.at
        if here and not self.after:
            self.end()
            raise Ended
        return here

    def _ends(self, here):
        if here:
            self.end()
        if self.over:
            raise Ended

    def port(self, name, port, methods):
        return _Port(self, name, port, methods)

    def files(self):
        return _Files(self)


class _Port:
    """A port of which some calls are counted. All else that it is asked goes to the port itself."""

    def __init__(self, life, name, port, methods):
        self._life, self._name, self._port, self._methods = life, name, port, methods

    def __getattr__(self, attribute):
        found = getattr(self._port, attribute)
        if attribute not in self._methods:
            return found

        async def counted(*values, **named):
            here = self._life._begins(f"{self._name}.{attribute}")
            result = await found(*values, **named)
            self._life._ends(here)
            return result

        return counted


class _Files(DiskFiles):
    """Real files, each call of which is counted."""

    def __init__(self, life):
        self._life = life

    def write(self, path, body):
        self._through("files.write", super().write, path, body)

    def rename(self, old, new):
        self._through("files.rename", super().rename, old, new)

    def _through(self, name, call, *values):
        here = self._life._begins(name)
        call(*values)
        self._life._ends(here)


class World:
    """A store, and what was sent from it, over several lives."""

    def __init__(self, case, place, path):
        self.case, self.place, self.clock = case, place, Clock()
        self.store = SqliteStore(path / "store.db")
        self.stream = io.BytesIO()
        self.sent = []

    async def add(self, *numbers):
        """Messages of one patient, each with one delivery; they leave in this order."""
        for n in numbers:
            now = self.clock()
            original, body = self.case.original(n), self.case.body(n)
            outcome = Outcome(
                MessageFacts("hl7v2", "MDM^T02", control_id=f"C{n}"),
                MessageState.DONE,
                documents=(Document("x", "r4", self.case.bundle, bytes([n]) * 32, identifier(n), body),),
                deliveries=(Planned(0, "d", self.case.needs),),
                patient=Key("local", "1"),
            )
            envelope = Envelope(original, "s", "s/mllp", now, "mllp")
            answer = Answer(Verdict.ACCEPTED, "Safely stored.", now)
            done = await self.store.commit(envelope, sha256(original).digest(), [outcome], answer, {"d": 30 * 86_400.0})
            self.sent.append((n, done.messages[0]))

    async def live(self, life=None):
        """One life: until everything has come to rest, or the life is over."""
        life = life or Life()
        sender = self.case.sender(self.place, self.clock, life.files())
        await sender.open()
        outbox = Outbox(
            store=life.port("store", self.store, ("start", "finish")),
            outlets=[Outlet(life.port("sender", sender, ("deliver", "look")), timeout=TIMEOUT + 2)],
            clock=self.clock,
            log=logs.make(self.stream),
            jitter=lambda: 1.0,
            drain=0.1,
        )
        await self.store.recover(self.clock())
        await outbox.open()
        try:
            async with asyncio.timeout(LONGEST):
                while not life.over and await self._moves(outbox):
                    pass
        finally:
            # A process that has ended waits for nobody. What it was doing is cut off, and told to nobody.
            mine = [task for task in (outbox._loop, *outbox._in_hand.values()) if task is not None]
            for task in mine:
                task.cancel()
            await asyncio.gather(*mine, return_exceptions=True)
            await sender.close()
        return life

    async def _moves(self, outbox):
        """Let it work; when it only waits, put the clock forward. False when all has come to rest."""
        for _ in range(3):
            await asyncio.sleep(0.002)
        if outbox._in_hand:
            return True
        head = await self.store.next_due()
        if head is None:
            return bool(outbox._in_hand)
        due = [head, *(at for o in outbox._outlets.values() if (at := o.opens_at(self.clock())) is not None)]
        if max(due) > self.clock():
            # A destination that is left alone opens later than its heads are due.
            self.clock.ahead += max(due) - self.clock() + timedelta(milliseconds=1)
        outbox.wake()
        return True

    async def states(self):
        return {n: d["state"] for n, d in await self.deliveries()}

    async def deliveries(self):
        return [(n, d) for n, message in self.sent for d in (await self.store.trace(message)).deliveries]

    async def judge(self):
        """0 lost, 0 effects twice, in order; otherwise a person is asked, and told why. The states, by number."""
        place, ended = self.place, await self.deliveries()
        effects, behind = self.case.effects(place), False
        for n, delivery in ended:
            count, said = effects.get(n, 0), (n, delivery["state"], delivery["code"], effects)
            assert count <= 1, said
            if delivery["state"] in ("done", "awaiting"):
                assert count == 1, said
            elif behind:
                assert (delivery["state"], count) == ("queued", 0), said
            else:
                assert delivery["state"] == "parked", said
                assert delivery["code"], said
                assert count == 0 or delivery["code"] in NOBODY_KNOWS, said
                # The next of the same patient wait for the person, too.
                behind = True
        arrived = self.case.order(place)
        assert arrived == sorted(arrived), arrived
        if all(delivery["state"] == "done" for _, delivery in ended):
            self.case.final(place, self.sent[-1][0])
        status = await self.store.status(self.clock())
        assert status.differences == ()
        return {n: (delivery["state"], delivery["code"]) for n, delivery in ended}

    def events(self, name):
        return [line for line in map(json.loads, self.stream.getvalue().splitlines()) if line["event"] == name]


def identifier(n):
    return f"urn:uuid:00000000-0000-4000-8000-{n:012d}"


def fated(matches, *faults):
    """The first requests that carry something meet these faults, in turn."""
    left = list(faults)

    def plan(asked):
        return left.pop(0) if left and matches(asked) else OK

    return plan


#: What any receiver may do, and what the first delivery then comes to: `done`, or the code with which it is parked.
#: `unknown` is `done` where a repeat changes nothing or somebody can be asked, and otherwise D948.
FAULTS = {
    "nothing": ([], "done"),
    "the reply is lost, and nothing was done": ([DROP_BEFORE], "unknown"),
    "the reply is lost, and it was done": ([DROP_AFTER], "unknown"),
    "replies are lost again and again": ([DROP_AFTER, DROP_BEFORE, DROP_AFTER, DROP_BEFORE], "unknown"),
    "done in time and answered too late": ([slow(TIMEOUT * 2)], "unknown"),
    "an answer that is no answer": ([NOT_FHIR], "unknown"),
    "an answer longer than anybody reads": ([LONG], "unknown"),
}
#: What a receiver that speaks HTTP may say.
HTTP_FAULTS = {
    "429 with a wait": ([unavailable(7, 429)], "done"),
    "503 with a wait": ([unavailable(7)], "done"),
    "503 for long": ([unavailable()] * 7, "done"),
    "408": ([refused(408)], "done"),
    "401": ([refused(401)], "done"),
    "403 twice": ([refused(403)] * 2, "done"),
    "409": ([refused(409)], "done"),
    "412 twice": ([refused(412)] * 2, "done"),
    "409 for ever": ([refused(409)] * 3, "D947"),
    "400": ([refused(400)], "D946"),
    "410": ([refused(410)], "D946"),
    "422": ([refused(422)], "D946"),
    "a redirect": ([refused(307)], "D945"),
    "500": ([refused(500)], "unknown"),
    "504": ([refused(504)], "unknown"),
}


class SenderContract:
    """
    Inherited by the tests of a sender, which give `place`, `sender`, `body`, `effects` and the rest.

    Args:
        unknown: what a delivery comes to of which nobody can tell whether it arrived.
    """

    bundle = "document"
    needs = 2
    unknown = "done"

    @asynccontextmanager
    async def place(self, path):
        """What receives: with `plan`, `start`, `stop` and `carry_out_late`."""
        raise NotImplementedError
        yield

    def sender(self, place, clock, files):
        """The sender, as a process makes it that knows nothing of earlier ones."""
        raise NotImplementedError

    def body(self, n):
        raise NotImplementedError

    def original(self, n):
        return b"original %d" % n

    def effects(self, place):
        """Number → how often it had an effect."""
        raise NotImplementedError

    def order(self, place):
        """Numbers in the order of their effects."""
        raise NotImplementedError

    def final(self, place, n):
        """What the receiver has in the end is what the last one said."""

    @asynccontextmanager
    async def world(self, path):
        async with self.place(path / "place") as place:
            world = World(self, place, path)
            await world.store.open()
            try:
                yield world
            finally:
                await world.store.close()

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    async def test_wherever_the_process_ends_nothing_is_lost_and_nothing_arrives_twice(self, tmp_path, after):
        async with self.world(tmp_path / "count") as world:
            await world.add(1, 2)
            calls = (await world.live()).calls
            assert set((await world.judge()).values()) == {("done", "")}
        # Two deliveries, each started, sent and finished.
        assert len(calls) >= 6
        for at in range(1, len(calls) + 1):
            async with self.world(tmp_path / str(at)) as world:
                await world.add(1, 2)
                life = await world.live(Life(at, after))
                assert life.over
                await world.live()
                ended = await world.judge()
                assert self.unknown != "done" or set(ended.values()) == {("done", "")}, calls[at - 1]


class OverNetwork(SenderContract):
    """
    For senders that speak to somebody who answers.

    Args:
        faults: name → (what happens to the first requests, what the first delivery comes to).
    """

    faults = FAULTS

    def carries(self, asked):
        """Whether a request brings a delivery, rather than asking something."""
        del asked
        return True

    def pytest_generate_tests(self, metafunc):
        """Each sender has faults of its own."""
        if "fault_name" in metafunc.fixturenames:
            metafunc.parametrize("fault_name", list(self.faults))

    async def test_whatever_the_receiver_does_nothing_is_lost_and_nothing_arrives_twice(self, tmp_path, fault_name):
        faults, end = self.faults[fault_name]
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, *faults)
            await world.add(1, 2)
            await world.live()
            ended = await world.judge()
            end = self.unknown if end == "unknown" else end
            if end == "done":
                assert ended == {1: ("done", ""), 2: ("done", "")}
            else:
                assert ended[1] == ("parked", end)

    async def test_a_receiver_that_is_restarted_while_it_answers(self, tmp_path):
        async with self.world(tmp_path) as world:
            place, restarts = world.place, []

            def plan(asked):
                if self.carries(asked) and not restarts:
                    restarts.append(asyncio.get_running_loop().create_task(restart(place)))
                    return slow(5.0)
                return OK

            place.plan = plan
            await world.add(1, 2, 3)
            await world.live()
            await asyncio.gather(*restarts)
            ended = await world.judge()
            assert self.unknown != "done" or set(ended.values()) == {("done", "")}

    async def test_a_receiver_that_is_not_there_at_first(self, tmp_path):
        async with self.world(tmp_path) as world:
            await world.place.stop()
            await world.add(1, 2)
            task = asyncio.create_task(world.live())
            async with asyncio.timeout(20):
                while not world.events("destination_down"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert len(world.events("will_retry")) >= 5
            await world.place.start()
            await task
            assert set((await world.judge()).values()) == {("done", "")}

    @pytest.mark.parametrize("fault", [DROP_BEFORE, DROP_AFTER], ids=["undone", "done"])
    async def test_the_process_ends_while_the_receiver_is_at_it(self, tmp_path, fault):
        async with self.world(tmp_path) as world:
            life = Life()

            def plan(asked):
                if self.carries(asked) and not life.over:
                    life.end()
                    return fault
                return OK

            world.place.plan = plan
            await world.add(1, 2)
            await world.live(life)
            assert life.over
            await world.live()
            ended = await world.judge()
            assert self.unknown != "done" or set(ended.values()) == {("done", "")}

    async def test_a_request_that_is_carried_out_after_its_successor_brings_nothing_back(self, tmp_path):
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, LATE)
            await world.add(1, 2, 3)
            await world.live()
            assert world.place.carry_out_late() == 1
            if self.unknown == "done":
                assert set((await world.states()).values()) == {"done"}
                assert all(count == 1 for count in self.effects(world.place).values())
                self.final(world.place, 3)
            else:
                await world.judge()


class KnowsRepeats(OverNetwork):
    """For receivers at which the same again is known for what it is."""

    async def test_a_request_that_something_between_repeats_has_one_effect(self, tmp_path):
        async with self.world(tmp_path) as world:
            world.place.plan = fated(self.carries, TWICE, TWICE)
            await world.add(1, 2)
            await world.live()
            assert set((await world.judge()).values()) == {("done", "")}


async def restart(place):
    await asyncio.sleep(0.02)
    await place.stop()
    await asyncio.sleep(0.02)
    await place.start()
