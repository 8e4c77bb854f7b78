"""What a configuration says of keeping, and the commands that people keep a store with."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import apsw
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "adapters" / "store"))
from store_cases import T0, keep, take

from gateways import configuration
from mhbridge import config
from mhbridge import log as logs
from mhbridge.app import build
from mhbridge.app.storing import store_of
from mhbridge.cli.auditing import audit
from mhbridge.cli.keeping import backup, purge, rekey, restore
from mhbridge.errors import ConfigurationError, StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move, Retention

KEY = "5a" * 32

CONFIGURATION = """
[gateway]
store = "sqlite:var/mhbridge.db"
log_heads = "elsewhere/heads"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mhbridge.toml"
    path.write_text(CONFIGURATION)
    return path


def store_named_by(file, **others):
    return store_of(config.load(file, {}), **others)


def fill(file, *numbers, at=T0):
    """Messages that came and were delivered."""

    async def run():
        store = store_named_by(file)
        await store.open()
        for number in numbers:
            await keep(store, number, "gp", patient=number, at=at)
        for due in await take(store, at):
            await store.finish([Move(due.id, DeliveryState.DONE, level=2)], at)
        await store.close()

    asyncio.run(run())


def run(command, file, *arguments):
    return CliRunner().invoke(command, ["--config", str(file), *arguments])


# --- configuration ---


def parsed(text, tmp_path, **environ):
    return config.parse(text, base=tmp_path, environ=environ)


def test_without_a_word_of_it_everything_has_a_time_and_a_basis(tmp_path):
    assert config.retention_of(parsed("", tmp_path)) == Retention()
    assert (Retention().raw, Retention().document, Retention().episode) == (90, 30, 400)
    assert "UK GDPR" in Retention().why("raw")


def test_a_type_of_document_is_kept_as_long_as_the_longest_of_its_routes_asks(tmp_path):
    text = """
[retention]
raw = 60
document = 20
basis = "direct care"
[[destination]]
name = "a"
kind = "folder"
path = "a"
[[route]]
documents = ["letter", "event"]
to = ["a"]
[[route]]
documents = ["letter"]
to = ["a"]
retention = {days = 45, basis = "contract 7"}
[[route]]
documents = ["result"]
to = ["a"]
retention = {days = 5, basis = "contract 8"}
"""
    retention = config.retention_of(parsed(text, tmp_path))
    assert [retention.days("document", kind) for kind in ("letter", "event", "result", "other")] == [45, 20, 5, 20]
    assert (retention.days("raw"), retention.days("episode")) == (60, 400)
    assert retention.why("raw") == "direct care"
    assert retention.why("document") == "direct care; direct care; contract 7; contract 8"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[retention]\nraw = 0", "C806"),
        ('[retention]\nraw = "90d"', "C806"),
        ("[retention]\nforever = 1", "C803"),
        ('[retention]\nbasis = ""', "C806"),
        ('[[route]]\ndocuments = ["a"]\nto = ["b"]\nretention = {days = 3}', "C804"),
        ('[gateway]\nstore_key = "5a5a"', "C807"),
        ('[gateway]\nstore_key = "env:NOTHING"', "C808"),
    ],
)
def test_what_is_wrong_with_it_is_said(text, code, tmp_path):
    with pytest.raises(ConfigurationError) as raised:
        parsed(text, tmp_path)
    assert code in {code for code, _ in raised.value.problems}, raised.value.problems


@pytest.mark.parametrize("key", ["5a" * 31, "5a" * 33, "zz" * 32])
def test_a_key_that_is_none_is_refused_and_not_shown(key, tmp_path):
    master = config.master_key_of(parsed('[gateway]\nstore_key = "env:KEY"', tmp_path, KEY=key))
    with pytest.raises(ConfigurationError) as raised:
        master()
    ((code, message),) = raised.value.problems
    assert (code, key in message) == ("C832", False)


