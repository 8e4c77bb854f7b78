"""A store of an older version comes forward: to the schema of a new one, whatever ends it, while messages come."""

import asyncio
import random
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import apsw
import pytest
from powerloss import Disk
from store_cases import EVENT, T0, a_patient, keep, key_of, take

from mhbridge.adapters.sql import migrating as sql_migrating
from mhbridge.adapters.sql import schema
from mhbridge.adapters.sql.migrations import SCHEMA, Migration, migrations
from mhbridge.adapters.sql.turns import InlineTurns
from mhbridge.adapters.sqlite import SqliteStore, migrating
from mhbridge.errors import StoreError
from mhbridge.model import DeliveryState
from mhbridge.ports import Move

OLD = Path(__file__).with_name("schema1.sql").read_text("utf-8")


def an_old_store(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "mhbridge.db"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute(OLD).fetchall()
    connection.close()
    path.with_name("mhbridge.db.key").write_bytes(b"\x01" * 32)
    path.with_name("mhbridge.db.key").chmod(0o600)
    return path


@pytest.fixture
def path(tmp_path):
    return an_old_store(tmp_path / "store")


def described(connection):
    """A schema without what does not matter: the order of columns and the spelling of blanks."""
    tables, indexes = {}, {}
    for _, table, kind, columns, without_rowid, strict in connection.execute("pragma table_list").fetchall():
        if kind == "table" and not table.startswith("sqlite_"):
            details = {column[1:] for column in connection.execute(f'pragma table_xinfo("{table}")').fetchall()}
            tables[table] = (columns, without_rowid, strict, details)
    rows = connection.execute("select name, tbl_name, sql from sqlite_schema where type = 'index'").fetchall()
    for name, table, text in rows:
        columns = [column[2:] for column in connection.execute(f'pragma index_xinfo("{name}")').fetchall()]
        words = (text or "").lower().replace(" if not exists", "").split()
        indexes[name] = (table, words, [column for column in columns if column[0] is not None])
    return tables, indexes


def fresh():
    connection = apsw.Connection(":memory:")
    for statement in schema():
        connection.execute(statement)
    return connection


async def settled(store):
    """Wait for what was left for later."""
    if store._migrating is not None:
        await asyncio.wait_for(store._migrating, 60)


async def test_a_store_that_came_forward_has_the_schema_of_a_new_one(path):
    store = SqliteStore(path)
    await store.open()
    await settled(store)
    await store.close()
    connection, new = apsw.Connection(str(path)), fresh()
    assert described(connection) == described(new)
    assert connection.execute("select name, value from meta where name <> 'secret'").fetchall() == [
        ("schema", str(SCHEMA))
    ]
    connection.close()
    new.close()


@pytest.mark.parametrize(
    "difference",
    [
        "alter table message add column more text",
        "drop index patient_person",
        "drop index patient_person; create index patient_person on patient (person)",
        "drop table gap; create table gap (feed text, series text, first integer, last integer, seen_at integer)",
        "alter table delivery drop column needs; alter table delivery add column needs integer not null default 3",
    ],
)
def test_another_schema_is_told_from_it(difference):
    other, new = fresh(), fresh()
    assert described(other) == described(new)
    other.execute(difference).fetchall()
    assert described(other) != described(new)
    other.close()
    new.close()


async def test_nothing_of_an_older_store_is_lost(path):
    store = SqliteStore(path)
    await store.open()
    await settled(store)
    status = await store.status(T0)
    assert (status.receipts, status.repeats, status.refusals) == (9, 1, 1)
    assert status.messages == {"done": 5, "filtered": 1, "parked": 1}
    assert status.deliveries == {"done": 1, "parked": 1, "queued": 2, "retry": 1, "sending": 3}
    assert status.differences == ()
    assert await store.verify_log() > 8
    rows = await store.messages()
    assert {await store.original(row.id) for row in rows} == {b"original %d" % n for n in (1, 2, 3, 4, 5, 7, 8)}
    assert (await store.known(a_patient(), "V1", EVENT)).items == {"admission_method": "21", "n": 1}
    # It goes on where it was: ids, lanes, the log's chain, and what came is not taken again.
    assert (await keep(store, 2, "gp", "acute")).repeated
    await keep(store, 100, "gp", patient=1)
    assert await store.recover(T0) == 3
    for due in await take(store, T0):
        await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
    assert (await store.status(T0)).differences == ()
    await store.verify_log()
    await store.close()


async def test_an_older_store_is_copied_first(path):
    before = [
        name for (name,) in apsw.Connection(str(path)).execute("select name from sqlite_schema order by 1").fetchall()
    ]
    store = SqliteStore(path)
    await store.open()
    await store.close()
    copy = path.with_name(f"mhbridge.db.before-schema-{SCHEMA}")
    assert copy.stat().st_mode & 0o777 == 0o600
    connection = apsw.Connection(str(copy))
    assert connection.pragma("integrity_check") == "ok"
    assert [name for (name,) in connection.execute("select name from sqlite_schema order by 1").fetchall()] == before
    assert connection.execute("select count(*) from message").get == 7
    connection.close()
    # A second start has nothing to do, and leaves the copy as it is.
    at = copy.stat().st_mtime_ns
    again = SqliteStore(path)
    await again.open()
    await again.close()
    assert copy.stat().st_mtime_ns == at


async def refused(store):
    with pytest.raises(StoreError) as raised:
        await store.open()
    await store.close()
    return raised.value.code


async def test_without_room_for_the_copy_nothing_is_changed(path, monkeypatch):
    usage = shutil.disk_usage(path.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    before = path.read_bytes()
    assert await refused(SqliteStore(path)) == "S221"
    assert path.read_bytes() == before


@pytest.mark.parametrize("schema", [str(SCHEMA + 1), "10", "0", "", "two", "٢"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_newer_or_unknown_schema_is_refused(path, schema, read_only):
    connection = apsw.Connection(str(path))
    connection.execute("update meta set value = ? where name = 'schema'", (schema,))
    connection.close()
    before = path.read_bytes()
    assert await refused(SqliteStore(path, read_only=read_only)) == "S204"
    assert path.read_bytes() == before


async def test_looking_into_an_older_store_does_not_change_it(path):
    before = path.read_bytes()
    assert await refused(SqliteStore(path, read_only=True)) == "S220"
    assert path.read_bytes() == before


async def test_with_a_wrong_secret_nothing_comes_forward(path):
    path.with_name("mhbridge.db.key").write_bytes(b"\x02" * 32)
    before = path.read_bytes()
    assert await refused(SqliteStore(path)) == "S205"
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.before-*"))


# --- whatever ends it ---


class StopError(Exception):
    pass


async def test_what_fails_on_the_way_leaves_the_old_store(path, monkeypatch):
    """Every statement of it fails once; the next start goes all the way."""
    monkeypatch.setattr("mhbridge.adapters.sql.door.calling._AGAIN", 0.0)
    before = None
    for number in count(1):
        left = number

        class Failing(apsw.Connection):
            def execute(self, statements, *values, **named):
                nonlocal left
                if statements.startswith(("create", "alter", "insert into meta", "commit")):
                    left -= 1
                    if left == 0:
                        raise StopError
                return super().execute(statements, *values, **named)

        store = SqliteStore(path, connect=Failing)
        try:
            await store.open()
        except StopError:
            connection = apsw.Connection(str(path))
            rows = connection.execute("select name, sql from sqlite_schema order by 1").fetchall()
            before = before or rows
            assert rows == before
            assert connection.execute("select value from meta where name = 'schema'").get == "1"
            connection.close()
        else:
            await settled(store)
            await store.close()
            break
    assert number > 15
    connection, new = apsw.Connection(str(path)), fresh()
    assert described(connection) == described(new)
    connection.close()
    new.close()


async def test_a_power_cut_leaves_the_old_schema_or_the_new_one(tmp_path):
    rng, schemas = random.Random(20260303), []
    for run in range(6):
        before = an_old_store(tmp_path / f"run{run}").parent
        disk = Disk({rng.randrange(1, 160) for _ in range(20)}, [])
        disk.load(before / "mhbridge.db")
        try:
            store = SqliteStore(before / "mhbridge.db", turns=lambda _name: InlineTurns(), connect=disk.connect)
            await store.open()
            await settled(store)
            await store.close()
        finally:
            disk.unregister()
        for cut in disk.cuts:
            after = tmp_path / "after"
            after.mkdir(mode=0o700)
            shutil.copy2(before / "mhbridge.db.key", after)
            cut.restore(after, rng)
            connection = apsw.Connection(str(after / "mhbridge.db"))
            schemas.append(connection.execute("select value from meta where name = 'schema'").get)
            connection.close()
            store = SqliteStore(after / "mhbridge.db", turns=lambda _name: InlineTurns())
            await store.open()
            await settled(store)
            assert (await store.status(T0)).messages == {"done": 5, "filtered": 1, "parked": 1}
            await store.verify_log()
            await store.close()
            connection, new = apsw.Connection(str(after / "mhbridge.db")), fresh()
            assert described(connection) == described(new)
            connection.close()
            new.close()
            shutil.rmtree(after)
    assert set(schemas) == {"1", str(SCHEMA)}


# --- while messages are taken ---

MANY = 40_000

#: What a version after this one might bring: an index, and a value for every row, while the gateway works.
NEXT = Migration(
    SCHEMA + 1,
    ["alter table message add column answered_at integer"],
    [
        "create index if not exists message_mapping on message (mapping, received_at)",
        (
            "update message set answered_at = received_at where id in"
            " (select id from message where answered_at is null and id <= 41000 order by id limit :most)"
        ),
        "create index if not exists message_answered on message (answered_at)",
    ],
)


@pytest.fixture
def _another(monkeypatch):
    known = (*migrations(), NEXT)
    for module in (migrating, sql_migrating):
        monkeypatch.setattr(module, "SCHEMA", SCHEMA + 1)
        monkeypatch.setattr(module, "migrations", lambda: known)
    monkeypatch.setattr("mhbridge.adapters.sqlite.opening.SCHEMA", SCHEMA + 1)
    monkeypatch.setattr("mhbridge.adapters.sql.door.calling._PAUSE", 0.0)


def fill(path):
    connection = apsw.Connection(str(path))
    with connection:
        connection.execute(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < ?)"
            " insert into message (id, envelope, feed, kind, place, received_at, patient, state, code, mapping,"
            " mapping_hash, fanout, issues)"
            " select 1000 + i, 1000 + i, 'a/b', 'ADT^A08', '', i, 0, 'done', '', 'm', 'h', 0, '[]' from n",
            (MANY,),
        )
    connection.close()


@pytest.mark.usefixtures("_another")
async def test_messages_are_taken_while_a_store_comes_forward(path):
    fill(path)
    store = SqliteStore(path)
    await store.open()
    taken, numbers = [], count(10_000)

    async def load():
        for number in numbers:
            if store._migrating.done():
                return
            await keep(store, number, "gp", patient=number % 20)
            taken.append(number)

    async def deliver():
        while not store._migrating.done():
            for due in await take(store, T0):
                await store.finish([Move(due.id, DeliveryState.DONE, level=2)], T0)
            await asyncio.sleep(0)

    async with asyncio.timeout(120):
        await asyncio.gather(deliver(), *[load() for _ in range(8)])
    # Taken between the pieces, not after them: there are more than MANY / 500 pieces.
    assert len(taken) > 100
    await store.verify_log()
    await store.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("select count(*) from message where answered_at is null and id <= ?", (MANY,)).get == 0
    assert (
        connection.execute(
            "select count(*) from sqlite_schema where name in ('message_mapping', 'message_answered')"
        ).get
        == 2
    )
    assert connection.execute("select value from meta where name = 'later'").get is None
    there = {key for (key,) in connection.execute("select dedupe from envelope").fetchall()}
    assert {key_of(number) for number in taken} <= there
    connection.close()


@pytest.mark.usefixtures("_another")
async def test_what_is_left_for_later_is_gone_on_with_after_a_stop(path):
    fill(path)
    starts, where = 0, []
    while True:
        store = SqliteStore(path, turns=lambda _name: InlineTurns())
        await store.open()
        starts += 1
        if store._migrating is None:
            break
        for _ in range(20):
            await asyncio.sleep(0)
        await store.close()
        connection = apsw.Connection(str(path))
        where.append(connection.execute("select value from meta where name = 'later'").get)
        connection.close()
    await store.close()
    assert starts > 3
    assert where[-1] is None
    assert [step for step in where if step] == sorted(step for step in where if step)
    connection = apsw.Connection(str(path))
    assert connection.execute("select count(*) from message where answered_at is null").get == 0
    connection.close()


async def test_a_step_that_fails_is_tried_again_and_nothing_else_fails(path, monkeypatch):
    monkeypatch.setattr("mhbridge.adapters.sql.door.calling._AGAIN", 0.0)
    failed = []
    work = sql_migrating.later

    def fails_twice(books, items):
        if len(failed) < 2:
            failed.append(True)
            books.run("no_such_query")
        return work(books, items)

    monkeypatch.setattr(sql_migrating, "later", fails_twice)
    monkeypatch.setattr("mhbridge.adapters.sql.committing._ORDER", _with(fails_twice, work))
    store = SqliteStore(path)
    await store.open()
    await asyncio.gather(settled(store), *[keep(store, number, "gp") for number in range(100, 120)])
    assert len(failed) == 2
    assert replace(await store.status(T0), differences=()).messages["done"] == 25
    await store.close()


def _with(new, old):
    from mhbridge.adapters.sql.committing import _ORDER

    return tuple(new if verb is old else verb for verb in _ORDER)
