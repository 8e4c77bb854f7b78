"""The loop of all that becomes due by itself: on the real store, with a clock and an event loop whose time jumps."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta

from jumping import Jumping
from mhbridge import log as logs
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.errors import StoreError
from mhbridge.gateway import Clocks
from mhbridge.ports import Duties, Duty, Queue

T0 = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DUTIES = Duties(
    queues={"operations": Queue("operations", "", "safety", 4 * HOUR), "safety": Queue("safety", "", "", 24 * HOUR)},
    otherwise=Duty("operations", "normal", 8 * HOUR),
)


class World:
    """A store and the loop over it; `clock` is the event loop's time, and can be set like any wall clock."""

    def __init__(self, path, store=None):
        self.stream = io.BytesIO()
        self.store = store or SqliteStore(path / "store.db", turns=lambda _: InlineTurns(), duties=DUTIES)
        self.set_by = timedelta()
        self.clocks = Clocks(store=self.store, clock=self.clock, log=logs.make(self.stream))

    def clock(self):
        return T0 + timedelta(seconds=asyncio.get_running_loop().time()) + self.set_by

    def said(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def events(self):
        return [line["event"] for line in self.said()]


def in_jumping_time(work):
    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(work())


def test_what_nobody_takes_is_handed_on_when_its_time_has_come_and_not_before(tmp_path):
    world, seen = World(tmp_path), []

    async def work():
        await world.store.open()
        await world.store.raise_task("feed", "D970", world.clock(), name="a/mllp")
        await world.clocks.open()
        await asyncio.sleep(1800)
        for _ in range(40):
            seen.append((await world.store.tasks())[0].queue)
            await asyncio.sleep(3600)
        await world.clocks.close()
        await world.store.close()

    in_jumping_time(work)
    # Four hours in the first queue, and then with whoever must answer, who is told every day.
    assert seen == ["operations"] * 4 + ["safety"] * 36
    assert world.events() == ["task_handed_on", "task_unclaimed"]
    assert world.said()[0]["queue"] == "safety"


def test_what_came_due_while_nothing_ran_is_done_at_the_start(tmp_path):
    async def work(world, hours):
        await world.store.open()
        await asyncio.sleep(hours * 3600)
        if not hours:
            await world.store.raise_task("feed", "D970", world.clock(), name="a/mllp")
        await world.clocks.open()
        await asyncio.sleep(1)
        await world.clocks.close()
        await world.store.close()

    first, second = World(tmp_path), World(tmp_path)
    in_jumping_time(lambda: work(first, 0))
    in_jumping_time(lambda: work(second, 100))
    assert (first.events(), second.events()) == ([], ["task_handed_on"])


def test_a_wall_clock_that_is_set_is_said_and_deadlines_follow_the_wall(tmp_path):
    world = World(tmp_path)

    async def work():
        await world.store.open()
        await world.store.raise_task("feed", "D970", world.clock(), name="a/mllp")
        await world.clocks.open()
        await asyncio.sleep(100)
        world.set_by = 5 * HOUR
        await asyncio.sleep(100)
        world.set_by = timedelta(seconds=5) + 5 * HOUR
        await asyncio.sleep(100)
        await world.clocks.close()
        await world.store.close()

    in_jumping_time(work)
    assert world.events() == ["wall_clock_set", "task_handed_on"]
    assert world.said()[0]["seconds"] == 18_000.0


def test_a_store_that_fails_is_asked_again(tmp_path):
    world = World(tmp_path)

    async def work():
        await world.store.open()
        await world.store.raise_task("feed", "D970", world.clock() - 5 * HOUR, name="a/mllp")
        fire = world.store.fire

        async def failing(*_values):
            world.store.fire = fire
            raise StoreError("S210", "full")

        world.store.fire = failing
        await world.clocks.open()
        await asyncio.sleep(5)
        await world.clocks.close()
        await world.store.close()

    in_jumping_time(work)
    assert world.events() == ["store_failed", "task_handed_on"]


def test_somebody_who_takes_a_task_wakes_the_loop_and_a_portion_is_followed_by_the_next(tmp_path):
    world = World(tmp_path)

    async def work():
        await world.store.open()
        await world.clocks.open()
        await asyncio.sleep(1)
        for n in range(250):
            await world.store.raise_task("feed", "D970", world.clock() - 5 * HOUR, name=f"f{n}")
        world.clocks.wake()
        await asyncio.sleep(1)
        found = {task.queue for task in await world.store.tasks(most=1000)}
        await world.clocks.close()
        await world.store.close()
        return found

    assert in_jumping_time(work) == {"safety"}
    assert world.events() == ["task_handed_on"] * 250