def test_a_store_under_a_key_from_elsewhere_is_opened_by_every_command(file, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    file.write_text(CONFIGURATION + 'store_key = "file:key"\n')
    fill(file, 1)
    assert not (tmp_path / "var" / "mhbridge.db.key").exists()
    result = run(purge, file, "--dry-run")
    assert result.exit_code == 0, result.output
    result = run(audit, file, "--verify")
    assert "The log is whole" in result.output
    (tmp_path / "key").write_text("5b" * 32)
    assert run(purge, file).exception.code == "S223"


# --- purge ---


def test_purge_says_what_would_go_and_then_what_went(file):
    fill(file, 1, 2, at=datetime.now(UTC) - timedelta(days=200))
    would = json.loads(run(purge, file, "--dry-run", "--json").output)
    assert [(one["retention"], one["rows"], one["dropped"]) for one in would["expired"]] == [
        ("document", 2, False),
        ("raw", 2, False),
    ]
    did = json.loads(run(purge, file, "--json").output)
    assert [(one["retention"], one["rows"], one["dropped"]) for one in did["expired"]] == [
        ("document", 2, True),
        ("raw", 2, True),
    ]
    assert did["cleared"] == 4
    assert run(purge, file).output == "nothing has expired\n"


def test_purge_for_people(file):
    fill(file, 1, at=datetime.now(UTC) - timedelta(days=200))
    result = run(purge, file)
    assert result.exit_code == 0
    assert "raw until" in result.output


def test_a_patient_is_erased_with_a_reason_that_stands_in_the_log(file, tmp_path):
    fill(file, 1, 2)
    assert run(purge, file, "--patient", "P0001").exit_code == 2
    result = run(purge, file, "--patient", "P0001", "--basis", "Art. 17, request 12")
    assert result.exit_code == 0, result.output
    assert "2 bodies" in result.output
    connection = apsw.Connection(str(tmp_path / "var" / "mhbridge.db"))
    moves, who = connection.execute("select moves, who from log where what = 'erasure'").fetchone()
    connection.close()
    assert moves.endswith("Art. 17, request 12")
    assert who.endswith("at the command line") or who.startswith("os:")


def test_without_a_store_there_is_nothing_to_purge(file):
    result = run(purge, file)
    assert isinstance(result.exception, StoreError)
    assert result.exception.code == "S217"


# --- the log ---


def test_a_log_that_was_cut_is_found_by_audit(file, tmp_path):
    fill(file, 1, 2)

    async def note():
        from mhbridge.adapters.heads import HeadsFile

        store = store_named_by(file)
        await store.open()
        HeadsFile(config.load(file, {}).gateway.heads_path).add((await store.log_head(T0))[1])
        await store.close()

    asyncio.run(note())
    result = run(audit, file, "--verify")
    assert "1 notes" in result.output
    shutil.copy2(tmp_path / "var" / "mhbridge.db", tmp_path / "copy")
    connection = apsw.Connection(str(tmp_path / "var" / "mhbridge.db"))
    connection.execute("delete from log where seq = (select max(seq) from log)")
    connection.close()
    result = run(audit, file, "--verify")
    assert isinstance(result.exception, StoreError)
    assert result.exception.code == "S224"


# --- backup and restore ---


def test_a_store_is_backed_up_lost_and_restored(file, tmp_path):
    fill(file, 1, 2)
    result = run(backup, file, str(tmp_path / "copy"), "--keys", str(tmp_path / "apart"))
    assert result.exit_code == 0, result.output
    assert "2 messages" in result.output
    fill(file, 3)
    assert run(restore, file, str(tmp_path / "copy")).exception.code == "S225"
    for name in ("mhbridge.db", "mhbridge.db.keys"):
        (tmp_path / "var" / name).unlink()
    result = run(restore, file, str(tmp_path / "copy"), "--keys", str(tmp_path / "apart" / "mhbridge.db.keys"))
    assert result.exit_code == 0, result.output
    assert "2 messages" in result.output
    assert run(audit, file, "--verify").exit_code == 0
    assert (tmp_path / "elsewhere" / "heads").exists()
    fill(file, 4)
    assert run(audit, file, "--verify").exit_code == 0


def test_backup_and_restore_for_machines(file, tmp_path):
    fill(file, 1)
    result = run(backup, file, str(tmp_path / "copy"), "--json")
    assert result.exception is None
    did = json.loads(result.output)
    assert (did["messages"], did["deliveries"]) == (1, 1)
    (tmp_path / "var" / "mhbridge.db").unlink()
    result = run(restore, file, str(tmp_path / "copy"), "--json")
    assert result.exception is None
    did = json.loads(result.output)
    assert (did["messages"], did["bodies"], did["doubtful"]) == (1, 2, 0)


def test_a_store_is_brought_under_another_key(file, tmp_path):
    fill(file, 1)
    secret = tmp_path / "var" / "mhbridge.db.key"
    before = secret.read_bytes()
    assert run(rekey, file).exit_code == 0
    assert secret.read_bytes() != before
    (tmp_path / "key").write_text(KEY)
    result = run(rekey, file, "--to", "file:key")
    assert 'store_key = "file:key"' in result.output
    assert run(audit, file, "--verify").exception.code == "S223"
    file.write_text(CONFIGURATION + 'store_key = "file:key"\n')
    assert run(audit, file, "--verify").exit_code == 0
    assert run(audit, file).output.count("rekey") == 2
    assert run(rekey, file).exit_code == 2
    assert isinstance(run(rekey, file, "--to", KEY).exception, ConfigurationError)


# --- a whole gateway ---

ROOT = Path(__file__).parents[1]
LETTERS = ROOT / "fixtures" / "example-mental-health" / "discharge-letter"


@asynccontextmanager
async def running(file):
    app = build(config.load(file, {}), log=logs.make(io.BytesIO()))
    await app.open()
    try:
        async with aiohttp.ClientSession(app.receivers["http"].address) as session:
            yield app, session
    finally:
        await app.close()


async def send(session, name):
    path = "/feeds/example-mental-health/http/messages"
    headers = {"Content-Type": "application/hl7-v2"}
    async with session.post(path, data=(LETTERS / name).read_bytes(), headers=headers) as answer:
        return answer.status


async def until(so):
    async with asyncio.timeout(30):
        while not so():  # noqa: ASYNC110 - who puts files there says nothing
            await asyncio.sleep(0.02)


async def test_a_gateway_is_backed_up_lost_and_restored_and_nothing_is_delivered_twice_or_never(tmp_path):
    file, out = tmp_path / "mhbridge.toml", tmp_path / "out"
    file.write_text(configuration(store="var/mhbridge.db"))

    def there():
        return sorted(found.name for found in out.glob("*.json"))

    async with running(file) as (_, session):
        assert await send(session, "plain.hl7") == 202
        await until(lambda: len(there()) == 1)
        first = there()
        # From here on nothing can be put there …
        out.rename(tmp_path / "away")
        out.write_text("no folder")
        assert await send(session, "no-medicines-allergies-unknown.hl7") == 202
        result = await asyncio.to_thread(run, backup, file, str(tmp_path / "copy"))
        assert result.exit_code == 0, result.output
        out.unlink()
        (tmp_path / "away").rename(out)
    async with running(file):
        # … until after the backup, which knows of the second as waiting.
        await until(lambda: len(there()) == 2)
    second = sorted(set(there()) - set(first))
    for name in ("mhbridge.db", "mhbridge.db.keys"):
        (tmp_path / "var" / name).unlink()
    result = await asyncio.to_thread(run, restore, file, str(tmp_path / "copy"), "--json")
    assert result.exit_code == 0, result.output
    # The first one's file is there before the store knows it.
    assert json.loads(result.output)["doubtful"] in {1, 2}
    async with running(file) as (app, session):

        async def settled():
            return (await app.store.status(datetime.now(UTC))).deliveries == {"done": 2}

        async with asyncio.timeout(30):
            while not await settled():  # noqa: ASYNC110 - nor who delivers
                await asyncio.sleep(0.05)
        # It was looked up, found, and not put there again; and what comes now has its turn.
        assert there() == sorted([*first, *second])
        assert await send(session, "plain.hl7") == 200
        assert (await app.store.status(datetime.now(UTC))).differences == ()
