"""A store in a database: what the commands do that look for files, and what is said where the package is missing."""

from __future__ import annotations

import asyncio
import builtins
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from databases import database, execute, server

sys.path.insert(0, str(Path(__file__).parent / "adapters" / "store"))
from store_cases import T0, keep, take

from mhbridge import log as logs
from mhbridge.adapters.heads import HeadsFile
from mhbridge.app import build
from mhbridge.app.storing import store_of
from mhbridge.cli.acting import who_acts
from mhbridge.cli.keeping import backup, purge, rekey, restore
from mhbridge.config import load
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move


@pytest.fixture
def config(tmp_path):
    (tmp_path / "key").write_text("6b" * 32)
    with database() as address:
        (tmp_path / "mhbridge.toml").write_text(f'[gateway]\nstore = "{address}"\nstore_key = "file:key"\n')
        yield tmp_path / "mhbridge.toml"


async def opened(config):
    store = store_of(load(config, {}))
    await store.open()
    await store.close()


@pytest.mark.parametrize(("command", "arguments"), [(backup, ["copy"]), (restore, ["."])])
def test_what_copies_files_says_that_there_are_none(config, monkeypatch, command, arguments):
    monkeypatch.chdir(config.parent)
    result = CliRunner().invoke(command, [*arguments, "--config", str(config)])
    assert isinstance(result.exception, StoreError)
    assert result.exception.code == "S246"


def test_what_has_expired_is_looked_for(config):
    asyncio.run(opened(config))
    for arguments in (["--dry-run"], []):
        result = CliRunner().invoke(purge, [*arguments, "--config", str(config)])
        assert result.exception is None
        assert "nothing has expired" in result.output


def test_the_keys_come_under_another_key(config, tmp_path):
    async def body():
        store = store_of(load(config, {}))
        await store.open()
        try:
            return await store.original(number)
        finally:
            await store.close()

    async def kept():
        store = store_of(load(config, {}))
        await store.open()
        committed = await keep(store, 1, "gp")
        await store.close()
        return committed.messages[0]

    number = asyncio.run(kept())
    (tmp_path / "next").write_text("6c" * 32)
    result = CliRunner().invoke(rekey, ["--to", "file:next", "--config", str(config)])
    assert result.exception is None
    with pytest.raises(StoreError) as caught:
        asyncio.run(body())
    assert caught.value.code == "S223"
    config.write_text(config.read_text().replace("file:key", "file:next"))
    assert asyncio.run(body()) == b"original 1"


def test_what_was_open_in_a_restored_database_is_looked_up_before_it_is_sent(config, tmp_path):
    """A copy of the database, as a backup has it; more is done; and the copy takes its place."""

    async def work(*numbers, deliver=False):
        store = store_of(load(config, {}))
        await store.open()
        for number in numbers:
            await keep(store, number, "gp", patient=number)
        if deliver:
            for due in await take(store, T0):
                await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
        HeadsFile(tmp_path / "var" / "mhbridge.heads").add((await store.log_head(T0))[1])
        states = (await store.status(T0)).deliveries
        await store.close()
        return states

    async def look():
        store = store_of(load(config, {}), read_only=True)
        await store.open()
        lines = HeadsFile(tmp_path / "var" / "mhbridge.heads").lines()
        try:
            await store.verify_heads(lines)
            return (await store.status(T0)).deliveries, await store.receipts()
        finally:
            await store.close()

    asyncio.run(work(1, 2))
    address = load(config, {}).gateway.database
    name = address.rpartition("/test_")[2].partition("?")[0].join(("test_", ""))
    execute(server(), f"create database {name}_copy template {name}")
    assert asyncio.run(work(3, 4, deliver=True)) == {"done": 4}
    execute(server(), f"drop database {name} with (force)", f"alter database {name}_copy rename to {name}")
    with pytest.raises(StoreError) as caught:
        asyncio.run(look())
    assert caught.value.code == "S224"
    before = execute(address, "select last_value from ids")[0][0]
    result = CliRunner().invoke(restore, ["--as-of", "2026-03-03T09:00", "--config", str(config)])
    assert result.exception is None
    assert "2 deliveries may have left" in result.output
    assert asyncio.run(look()) == ({"unknown": 2}, 2)
    assert execute(address, "select last_value from ids")[0][0] > before + 1_000_000


def test_without_the_package_it_is_said_which(config, monkeypatch):
    imported = builtins.__import__

    def missing(name, *others):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(name="psycopg")
        return imported(name, *others)

    for name in [name for name in sys.modules if name.startswith(("psycopg", "mhbridge.adapters.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(StoreError) as caught:
        store_of(load(config, {}))
    assert caught.value.code == "S247"


async def test_a_gateway_starts_and_stops_on_it(config):
    app = build(load(config, {}), log=logs.make())
    await app.open()
    assert app.gateway.ready
    await app.store.audit(who_acts(), "test", 0, app.gateway._clock())
    assert app.store.meters().size > 0
    await app.close()
