"""All feeds together on a real store, in virtual time: what is said, which tasks are open, what a start remembers."""

import io
import json
from datetime import UTC, datetime, time, timedelta

import pytest

from mhbridge import log as logs
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import StoreError, explanations
from mhbridge.gateway.silence import Expected, Silence
from mhbridge.model import Answer, Envelope, MessageFacts, MessageState, Outcome, Verdict
from mhbridge.ports import Profile

MINUTE, HOUR, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(weeks=1)
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
FEED = "s/mllp"


class World:
    """A store and what listens to one feed, with a clock that goes when it is told to."""

    def __init__(self, path, expected=None, connections=None):
        self.path, self.expected, self.connections = path, expected, connections or {}
        self.now, self.stream, self.number = MONDAY, io.BytesIO(), 0

    async def open(self):
        self.store = SqliteStore(self.path, turns=lambda _: InlineTurns())
        await self.store.open()
        self.silence = Silence(
            store=self.store,
            feeds=[FEED],
            expected={FEED: self.expected} if self.expected else {},
            connections=self.connections,
            clock=lambda: self.now,
            log=logs.make(self.stream),
        )
        await self.silence.open()
        return self

    async def close(self):
        await self.silence.close()
        await self.store.close()

    async def start_again(self):
        await self.close()
        await self.open()

    async def send(self, control_id="", *, feed=FEED):
        """A message that is taken, as the gateway takes one."""
        self.number += 1
        outcome = Outcome(MessageFacts("hl7v2", "ADT^A03", control_id=control_id), MessageState.FILTERED, "R1")
        envelope = Envelope(b"%d" % self.number, "s", feed, self.now, "mllp")
        answer = Answer(Verdict.ACCEPTED, "", self.now)
        await self.store.commit(envelope, self.number.to_bytes(32), [outcome], answer, {})
        self.silence.taken(feed, self.now, [outcome])

    async def look(self, **later):
        """What is said when so much time has gone by, minute by minute."""
        before = len(self.stream.getvalue())
        until = self.now + timedelta(**later)
        while self.now < until:
            self.now = min(self.now + MINUTE, until)
            await self.silence.look(self.now)
        return [json.loads(line)["event"] for line in self.stream.getvalue()[before:].splitlines()]

    async def tasks(self):
        return {(task.what, task.name, task.cause) for task in await self.store.tasks()}


@pytest.fixture
async def world(tmp_path):
    made = []

    async def make(**others):
        world = World(tmp_path / "mhbridge.db", **others)
        made.append(world)
        return await world.open()

    yield make
    for world in made:
        await world.close()


async def usual(world, a_hour=30):
    """The feed has sent so many in each hour for weeks."""
    await world.silence.close()
    await world.store.keep_profiles([Profile(FEED, dict.fromkeys(range(168), (a_hour,) * 8), world.now.date(), 0)])
    await world.silence.open()


async def test_a_feed_that_goes_silent_is_said_once_and_when_it_is_heard_again(world):
    world = await world()
    await usual(world)
    assert await world.look(minutes=30) == []
    assert await world.look(minutes=10) == ["silent"]
    assert await world.tasks() == {("silence", FEED, "D970")}
    assert world.silence.silent == {FEED}
    assert await world.look(hours=5) == []
    for _ in range(3):
        await world.send()
    assert await world.look(minutes=1) == ["heard_again"]
    assert await world.tasks() == set()


async def test_a_silence_is_not_said_again_after_a_start(world):
    world = await world()
    await usual(world)
    assert await world.look(hours=1) == ["silent"]
    await world.start_again()
    assert await world.look(hours=5) == []
    for _ in range(3):
        await world.send()
    assert await world.look(minutes=1) == ["heard_again"]
    assert await world.tasks() == set()


async def test_what_is_learned_outlives_a_start(world):
    world = await world()
    for _ in range(24 * 2):
        await world.send()
        await world.look(minutes=30)
    await world.start_again()
    (profile,) = await world.store.profiles()
    # The first hour was not heard from its beginning.
    assert {hour: counts for hour, counts in profile.hours.items() if counts != (2,)} == {}
    assert len(profile.hours) == 23


async def test_a_floor_is_kept_whatever_is_usual(world):
    world = await world(expected=Expected(HOUR))
    assert await world.look(minutes=60) == []
    assert await world.look(minutes=2) == ["silent"]
    assert await world.tasks() == {("silence", FEED, "D971")}
    await world.send()
    assert await world.look(minutes=1) == ["heard_again"]
    assert await world.tasks() == set()


async def test_what_other_gateways_have_taken_is_heard_as_well_and_what_this_one_took_not_twice(world):
    world = await world(expected=Expected(HOUR))
    world.silence.heard_elsewhere({FEED: {"received": 7}}, world.now)
    today = world.silence._arrivals[FEED]
    for number in range(1, 5):
        assert await world.look(minutes=40) == []
        await world.send()
        # Of what came since, half came here; repeats and refusals are not news.
        accounts = {"received": 7 + 2 * number + 9, "repeat": 4, "refused": 5}
        world.silence.heard_elsewhere({FEED: accounts}, world.now)
        assert today.today == 2 * number
    # What is counted before it was heard of is not counted again when it is.
    world.silence.heard_elsewhere({FEED: {"received": 16}}, world.now)
    await world.send()
    world.silence.heard_elsewhere({FEED: {"received": 16}}, world.now)
    world.silence.heard_elsewhere({FEED: {"received": 17}}, world.now)
    assert today.today == 10
    assert await world.look(minutes=62) == ["silent"]
    world.silence.heard_elsewhere({FEED: {"received": 18}}, world.now)
    assert await world.look(minutes=1) == ["heard_again"]


