"""A store in a database: what the commands do that look for files, and what is said where the package is missing."""

from __future__ import annotations

import asyncio
import builtins
import sys

import pytest
from click.testing import CliRunner

from databases import database
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.app.storing import store_of
from mhbridge.cli.acting import who_acts
from mhbridge.cli.keeping import backup, purge, rekey, restore
from mhbridge.config import load
from mhbridge.errors import StoreError


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


@pytest.mark.parametrize(
    ("command", "arguments"), [(backup, ["copy"]), (restore, ["."]), (rekey, ["--to", "file:key"])]
)
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
