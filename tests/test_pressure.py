"""How much is let in at once, when nothing is, and that either ends by itself."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from mhbridge import log as logs
from mhbridge.errors import StoreError, explanations
from mhbridge.gateway.pressure import Disk, Limits, Pressure

LIMITS = Limits(room=100, most=4, patience=0.05, disk=1_000, every=0.01)


class Door:
    """A pressure, and who is inside."""

    def __init__(self, disk=None, limits=LIMITS):
        self.stream = io.BytesIO()
        self.pressure = Pressure(log=logs.make(self.stream), disk=disk, limits=limits)
        self._leave = {}

    async def enter(self, name, size, feed="a"):
        """The code with which it is sent away, or empty when it is in."""
        leave, entered = asyncio.Event(), asyncio.Event()

        async def inside():
            await self.pressure.enter(feed, size)
            entered.set()
            await leave.wait()
            self.pressure.leave(feed, size)

        task = asyncio.create_task(inside())
        self._leave[name] = leave, task
        waiting = asyncio.create_task(entered.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if entered.is_set():
            return ""
        (leave, task) = self._leave.pop(name)
        with pytest.raises(StoreError) as refused:
            await task
        assert refused.value.code in explanations()
        return refused.value.code

    async def leave(self, name):
        leave, task = self._leave.pop(name)
        leave.set()
        await task

    async def empty(self):
        for name in list(self._leave):
            await self.leave(name)
        assert (self.pressure.inside, self.pressure.size) == (0, 0)

    def events(self):
        return [json.loads(line)["event"] for line in self.stream.getvalue().splitlines()]


async def test_so_many_bytes_and_no_more():
    door = Door()
    assert [await door.enter(name, 40) for name in "xyz"] == ["", "", "D904"]
    await door.empty()


async def test_so_many_envelopes_and_no_more():
    door = Door()
    assert [await door.enter(name, 1) for name in "vwxyz"] == ["", "", "", "", "D904"]
    await door.empty()


async def test_one_alone_always_has_room():
    door = Door()
    assert await door.enter("x", 1_000) == ""
    assert await door.enter("y", 1) == "D904"
    await door.empty()


async def test_once_full_others_come_in_when_half_has_gone():
    door = Door()
    for name in "wxyz":
        assert await door.enter(name, 25) == ""
    assert await door.enter("more", 25) == "D904"
    await door.leave("w")
    assert await door.enter("more", 25) == "D904"
    await door.leave("x")
    assert await door.enter("more", 25) == ""
    assert door.events() == ["pressure", "pressure_eased"]
    await door.empty()


async def test_whoever_waits_comes_in_as_soon_as_there_is_room():
    door = Door(limits=LIMITS._replace(patience=10.0))
    await door.enter("x", 80)
    waiting = asyncio.create_task(door.enter("y", 80))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await door.leave("x")
    assert await waiting == ""
    await door.empty()


async def test_one_feed_leaves_room_for_another_that_waits():
    door = Door(limits=LIMITS._replace(most=100, patience=0.2))
    assert [await door.enter(name, 30) for name in "wxy"] == ["", "", ""]
    other = asyncio.create_task(door.enter("other", 30, "b"))
    await asyncio.sleep(0.01)
    # Two of three have left when the other and one more of this feed ask for the room that there is.
    more = asyncio.create_task(door.enter("more", 30))
    await asyncio.sleep(0.01)
    await door.leave("w")
    await door.leave("x")
    assert await other == ""
    assert await more == ""
    await door.empty()
    # With the other one waiting, this feed has no more than half.
    door.pressure._waiting["b"] += 1
    assert [await door.enter(name, 30) for name in "wx"] == ["", "D904"]
    door.pressure._waiting["b"] -= 1
    assert await door.enter("y", 30) == ""
    await door.empty()


@pytest.mark.parametrize(
    ("free", "size", "shut"),
    [
        (1_000, 10**9, ""),
        (999, 10**9, "D907"),
        # Of a small disk a twentieth is enough.
        (50, 1_000, ""),
        (49, 1_000, "D907"),
    ],
)
async def test_so_much_of_the_disk_stays_free(free, size, shut):
    door = Door(lambda: Disk(free, size))
    door.pressure.look()
    assert door.pressure.shut == shut
    assert await door.enter("x", 1) == shut
    await door.empty()


async def test_when_there_is_room_on_the_disk_again_whoever_waits_comes_in():
    disk = Disk(0, 10**9)
    door = Door(lambda: disk, LIMITS._replace(patience=10.0))
    await door.pressure.open()
    waiting = asyncio.create_task(door.enter("x", 1))
    await asyncio.sleep(0.03)
    # A little more than too little is not enough: it would be shut and open in turns.
    disk = Disk(1_100, 10**9)
    await asyncio.sleep(0.03)
    assert not waiting.done()
    disk = Disk(1_250, 10**9)
    assert await waiting == ""
    await door.pressure.close()
    assert door.events() == ["pressure", "pressure_eased"]
    await door.empty()


async def test_what_the_store_found_full_is_shut_until_the_disk_has_been_looked_at():
    door = Door(lambda: Disk(10**9, 10**9))
    door.pressure.no_room()
    assert await door.enter("x", 1) == "D907"
    door.pressure.look()
    assert await door.enter("x", 1) == ""
    await door.empty()


async def test_whoever_goes_away_while_waiting_takes_no_room():
    door = Door(limits=LIMITS._replace(patience=10.0))
    await door.enter("x", 90)
    waiting = asyncio.create_task(door.pressure.enter("b", 20))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await door.leave("x")
    assert not door.pressure._waiting.total()
    assert await door.enter("y", 100) == ""
    await door.empty()