async def test_whoever_listens_again_goes_on_from_what_others_have_learned(world):
    world = await world(expected=Expected(HOUR))
    assert await world.look(minutes=62) == ["silent"]
    await world.silence.close()
    assert world.silence.silent == frozenset()
    await world.silence.open()
    assert await world.look(minutes=62) == ["silent"]


async def test_what_did_not_come_by_its_hour_is_silence_until_it_comes(world):
    world = await world(expected=Expected(by=time(16)))
    # It began at midnight of a Monday, so it knows all of that day.
    assert await world.look(hours=15) == []
    assert await world.look(hours=2) == ["silent"]
    # Midnight makes up for nothing.
    assert await world.look(hours=10) == []
    await world.send()
    assert await world.look(minutes=1) == ["heard_again"]
    assert await world.look(hours=16) == []


async def test_the_end_of_its_hours_ends_no_silence(world):
    world = await world(expected=Expected(HOUR, (time(8), time(20))))
    assert await world.look(hours=10) == ["silent"]
    assert await world.look(hours=24) == []
    assert world.silence.silent == {FEED}
    await world.send()
    assert await world.look(minutes=1) == ["heard_again"]


@pytest.mark.parametrize("again", [False, True])
async def test_a_task_from_before_a_start_ends_when_it_is_so_no_more(world, again):
    count = 0
    world = await world(expected=Expected(HOUR, connection=5 * MINUTE), connections={FEED: lambda: count})
    await numbered(world, 1, 120)
    await numbered(world, 122, 122)
    assert await world.look(hours=2) == ["no_connection", "numbers_missing", "silent"]
    assert len(await world.tasks()) == 3
    if again:
        await world.start_again()
        assert len(await world.tasks()) == 3
    count = 1
    world.now += MINUTE
    await numbered(world, 121, 121)
    await world.look(minutes=1)
    assert await world.tasks() == set()


async def test_two_reasons_are_one_task_that_ends_with_the_last(world):
    world = await world(expected=Expected(HOUR))
    await usual(world)
    assert await world.look(hours=2) == ["silent", "silent"]
    assert len(await world.tasks()) == 1
    await world.send()
    assert await world.look(minutes=1) == ["heard_again"]
    assert len(await world.tasks()) == 1
    await world.send()
    await world.send()
    assert await world.look(minutes=1) == ["heard_again"]
    assert await world.tasks() == set()


async def test_a_sender_without_a_connection_is_noticed(world):
    count = 1
    world = await world(
        expected=Expected(connection=5 * MINUTE, hours=(time(8), time(20))), connections={FEED: lambda: count}
    )
    assert await world.look(hours=9) == []
    count = 0
    assert await world.look(minutes=4) == []
    assert await world.look(minutes=3) == ["no_connection"]
    assert await world.tasks() == {("connection", FEED, "D972")}
    count = 1
    assert await world.look(minutes=1) == ["connected_again"]
    assert await world.tasks() == set()
    count = 0
    assert await world.look(hours=3) == ["no_connection"]


async def numbered(world, first, last):
    for number in range(first, last + 1):
        await world.send(f"MSG{number}")


async def test_a_number_that_does_not_come_is_a_task_and_ends_when_it_comes(world):
    world = await world()
    await numbered(world, 1, 120)
    await numbered(world, 123, 124)
    assert await world.look(minutes=10) == []
    assert await world.look(minutes=2) == ["numbers_missing"]
    assert await world.tasks() == {("gap", FEED, "D973")}
    await world.start_again()
    assert await world.look(minutes=30) == []
    await numbered(world, 121, 121)
    assert await world.look(minutes=1) == []
    await numbered(world, 122, 122)
    assert await world.look(minutes=1) == ["numbers_came"]
    assert await world.tasks() == set()


async def test_numbers_are_missed_over_a_stop(world):
    world = await world()
    await numbered(world, 1, 120)
    await world.start_again()
    await numbered(world, 122, 125)
    assert await world.look(minutes=12) == ["numbers_missing"]


async def test_a_number_that_came_by_another_feed_is_not_missing(world):
    world = await world()
    await numbered(world, 1, 120)
    await world.send("MSG121", feed="s/http")
    await numbered(world, 122, 125)
    assert await world.look(minutes=20) == []
    assert await world.tasks() == set()


async def test_what_came_right_before_a_crash_is_not_missing(world):
    world = await world()
    await numbered(world, 1, 120)
    await world.look(minutes=1)
    await numbered(world, 121, 130)
    # It ends without being closed: of the last ten nothing was kept here, but they are in the store.
    await world.store.close()
    await world.open()
    await numbered(world, 131, 135)
    assert await world.look(minutes=20) == []


async def test_an_end_that_cannot_be_kept_is_found_again(world):
    world = await world()
    await usual(world)
    assert await world.look(hours=1) == ["silent"]
    close_task = world.store.close_task

    async def fails(*_args, **_others):
        raise StoreError("S209", "the store has failed")

    world.store.close_task = fails
    for _ in range(3):
        await world.send()
    with pytest.raises(StoreError):
        await world.look(minutes=1)
    world.store.close_task = close_task
    assert await world.look(minutes=1) == ["heard_again"]
    assert await world.tasks() == set()


async def test_what_cannot_be_kept_is_found_again(world):
    world = await world(expected=Expected(HOUR))
    raise_task = world.store.raise_task

    async def fails(*_args, **_others):
        raise StoreError("S209", "the store has failed")

    world.store.raise_task = fails
    with pytest.raises(StoreError):
        await world.look(minutes=70)
    assert await world.tasks() == set()
    world.store.raise_task = raise_task
    assert await world.look(minutes=1) == ["silent"]
    assert len(await world.tasks()) == 1


def test_every_cause_is_explained():
    assert {"D970", "D971", "D972", "D973"} <= explanations().keys()
