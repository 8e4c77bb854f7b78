"""A whole gateway, configured and listening: what is taken is heard, and what stops coming is said and is a task."""

import asyncio
import io
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build

CONFIGURATION = """
[gateway]
mode = "test"

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:0"
expect = {at_least = "1/h", connection = "5m"}
"""
FEED = "example-mental-health/mllp"
MINUTE = timedelta(minutes=1)


class World:
    def __init__(self, path):
        self.now, self.stream, self.path = datetime(2026, 3, 3, 9, tzinfo=UTC), io.BytesIO(), path

    @asynccontextmanager
    async def running(self):
        found = config.parse(CONFIGURATION, base=self.path, environ={})
        self.app = build(found, log=logs.make(self.stream), clock=lambda: self.now)
        await self.app.open()
        try:
            yield self
        finally:
            await self.app.close()

    @asynccontextmanager
    async def connected(self):
        host, _, port = self.app.receivers[FEED].address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield reader, writer
        finally:
            writer.close()
            await writer.wait_closed()
            async with asyncio.timeout(5):
                while self.app.receivers[FEED].connected:  # noqa: ASYNC110  the listener sees the end when it looks
                    await asyncio.sleep(0.01)

    async def send(self, *numbers):
        async with self.connected() as (reader, writer):
            for number in numbers:
                body = f"MSH|^~\\&|A|B|C|D|20260303090000||ZZZ^Z99|MSG{number}|T|2.4\r"
                writer.write(b"\x0b" + body.encode() + b"\x1c\r")
                await reader.readuntil(b"\x1c\r")

    async def look(self, minutes):
        """What is said of feeds within so many minutes, a look each."""
        before = len(self.stream.getvalue())
        for _ in range(minutes):
            self.now += MINUTE
            await self.app.watch.look()
        lines = [json.loads(line) for line in self.stream.getvalue()[before:].splitlines()]
        return [line["event"] for line in lines if line.get("feed") == FEED]

    async def tasks(self):
        return {(task.what, task.cause) for task in await self.app.store.tasks(most=1_000) if task.name == FEED}


async def test_what_stops_coming_is_said_and_is_a_task_until_it_comes_again(tmp_path):
    async with World(tmp_path).running() as world:
        await world.send(1)
        assert await world.look(70) == ["no_connection", "silent"]
        assert await world.tasks() == {("connection", "D972"), ("silence", "D971")}
        async with world.connected() as (_, writer):
            writer.write(b"\r\n")
            async with asyncio.timeout(5):
                while not world.app.receivers[FEED].connected:  # noqa: ASYNC110  as above
                    await asyncio.sleep(0.01)
            assert await world.look(1) == ["connected_again"]
        await world.send(2)
        assert await world.look(1) == ["heard_again"]
        assert await world.tasks() == set()


async def test_a_number_left_out_is_missed_also_over_a_start_until_it_comes(tmp_path):
    world = World(tmp_path)
    async with world.running():
        await world.send(*range(1, 121), 122)
        assert "numbers_missing" not in await world.look(3)
    async with world.running():
        assert "numbers_missing" in await world.look(10)
        assert ("gap", "D973") in await world.tasks()
        (profile,) = [profile for profile in await world.app.store.profiles() if profile.feed == FEED]
        assert profile.count == 121
        await world.send(121)
        assert "numbers_came" in await world.look(1)
        assert ("gap", "D973") not in await world.tasks()
