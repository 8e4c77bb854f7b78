"""Health tells the truth: `live` only that the process answers, `ready` that a message would be taken now."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

import shipped
from mhbridge import config
from mhbridge import log as logs
from mhbridge.adapters.sqlite import SqliteStore
from mhbridge.app import build
from mhbridge.errors import StoreError
from mhbridge.gateway import Disk
from mhbridge.gateway.workers.here import Here

ROOT = Path(__file__).parents[1]
PLAIN = (ROOT / "fixtures" / "example-mental-health" / "discharge-letter" / "plain.hl7").read_bytes()
CONFIGURATION = f"""
[gateway]
store = "sqlite:store/store.db"
mappings = ["{ROOT / "mappings"}"]
mode = "test"
[http]
listen = "127.0.0.1:0"
[[receiver]]
supplier = "example-mental-health"
kind = "http"
[[access]]
token = "env:VIEWER"
roles = ["viewer"]
"""


@pytest.fixture(autouse=True, scope="module")
def compiled():
    catalogue = shipped.catalogue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mhbridge.mapping.catalogue.load", lambda _: catalogue)
        yield


class World:
    def __init__(self, app, session):
        self.app, self.session = app, session

    async def ask(self, path):
        async with self.session.get(path) as response:
            return response.status, json.loads(await response.read())

    async def post(self):
        async with self.session.post("/feeds/example-mental-health/http/messages", data=PLAIN) as response:
            return response.status

    async def ready(self):
        """Whether it says that it is ready, which anybody may ask; and why not."""
        status, body = await self.ask("/health/ready")
        assert await self.ask("/health/live") == (200, {"live": True})
        if status == 200:
            assert body == {"ready": True, "mode": "test"}
            return ""
        assert status == 503
        (issue,) = body["issue"]
        assert issue["details"]["coding"][0]["code"] == "D932"
        return issue["details"]["text"]


@asynccontextmanager
async def world(path, clock=None):
    app = build(
        config.parse(CONFIGURATION, base=path, environ={"VIEWER": "v"}), log=logs.make(io.BytesIO()), clock=clock
    )
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            yield World(app, session)
    finally:
        await app.close()


class Time:
    def __init__(self):
        self.at = datetime(2026, 3, 3, 9, tzinfo=UTC)

    def __call__(self):
        return self.at


async def test_a_gateway_that_takes_messages_is_ready(tmp_path):
    async with world(tmp_path) as here:
        assert await here.ready() == ""
        assert await here.post() == 202


async def test_a_store_that_cannot_be_written_to(tmp_path):
    async with world(tmp_path) as here:

        async def full(_now):
            raise StoreError("S210", "the disk of the store is full")

        here.app.store.probe = full
        # No message has come that could have told.
        assert "store" in await here.ready()


async def test_a_store_that_does_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr("mhbridge.console.health._PATIENCE", 0.05)
    async with world(tmp_path) as here:
        asked, going = [], asyncio.Event()
        probe = here.app.store.probe

        async def hanging(now):
            asked.append(now)
            await going.wait()
            await probe(now)

        here.app.store.probe = hanging
        pages = [await asyncio.wait_for(here.ready(), 10) for _ in range(3)]
        assert all("store" in page for page in pages)
        # Who asks again does not stand in the line a second time.
        assert len(asked) == 1
        going.set()
        async with asyncio.timeout(5):
            while await here.ready():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_what_was_written_a_moment_ago_is_not_written_again(tmp_path):
    time = Time()
    async with world(tmp_path, clock=time) as here:
        asked = []
        probe = here.app.store.probe

        async def counted(now):
            asked.append(now)
            await probe(now)

        here.app.store.probe = counted
        for _ in range(5):
            assert await here.ready() == ""
        assert len(asked) == 1
        time.at = time.at.replace(second=6)
        assert await here.ready() == ""
        # A clock that was set back proves nothing.
        time.at = time.at.replace(hour=7)
        assert await here.ready() == ""
        assert len(asked) == 3


async def test_the_probe_is_durable(tmp_path):
    store = SqliteStore(tmp_path / "store" / "store.db")
    await store.open()
    before = store.meters().commit_seconds.count
    await store.probe(datetime.now(UTC))
    assert store.meters().commit_seconds.count == before + 1
    await store.close()
    reader = SqliteStore(tmp_path / "store" / "store.db", read_only=True)
    await reader.open()
    with pytest.raises(StoreError):
        await reader.probe(datetime.now(UTC))
    await reader.close()


async def test_a_store_that_has_just_failed(tmp_path):
    async with world(tmp_path) as here:
        commit = here.app.store.commit

        async def failing(*_values, **_named):
            raise StoreError("S206", "another process is writing to the store")

        here.app.store.commit = failing
        assert await here.post() == 503
        assert "store" in await here.ready()
        here.app.store.commit = commit
        assert await here.post() == 202
        assert await here.ready() == ""


async def test_a_disk_without_room(tmp_path):
    async with world(tmp_path) as here:
        disk = here.app.gateway.pressure._disk
        here.app.gateway.pressure._disk = lambda: Disk(1_000, 10**12)
        here.app.gateway.pressure.look()
        assert "disk" in await here.ready()
        here.app.gateway.pressure._disk = disk
        here.app.gateway.pressure.look()
        assert await here.ready() == ""


async def test_no_process_that_translates(tmp_path, monkeypatch):
    async with world(tmp_path) as here:
        monkeypatch.setattr(Here, "alive", False)
        assert "translates" in await here.ready()


async def test_a_gateway_that_stops(tmp_path):
    async with world(tmp_path) as here:
        await here.app.gateway.close()
        assert "stopping" in await here.ready()
        assert await here.post() == 503


async def test_health_says_nothing_else(tmp_path):
    async with world(tmp_path) as here:
        for path in ("/health/live", "/health/ready"):
            async with here.session.get(path) as response:
                text = (await response.text()).lower() + str(response.headers).lower()
            told = ("version", "0.1", "python", "aiohttp", "sqlite", str(tmp_path))
            assert not [word for word in told if word in text]
