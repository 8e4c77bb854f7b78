"""The world itself: time jumps, a seed is the whole of it, and a process that is killed does nothing more."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from scene import FEED, MLLP, ROOT, configuration

from mhbridge.testing.receiving import ReceivingServer
from mhbridge.testing.sending import mllp_peer
from world import START, Stuck, simulate

ADMISSION = (ROOT / "fixtures" / "example-mental-health" / "adt" / "a01-admission.hl7").read_bytes()
CONTROL = b"EXMH-P-000201"


def numbered(number):
    return ADMISSION.replace(CONTROL, b"W-%06d" % number)


async def some_hours(world):
    """Forty messages at random times of some hours; what the gateway said, and when."""
    async with ReceivingServer(clock=world.now) as server:
        gateway = await world.gateway(configuration(server.url))
        for number in range(40):
            await asyncio.sleep(world.random.uniform(0, 1_000))
            async with mllp_peer(*MLLP) as peer:
                await peer.send(numbered(number))
        await world.until(lambda: len(server.requests) == 40)
        assert (await gateway.status()).differences == ()
        await gateway.stop()
    return world


def test_a_seed_is_the_whole_of_a_world(tmp_path):
    once, again, another = (simulate(seed, tmp_path / str(n), some_hours) for n, seed in enumerate((1, 1, 2)))
    assert len(once.events("delivered")) == 40
    assert once.said == again.said
    assert once.said != another.said


def test_a_day_takes_as_long_as_what_happens_in_it(tmp_path):
    async def wait(world):
        await asyncio.sleep(30 * 86_400)
        return world.now()

    begun = time.monotonic()
    assert simulate(1, tmp_path, wait) == START + timedelta(days=30)
    # Not a measure of speed: a loop that really waited would be here next month.
    assert time.monotonic() - begun < 3_600


def test_a_wait_that_nobody_will_end_is_said_at_once(tmp_path):
    async def wait(_world):
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        simulate(1, tmp_path, wait)


def test_asking_again_and_again_without_waiting_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("world._TURNS_AT_ONCE", 1_000)

    async def spin(_world):
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(Stuck):
        simulate(1, tmp_path, spin)


def test_a_killed_gateway_does_nothing_more_and_the_next_goes_on_with_its_store(tmp_path):
    async def live_twice(world):
        async with ReceivingServer(clock=world.now) as server:
            nobody = configuration("http://127.0.0.1:9")
            first = await world.gateway(nobody)
            async with mllp_peer(*MLLP) as peer:
                await peer.send(numbered(1))
            await asyncio.sleep(10)
            reader, _ = await asyncio.open_connection(*MLLP)
            first.kill()
            said = len(world.said)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*MLLP)
            await asyncio.sleep(3_600)
            assert len(world.said) == said
            second = await world.gateway(configuration(server.url))
            await world.until(lambda: server.requests)
            status = await second.status()
            assert (status.receipts, status.differences) == (1, ())
            assert [line["feed"] for line in world.events("received")] == [FEED]
            await second.stop()

    simulate(1, tmp_path, live_twice)
